//! The records of a batch that are evaluated by one rulebook, as columns.

use paceline_engine::{Column, ColumnBuf};

use super::rejected::Rejected;
use crate::model::Reason;
use crate::rules::BoundRulebook;

/// The records of a batch that are evaluated by one rulebook, as columns. Rejected rows are removed.
#[derive(Debug)]
pub(crate) struct RecordBatch<'c> {
    pub(crate) rulebook: &'c BoundRulebook,
    /// The indexes of the records in the batch, ascending: one for each row.
    pub(crate) records: Vec<u32>,
    /// A column for each input of the rulebook.
    columns: Vec<ColumnBuf>,
    /// The scores, after the score stage.
    pub(crate) scores: Vec<f64>,
    /// The records of the rows that were rejected, in any order.
    pub(crate) rejected: Vec<u32>,
}

impl<'c> RecordBatch<'c> {
    pub(crate) fn new(rulebook: &'c BoundRulebook, records: Vec<u32>, columns: Vec<ColumnBuf>) -> Self {
        Self { rulebook, records, columns, scores: Vec::new(), rejected: Vec::new() }
    }

    /// Whether some group does not recognize a record that comes again in another place: its dedup is by sequence.
    pub(crate) fn is_by_sequence(&self) -> bool {
        !self.rulebook.absorbs_repetitions
    }

    /// The columns of some of the rulebook's inputs.
    pub(crate) fn columns(&self, inputs: &[usize]) -> Vec<Column<'_>> {
        inputs.iter().map(|&input| self.columns[input].as_column()).collect()
    }

    /// A reason, under this rulebook.
    pub(crate) fn reason(&self, reason: Reason) -> Reason {
        reason.under(&self.rulebook.rulebook.id)
    }

    /// Removes rows, in any order. Of several reasons for a row the first is kept.
    pub(crate) fn reject(&mut self, rows: Vec<(usize, Reason)>, rejected: &mut Rejected) {
        if rows.is_empty() {
            return;
        }
        let mut keep = vec![true; self.records.len()];
        for (row, reason) in rows {
            if std::mem::replace(&mut keep[row], false) {
                rejected.push(self.records[row], self.reason(reason));
                self.rejected.push(self.records[row]);
            }
        }
        self.retain(&keep);
    }

    /// Leaves out a record that waits, and all after it.
    pub(crate) fn stop_before(&mut self, first: u32) {
        let keep: Vec<bool> = self.records.iter().map(|record| *record < first).collect();
        self.retain(&keep);
    }

    fn retain(&mut self, keep: &[bool]) {
        for column in &mut self.columns {
            column.retain(keep);
        }
        let mut kept = keep.iter();
        self.records.retain(|_| *kept.next().expect("one for each row"));
        if !self.scores.is_empty() {
            let mut kept = keep.iter();
            self.scores.retain(|_| *kept.next().expect("one for each row"));
        }
    }
}
