//! What is wrong, scenario by scenario.

use paceline_doctor::history::{Capacity, Consumer, DeadLetter, DeadLetters, StreamMode, Trial, Unavailable};

use super::builder::*;

/// A history, and the checks that have to find something.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) finds: &'static [&'static str],
    pub(crate) build: fn() -> Builder,
}

const fn of(name: &'static str, finds: &'static [&'static str], build: fn() -> Builder) -> Scenario {
    Scenario { name, finds, build }
}

/// A healthy function, changed.
fn but(change: impl FnOnce(&mut Builder)) -> Builder {
    let mut builder = Builder::healthy();
    change(&mut builder);
    builder
}

/// A healthy host, changed.
fn host_but(change: impl FnOnce(&mut Builder)) -> Builder {
    let mut builder = Builder::hosts();
    change(&mut builder);
    builder
}

/// From a minute on.
fn from(start: u64, value: f64) -> impl Fn(u64) -> f64 {
    move |m| if m >= start { value } else { 0.0 }
}

/// An age in milliseconds that grows by so many seconds a minute from a minute on.
fn ages(start: u64, seconds_a_minute: f64) -> impl Fn(u64) -> f64 {
    move |m| 900.0 + m.saturating_sub(start) as f64 * seconds_a_minute * 1_000.0
}

/// The function's age, which the stream shows for its pollers, too.
fn lag(it: &mut Builder, age_ms: impl Fn(u64) -> f64) {
    it.metric((Lambda, "IteratorAge"), FUNCTION, Maximum, &age_ms);
    it.metric((Kinesis, "GetRecords.IteratorAgeMilliseconds"), STREAM, Maximum, &age_ms);
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    of("healthy", &[], Builder::healthy),
    of("healthy-hosts", &[], Builder::hosts),
    of("nothing-observed", &[], Builder::empty),
    of("article", ARTICLE, article),
    of("several-causes", &["write-throttles", "hot-shard", "failing-version", "data-loss"], several_causes),
    of("missing-permissions", &[], missing_permissions),
    // Producers
    of("producer-throttled", &["producer-throttled", "shard-full", "producer-failures"], || {
        but(|it| {
            it.load(1_000.0);
            it.metric((Kinesis, "WriteProvisionedThroughputExceeded"), STREAM, Sum, from(9, 4_200.0));
            it.metric((Kinesis, "PutRecords.ThrottledRecords"), STREAM, Sum, from(9, 4_200.0));
            it.metric((Kinesis, "PutRecords.FailedRecords"), STREAM, Sum, from(9, 4_200.0));
        })
    }),
    of("producer-throttled-before", &["producer-throttled"], || {
        but(|it| {
            it.metric(
                (Kinesis, "WriteProvisionedThroughputExceeded"),
                STREAM,
                Sum,
                |m| if m < 3 { 900.0 } else { 0.0 },
            );
        })
    }),
    of("shard-full-by-count", &["shard-full"], || but(|it| _ = it.load(960.0))),
    of("shard-full-by-bytes", &["shard-full"], || {
        but(|it| {
            it.metric((Kinesis, "IncomingRecords"), STREAM, Sum, |_| 1_200.0);
            it.metric((Kinesis, "IncomingBytes"), STREAM, Sum, |_| 60.0 * 1_000_000.0);
            it.metric((OfFunction, "Records"), OWN, Sum, |_| 360_000.0);
        })
    }),
    of("on-demand-stream", &[], || {
        but(|it| {
            it.stream().mode = StreamMode::OnDemand;
            it.load(3_000.0);
        })
    }),
    of("hot-shard", &["hot-shard"], || but(hot_shard)),
    of("hidden-hot-shard", &["bursts", "producer-throttled"], || {
        but(|it| {
            it.shards(4).load(1_100.0);
            it.metric((Kinesis, "WriteProvisionedThroughputExceeded"), STREAM, Sum, from(4, 2_000.0));
        })
    }),
    of("bursts", &["bursts", "producer-throttled"], || {
        but(|it| {
            it.metric((Kinesis, "WriteProvisionedThroughputExceeded"), STREAM, Sum, |m| {
                if m % 5 == 4 { 300.0 } else { 0.0 }
            });
        })
    }),
    of("producer-failures", &["producer-failures"], || {
        but(|it| {
            it.metric((Kinesis, "PutRecords.Success"), STREAM, Average, |m| if m == 12 { 0.61 } else { 1.0 });
            it.metric((Kinesis, "PutRecord.Success"), STREAM, Average, |_| 1.0);
        })
    }),
    // Readers
    of("reads-throttled", &["reads-throttled", "read-latency", "read-failures"], || {
        but(|it| {
            it.metric((Kinesis, "ReadProvisionedThroughputExceeded"), STREAM, Sum, from(2, 55.0));
            it.metric((Kinesis, "GetRecords.Success"), STREAM, SampleCount, |_| 300.0);
            it.metric((Kinesis, "GetRecords.Success"), STREAM, Average, |m| if m >= 2 { 0.82 } else { 1.0 });
        })
    }),
    of("read-latency", &["read-latency"], || {
        but(|it| {
            it.metric((Kinesis, "GetRecords.Success"), STREAM, SampleCount, |_| 240.0);
        })
    }),
    of("fan-out", &["fan-out"], || {
        but(|it| {
            let consumer = |name: &str| Consumer { name: name.to_owned(), status: "ACTIVE".to_owned(), created: None };
            it.stream().consumers = vec![consumer("replay"), consumer("paceline")];
            let replay = [STREAM, &[("ConsumerName", "replay")]].concat();
            let own = [STREAM, &[("ConsumerName", "paceline")]].concat();
            it.metric((Kinesis, "SubscribeToShardEvent.MillisBehindLatest"), &replay, Maximum, ages(4, 41.0));
            it.metric((Kinesis, "SubscribeToShardEvent.MillisBehindLatest"), &own, Maximum, |_| 70.0);
            it.metric((Kinesis, "SubscribeToShard.RateExceeded"), &own, Sum, |m| if m > 15 { 3.0 } else { 0.0 });
        })
    }),
    of("subscription-conflicts", &["subscription-conflicts"], || {
        host_but(|it| _ = it.host("paceline_subscription_conflicts_total", &[], |m| 12.0 * m as f64))
    }),
    of("two-mappings", &["two-mappings"], || {
        but(|it| it.function().mappings.push(mapping("0a1b2c3d-0000-4000-8000-000000000000")))
    }),
    // Lag
    of("lag-slow", &["iterator-age"], || {
        but(|it| {
            lag(it, ages(3, 18.0));
            it.metric((Lambda, "ConcurrentExecutions"), FUNCTION, Maximum, |_| 1.0);
        })
    }),
    of("lag-steady", &["iterator-age"], || but(|it| lag(it, |_| 95_000.0))),
    of("lag-stuck", &["iterator-age", "function-errors", "no-parallelism"], || {
        but(|it| {
            lag(it, ages(2, 60.0));
            it.without("Records").without("Groups");
            it.metric((Lambda, "Invocations"), FUNCTION, Sum, |_| 8.0);
            it.metric((Lambda, "Errors"), FUNCTION, Sum, |m| if m >= 2 { 8.0 } else { 0.0 });
            it.mapping().bisect = false;
        })
    }),
    of("lag-dead", &["iterator-age", "mapping-state"], || {
        but(|it| {
            it.mapping().state = "Disabled".to_owned();
            it.points((Lambda, "IteratorAge"), FUNCTION, Maximum, |m| (m < 6).then_some(900.0));
            it.points((Kinesis, "GetRecords.IteratorAgeMilliseconds"), STREAM, Maximum, |m| (m < 6).then_some(850.0));
        })
    }),
    of("lag-no-reader", &["iterator-age"], || {
        but(|it| {
            it.history.function = None;
            it.history.series.retain(|series| !matches!(series.metric.namespace, Lambda | OfFunction));
            it.without("GetRecords.IteratorAgeMilliseconds").without("GetRecords.Success");
        })
    }),
    of("lag-re-reading", &["iterator-age", "data-loss"], || {
        but(|it| lag(it, |m| if m < 8 { 900.0 } else { 86_000_000.0 - (m - 8) as f64 * 900_000.0 }))
    }),
    of("lag-catching-up", &["iterator-age"], || but(|it| lag(it, |m| 1_800_000.0 - m as f64 * 80_000.0))),
    of("lag-one-value", &["iterator-age"], || {
        host_but(|it| {
            let age = |m| (m == 19).then_some(640.0);
            it.points((Host, "paceline_iterator_age_seconds"), HOST, Value, age);
        })
    }),
    of("lag-by-shard", &["iterator-age"], || {
        host_but(|it| {
            it.shards(2);
            let second = [HOST[0], ("shard", "shardId-000000000001")];
            it.metric((Host, "paceline_iterator_age_seconds"), &second, Value, |m| {
                1.0 + 60.0 * m.saturating_sub(4) as f64
            });
            it.metric((Host, "paceline_records_total"), &second, Value, |m| 9_000.0 * m.min(4) as f64);
            it.host("paceline_iterator_age_seconds", &[], |m| 1.0 + 20.0 * m.saturating_sub(9) as f64);
        })
    }),
    of("data-loss", &["data-loss", "iterator-age"], || {
        but(|it| {
            lag(it, |m| 70_000_000.0 + m as f64 * 60_000.0);
            it.without("Records").without("Groups");
        })
    }),
    of("data-lost", &["data-loss"], || but(|it| lag(it, |_| 86_390_000.0))),
    of("expired-records", &["expired-records"], || {
        host_but(|it| _ = it.host("paceline_expired_hours", &[], from(11, 2.5)))
    }),
    // Hosts
    of(
        "host-waits-for-its-table",
        &["write-throttles", "uncommitted-batches", "iterator-age", "shard-failing"],
        || {
            host_but(|it| {
                it.metric((Dynamodb, "WriteThrottleEvents"), TABLE, Sum, from(5, 700.0));
                it.metric((Dynamodb, "WriteAccountLimitThrottleEvents"), TABLE, Sum, from(5, 700.0));
                it.host("paceline_store_waits_total", &[], |m| 2.0 + m.saturating_sub(5) as f64);
                it.host("paceline_iterator_age_seconds", &[], |m| 0.8 + 60.0 * m.saturating_sub(5) as f64);
                it.host("paceline_records_total", &[], |m| 30_000.0 * m.min(5) as f64);
                it.host("paceline_shard_state", &[("state", "failing")], from(6, 1.0));
            })
        },
    ),
    of("host-restarted", &[], || {
        host_but(|it| _ = it.host("paceline_records_total", &[], |m| 30_000.0 * (m % 10) as f64))
    }),
    of("misrouted", &["misrouted", "dead-letters"], || {
        host_but(|it| {
            it.host("paceline_misrouted_records_total", &[], |m| 7.0 * m as f64);
            it.history.dead_letters = Some(letters(&[("misrouted", 140)]));
        })
    }),
    of("write-conflicts", &["write-conflicts"], || {
        host_but(|it| _ = it.process("paceline_conflicts_total", &[], |m| 21_000.0 * m as f64))
    }),
    // The function
    of("function-slow", &["function-slow"], || {
        but(|it| {
            it.metric((Lambda, "Duration"), FUNCTION, Maximum, |m| if m > 8 { 52_000.0 } else { 480.0 });
        })
    }),
    of("function-errors", &["function-errors"], || {
        but(|it| {
            it.metric((Lambda, "Errors"), FUNCTION, Sum, |m| (m / 4) as f64);
        })
    }),
    of("no-parallelism", &["no-parallelism", "iterator-age"], || {
        but(|it| {
            lag(it, ages(3, 18.0));
            it.metric((Lambda, "Duration"), FUNCTION, Maximum, |_| 11_000.0);
        })
    }),
    of("concurrency", &["concurrency", "function-throttled"], || {
        but(|it| {
            it.shards(16);
            it.mapping().parallelization_factor = 10;
            it.function().reserved_concurrency = Some(100);
            it.metric((Lambda, "Throttles"), FUNCTION, Sum, from(7, 31.0));
            it.metric((Lambda, "ConcurrentExecutions"), FUNCTION, Maximum, |_| 100.0);
        })
    }),
    of("uncommitted-batches", &["uncommitted-batches"], || {
        but(|it| {
            it.points((OfFunction, "UncommittedBatches"), OWN, Sum, |m| (m > 12).then_some(4.0));
        })
    }),
    of("tumbling-window", &["tumbling-window"], || {
        but(|it| {
            it.mapping().tumbling_window_seconds = 60;
            it.mapping().parallelization_factor = 2;
            it.points((OfFunction, "WindowsCommittedEarly"), OWN, Sum, |m| (m > 9).then_some(2.0));
        })
    }),
    // The mapping
    of("dropped-events", &["dropped-events", "failed-batches"], || {
        but(|it| {
            it.metric((Lambda, "DroppedEventCount"), MAPPING, Sum, |m| if m == 4 { 3_000.0 } else { 0.0 });
            it.metric((Lambda, "OnFailureDestinationDeliveredEventCount"), MAPPING, Sum, |m| {
                if m == 4 { 3_000.0 } else { 0.0 }
            });
            it.history.dead_letters.as_mut().unwrap().queue = Some(queue(3));
        })
    }),
    of("failed-batches-by-metric", &["failed-batches"], || {
        but(|it| {
            it.history.dead_letters = None;
            it.metric(
                (Sqs, "ApproximateNumberOfMessagesVisible"),
                &[("QueueName", "alleycat-failed")],
                Maximum,
                from(14, 5.0),
            );
        })
    }),
    of("mapping-without-guards", GUARDS, || but(without_guards)),
    of("mapping-drops-without-trace", &["failure-destination"], || {
        but(|it| {
            it.mapping().max_age_seconds = Some(600);
            it.mapping().on_failure = None;
        })
    }),
    of("mapping-problem", &["mapping-state"], || {
        but(|it| it.mapping().last_result = Some("PROBLEM: Function call failed".to_owned()))
    }),
    of("starting-position", &["starting-position"], || {
        but(|it| it.mapping().starting_position = Some("LATEST".to_owned()))
    }),
    of("batch-size", &["batch-size"], || but(|it| it.mapping().batch_size = 10_000)),
    of("packing-and-parallelization", &["packing-and-parallelization"], || {
        but(|it| {
            it.mapping().parallelization_factor = 4;
            it.metric((Kinesis, "IncomingRecords"), STREAM, Sum, |_| 120.0);
            it.metric((Kinesis, "IncomingBytes"), STREAM, Sum, |_| 120.0 * 45_000.0);
        })
    }),
    of("sequence-dedup", &["sequence-dedup"], || {
        but(|it| {
            it.mapping().parallelization_factor = 4;
            it.rules().race_types.get_mut("3").unwrap().dedups = vec!["sequence".to_owned()];
        })
    }),
    // Tables
    of("table-throttled", &["write-throttles", "function-slow"], || but(table_throttled)),
    of("index-throttles-its-table", &["index-capacity", "write-throttles"], || {
        but(|it| {
            it.table().indexes[0].capacity = Capacity::Provisioned { read: 5, write: 50 };
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), INDEX, Sum, |m| if m < 7 { 6_000.0 } else { 3_000.0 });
            it.metric((Dynamodb, "WriteThrottleEvents"), INDEX, Sum, from(7, 800.0));
            it.metric((Dynamodb, "WriteProvisionedThroughputThrottleEvents"), INDEX, Sum, from(7, 800.0));
        })
    }),
    of("hot-partition", &["hot-partition", "write-throttles"], || {
        but(|it| {
            it.table().capacity = Capacity::Provisioned { read: 1_000, write: 4_000 };
            it.table().indexes[0].capacity = Capacity::Provisioned { read: 1_000, write: 4_000 };
            it.table().local_indexes = true;
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 60_000.0);
            it.metric((Dynamodb, "WriteThrottleEvents"), TABLE, Sum, from(3, 900.0));
            it.metric((Dynamodb, "WriteKeyRangeThroughputThrottleEvents"), TABLE, Sum, from(3, 900.0));
        })
    }),
    of("partition-nearly-hot", &["hot-partition"], || {
        but(|it| {
            it.table().capacity = Capacity::OnDemand { max_write: None };
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 54_000.0);
        })
    }),
    of("maximum-on-demand", &["write-throttles"], || {
        but(|it| {
            it.table().capacity = Capacity::OnDemand { max_write: Some(400) };
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 24_000.0);
            it.metric((Dynamodb, "WriteMaxOnDemandThroughputThrottleEvents"), TABLE, Sum, from(1, 120.0));
        })
    }),
    of("burst-credit", &["write-capacity"], || {
        but(|it| {
            *it.table() = table("alleycat-races", 400);
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 27_000.0);
        })
    }),
    of("table-bursts", &["write-throttles"], || {
        but(|it| {
            it.metric(
                (Dynamodb, "ThrottledRequests"),
                &[TABLE[0], ("Operation", "BatchExecuteStatement")],
                Sum,
                from(2, 90.0),
            );
        })
    }),
    of("table-reads-throttled", &["read-throttles"], || {
        but(|it| {
            it.metric((Dynamodb, "ReadThrottleEvents"), TABLE, Sum, from(6, 40.0));
            it.metric((Dynamodb, "ConsumedReadCapacityUnits"), TABLE, Sum, |_| 60_000.0);
        })
    }),
    of("status", &["status"], || {
        but(|it| {
            it.stream().status = "UPDATING".to_owned();
            it.table().status = "ARCHIVED".to_owned();
        })
    }),
    // The rules
    of("failing-version", &["failing-version", "dead-letters"], || {
        but(|it| {
            it.rules().race_types.get_mut("3").unwrap().trial = Some(trial());
            it.metric((OfFunction, "RulebookFailed"), &[OWN[0], ("rulebook", "3 flat@1")], Sum, from(8, 1_200.0));
            it.metric((OfFunction, "RulebookRecords"), &[OWN[0], ("rulebook", "3 flat@1")], Sum, |_| 30_000.0);
            it.history.dead_letters = Some(letters(&[("plugin-failed", 14_400)]));
        })
    }),
    of("hosts-behind", &["hosts-behind"], || {
        but(|it| {
            let mut refusing = host_state("worker-2/7", 16);
            refusing.refusal = Some("flat@3: fuel-per-row 2,000,000 is above the ceiling of 1,000,000".to_owned());
            let mut lost = host_state("worker-4/7", 16);
            lost.seen = minute(14);
            it.rules().hosts = vec![host_state("worker-1/7", 17), host_state("worker-3/7", 12), refusing, lost];
        })
    }),
    of("missing-rulebook", &["missing-rulebook", "dead-letters", "uncommitted-batches"], || {
        but(|it| {
            let race_type = it.rules().race_types.get_mut("3").unwrap();
            race_type.pinned.insert("flat@0".to_owned(), 2);
            race_type.missing = vec!["flat@0".to_owned()];
            it.points((OfFunction, "UncommittedBatches"), OWN, Sum, |m| (m > 12).then_some(1.0));
            it.history.dead_letters = Some(letters(&[("pin-unresolved", 600)]));
        })
    }),
    of("plugin-budgets", &["plugin-budgets"], || {
        host_but(|it| {
            it.plugin("flat", "1", (1.0, 9.0e6, 0.3));
            let labels = [
                ("fault", "fuel"),
                ("plugin", "262c9aa7d1f0"),
                ("role", "scorer"),
                ("rulebook", "flat"),
                ("version", "1"),
            ];
            it.process("paceline_plugin_faults_total", &labels, |m| (m / 3) as f64);
        })
    }),
    of("dead-letters", &["dead-letters"], || {
        but(|it| it.history.dead_letters = Some(letters(&[("not-json", 4), ("rejected", 31)])))
    }),
    of("dead-letters-by-metric", &["dead-letters"], || {
        but(|it| {
            it.history.dead_letters = None;
            it.points((OfFunction, "DeadLetters"), OWN, Sum, |m| (m == 15).then_some(12.0));
        })
    }),
];

