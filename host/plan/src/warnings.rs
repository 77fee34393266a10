//! What an operator should know about a setting, with the reason and what to do.

use paceline_capacity::{dynamodb, kinesis, lambda};
use serde::Serialize;

use crate::deployment::TableMode;
use crate::figures::{duration, number};
use crate::flow::Flow;
use crate::limits::Limit;
use crate::shape::Shape;
use crate::simulation::Outcome;

/// A part of a limit from which on it is worth a warning.
pub(crate) const HEADROOM: f64 = 0.8;
/// A growth of the age in seconds a second that is none.
pub(crate) const STEADY_GROWTH: f64 = 0.01;

/// What an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// The reason with its arithmetic, and what to do.
    pub text: String,
}

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// Messages are older and older.
    FallsBehind,
    /// A shard rejects records.
    ShardFull,
    /// A shard is full by records, and nearly empty by bytes.
    PackMessages,
    /// The items of a race have one partition key.
    PartitionKey,
    /// More queues than invocations.
    Concurrency,
    /// A batch never has so many records.
    BatchSize,
    /// Batches find groups written by others.
    Conflicts,
    /// The index throttles the table.
    IndexUnits,
    /// Writes come due that exceed a limit for a moment.
    Burst,
    /// The function has less time than its retries.
    TimeOut,
    /// Batches run into the time-out.
    TimedOut,
    /// The window is committed before its end.
    WindowState,
    /// Messages wait to be packed.
    PackingDelay,
}

/// The warnings of a setting.
#[must_use]
pub(crate) fn warnings(flow: &Flow, shape: &Shape<'_>, limits: &[Limit], outcome: &Outcome) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut add = |kind, text: Option<String>| found.extend(text.map(|text| Warning { kind, text }));
    add(WarningKind::FallsBehind, falls_behind(shape, outcome));
    add(WarningKind::ShardFull, shard_full(flow, shape));
    add(WarningKind::PackMessages, pack(flow, shape));
    add(WarningKind::PartitionKey, partition_key(flow));
    add(WarningKind::Concurrency, concurrency(flow, shape));
    add(WarningKind::BatchSize, batch_size(shape));
    add(WarningKind::Conflicts, conflicts(flow));
    add(WarningKind::IndexUnits, index_units(shape));
    add(WarningKind::Burst, burst(limits, outcome));
    add(WarningKind::TimeOut, time_out(shape));
    add(WarningKind::TimedOut, timed_out(outcome));
    add(WarningKind::WindowState, window_state(shape));
    add(WarningKind::PackingDelay, packing_delay(shape));
    found
}

fn falls_behind(shape: &Shape<'_>, outcome: &Outcome) -> Option<String> {
    if outcome.growth <= STEADY_GROWTH {
        return None;
    }
    let retention = f64::from(shape.deployment.retention_hours) * 3_600.0;
    let hours = (retention - outcome.age_at_end).max(0.0) / outcome.growth / 3_600.0;
    Some(format!(
        "The age grows by {:.2} s each second: messages are lost {hours:.0} h after the beginning, when the first ones \
         are older than the retention of {} h. Give more to what is full first.",
        outcome.growth, shape.deployment.retention_hours
    ))
}

