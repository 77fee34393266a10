//! Changes of a healthy deployment.

use paceline_doctor::history::{DeadLetter, DeadLetters, Trial, Unavailable};

use crate::builder::*;

/// A healthy function, changed.
pub(super) fn but(change: impl FnOnce(&mut Builder)) -> Builder {
    let mut builder = Builder::healthy();
    change(&mut builder);
    builder
}

/// A healthy host, changed.
pub(super) fn host_but(change: impl FnOnce(&mut Builder)) -> Builder {
    let mut builder = Builder::hosts();
    change(&mut builder);
    builder
}

/// From a minute on.
pub(super) fn from(start: u64, value: f64) -> impl Fn(u64) -> f64 {
    move |m| if m >= start { value } else { 0.0 }
}

/// An age in milliseconds that grows by so many seconds a minute from a minute on.
pub(super) fn ages(start: u64, seconds_a_minute: f64) -> impl Fn(u64) -> f64 {
    move |m| 900.0 + m.saturating_sub(start) as f64 * seconds_a_minute * 1_000.0
}

/// The function's age, which the stream shows for its pollers, too.
pub(super) fn lag(it: &mut Builder, age_ms: impl Fn(u64) -> f64) {
    it.metric((Lambda, "IteratorAge"), FUNCTION, Maximum, &age_ms);
    it.metric((Kinesis, "GetRecords.IteratorAgeMilliseconds"), STREAM, Maximum, &age_ms);
}

pub(super) fn hot_shard(it: &mut Builder) {
    it.shards(4).load(1_300.0);
    for index in 0..4 {
        let shard = format!("shardId-{index:012}");
        let dimensions = [STREAM, &[("ShardId", shard.as_str())]].concat();
        let records = if index == 2 { 58_000.0 } else { 6_600.0 };
        it.metric((Kinesis, "IncomingRecords"), &dimensions, Sum, |_| records);
    }
}

/// 200 shards, of which the metrics of 100 were read: records a second of a shard, and the age of its readers.
pub(super) fn many_shards(it: &mut Builder, records: impl Fn(usize) -> f64, age_ms: impl Fn(u64) -> f64) {
    it.shards(200).load((0..200).map(&records).sum());
    it.metric((OfFunction, "Records"), OWN, Sum, |_| (0..200).map(&records).sum::<f64>() * 60.0);
    lag(it, &age_ms);
    it.stream().shard_metrics = vec!["IncomingRecords".to_owned(), "IteratorAgeMilliseconds".to_owned()];
    for index in 0..100 {
        let shard = format!("shardId-{index:012}");
        let dimensions = [STREAM, &[("ShardId", shard.as_str())]].concat();
        it.metric((Kinesis, "IncomingRecords"), &dimensions, Sum, |_| records(index) * 60.0);
        it.metric((Kinesis, "IteratorAgeMilliseconds"), &dimensions, Maximum, |_| 900.0);
    }
    it.history.unavailable = vec![Unavailable {
        what: "metrics by shard of 100 more shards".to_owned(),
        permission: None,
        reason: "those of 100 shards are read".to_owned(),
        by_limit: true,
    }];
}

pub(super) fn without_guards(it: &mut Builder) {
    let mapping = it.mapping();
    mapping.retries = None;
    mapping.bisect = false;
    mapping.reports_failures = false;
    mapping.on_failure = None;
    mapping.counts_events = false;
    it.without("DroppedEventCount");
}

pub(super) fn table_throttled(it: &mut Builder) {
    *it.table() = table("alleycat-races", 200);
    it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |m| if m < 4 { 30_000.0 } else { 12_000.0 });
    it.metric((Dynamodb, "WriteThrottleEvents"), TABLE, Sum, from(4, 5_000.0));
    it.metric((Lambda, "Duration"), FUNCTION, Maximum, |m| if m < 4 { 480.0 } else { 54_000.0 });
    lag(it, ages(5, 30.0));
}

pub(super) fn trial() -> Trial {
    Trial {
        version: "flat@2".to_owned(),
        kind: "canary 10 %".to_owned(),
        records: 9_000,
        failed: 270,
        rejected: 12,
        rolled_back: true,
    }
}

pub(super) fn letters(by_reason: &[(&str, u64)]) -> DeadLetters {
    let newest = by_reason.iter().flat_map(|(reason, count)| {
        (0..3.min(*count)).map(|index| DeadLetter {
            id: format!("shardId-000000000000:4959033827149025660855969253836157109592157598913658889{index}"),
            reason: (*reason).to_owned(),
            message: format!("what the record of second {} lacks", 100 + index),
            rulebook: None,
            at: Some(minute(15 + index)),
        })
    });
    DeadLetters {
        newest: newest.collect(),
        by_reason: Some(by_reason.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()),
        more: false,
        queue: None,
    }
}
