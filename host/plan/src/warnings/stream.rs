//! What concerns the stream: its shards, its retention, and who reads it.

use paceline_capacity::kinesis;

use super::HEADROOM;
use crate::figures::{duration, number, percent};
use crate::flow::Flow;
use crate::limits::{Limit, POLLED_BYTES, POLLS};
use crate::outage::Outage;
use crate::shape::Shape;

/// Bytes of the largest payload that the host takes by default: `batch.max-payload-bytes`.
const PAYLOAD_BYTES: u64 = 262_144;

/// What an outage loses, because the stream does not keep it for so long.
pub(super) fn lost(shape: &Shape<'_>, outage: &Outage) -> Option<String> {
    let hours = |hours: u32| number(hours.into());
    let needed = outage.seconds.div_ceil(3_600) + 1;
    let advice = match needed > kinesis::MAX_RETENTION_HOURS {
        true => format!("No stream keeps messages for longer than {} h.", hours(kinesis::MAX_RETENTION_HOURS)),
        false => format!("Raise the retention to {} h, or notice outages sooner.", hours(needed)),
    };
    (outage.lost_seconds > 0).then(|| {
        format!(
            "An outage of {} is longer than the retention of {} h: the messages of its first {}, {} of them, expire before \
             it ends and are lost. {advice}",
            duration(f64::from(outage.seconds)),
            hours(shape.deployment.retention_hours),
            duration(f64::from(outage.lost_seconds)),
            number(outage.lost_messages.round())
        )
    })
}

pub(super) fn shard_full(flow: &Flow, shape: &Shape<'_>) -> Option<String> {
    let (wanted, accepted) = (flow.messages_per_second * shape.shard_share(), shape.shard_accepts());
    (wanted > accepted * (1.0 + 1e-9)).then(|| {
        format!(
            "The fullest shard accepts {} of {} messages/s, and rejects the others: producers retry them, or lose them. \
             Add shards, or pack messages.",
            number(accepted),
            number(wanted)
        )
    })
}

pub(super) fn pack(flow: &Flow, shape: &Shape<'_>) -> Option<String> {
    let records = flow.records_per_second * flow.shard_share / kinesis::SHARD_RECORDS_PER_SECOND;
    let bytes = flow.bytes_per_second * flow.shard_share / kinesis::SHARD_BYTES_PER_SECOND;
    (records > HEADROOM && bytes < records / 2.0 && !shape.load.is_packed()).then(|| {
        format!(
            "The fullest shard is full to {} % by records and to {} % by bytes: packed messages (`--aggregate`) \
             need fewer shards. Packing excludes a parallelization factor above 1.",
            percent(records),
            percent(bytes)
        )
    })
}

pub(super) fn packing_delay(shape: &Shape<'_>) -> Option<String> {
    let seconds = shape.packing_seconds();
    (seconds > 1.0).then(|| {
        format!(
            "{:.0} messages for a record take {seconds:.1} s to come together in a shard: pack fewer, or by time.",
            shape.per_record
        )
    })
}

/// What is larger than what streams and hosts take unless they are told to.
pub(super) fn large(shape: &Shape<'_>) -> Option<String> {
    let (record, message) = (shape.load.counted_bytes(), shape.load.message_bytes);
    let by_stream = (record > kinesis::DEFAULT_RECORD_BYTES).then(|| {
        format!(
            "A record has {} bytes, and a stream takes {} unless its `MaxRecordSizeInKiB` is higher: raise it to {}.",
            number(record as f64),
            number(kinesis::DEFAULT_RECORD_BYTES as f64),
            record.div_ceil(1_024)
        )
    });
    let by_host = (message > PAYLOAD_BYTES).then(|| {
        format!(
            "A message of {} bytes becomes a dead letter unless `batch.max-payload-bytes` is raised: its default is {}.",
            number(message as f64),
            number(PAYLOAD_BYTES as f64)
        )
    });
    let found: Vec<String> = by_stream.into_iter().chain(by_host).collect();
    (!found.is_empty()).then(|| found.join(" "))
}

/// More reads than a shard allows: some are throttled, of any of its consumers.
pub(super) fn polls(shape: &Shape<'_>, limits: &[Limit]) -> Option<String> {
    let reads = limits.iter().filter(|limit| [POLLS, POLLED_BYTES].contains(&limit.name));
    let fullest = reads.max_by(|a, b| a.part().total_cmp(&b.part()))?;
    (fullest.part() > 1.0 + 1e-9).then(|| {
        let what = if fullest.name == POLLS { "`GetRecords` requests" } else { "bytes" };
        let others = shape.deployment.other_pollers;
        format!(
            "The consumers of a shard, {others} others included, poll {} {what} a second, and it allows {}: the rest is \
             throttled, and messages of each consumer become older than here. Let some of them read by fan-out.",
            number(fullest.used),
            number(fullest.of)
        )
    })
}
