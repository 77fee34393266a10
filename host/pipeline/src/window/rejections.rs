//! The rows of a window that are not merged, and their dead letters.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::letter::letters;
use super::merge::Owner;
use super::state::GroupDelta;
use crate::model::{Cause, DeadLetter, Reason};
use crate::stages::fold::{OTHER_STREAM, old_ordinal};

/// The rows of a window that are not merged. A row is known by its group, its segment in the group, and its index in that.
pub(super) struct Rejections<'a> {
    shard: &'a Arc<str>,
    /// The dead letter whose rows the window has.
    redriven: Option<&'a DeadLetter>,
    /// The dead letters that are not stored yet.
    letters: Vec<DeadLetter>,
    /// Rows that have a letter because it is not known whether their item holds them. They are merged in no later attempt.
    unsure: HashSet<(u32, usize, usize)>,
    /// Rows that their items hold.
    held: HashSet<(u32, usize, usize)>,
}

impl<'a> Rejections<'a> {
    pub(super) fn new(shard: &'a Arc<str>, redriven: Option<&'a DeadLetter>) -> Self {
        Self { shard, redriven, letters: Vec::new(), unsure: HashSet::new(), held: HashSet::new() }
    }

    /// The dead letters since the last call.
    pub(super) fn take_letters(&mut self) -> impl Iterator<Item = DeadLetter> {
        std::mem::take(&mut self.letters).into_iter()
    }

    pub(super) fn is_unsure(&self, group: u32, segment: usize, row: usize) -> bool {
        self.unsure.contains(&(group, segment, row))
    }

    /// Adds rows that the item of their group holds.
    pub(super) fn hold(&mut self, group: u32, rows: Vec<(usize, usize)>) {
        self.held.extend(rows.into_iter().map(|(segment, row)| (group, segment, row)));
    }

    /// Makes dead letters of a group's rows, without those that have one or that the item holds.
    pub(super) fn reject(&mut self, group: u32, rows: &[(&GroupDelta, Owner<'_>)], why: &Reason) {
        let out = |row: &(u32, usize, usize)| self.unsure.contains(row) || self.held.contains(row);
        let letters = self.letters_of(rows, why, |segment, row| !out(&(group, segment, row)));
        self.letters.extend(letters);
    }

    /// Makes dead letters of those rows of a group of which it is not known whether the item holds them.
    pub(super) fn reject_unsure(
        &mut self,
        group: u32,
        rows: &[(&GroupDelta, Owner<'_>)],
        unsure: &[(usize, usize, Cause)],
    ) {
        for cause in unsure.iter().map(|(.., cause)| *cause).collect::<BTreeSet<_>>() {
            let of_cause = unsure.iter().filter(|row| row.2 == cause).map(|(segment, row, _)| (*segment, *row));
            let wanted: HashSet<(usize, usize)> = of_cause.collect();
            let why = match cause {
                Cause::OtherStream => OTHER_STREAM.to_owned(),
                _ => old_ordinal(),
            };
            if cause == Cause::OtherStream {
                tracing::error!(
                    shard = &**self.shard,
                    records = wanted.len(),
                    "records of the window become dead letters, `other-stream`. Of each of them: {why}"
                );
            }
            let letters =
                self.letters_of(rows, &Reason::new(cause, why), |segment, row| wanted.contains(&(segment, row)));
            self.letters.extend(letters.into_iter().map(|letter| DeadLetter { unsure: true, ..letter }));
        }
        self.unsure.extend(unsure.iter().map(|(segment, row, _)| (group, *segment, *row)));
    }

    /// The dead letters of those rows that `wanted` chooses by segment and index.
    fn letters_of(
        &self,
        rows: &[(&GroupDelta, Owner<'_>)],
        why: &Reason,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Vec<DeadLetter> {
        let of = rows.iter().enumerate().flat_map(|(segment, (delta, owner))| {
            let rows = delta.deltas.only(|row| wanted(segment, row));
            letters(self.shard, (delta, &rows), *owner, why)
        });
        match self.redriven {
            // It keeps its identity.
            Some(before) => {
                of.take(1).map(|DeadLetter { reason, .. }| DeadLetter { reason, ..before.clone() }).collect()
            }
            None => of.collect(),
        }
    }
}
