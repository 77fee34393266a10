//! Fold: aggregators fold rows and scores into the states of their groups, behind dedup.
//!
//! - `rows`: the rows of a batch. `select`: which of them are new to their groups.
//! - `folding`: the calls to the aggregators.
//! - `doubt`: records that a host with other rules may have folded or rejected at the same moment.
//! - `foreign`: whether an item fits the rulebook. `blocked`: groups whose items do not.

mod blocked;
mod doubt;
mod folding;
mod foreign;
mod rows;
mod select;

use std::collections::HashSet;
use std::sync::OnceLock;

pub(crate) use self::doubt::mark_doubtful;
pub(crate) use self::foreign::Foreign;
pub(crate) use self::rows::{OTHER_STREAM, old_ordinal};

use self::blocked::Blocked;
use self::folding::Folding;
use self::rows::Rows;
use super::commit::{Attempt, FoldWork, Uncommitted, Writes};
use super::context::Context;
use super::evaluated::Evaluated;
use super::groups::{Groups, RejectedRow};
use super::held::{HeldRecords, is_held};
use super::horizon::take_over;
use super::record_batch::RecordBatch;
use super::settled::settled;
use crate::error::PipelineError;
use crate::model::{DeadLetter, Item, Key, RulesRevision};
use crate::rules::Catalog;
use crate::store::{DeadLetterStore, GroupStore};

/// The rows of a batch, to be folded into their groups.
pub(crate) struct BatchFold<'a, 'c> {
    rows: Rows<'a, 'c>,
    /// By group, the first record that its last write adds: it is not committed before that write is done. `u32::MAX` for
    /// a group that was not folded.
    first_new: Vec<u32>,
    /// Records that were rejected when groups held them already.
    held: HeldRecords,
    /// Records that have a dead letter since the batch was delivered before. They are folded into no group.
    settled: OnceLock<HashSet<u32>>,
    /// Records that are not folded: settled and rejected ones, and those that wait since an aggregator failed on one.
    gone: HashSet<u32>,
    /// Letters of settled records that these rules accept: another host may have folded them at the same time.
    suspects: OnceLock<Vec<(u32, DeadLetter)>>,
    /// How many rejections have a dead letter by now, and those letters, in the order of the batch.
    rejections: usize,
    letters: Vec<(u32, DeadLetter)>,
}

/// No group was written under later rules than these: an older rule must not undo what a newer one did.
pub(crate) fn check_revision(catalog: &Catalog, keys: &[Key], loaded: &[Option<Item>]) -> Result<(), PipelineError> {
    let ours = catalog.at();
    for (key, item) in keys.iter().zip(loaded) {
        let theirs = item.as_ref().map(|item| &item.provenance.rules);
        if let Some(theirs) = theirs.filter(|theirs| theirs.is_after(ours)) {
            let (theirs, ours) = (Box::new(theirs.clone()), Box::new(ours.clone()));
            return Err(PipelineError::Behind { key: key.to_string(), theirs, ours });
        }
    }
    Ok(())
}

impl<'a, 'c> BatchFold<'a, 'c> {
    pub(crate) fn new(evaluated: Evaluated<'a, 'c>, groups: &'a Groups<'c>) -> Self {
        let first_new = vec![u32::MAX; groups.keys.len()];
        let Evaluated { projected, routed, record_batches } = evaluated;
        let rows = Rows { projected, reruled: &routed.reruled, record_batches, groups };
        let (held, settled, suspects) = (HeldRecords::default(), OnceLock::new(), OnceLock::new());
        Self { rows, first_new, held, settled, gone: HashSet::new(), suspects, rejections: 0, letters: Vec::new() }
    }

    /// The first record that is not committed while these groups and this dead letter are not.
    pub(crate) fn first_record(&self, Uncommitted { groups, letter, .. }: &Uncommitted) -> Option<u32> {
        let of_groups = match groups.iter().map(|&group| self.first_new[group as usize]).min() {
            // The groups could not be loaded.
            Some(u32::MAX) => self.rows.groups.first_record(),
            first => first,
        };
        of_groups.into_iter().chain(*letter).min()
    }

    /// The dead letters of the batch, by record.
    pub(crate) fn into_dead_letters<S>(mut self, context: &Context<'_, S>) -> Vec<(u32, DeadLetter)> {
        self.add_dead_letters(context);
        self.letters.sort_by_key(|(record, _)| *record);
        self.letters
    }