const GUARDS: &[&str] = &["partial-batch-responses", "unlimited-retries", "failure-destination", "event-count"];

const ARTICLE: &[&str] = &[
    "shard-full",
    "read-latency",
    "iterator-age",
    "function-slow",
    "function-errors",
    "no-parallelism",
    "write-throttles",
    "index-capacity",
    "partial-batch-responses",
    "unlimited-retries",
    "failure-destination",
    "event-count",
];

fn hot_shard(it: &mut Builder) {
    it.shards(4).load(1_300.0);
    for index in 0..4 {
        let shard = format!("shardId-{index:012}");
        let dimensions = [STREAM, &[("ShardId", shard.as_str())]].concat();
        let records = if index == 2 { 58_000.0 } else { 6_600.0 };
        it.metric((Kinesis, "IncomingRecords"), &dimensions, Sum, |_| records);
    }
}

fn without_guards(it: &mut Builder) {
    let mapping = it.mapping();
    mapping.retries = None;
    mapping.bisect = false;
    mapping.reports_failures = false;
    mapping.on_failure = None;
    mapping.counts_events = false;
    it.without("DroppedEventCount");
}

fn table_throttled(it: &mut Builder) {
    *it.table() = table("alleycat-races", 200);
    it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |m| if m < 4 { 30_000.0 } else { 12_000.0 });
    it.metric((Dynamodb, "WriteThrottleEvents"), TABLE, Sum, from(4, 5_000.0));
    it.metric((Lambda, "Duration"), FUNCTION, Maximum, |m| if m < 4 { 480.0 } else { 54_000.0 });
    lag(it, ages(5, 30.0));
}

