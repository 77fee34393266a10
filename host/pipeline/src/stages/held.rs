//! Rejected records that their groups hold.
//!
//! A record that is delivered again may be evaluated by other rules than before: its race was moved, or its race type, which
//! pins no races, got another rulebook. If these rules reject it, it is no dead letter: a redrive would fold it a second time,
//! because dedup by sequence does not recognize a redriven record. Groups that have come past its position hold it: had it
//! been rejected when they did, it would have a dead letter since, and be settled.

use std::collections::{HashMap, HashSet};

use super::groups::{Groups, RejectedRow};
use crate::dedup::{DedupState, Sequenced};
use crate::model::{Batch, Item, Key};

/// Rejected records that their groups hold.
#[derive(Debug, Default)]
pub(crate) struct HeldRecords {
    /// Those that all of their groups hold: duplicates.
    pub(crate) duplicates: HashSet<u32>,
    /// The others, and the groups that hold them.
    pub(crate) folded: HashMap<u32, Vec<Key>>,
    /// The number of their groups, as duplicates are counted.
    pub(crate) rows: u64,
}

impl HeldRecords {
    /// Finds them. `holds` is whether a row's group holds it.
    pub(crate) fn find(groups: &Groups<'_>, batch: &Batch, holds: impl Fn(&RejectedRow) -> bool) -> Self {
        let mut held = Self::default();
        for rows in groups.rejected.chunk_by(|one, other| one.record == other.record) {
            let record = rows[0].record;
            let before = batch.records[record as usize].redriven.as_ref();
            let holds = |row: &&RejectedRow| {
                before.is_some_and(|letter| letter.folded.contains(&groups.keys[row.group as usize])) || holds(row)
            };
            let keys: Vec<Key> = rows.iter().filter(holds).map(|row| groups.keys[row.group as usize].clone()).collect();
            if keys.len() == rows.len() {
                held.rows += rows.len() as u64;
                held.duplicates.insert(record);
            } else if !keys.is_empty() {
                held.folded.insert(record, keys);
            }
        }
        held
    }
}

/// Whether an item holds a rejected record.
pub(crate) fn is_held(item: Option<&Item>, batch: &Batch, row: &RejectedRow) -> bool {
    match (item.map(|item| &item.dedup), row.ordinal) {
        (Some(DedupState::Sequence(positions)), None) => {
            let record = &batch.records[row.record as usize];
            positions.find(&batch.shard, record.position, record.arrival_ms) == Sequenced::Duplicate
        }
        (Some(DedupState::Ordinal(ordinals)), Some(ordinal)) => ordinals.contains(ordinal),
        _ => false,
    }
}
