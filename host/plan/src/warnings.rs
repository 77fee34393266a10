//! What an operator should know about a setting, with the reason and what to do.

use paceline_capacity::{dynamodb, lambda};
use serde::Serialize;

use crate::deployment::TableMode;
use crate::figures::{duration, number};
use crate::flow::Flow;
use crate::limits::Limit;
use crate::outage::Outage;
use crate::shape::Shape;
use crate::shared_items::groups_of_an_item;
use crate::simulation::Outcome;

mod stream;

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
    /// Messages of an outage are older than the retention when it ends.
    Outage,
    /// A shard rejects records.
    ShardFull,
    /// A shard is full by records, and nearly empty by bytes.
    PackMessages,
    /// Records or payloads are larger than what is taken by default.
    LargeMessages,
    /// The consumers of a shard read more than it lets them.
    Polls,
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
    /// Shared items have no room for their groups.
    SharedItems,
    /// Messages wait to be packed.
    PackingDelay,
}

/// The warnings of a setting.
#[must_use]
pub(crate) fn warnings(
    flow: &Flow,
    shape: &Shape<'_>,
    limits: &[Limit],
    outcome: &Outcome,
    outage: &Outage,
) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut add = |kind, text: Option<String>| found.extend(text.map(|text| Warning { kind, text }));
    add(WarningKind::FallsBehind, falls_behind(shape, outcome));
    add(WarningKind::Outage, stream::lost(shape, outage));
    add(WarningKind::ShardFull, stream::shard_full(flow, shape));
    add(WarningKind::PackMessages, stream::pack(flow, shape));
    add(WarningKind::LargeMessages, stream::large(shape));
    add(WarningKind::Polls, stream::polls(shape, limits));
    add(WarningKind::PartitionKey, partition_key(flow));
    add(WarningKind::Concurrency, concurrency(flow, shape));
    add(WarningKind::BatchSize, batch_size(shape));
    add(WarningKind::Conflicts, conflicts(flow));
    add(WarningKind::IndexUnits, index_units(shape));
    add(WarningKind::Burst, burst(limits, outcome));
    add(WarningKind::TimeOut, time_out(shape));
    add(WarningKind::TimedOut, timed_out(outcome));
    add(WarningKind::WindowState, window_state(shape));
    add(WarningKind::SharedItems, shared_items(shape));
    add(WarningKind::PackingDelay, stream::packing_delay(shape));
    found
}

fn falls_behind(shape: &Shape<'_>, outcome: &Outcome) -> Option<String> {
    if outcome.growth <= STEADY_GROWTH {
        return None;
    }
    let retention = f64::from(shape.deployment.retention_hours) * 3_600.0;
    let hours = (outcome.seconds + (retention - outcome.age_at_end) / outcome.growth) / 3_600.0;
    Some(format!(
        "The age grows by {:.2} s each second: messages are lost {hours:.0} h after the beginning, when the first ones \
         are older than the retention of {} h. Give more to what is full first.",
        outcome.growth, shape.deployment.retention_hours
    ))
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

/// Groups that an item of 400 KB has no room for have items of their own, as if they were not packed.
fn shared_items(shape: &Shape<'_>) -> Option<String> {
    let (load, room) = (shape.load, groups_of_an_item());
    let packed = shape.deployment.aggregates.iter().filter(|aggregate| aggregate.packed_into > 0);
    let aggregate = packed.min_by_key(|aggregate| aggregate.packed_into)?;
    let groups = f64::from(load.racers) / f64::from(load.races.max(1)) / f64::from(aggregate.packed_into);
    (groups > room).then(|| {
        format!(
            "{} groups of `{}` share an item of {} for a race, and its 400 KB have room for about {}: the others get items \
             of their own. Use more items (`pack.into` of the rulebook, `--group-items`), some 100 groups each.",
            number(groups.round()),
            aggregate.name,
            aggregate.packed_into,
            number(room)
        )
    })
}