/// 1,000 racers, one shard, a function of 15 s at factor 1, a table of 20 and an index of 10 units with burst credit.
fn article() -> Builder {
    but(|it| {
        without_guards(it);
        it.load(1_000.0);
        it.history.rules = None;
        it.history.dead_letters = None;
        it.history.tables.truncate(1);
        it.history.series.retain(|series| series.metric.namespace != OfFunction);
        it.function().timeout_seconds = 15;
        it.function().memory_mb = 256;
        it.mapping().batching_window_seconds = 0;
        *it.table() = table("alleycat-races", 20);
        it.table().indexes[0].capacity = Capacity::Provisioned { read: 10, write: 10 };
        it.table().local_indexes = true;
        it.table().item_bytes = Some(14_700);
        it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |m| if m < 10 { 1_800.0 } else { 1_200.0 });
        it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), INDEX, Sum, |m| if m < 10 { 900.0 } else { 600.0 });
        it.metric((Dynamodb, "ConsumedReadCapacityUnits"), TABLE, Sum, |_| 120.0);
        it.metric((Dynamodb, "WriteThrottleEvents"), TABLE, Sum, from(10, 240.0));
        it.metric((Dynamodb, "WriteThrottleEvents"), INDEX, Sum, from(10, 120.0));
        it.metric((Kinesis, "GetRecords.Success"), STREAM, SampleCount, |_| 240.0);
        it.metric((Lambda, "Duration"), FUNCTION, Maximum, |m| if m < 10 { 850.0 } else { 15_000.0 });
        it.metric((Lambda, "Duration"), FUNCTION, Average, |m| if m < 10 { 600.0 } else { 14_100.0 });
        it.metric((Lambda, "Invocations"), FUNCTION, Sum, |m| if m < 10 { 60.0 } else { 4.0 });
        it.metric((Lambda, "Errors"), FUNCTION, Sum, from(10, 3.0));
        lag(it, ages(10, 55.0));
    })
}

