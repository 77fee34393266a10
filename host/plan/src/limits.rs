//! What the steady state uses of each quota.

use paceline_capacity::{dynamodb, kinesis, lambda};
use serde::Serialize;

use crate::capacities::table_limits;
use crate::deployment::{Consumer, TableMode};
use crate::flow::Flow;
use crate::shape::{Shape, WINDOW_STATE_BYTES};

/// What is used of a limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limit {
    /// What is limited, with its unit.
    pub name: &'static str,
    /// What is used.
    pub used: f64,
    /// What there is.
    pub of: f64,
    /// What happens beyond it.
    pub kind: LimitKind,
}

/// What happens beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// It is exceeded all the time: something falls behind, or is rejected.
    Rate,
    /// It is exceeded for a moment: what comes then waits.
    Burst,
    /// A batch or state is divided.
    Size,
}

impl Limit {
    /// The part that is used.
    #[must_use]
    pub fn part(&self) -> f64 {
        if self.of > 0.0 { self.used / self.of } else { f64::INFINITY }
    }
}

/// `GetRecords` requests a second of another consumer: AWS's own poll about once.
const POLLS_OF_OTHERS: f64 = 1.0;
/// `GetRecords` requests a second of `paceline run` on a shard that is caught up (`idle-ms`).
const POLLS_OF_RUN: f64 = 2.0;

/// Names of the limits of reads, which the consumers of a shard share.
pub(crate) const POLLS: &str = "polls/s of a shard";
pub(crate) const POLLED_BYTES: &str = "bytes/s polled from the fullest shard";

/// What is used of each limit.
#[must_use]
pub(crate) fn limits(flow: &Flow, shape: &Shape<'_>) -> Vec<Limit> {
    let mut limits = stream(flow, shape);
    limits.extend(host(flow, shape));
    limits.extend(table(flow, shape));
    limits
}

/// The rate limit that is full first.
pub(crate) fn first_full(limits: &[Limit]) -> Option<&Limit> {
    limits.iter().filter(|limit| limit.kind == LimitKind::Rate).max_by(|a, b| a.part().total_cmp(&b.part()))
}

fn rate(name: &'static str, used: f64, of: f64) -> Limit {
    Limit { name, used, of, kind: LimitKind::Rate }
}

fn stream(flow: &Flow, shape: &Shape<'_>) -> Vec<Limit> {
    let deployment = shape.deployment;
    let others = f64::from(deployment.other_pollers);
    let own_polls = match &deployment.consumer {
        Consumer::Function(_) => lambda::POLLS_PER_SECOND,
        Consumer::Run(process) | Consumer::Kcl(process) if process.fan_out => 0.0,
        Consumer::Run(_) => POLLS_OF_RUN,
        Consumer::Kcl(_) => lambda::POLLS_PER_SECOND,
    };
    let own = if own_polls > 0.0 { 1.0 } else { 0.0 };
    let bytes = flow.bytes_per_second * flow.shard_share;
    let accepted = shape.fullest_accepts() / shape.per_record * shape.load.counted_bytes() as f64;
    vec![
        rate(
            "records/s into the fullest shard",
            flow.records_per_second * flow.shard_share,
            kinesis::SHARD_RECORDS_PER_SECOND,
        ),
        rate("bytes/s into the fullest shard", bytes, kinesis::SHARD_BYTES_PER_SECOND),
        rate(POLLS, own_polls + others * POLLS_OF_OTHERS, kinesis::SHARD_READS_PER_SECOND),
        rate(POLLED_BYTES, accepted * (own + others), kinesis::SHARD_READ_BYTES_PER_SECOND),
    ]
}

fn host(flow: &Flow, shape: &Shape<'_>) -> Vec<Limit> {
    let mut limits = vec![rate("time of the fullest queue, s/s", flow.busy, 1.0)];
    if let Some(function) = shape.deployment.function() {
        let event = lambda::records_of_an_event(shape.load.record_bytes());
        let size = |name, used, of| Limit { name, used, of, kind: LimitKind::Size };
        limits.push(rate(
            "longest batch, s of the time-out",
            flow.longest_duration_seconds,
            f64::from(function.timeout_seconds),
        ));
        limits.push(rate("concurrent invocations", f64::from(flow.queues), f64::from(function.concurrency)));
        limits.push(size("records of a batch", flow.batch_records, f64::from(function.batch_size)));
        limits.push(size("records of an event of 6 MB", flow.batch_records, f64::from(event)));
        if function.tumbling_seconds > 0 {
            limits.push(size("bytes of a window's state", flow.window_state_bytes, WINDOW_STATE_BYTES));
        }
    }
    limits
}

fn table(flow: &Flow, shape: &Shape<'_>) -> Vec<Limit> {
    let (table, index) = table_limits(shape);
    let races = f64::from(shape.load.races.max(1));
    // What comes due at once may use what was not used before.
    let credit = |units: f64| match shape.deployment.table {
        TableMode::OnDemand { .. } => units * flow.interval_seconds,
        TableMode::Provisioned { .. } => units * (flow.interval_seconds + dynamodb::BURST_SECONDS),
    };
    let burst = |name, used, of| Limit { name, used, of, kind: LimitKind::Burst };
    vec![
        rate("write units/s of the table", flow.table_units_per_second, table),
        rate("write units/s of its index", flow.index_units_per_second, index),
        rate("write units/s of a partition key", flow.partition_units_per_second, dynamodb::PARTITION_WRITE_UNITS),
        burst("write units at once, table", flow.peak_units, credit(table)),
        burst("write units at once, index", flow.peak_index_units, credit(index)),
        burst(
            "write units at once, partition key",
            flow.peak_partition_units / races,
            dynamodb::PARTITION_WRITE_UNITS * flow.interval_seconds,
        ),
    ]
}
