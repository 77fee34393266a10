//! What a batch would write, and what became of each of its records.

use crate::model::{DeadLetter, Key};
use crate::stages::groups::Call;
use crate::stages::record_batch::RecordBatch;
use crate::store::Write;
use crate::summary::Summary;

/// What a batch would write, and what became of each of its records.
#[derive(Debug)]
pub struct Evaluation {
    /// The groups' writes, in no order.
    pub writes: Vec<Write>,
    /// The records that could not be processed, by index, ascending.
    pub dead_letters: Vec<(u32, DeadLetter)>,
    /// The scores of the records that validators and scorer accepted. An aggregator may have failed on some of them: these
    /// are dead letters nevertheless.
    pub scored: Vec<ScoredRecords>,
    /// Duplicates, fuel, and the time of each stage.
    pub summary: Summary,
    keys: Vec<Key>,
    calls: Vec<Call>,
}

/// The records that one rulebook scored.
#[derive(Debug)]
pub struct ScoredRecords {
    /// The indexes of the records in the batch, ascending.
    pub records: Vec<u32>,
    /// The score of each.
    pub scores: Vec<f64>,
}

impl Evaluation {
    pub(crate) fn new(
        writes: Vec<Write>,
        dead_letters: Vec<(u32, DeadLetter)>,
        record_batches: Vec<RecordBatch<'_>>,
        (keys, calls): (Vec<Key>, Vec<Call>),
        summary: Summary,
    ) -> Self {
        let scored =
            record_batches.into_iter().map(|RecordBatch { records, scores, .. }| ScoredRecords { records, scores });
        let scored = scored.collect();
        Self { writes, dead_letters, scored, summary, keys, calls }
    }

    /// The keys of a record's groups.
    pub fn groups_of(&self, record: u32) -> Vec<&Key> {
        let row = |call: &Call| {
            let at = call.rows.binary_search_by_key(&record, |row| row.record).ok()?;
            Some(&self.keys[call.rows[at].group as usize])
        };
        self.calls.iter().filter_map(row).collect()
    }

    /// The records of the groups that `is_wanted` accepts, each with its group, in no order.
    pub fn records_of(&self, is_wanted: impl Fn(&Key) -> bool) -> Vec<(u32, &Key)> {
        let wanted: Vec<bool> = self.keys.iter().map(is_wanted).collect();
        let rows = self.calls.iter().flat_map(|call| &call.rows).filter(|row| wanted[row.group as usize]);
        rows.map(|row| (row.record, &self.keys[row.group as usize])).collect()
    }
}
