//! Producers and readers of the stream.

use paceline_doctor::history::{Consumer, StreamMode};

use super::changes::*;
use super::{Scenario, of};
use crate::builder::*;

pub(super) const SCENARIOS: &[Scenario] =
    &[
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
                it.metric((Kinesis, "WriteProvisionedThroughputExceeded"), STREAM, Sum, |m| {
                    if m < 3 { 900.0 } else { 0.0 }
                });
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
        // All are equally full. Half of them have no series.
        of("even-shards", &[], || but(|it| many_shards(it, |_| 790.0, |_| 900.0))),
        // A hot one among those that were read, and a late one among the others.
        of("hot-and-late-of-200-shards", &["hot-shard", "iterator-age"], || {
            but(|it| {
                many_shards(it, |shard| if shard == 7 { 950.0 } else { 300.0 }, ages(4, 30.0));
                it.without("IteratorAge");
            })
        }),
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
                let consumer =
                    |name: &str| Consumer { name: name.to_owned(), status: "ACTIVE".to_owned(), created: None };
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
    ];
