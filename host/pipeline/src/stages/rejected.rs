//! The records of a batch that become dead letters.

use std::collections::{HashMap, HashSet};

use crate::model::{Batch, Cause, DeadLetter, Key, Reason};

/// The records of a batch that become dead letters, by index, with their reasons.
#[derive(Debug, Default)]
pub(crate) struct Rejected(Vec<(u32, Reason)>);

impl Rejected {
    pub(crate) fn push(&mut self, record: u32, reason: Reason) {
        self.0.push((record, reason));
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (u32, Reason)> {
        self.0.into_iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The indexes of the records, in the order of rejection, from the nth rejection on.
    pub(crate) fn since(&self, nth: usize) -> impl Iterator<Item = u32> {
        self.0[nth..].iter().map(|(record, _)| *record)
    }

    /// Why the records were rejected, by category.
    pub(crate) fn causes(&self) -> impl Iterator<Item = Cause> {
        self.0.iter().map(|(_, reason)| reason.cause)
    }

    /// The indexes of the records.
    pub(crate) fn records(&self) -> HashSet<u32> {
        self.since(0).collect()
    }

    /// The indexes of the records, ascending.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let mut records: Vec<u32> = self.since(0).collect();
        records.sort_unstable();
        records
    }

    /// Adds the records of `more` that are not in `known`, and adds them to `known`.
    pub(crate) fn add_new(&mut self, more: Self, known: &mut HashSet<u32>) {
        self.0.extend(more.0.into_iter().filter(|(record, _)| known.insert(*record)));
    }

    /// The dead letters, in the order of the batch. `folded` are the groups that hold a record already.
    pub(crate) fn into_dead_letters(
        mut self,
        batch: &Batch,
        mut folded: HashMap<u32, Vec<Key>>,
    ) -> Vec<(u32, DeadLetter)> {
        self.0.sort_by_key(|(record, _)| *record);
        let letter = |(record, reason)| {
            let mut letter = batch.dead_letter(record, reason);
            letter.folded.extend(folded.remove(&record).unwrap_or_default());
            (record, letter)
        };
        self.0.into_iter().map(letter).collect()
    }
}