    /// Adds the letters of what was rejected since the last call. Returns them.
    fn add_dead_letters<S>(&mut self, context: &Context<'_, S>) -> &[(u32, DeadLetter)] {
        let (batch, before) = (self.rows.projected.batch, self.letters.len());
        let letters = context.rejected.dead_letters_since(self.rejections, batch, &self.held.folded).into_iter();
        let is_settled = |record: &u32| {
            self.held.duplicates.contains(record) || self.settled.get().is_some_and(|settled| settled.contains(record))
        };
        self.letters.extend(letters.filter(|(record, _)| !is_settled(record)));
        self.rejections = context.rejected.len();
        &self.letters[before..]
    }
}

impl<S: GroupStore + DeadLetterStore> FoldWork<S> for BatchFold<'_, '_> {
    fn keys(&self) -> &[Key] {
        &self.rows.groups.keys
    }

    fn shard(&self) -> (&str, &RulesRevision) {
        (&self.rows.projected.batch.shard, self.rows.projected.catalog.at())
    }

    /// A record that has a dead letter since its batch was delivered before stays one: to fold it as well would count it
    /// twice once the letter is redriven.
    async fn prepare(&self, context: &Context<'_, S>) -> Result<(), PipelineError> {
        let (shard, rules) = FoldWork::<S>::shard(self);
        take_over(context, shard, rules, self.rows.record_batches.iter().any(RecordBatch::is_by_sequence)).await?;
        let settled = settled(context, self.rows.projected.batch).await?;
        if context.horizon.overlaps(context.now()) {
            let suspects = self.rows.suspects(context, &settled).await?;
            self.suspects.set(suspects).expect("it is called once");
        }
        self.settled.set(settled).expect("it is called once");
        Ok(())
    }

    fn dead_letters(&mut self, context: &Context<'_, S>) -> Vec<(u32, DeadLetter)> {
        let held = context.held.as_ref().map_or(u32::MAX, |(record, _)| *record);
        let mut letters = self.suspects.take().unwrap_or_default();
        letters.extend_from_slice(self.add_dead_letters(context));
        // Those after a record that waits are delivered and evaluated again.
        letters.retain(|(record, _)| *record < held);
        // If they can't be stored, the first of them is the first record that is not committed.
        letters.sort_by_key(|(record, _)| *record);
        letters
    }

    /// A row on which an aggregator fails is folded into no group at all: it is rejected, and folding starts again without
    /// it. Nothing has been written by then.
    fn fold(&mut self, context: &mut Context<'_, S>, attempt: &Attempt<'_>) -> Result<Writes, PipelineError> {
        let rows = self.rows;
        check_revision(&rows.projected.catalog, &rows.groups.keys, attempt.loaded)?;
        // What waits at one attempt waits at those after it.
        let gone = &mut self.gone;
        gone.extend(context.rejected.since(0).chain(self.settled.get().into_iter().flatten().copied()));
        let rejected_before = context.rejected.len();
        let mut blocked = Blocked::of(rows, attempt.loaded);
        let (selection, writes) = loop {
            blocked.settle(rows, context, gone);
            let selection = rows.select(attempt, gone, blocked.groups());
            if !selection.unknown.is_empty() {
                rows.reject_unknown(context, &selection.unknown, gone);
                continue;
            }
            let mut folding = Folding::new(rows, attempt.loaded, selection);
            let writes = folding.run(context)?;
            if !folding.blocked.is_empty() {
                blocked.add_all(folding.blocked);
                continue;
            }
            match folding.failed {
                failed if failed.is_empty() => break (folding.selection, writes),
                failed => rows.settle_failed(context, failed, gone),
            }
        };
        if attempt.number == 0 {
            let batch = rows.projected.batch;
            let holds = |row: &RejectedRow| is_held(attempt.loaded[row.group as usize].as_ref(), batch, row);
            self.held = HeldRecords::find(rows.groups, batch, holds);
            rows.keep_doubtful(self.suspects.get_mut(), attempt.loaded);
            let known = self.settled.get().map_or(0, HashSet::len) as u64;
            context.summary.duplicates += selection.duplicates + self.held.rows + known;
        }
        for group in &writes.groups {
            let first = selection.groups[*group as usize].as_ref().expect("a written group has new rows").first;
            self.first_new[*group as usize] = first;
        }
        mark_doubtful(context, rows.record_batches, rows.reruled);
        for record in context.rejected.since(rejected_before) {
            let held = rows.groups.of_record(record, |row| {
                // Groups that are not open are written: nothing is folded again if a write failed.
                attempt.open.binary_search(&row.group).is_err()
                    || !blocked.has_foreign_dedup(row.group)
                        && rows.holds(attempt.loaded[row.group as usize].as_ref(), row)
            });
            if !held.is_empty() {
                self.held.folded.insert(record, held);
            }
        }
        Ok(writes)
    }
}
