//! What the limits of a table let through: those of the table, of its index, and of each partition key.

use paceline_capacity::dynamodb;

use super::bucket::Bucket;
use super::clock::Micros;
use super::queue::Pending;
use crate::deployment::TableMode;
use crate::shape::Shape;

/// Seconds of capacity that a limit without burst credit keeps: limits are a second's.
const NO_CREDIT_SECONDS: f64 = 1.0;

/// The limits of a table.
pub(super) struct Table {
    table: Bucket,
    index: Bucket,
    /// The partition keys of each aggregate, together.
    partitions: Vec<Bucket>,
    pub(super) table_units: f64,
    pub(super) index_units: f64,
}

impl Table {
    pub(super) fn new(shape: &Shape<'_>) -> Self {
        let (table, index) = match shape.deployment.table {
            TableMode::OnDemand { units } => {
                (Bucket::new(units, NO_CREDIT_SECONDS), Bucket::new(units, NO_CREDIT_SECONDS))
            }
            TableMode::Provisioned { units, index_units } => {
                (Bucket::new(units, dynamodb::BURST_SECONDS), Bucket::new(index_units, dynamodb::BURST_SECONDS))
            }
        };
        let races = f64::from(shape.load.races.max(1));
        let partition = Bucket::new(dynamodb::PARTITION_WRITE_UNITS * races, NO_CREDIT_SECONDS);
        let partitions = vec![partition; shape.deployment.aggregates.len()];
        Self { table, index, partitions, table_units: 0.0, index_units: 0.0 }
    }

    /// Writes what the limits let through. What remains pending was throttled.
    pub(super) fn write(&mut self, at: Micros, pending: &mut [Pending]) {
        for pending in pending {
            let partition = &mut self.partitions[pending.aggregate];
            let limit = self.table.level(at).min(partition.level(at));
            // Writes that meet a conflict are billed in the table only.
            let conflicts = pending.conflicts.min((limit / pending.item_units).floor().max(0.0));
            let plain = pending.plain.min((limit / pending.item_units - conflicts).floor().max(0.0));
            let left = limit / pending.item_units - conflicts - plain;
            let by_index = self.index.level(at) / pending.index_item_units;
            let indexed = pending.indexed.min(left.min(by_index).floor().max(0.0));
            let units = (conflicts + plain + indexed) * pending.item_units;
            self.table.take(units);
            partition.take(units);
            self.index.take(indexed * pending.index_item_units);
            self.table_units += units;
            self.index_units += indexed * pending.index_item_units;
            pending.conflicts -= conflicts;
            pending.plain -= plain;
            pending.indexed -= indexed;
        }
    }
}
