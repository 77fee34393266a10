//! The alarms of a deployment on Lambda: what an operator must know within minutes, each with its remedy.
//!
//! `examples/alleycat/template.yaml` has them; the resources that they name are the template's.

use crate::list;
use crate::metric::{Metric, Statistic};

/// The page that explains the alarms, by anchor.
pub const PAGE: &str = "docs/operations/troubleshooting.md";

/// An alarm.
#[derive(Clone, Copy, Debug)]
pub struct Alarm {
    /// The name of its resource, without `Alarm`.
    pub id: &'static str,
    /// The anchor in [`PAGE`].
    pub anchor: &'static str,
    /// What has happened, and what to do.
    pub remedy: &'static str,
    /// What is watched.
    pub signal: Signal,
    /// The statistic of a minute.
    pub statistic: Statistic,
    /// The value above which a minute counts: a number, or a parameter of the template.
    pub above: &'static str,
    /// How many minutes must count, of how many.
    pub minutes: (u32, u32),
}

/// What an alarm watches.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// A metric.
    Of(Source),
    /// Arithmetic over metrics with names. It may name the template's parameters.
    Expression(&'static str, &'static [(&'static str, Source)]),
}

impl Signal {
    /// The metrics that it watches.
    pub fn sources(&self) -> Vec<Source> {
        match self {
            Self::Of(source) => vec![*source],
            Self::Expression(_, sources) => sources.iter().map(|(_, source)| *source).collect(),
        }
    }
}

/// A metric that an alarm watches.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The function's own.
    Own(&'static Metric),
    /// One of AWS's.
    Aws(Aws),
}

/// A metric of a service.
#[derive(Clone, Copy, Debug)]
pub struct Aws {
    /// The namespace.
    pub namespace: &'static str,
    /// The name.
    pub name: &'static str,
    /// The dimensions, with the template's expression of each value.
    pub dimensions: &'static [(&'static str, &'static str)],
}

const FUNCTION: &[(&str, &str)] = &[("FunctionName", "!Ref Function")];
const MAPPING: &[(&str, &str)] = &[("EventSourceMappingUUID", "!Ref FunctionStream")];
const STREAM: &[(&str, &str)] = &[("StreamName", "!Ref Stream")];
const TABLE: &[(&str, &str)] = &[("TableName", "!Ref Table")];
const INDEX: &[(&str, &str)] = &[("TableName", "!Ref Table"), ("GlobalSecondaryIndexName", "GSI_Index")];
const LETTERS: &[(&str, &str)] = &[("TableName", "!Ref DeadLetterTable")];
const QUEUE: &[(&str, &str)] = &[("QueueName", "!GetAtt FailedBatchQueue.QueueName")];

const fn aws(namespace: &'static str, name: &'static str, of: &'static [(&'static str, &'static str)]) -> Source {
    Source::Aws(Aws { namespace, name, dimensions: of })
}

/// The tables and the index, whose sum an alarm on DynamoDB watches: a metric is missing where nothing was throttled.
const ALL_TABLES: &str = "FILL(table, 0) + FILL(index, 0) + FILL(letters, 0)";

const fn all_tables(name: &'static str) -> [(&'static str, Source); 3] {
    [
        ("table", aws("AWS/DynamoDB", name, TABLE)),
        ("index", aws("AWS/DynamoDB", name, INDEX)),
        ("letters", aws("AWS/DynamoDB", name, LETTERS)),
    ]
}

static BY_KEY_RANGE: [(&str, Source); 3] = all_tables("WriteKeyRangeThroughputThrottleEvents");
static BY_PROVISIONED: [(&str, Source); 3] = all_tables("WriteProvisionedThroughputThrottleEvents");
static BY_MAXIMUM: [(&str, Source); 3] = all_tables("WriteMaxOnDemandThroughputThrottleEvents");
static BY_ACCOUNT: [(&str, Source); 3] = all_tables("WriteAccountLimitThrottleEvents");
static READS: [(&str, Source); 3] = all_tables("ReadThrottleEvents");

/// All alarms.
pub static ALL: &[Alarm] = &[
    Alarm {
        id: "UncommittedBatches",
        anchor: "uncommitted-batches",
        remedy: "Batches are not committed, and Lambda sends them again. The function's log has the reason, at level \
                 ERROR: a table that can't be reached or throttles, or records that wait for a rulebook.",
        signal: Signal::Of(Source::Own(&list::UNCOMMITTED_BATCHES)),
        statistic: Statistic::Sum,
        above: "0",
        // One throttled batch is none, two minutes of three are.
        minutes: (2, 3),
    },
    Alarm {
        id: "Behind",
        anchor: "iterator-age",
        remedy: "The function is behind by more than BehindAlarmMinutes: standings are old. Look at the alarms on \
                 uncommitted batches, errors, duration and throttled writes first. Without them, raise MemorySize, then \
                 ParallelizationFactor (ordinal dedup only), then ShardCount.",
        signal: Signal::Expression("age / 60000", &[("age", aws("AWS/Lambda", "IteratorAge", FUNCTION))]),
        statistic: Statistic::Maximum,
        above: "!Ref BehindAlarmMinutes",
        minutes: (2, 2),
    },
    Alarm {
        id: "IteratorAge",
        anchor: "iterator-age",
        remedy: "The function is behind by half of the stream's retention: at 100 % records are lost. Raise \
                 RetentionHours now. Then find the cause, as for the alarm Behind.",
        signal: Signal::Expression(
            "100 * age / (${RetentionHours} * 3600000)",
            &[("age", aws("AWS/Lambda", "IteratorAge", FUNCTION))],
        ),
        statistic: Statistic::Maximum,
        above: "50",
        minutes: (1, 1),
    },
    Alarm {
        // As measured by the stream for all of its readers, even while the function is not invoked.
        id: "StreamIteratorAge",
        anchor: "iterator-age",
        remedy: "A reader of the stream is behind by half of the stream's retention, even if the function is not \
                 invoked. Raise RetentionHours now. Then see whether the event source mapping is enabled.",
        signal: Signal::Expression(
            "100 * age / (${RetentionHours} * 3600000)",
            &[("age", aws("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", STREAM))],
        ),
        statistic: Statistic::Maximum,
        above: "50",
        minutes: (1, 1),
    },
    Alarm {
        id: "DroppedEvents",
        anchor: "dropped-events",
        remedy: "Lambda dropped records: they are older than MaximumRecordAgeInSeconds, or were retried \
                 MaximumRetryAttempts times. The queue FailedBatchQueue has their positions: run `paceline \
                 dead-letters reprocess --queue URL` before they expire, and set both parameters to -1.",
        signal: Signal::Of(aws("AWS/Lambda", "DroppedEventCount", MAPPING)),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "FailedBatches",
        anchor: "failed-batches",
        remedy: "Lambda gave up on batches. Before their records expire, run `paceline dead-letters reprocess --queue URL`, \
                 with the URL of the output FailedBatchQueueUrl.",
        signal: Signal::Of(aws("AWS/SQS", "ApproximateNumberOfMessagesVisible", QUEUE)),
        statistic: Statistic::Maximum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "DeadLetters",
        anchor: "dead-letters",
        remedy: "Records could not be processed. The dead letter table has them, with the reasons: `paceline dead-letters \
                 list`. Correct the rulebook or the producer, then `paceline dead-letters redrive`.",
        signal: Signal::Of(Source::Own(&list::DEAD_LETTERS)),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "FailingVersion",
        anchor: "failing-version",
        remedy: "A version of a rulebook fails on its records, or a candidate was taken back. `paceline rules status` and \
                 the metrics RulebookFailed and PluginFaults name it. `paceline rules rollback` puts the version before \
                 in its place.",
        signal: Signal::Of(Source::Own(&list::FAILING_VERSIONS)),
        statistic: Statistic::Maximum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "HostsBehind",
        anchor: "hosts-behind",
        remedy: "The function does not follow the newest rules: it can't read the registry, or it refuses a rulebook. \
                 `paceline rules status` shows the reason of each host.",
        signal: Signal::Of(Source::Own(&list::RULES_BEHIND)),
        statistic: Statistic::Maximum,
        above: "0",
        // A poll that failed once is none.
        minutes: (3, 3),
    },
    Alarm {
        id: "FunctionErrors",
        anchor: "function-errors",
        remedy: "An invocation failed. Invalid records are not the cause; the function's log has it, at level ERROR.",
        signal: Signal::Of(aws("AWS/Lambda", "Errors", FUNCTION)),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        // The maximum, because one slow batch delays its whole shard.
        id: "FunctionDuration",
        anchor: "function-slow",
        remedy: "A batch took more than 80 % of FunctionTimeout. Look for throttled writes first. Without them, raise \
                 MemorySize (processor time is in proportion), or lower BatchSize.",
        signal: Signal::Expression(
            "100 * duration / (${FunctionTimeout} * 1000)",
            &[("duration", aws("AWS/Lambda", "Duration", FUNCTION))],
        ),
        statistic: Statistic::Maximum,
        above: "80",
        minutes: (1, 1),
    },
    Alarm {
        id: "FunctionThrottles",
        anchor: "function-throttled",
        remedy: "Lambda refused invocations: the account's concurrency is used up. The mapping needs ShardCount × \
                 ParallelizationFactor. Raise the account's limit, or reserve concurrency for the function.",
        signal: Signal::Of(aws("AWS/Lambda", "Throttles", FUNCTION)),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (2, 3),
    },
    Alarm {
        id: "StreamWritesThrottled",
        anchor: "producer-throttled",
        remedy: "The stream throttled producers. Add shards, spread the partition keys, or aggregate several messages in a \
                 record. Producers must retry the failed entries of PutRecords.",
        signal: Signal::Of(aws("AWS/Kinesis", "WriteProvisionedThroughputExceeded", STREAM)),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "StreamReadsThrottled",
        anchor: "reads-throttled",
        remedy: "The stream throttled readers: all readers of a shard share 5 reads and 2 MB a second. Remove readers, add \
                 shards, or use enhanced fan-out.",
        signal: Signal::Of(aws("AWS/Kinesis", "ReadProvisionedThroughputExceeded", STREAM)),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "WritesThrottledByKeyRange",
        anchor: "write-throttles",
        remedy: "DynamoDB throttles writes under one partition key, which takes 1,000 write units a second: a hot \
                 partition of a table, or one value of the index's key. Raise MaximumBatchingWindowInSeconds, so that \
                 each group is written less often, or spread the race over several partition keys.",
        signal: Signal::Expression(ALL_TABLES, &BY_KEY_RANGE),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "WritesThrottledByProvisioned",
        anchor: "write-throttles",
        remedy: "Writes exceed the provisioned write units of a table or its index. A throttled index delays its table: \
                 give it the table's units. Raise them, or bill by request.",
        signal: Signal::Expression(ALL_TABLES, &BY_PROVISIONED),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "WritesThrottledByMaximum",
        anchor: "write-throttles",
        remedy: "Writes exceed the maximum throughput that was set for a table billed by request. Raise it.",
        signal: Signal::Expression(ALL_TABLES, &BY_MAXIMUM),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "WritesThrottledByAccount",
        anchor: "write-throttles",
        remedy: "Writes exceed the account's or a table's quota of write units in this region. Raise the quota.",
        signal: Signal::Expression(ALL_TABLES, &BY_ACCOUNT),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
    Alarm {
        id: "ReadsThrottled",
        anchor: "read-throttles",
        remedy: "DynamoDB throttles reads of a table or the index, by the function or by other readers. The metrics \
                 Read…ThrottleEvents of each table name the cause. Readers that scan should do so less often.",
        signal: Signal::Expression(ALL_TABLES, &READS),
        statistic: Statistic::Sum,
        above: "0",
        minutes: (1, 1),
    },
];
