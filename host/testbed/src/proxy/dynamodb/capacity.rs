//! What a table with limits has left: token buckets of the table, its index, and each partition key.

use std::collections::HashMap;
use std::time::Instant;

use super::super::faults::{DynamoDbLimits, UnitLimit};

/// What the writes of a table have left.
#[derive(Default)]
pub(in super::super) struct TableCapacity {
    table: Bucket,
    index: Bucket,
    partitions: HashMap<String, Bucket>,
}

/// A write before it is executed.
#[derive(Debug, PartialEq)]
pub(super) struct WantedWrite {
    /// Its partition key.
    pub(super) partition: String,
    /// Whether its item is in the index.
    pub(super) indexed: bool,
    /// What it takes, of the table and of the index.
    pub(super) units: f64,
}

/// The limit that has no units left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Table,
    Index,
    Partition,
}

impl TableCapacity {
    /// Takes the units of everything that a write needs, or nothing.
    pub(super) fn take(&mut self, limits: &DynamoDbLimits, write: &WantedWrite, now: Instant) -> Result<(), Exceeded> {
        let index = limits.index.as_ref().filter(|_| write.indexed);
        let partition = self.partitions.entry(write.partition.clone()).or_default();
        if self.table.level(limits.units, now) < write.units {
            return Err(Exceeded::Table);
        }
        if index.is_some_and(|index| self.index.level(index.units, now) < write.units) {
            return Err(Exceeded::Index);
        }
        if partition.level(limits.partition_units, now) < write.units {
            return Err(Exceeded::Partition);
        }
        self.table.left -= write.units;
        partition.left -= write.units;
        if index.is_some() {
            self.index.left -= write.units;
        }
        Ok(())
    }

    /// Gives back what a write took that is not executed.
    pub(super) fn give_back(&mut self, write: &WantedWrite) {
        self.table.left += write.units;
        if let Some(partition) = self.partitions.get_mut(&write.partition) {
            partition.left += write.units;
        }
        if write.indexed {
            self.index.left += write.units;
        }
    }

    /// Gives the index back what writes took whose condition failed: those are billed in the table only.
    pub(super) fn return_to_index(&mut self, units: f64) {
        self.index.left += units;
    }
}

#[derive(Default)]
struct Bucket {
    left: f64,
    refilled: Option<Instant>,
}

impl Bucket {
    fn level(&mut self, limit: UnitLimit, now: Instant) -> f64 {
        let left = match self.refilled {
            Some(refilled) => self.left + limit.per_second * now.saturating_duration_since(refilled).as_secs_f64(),
            None => limit.at_first,
        };
        self.left = left.min(limit.kept);
        self.refilled = Some(now);
        self.left
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::faults::IndexLimit;
    use super::*;

    fn limit(per_second: f64, kept: f64, at_first: f64) -> UnitLimit {
        UnitLimit { per_second, kept, at_first }
    }

    fn limits() -> DynamoDbLimits {
        DynamoDbLimits {
            table: "races".to_owned(),
            partition: "PK".to_owned(),
            units: limit(20.0, 6_020.0, 6_020.0),
            index: Some(IndexLimit {
                name: "GSI_Index".to_owned(),
                attribute: "GSI".to_owned(),
                units: limit(10.0, 3_010.0, 10.0),
            }),
            partition_units: limit(1_000.0, 1_000.0, 1_000.0),
        }
    }

    fn write(partition: &str, indexed: bool) -> WantedWrite {
        WantedWrite { partition: partition.to_owned(), indexed, units: 1.0 }
    }

    #[test]
    fn unused_capacity_is_kept_and_then_the_rate_holds() {
        let (limits, start) = (limits(), Instant::now());
        let mut capacity = TableCapacity::default();
        let mut take = |partition: &str, seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..2_000).take_while(|_| capacity.take(&limits, &write(partition, false), now).is_ok()).count()
        };
        // A partition key takes 1,000 units a second, while the table has 6,020 at once.
        assert_eq!([take("a", 0), take("a", 0), take("b", 0), take("a", 1)], [1_000, 0, 1_000, 1_000]);
        assert_eq!([take("c", 1), take("d", 1), take("e", 1), take("f", 1)], [1_000, 1_000, 1_000, 40]);
        assert_eq!([take("f", 2), take("f", 12)], [20, 200]);
    }

    #[test]
    fn a_throttled_index_throttles_the_writes_of_its_table_that_it_has() {
        let (limits, start) = (limits(), Instant::now());
        let mut capacity = TableCapacity::default();
        for _ in 0..10 {
            assert_eq!(capacity.take(&limits, &write("a", true), start), Ok(()));
        }
        assert_eq!(capacity.take(&limits, &write("a", true), start), Err(Exceeded::Index));
        assert_eq!(capacity.take(&limits, &write("a", false), start), Ok(()));
        capacity.return_to_index(1.0);
        assert_eq!(capacity.take(&limits, &write("a", true), start), Ok(()));
    }
}