fn shard_full(flow: &Flow, shape: &Shape<'_>) -> Option<String> {
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

fn pack(flow: &Flow, shape: &Shape<'_>) -> Option<String> {
    let records = flow.records_per_second * flow.shard_share / kinesis::SHARD_RECORDS_PER_SECOND;
    let bytes = flow.bytes_per_second * flow.shard_share / kinesis::SHARD_BYTES_PER_SECOND;
    (records > HEADROOM && bytes < records / 2.0 && !shape.load.is_packed()).then(|| {
        format!(
            "The fullest shard is full to {:.0} % by records and to {:.0} % by bytes: packed messages (`--aggregate`) \
             need fewer shards. Packing excludes a parallelization factor above 1.",
            records * 100.0,
            bytes * 100.0
        )
    })
}

fn partition_key(flow: &Flow) -> Option<String> {
    let part = flow.partition_units_per_second / dynamodb::PARTITION_WRITE_UNITS;
    (part > HEADROOM).then(|| {
        format!(
            "The items of a race have one partition key, and take {} of its {} write units a second, whatever the table \
             has. A longer batching window or a tumbling window writes each item less often.",
            number(flow.partition_units_per_second),
            number(dynamodb::PARTITION_WRITE_UNITS)
        )
    })
}

fn concurrency(flow: &Flow, shape: &Shape<'_>) -> Option<String> {
    let function = shape.deployment.function()?;
    (flow.queues > function.concurrency).then(|| {
        format!(
            "{} shards × factor {} are {} concurrent batches, and {} invocations are allowed: the others wait. Raise the \
             function's concurrency.",
            shape.deployment.shards,
            function.factor,
            number(f64::from(flow.queues)),
            number(f64::from(function.concurrency))
        )
    })
}

fn batch_size(shape: &Shape<'_>) -> Option<String> {
    let function = shape.deployment.function()?;
    let fits = lambda::records_of_an_event(shape.load.record_bytes());
    (function.batch_size > fits).then(|| {
        format!(
            "The batch size of {} is never reached: an event of 6 MB has {} records of {} bytes.",
            number(f64::from(function.batch_size)),
            number(f64::from(fits)),
            number(shape.load.record_bytes() as f64)
        )
    })
}

fn conflicts(flow: &Flow) -> Option<String> {
    let units = flow.refused_units_per_second;
    (units > 0.0).then(|| {
        format!(
            "With {} concurrent batches, {} of the table's write units a second ({:.0} %) may be for writes that find \
             that another host was first: they are billed and repeated. Fewer queues, longer windows, or the racer as the \
             partition key, meet fewer conflicts.",
            flow.queues,
            number(units),
            100.0 * units / flow.table_units_per_second
        )
    })
}

fn index_units(shape: &Shape<'_>) -> Option<String> {
    let TableMode::Provisioned { units, index_units } = shape.deployment.table else { return None };
    (index_units < units).then(|| {
        format!(
            "The index has {} write units and the table {}: an index that is full throttles the writes of its table. Give \
             the index at least the table's units.",
            number(index_units),
            number(units)
        )
    })
}

fn burst(limits: &[Limit], outcome: &Outcome) -> Option<String> {
    let bursts = limits.iter().filter_map(|limit| Some((limit.name.strip_prefix("write units at once, ")?, limit)));
    let (what, fullest) = bursts.max_by(|(_, a), (_, b)| a.part().total_cmp(&b.part()))?;
    (fullest.part() > 1.0 + 1e-9 && outcome.growth <= STEADY_GROWTH).then(|| {
        format!(
            "{} write units come due at once, and the {what} has {} for them: the rest is throttled and retried. The \
             simulated age was at most {}.",
            number(fullest.used),
            number(fullest.of),
            duration(outcome.ages.highest)
        )
    })
}

fn time_out(shape: &Shape<'_>) -> Option<String> {
    let available = shape.timeout? - shape.reserve();
    let deadline = shape.deployment.retry.deadline_ms as f64 / 1e3;
    (available < deadline).then(|| {
        format!(
            "The time-out leaves {available:.1} s, and `retry.deadline-ms` is {deadline:.0} s: while the table \
             throttles, invocations end before their retries do, and batches are delivered again."
        )
    })
}

fn timed_out(outcome: &Outcome) -> Option<String> {
    (outcome.timeouts > 0).then(|| {
        format!(
            "{} of {} simulated invocations ran into the time-out. Use a smaller batch size or more memory.",
            outcome.timeouts, outcome.invocations
        )
    })
}

fn window_state(shape: &Shape<'_>) -> Option<String> {
    let wanted = f64::from(shape.deployment.function()?.tumbling_seconds);
    (wanted > 0.0 && shape.window < wanted).then(|| {
        format!(
            "The state of a window reaches 1 MB after {:.0} of {wanted:.0} s: it is committed before its end. Use a \
             window of at most {:.0} s, or more shards.",
            shape.window,
            shape.window.floor()
        )
    })
}

fn packing_delay(shape: &Shape<'_>) -> Option<String> {
    let seconds = shape.packing_seconds();
    (seconds > 1.0).then(|| {
        format!(
            "{:.0} messages for a record take {seconds:.1} s to come together in a shard: pack fewer, or by time.",
            shape.per_record
        )
    })
}
