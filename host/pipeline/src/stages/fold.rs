//! Fold: aggregators fold rows and scores into the states of their groups, behind dedup.
//!
//! - `rows`: the rows of a batch. `select`: which of them are new to their groups.
//! - `folding`: the calls to the aggregators.
//! - `foreign`: whether an item fits the rulebook. `blocked`: groups whose items do not.

mod blocked;
mod folding;
mod foreign;
mod rows;
mod select;

use std::collections::HashMap;

pub(crate) use self::foreign::Foreign;

use self::blocked::Blocked;
use self::folding::Folding;
use self::rows::Rows;
use super::commit::{Attempt, FoldWork};
use super::context::Context;
use super::groups::Groups;
use super::project::ProjectedBatch;
use super::record_batch::RecordBatch;
use crate::error::PipelineError;
use crate::model::{Item, Key};
use crate::rules::Catalog;
use crate::store::{GroupStore, Write};

/// The rows of a batch, to be folded into their groups.
pub(crate) struct BatchFold<'a, 'c> {
    rows: Rows<'a, 'c>,
    /// By group, the first record that its last write adds: it is not committed before that write is done. `u32::MAX` for
    /// a group that was not folded.
    first_new: Vec<u32>,
    /// Of records that were rejected when other groups held them already: those groups.
    pub(crate) folded: HashMap<u32, Vec<Key>>,
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
    pub(crate) fn new(
        projected: &'a ProjectedBatch<'a>,
        record_batches: &'a [RecordBatch<'c>],
        groups: &'a Groups<'c>,
    ) -> Self {
        let first_new = vec![u32::MAX; groups.keys.len()];
        Self { rows: Rows { projected, record_batches, groups }, first_new, folded: HashMap::new() }
    }

    /// The first record that is not committed while these groups are not.
    pub(crate) fn first_record(&self, groups: &[u32]) -> Option<u32> {
        match groups.iter().map(|&group| self.first_new[group as usize]).min()? {
            // The groups could not be loaded.
            u32::MAX => self.rows.groups.first_record(),
            first => Some(first),
        }
    }
}

impl<S: GroupStore> FoldWork<S> for BatchFold<'_, '_> {
    fn keys(&self) -> &[Key] {
        &self.rows.groups.keys
    }

    /// A row on which an aggregator fails is folded into no group at all: it is rejected, and folding starts again without
    /// it. Nothing has been written by then.
    fn fold(
        &mut self,
        context: &mut Context<'_, S>,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<(u32, Write)>, PipelineError> {
        let rows = self.rows;
        check_revision(&rows.projected.catalog, &rows.groups.keys, attempt.loaded)?;
        let mut gone = context.rejected.records();
        let rejected_before = context.rejected.len();
        let mut blocked = Blocked::of(rows, attempt.loaded);
        let (selection, writes) = loop {
            blocked.settle(rows, context, &mut gone);
            let mut folding = Folding::new(rows, attempt.loaded, rows.select(attempt, &gone, blocked.groups()));
            let writes = folding.run(context)?;
            if !folding.blocked.is_empty() {
                blocked.add_all(folding.blocked);
                continue;
            }
            match folding.failed {
                failed if failed.is_empty() => break (folding.selection, writes),
                failed => rows.settle_failed(context, failed, &mut gone),
            }
        };
        if attempt.number == 0 {
            context.summary.duplicates += selection.duplicates;
        }
        for (group, _) in &writes {
            let first = selection.groups[*group as usize].as_ref().expect("a written group has new rows").first;
            self.first_new[*group as usize] = first;
        }
        for record in context.rejected.since(rejected_before) {
            let held = rows.groups.of_record(record, |row| {
                // Groups that are not open are written.
                attempt.open.binary_search(&row.group).is_err()
                    || !blocked.has_foreign_dedup(row.group)
                        && rows.holds(attempt.loaded[row.group as usize].as_ref(), row)
            });
            if !held.is_empty() {
                self.folded.insert(record, held);
            }
        }
        Ok(writes)
    }
}
