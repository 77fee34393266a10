//! Which metrics of CloudWatch are read.

use paceline_doctor::History;
use paceline_doctor::history::{Namespace, Shard, Statistic, Stream, Unavailable};

use Statistic::{Average, Maximum, Minimum, Sum};

/// A metric with its dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) namespace: Namespace,
    pub(crate) name: String,
    pub(crate) dimensions: Vec<(&'static str, String)>,
    pub(crate) statistic: Statistic,
}

/// Metrics by shard are read for at most this many shards, open ones first.
const SHARDS: usize = 100;

const STREAM: &[(&str, &[Statistic])] = &[
    ("IncomingRecords", &[Sum]),
    ("IncomingBytes", &[Sum]),
    ("WriteProvisionedThroughputExceeded", &[Sum, Average, Minimum, Maximum]),
    ("ReadProvisionedThroughputExceeded", &[Sum, Average]),
    ("PutRecord.Success", &[Average]),
    ("PutRecords.Success", &[Average]),
    ("PutRecords.TotalRecords", &[Sum]),
    ("PutRecords.ThrottledRecords", &[Sum]),
    ("PutRecords.FailedRecords", &[Sum]),
    ("GetRecords.Bytes", &[Sum]),
    ("GetRecords.IteratorAgeMilliseconds", &[Maximum]),
    ("GetRecords.Latency", &[Average]),
    ("GetRecords.Records", &[Sum]),
    ("GetRecords.Success", &[Average, Statistic::SampleCount]),
];

/// With metrics by shard, where those are on.
const SHARD: &[(&str, &[Statistic])] = &[
    ("IncomingRecords", &[Sum]),
    ("IncomingBytes", &[Sum]),
    ("IteratorAgeMilliseconds", &[Maximum]),
    ("OutgoingRecords", &[Sum]),
    ("WriteProvisionedThroughputExceeded", &[Sum]),
    ("ReadProvisionedThroughputExceeded", &[Sum]),
];

const CONSUMER: &[(&str, &[Statistic])] = &[
    ("SubscribeToShardEvent.MillisBehindLatest", &[Maximum]),
    ("SubscribeToShard.RateExceeded", &[Sum]),
    ("SubscribeToShard.Success", &[Average]),
];

const FUNCTION: &[(&str, &[Statistic])] = &[
    ("Duration", &[Average, Maximum]),
    ("Invocations", &[Sum]),
    ("Errors", &[Sum]),
    ("Throttles", &[Sum]),
    ("ConcurrentExecutions", &[Maximum]),
    ("IteratorAge", &[Maximum]),
];

const MAPPING: &[(&str, &[Statistic])] = &[
    ("PolledEventCount", &[Sum]),
    ("FilteredOutEventCount", &[Sum]),
    ("InvokedEventCount", &[Sum]),
    ("FailedInvokeEventCount", &[Sum]),
    ("DroppedEventCount", &[Sum]),
    ("OnFailureDestinationDeliveredEventCount", &[Sum]),
];

/// Of a table, and of each of its indexes.
const TABLE: &[(&str, &[Statistic])] = &[
    ("ConsumedWriteCapacityUnits", &[Sum]),
    ("ConsumedReadCapacityUnits", &[Sum]),
    ("WriteThrottleEvents", &[Sum]),
    ("ReadThrottleEvents", &[Sum]),
    ("WriteProvisionedThroughputThrottleEvents", &[Sum]),
    ("WriteKeyRangeThroughputThrottleEvents", &[Sum]),
    ("WriteAccountLimitThrottleEvents", &[Sum]),
    ("WriteMaxOnDemandThroughputThrottleEvents", &[Sum]),
];

/// Of a table by operation: CloudWatch has it by nothing less.
const REQUESTS: &[(&str, &[Statistic])] = &[("ThrottledRequests", &[Sum])];

/// The operations with which hosts, functions and commands write.
const WRITES: [&str; 5] = ["BatchExecuteStatement", "BatchWriteItem", "PutItem", "TransactWriteItems", "UpdateItem"];

const QUEUE: &[(&str, &[Statistic])] = &[("ApproximateNumberOfMessagesVisible", &[Maximum])];

/// The metrics of what the history has.
pub(crate) fn wanted(history: &History) -> Vec<Wanted> {
    let mut list = Vec::new();
    let mut add = |namespace, metrics: &[(&str, &[Statistic])], dimensions: &[(&'static str, &str)]| {
        for (name, statistics) in metrics {
            list.extend(statistics.iter().map(|statistic| Wanted {
                namespace,
                name: (*name).to_owned(),
                dimensions: dimensions.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
                statistic: *statistic,
            }));
        }
    };
    if let Some(stream) = &history.stream {
        let name = ("StreamName", stream.name.as_str());
        add(Namespace::Kinesis, STREAM, &[name]);
        let by_shard = shard_metrics(stream);
        for shard in open_first(stream).into_iter().take(SHARDS) {
            add(Namespace::Kinesis, &by_shard, &[name, ("ShardId", &shard.id)]);
        }
        for consumer in &stream.consumers {
            add(Namespace::Kinesis, CONSUMER, &[name, ("ConsumerName", &consumer.name)]);
        }
    }
    if let Some(function) = &history.function {
        add(Namespace::Lambda, FUNCTION, &[("FunctionName", &function.name)]);
        for mapping in function.mappings.iter().filter(|mapping| mapping.counts_events) {
            add(Namespace::Lambda, MAPPING, &[("EventSourceMappingUUID", &mapping.id)]);
        }
    }
    for table in &history.tables {
        let name = ("TableName", table.name.as_str());
        add(Namespace::Dynamodb, TABLE, &[name]);
        for operation in WRITES {
            add(Namespace::Dynamodb, REQUESTS, &[name, ("Operation", operation)]);
        }
        for index in &table.indexes {
            add(Namespace::Dynamodb, TABLE, &[name, ("GlobalSecondaryIndexName", &index.name)]);
        }
    }
    let queue = history.dead_letters.as_ref().and_then(|letters| letters.queue.as_ref());
    if let Some(name) = queue.and_then(|queue| queue.url.rsplit('/').next()) {
        add(Namespace::Sqs, QUEUE, &[("QueueName", name)]);
    }
    list
}

/// The metrics by shard that are on.
fn shard_metrics(stream: &Stream) -> Vec<(&'static str, &'static [Statistic])> {
    let has = |metric: &str| stream.shard_metrics.iter().any(|on| on == metric || on == "ALL");
    SHARD.iter().copied().filter(|(metric, _)| has(metric)).collect()
}

fn open_first(stream: &Stream) -> Vec<&Shard> {
    let mut shards: Vec<_> = stream.shards.iter().collect();
    shards.sort_by_key(|shard| !shard.open);
    shards
}

/// The shards whose metrics are on and are not read.
pub(crate) fn unread(history: &History) -> Option<Unavailable> {
    let stream = history.stream.as_ref().filter(|stream| !shard_metrics(stream).is_empty())?;
    let unread = open_first(stream).split_off(SHARDS.min(stream.shards.len()));
    let (more, open) = (unread.len(), unread.iter().filter(|shard| shard.open).count());
    let reason = format!(
        "each metric of a shard is billed, so those of {SHARDS} shards are read, open ones first; {open} of the others \
         are open"
    );
    (more > 0).then(|| Unavailable {
        what: format!("metrics by shard of {more} more shards"),
        permission: None,
        reason,
        by_limit: true,
    })
}
