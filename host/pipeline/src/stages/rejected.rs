//! The records of a batch that become dead letters.

use std::collections::{HashMap, HashSet};

use crate::model::{Batch, Cause, DeadLetter, Key, Reason};

/// The records of a batch that become dead letters.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    /// The records, by index, with their reasons.
    reasons: Vec<(u32, Reason)>,
    /// Those that their groups may hold already.
    unsure: HashSet<u32>,
}

impl Rejected {
    pub(crate) fn push(&mut self, record: u32, reason: Reason) {
        if reason.cause == Cause::Misrouted {
            self.unsure.insert(record);
        }
        self.reasons.push((record, reason));
    }

    /// Rejects a record that its groups may hold already, without anything that shows it.
    pub(crate) fn push_unsure(&mut self, record: u32, reason: Reason) {
        self.push(record, reason);
        self.unsure.insert(record);
    }

    /// Marks rejected records that their groups may hold already.
    pub(crate) fn mark_unsure(&mut self, is_unsure: impl Fn(u32) -> bool) {
        self.unsure.extend(self.reasons.iter().map(|(record, _)| *record).filter(|record| is_unsure(*record)));
    }

    /// Whether a rejected record may be in its groups already.
    pub(crate) fn is_unsure(&self, record: u32) -> bool {
        self.unsure.contains(&record)
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (u32, Reason)> {
        self.reasons.into_iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.reasons.len()
    }

    /// The indexes of the records, in the order of rejection, from the nth rejection on.
    pub(crate) fn since(&self, nth: usize) -> impl Iterator<Item = u32> {
        self.reasons[nth..].iter().map(|(record, _)| *record)
    }

    /// The indexes of the records that were rejected for this reason.
    pub(crate) fn of_cause(&self, cause: Cause) -> impl Iterator<Item = u32> {
        self.reasons.iter().filter(move |(_, reason)| reason.cause == cause).map(|(record, _)| *record)
    }

    /// Why the records were rejected, by category.
    pub(crate) fn causes(&self) -> impl Iterator<Item = Cause> {
        self.reasons.iter().map(|(_, reason)| reason.cause)
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
        self.unsure.extend(more.unsure);
        self.reasons.extend(more.reasons.into_iter().filter(|(record, _)| known.insert(*record)));
    }

    /// The dead letters from the nth rejection on, in the order of the batch. `folded` are the groups that hold a record
    /// already.
    pub(crate) fn dead_letters_since(
        &self,
        nth: usize,
        batch: &Batch,
        folded: &HashMap<u32, Vec<Key>>,
    ) -> Vec<(u32, DeadLetter)> {
        let letter = |(record, reason): &(u32, Reason)| {
            let mut letter = batch.dead_letter(*record, reason.clone());
            letter.folded.extend(folded.get(record).into_iter().flatten().cloned());
            // A redriven record that is unsure stays so.
            letter.unsure |= self.unsure.contains(record);
            (*record, letter)
        };
        let mut letters: Vec<_> = self.reasons[nth..].iter().map(letter).collect();
        letters.sort_by_key(|(record, _)| *record);
        // Several aggregates may have rejected it. Of several reasons for a record the first is kept.
        letters.dedup_by_key(|(record, _)| *record);
        letters
    }
}
