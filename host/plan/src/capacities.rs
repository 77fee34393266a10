//! What each part of a deployment can take at most: the consumer, the shards, the table.

use paceline_capacity::dynamodb;
use serde::Serialize;

use crate::deployment::TableMode;
use crate::interval::batch_seconds;
use crate::shape::Shape;
use crate::writes::{busiest, units, writes};

/// Messages a second that one part can take.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Capacity {
    /// The part.
    pub part: &'static str,
    /// Messages a second.
    pub messages_per_second: f64,
    /// Whether time bounds it, and not units that a table has.
    #[serde(skip)]
    pub(crate) is_of_time: bool,
}

/// What runs the batches.
fn consumer(shape: &Shape<'_>) -> &'static str {
    match shape.deployment.function() {
        Some(_) => "function",
        None => "process",
    }
}

fn of_time(part: &'static str, messages_per_second: f64) -> Capacity {
    Capacity { part, messages_per_second, is_of_time: true }
}

/// What each part can take, with full batches.
pub(crate) fn capacities(shape: &Shape<'_>) -> Vec<Capacity> {
    let share = shape.share();
    let queues = f64::from(shape.queues);
    let running = (f64::from(shape.concurrency) / queues).min(1.0);
    let full = shape.batch_messages.min(match shape.window > 0.0 {
        true => shape.window_messages(),
        false => f64::INFINITY,
    });
    // The fullest queue and the fullest shard bound what all of them can take.
    let by_time = full / batch_seconds(shape, share, full);
    let of_shard = shape.fullest_accepts() / shape.accepted();
    let mut found = vec![
        of_time(consumer(shape), by_time / shape.accepted_share() * running),
        of_time("reads of a shard", shape.shard_reads() / of_shard),
    ];
    // Of a queue that is behind, a batch is full.
    let even = 1.0 / queues;
    let messages = match shape.window > 0.0 {
        true => (shape.accepted() / queues * shape.window).max(1.0),
        false => full,
    };
    let each = writes(shape, even, messages, messages * shape.load.final_share());
    let (table, index) = units(&each);
    let (of_table, of_index) = table_limits(shape);
    let mut add = |part, limit: f64, units: f64| {
        if units > 0.0 {
            found.push(Capacity { part, messages_per_second: limit * messages / units, is_of_time: false });
        }
    };
    add("table", of_table, table);
    add("index", of_index, index);
    let races = f64::from(shape.load.races.max(1));
    add("partition key", dynamodb::PARTITION_WRITE_UNITS * races, busiest(&each));
    found
}

/// Write units a second of the table and of its index.
pub(crate) fn table_limits(shape: &Shape<'_>) -> (f64, f64) {
    match shape.deployment.table {
        TableMode::OnDemand { units } => (units, units),
        TableMode::Provisioned { units, index_units } => (units, index_units),
    }
}