/// Three troubles that have nothing to do with each other.
fn several_causes() -> Builder {
    but(|it| {
        hot_shard(it);
        table_throttled(it);
        it.metric((Lambda, "Errors"), FUNCTION, Sum, from(6, 9.0));
        it.points((OfFunction, "UncommittedBatches"), OWN, Sum, |m| (m > 5).then_some(12.0));
        lag(it, |m| 44_000_000.0 + m as f64 * 50_000.0);
        it.rules().race_types.get_mut("3").unwrap().trial = Some(trial());
        it.history.dead_letters = Some(letters(&[("plugin-failed", 90), ("rejected", 31)]));
    })
}

fn missing_permissions() -> Builder {
    let mut it = Builder::empty();
    let denied = |what: &str, permission: &str| Unavailable {
        what: what.to_owned(),
        permission: Some(permission.to_owned()),
        reason: "AccessDeniedException: the role paceline-reader may not do this".to_owned(),
    };
    it.history.unavailable = vec![
        denied("metrics of CloudWatch", "cloudwatch:GetMetricData"),
        denied("stream alleycat", "kinesis:DescribeStreamSummary"),
        denied("function alleycat", "lambda:GetFunctionConfiguration"),
        denied("table alleycat-races", "dynamodb:DescribeTable"),
        Unavailable {
            what: "host 127.0.0.1:9464".to_owned(),
            permission: None,
            reason: "connection refused: start `paceline run` with [serve]".to_owned(),
        },
    ];
    it.history.rules = Builder::healthy().history.rules;
    it
}

fn trial() -> Trial {
    Trial {
        version: "flat@2".to_owned(),
        kind: "canary 10 %".to_owned(),
        records: 9_000,
        failed: 270,
        rejected: 12,
        rolled_back: true,
    }
}

fn letters(by_reason: &[(&str, u64)]) -> DeadLetters {
    let newest = by_reason.iter().flat_map(|(reason, count)| {
        (0..3.min(*count)).map(|index| DeadLetter {
            id: format!("shardId-000000000000:4959033827149025660855969253836157109592157598913658889{index}"),
            reason: (*reason).to_owned(),
            message: format!("what the record of second {} lacks", 100 + index),
            at: Some(minute(15 + index)),
        })
    });
    DeadLetters {
        newest: newest.collect(),
        by_reason: by_reason.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
        more: false,
        queue: None,
    }
}
