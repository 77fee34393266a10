//! Fold: aggregators fold rows and scores into the states of their groups, behind dedup.

mod blocked;
mod select;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use paceline_engine::{Column, ColumnBuf, PackedBuf};

pub(crate) use self::blocked::takes;

use self::blocked::Blocked;
use self::select::{Selection, Selector};
use super::commit::{Attempt, FoldWork};
use super::context::Context;
use super::groups::{GroupRow, Groups};
use super::outputs::{attribute, outputs};
use super::project::ProjectedBatch;
use super::record_batch::RecordBatch;
use super::rejected::Rejected;
use crate::dedup::{DedupState, OrdinalSet};
use crate::error::PipelineError;
use crate::model::{Cause, Item, Key, Reason};
use crate::rules::{BoundAggregate, BoundRulebook, Catalog, LoadedAggregate};
use crate::store::{GroupStore, Write};

/// No group was written under later rules than these: an older rule must not undo what a newer one did.
pub(crate) fn check_revision(catalog: &Catalog, keys: &[Key], loaded: &[Option<Item>]) -> Result<(), PipelineError> {
    let ours = catalog.at();
    for (key, item) in keys.iter().zip(loaded) {
        let theirs = item.as_ref().map(|item| &item.provenance.rules);
        if let Some(theirs) = theirs.filter(|theirs| theirs.is_after(&ours)) {
            let (theirs, ours) = (theirs.revision, ours.revision);
            return Err(PipelineError::Behind { key: key.to_string(), theirs, ours });
        }
    }
    Ok(())
}

/// The rows of a batch, to be folded into their groups.
pub(crate) struct BatchFold<'a, 'c> {
    projected: &'a ProjectedBatch<'a>,
    record_batches: &'a [RecordBatch<'c>],
    groups: &'a Groups<'c>,
    /// By group, the first record that its last write adds: it is not committed before that write is done. `u32::MAX` for
    /// a group that was not folded.
    first_new: Vec<u32>,
    /// Of records that were rejected when other groups held them already: those groups.
    pub(crate) folded: HashMap<u32, Vec<Key>>,
}

impl<'a, 'c> BatchFold<'a, 'c> {
    pub(crate) fn new(
        projected: &'a ProjectedBatch<'a>,
        record_batches: &'a [RecordBatch<'c>],
        groups: &'a Groups<'c>,
    ) -> Self {
        let first_new = vec![u32::MAX; groups.keys.len()];
        Self { projected, record_batches, groups, first_new, folded: HashMap::new() }
    }

    /// The first record that is not committed while these groups are not.
    pub(crate) fn first_record(&self, groups: &[u32]) -> Option<u32> {
        match groups.iter().map(|&group| self.first_new[group as usize]).min()? {
            // The groups could not be loaded.
            u32::MAX => self.groups.first_record(),
            first => Some(first),
        }
    }

    /// The rows that are new to the groups of this attempt, without rejected records and blocked groups.
    fn select(&self, attempt: &Attempt<'_>, gone: &HashSet<u32>, blocked: &Blocked) -> Selection {
        let mut open = vec![attempt.open.len() == self.groups.keys.len(); self.groups.keys.len()];
        attempt.open.iter().for_each(|&group| open[group as usize] = true);
        blocked.groups.keys().for_each(|&group| open[group as usize] = false);
        let selector = Selector {
            batch: self.projected.batch,
            keys: &self.groups.keys,
            calls: &self.groups.calls,
            rules: (0..self.groups.calls.len()).map(|call| &self.aggregate(call).0.rule.dedup).collect(),
            loaded: attempt.loaded,
            interleaved: self.record_batches.len() > 1,
        };
        selector.select(|row| open[row.group as usize] && (gone.is_empty() || !gone.contains(&row.record)))
    }

    fn aggregate(&self, call: usize) -> (&LoadedAggregate, &BoundAggregate) {
        let call = &self.groups.calls[call];
        let bound = self.record_batches[call.record_batch].rulebook;
        (&bound.rulebook.aggregates[call.aggregate], &bound.aggregates[call.aggregate])
    }

    /// The rulebook of a call.
    fn bound(&self, call: usize) -> &BoundRulebook {
        self.record_batches[self.groups.calls[call].record_batch].rulebook
    }

    fn reason(&self, call: usize, cause: Cause, text: String) -> Reason {
        let record_batch = &self.record_batches[self.groups.calls[call].record_batch];
        record_batch.reason(Reason::new(cause, text).by(self.aggregate(call).0.aggregator.plugin().digest()))
    }

    /// Whether a group's item, as it was read, holds a row.
    fn holds(&self, item: Option<&Item>, row: &GroupRow) -> bool {
        let batch = self.projected.batch;
        match item.map(|item| &item.dedup) {
            Some(DedupState::Sequence(positions)) => {
                !positions.is_new(&batch.shard, batch.records[row.record as usize].position)
            }
            Some(DedupState::Ordinal(ordinals)) => ordinals.contains(row.ordinal),
            None => false,
        }
    }
}

impl<S: GroupStore> FoldWork<S> for BatchFold<'_, '_> {
    fn keys(&self) -> &[Key] {
        &self.groups.keys
    }

    /// A row on which an aggregator fails is folded into no group at all: it is rejected, and folding starts again without
    /// it. Nothing has been written by then.
    fn fold(
        &mut self,
        context: &mut Context<'_, S>,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<(u32, Write)>, PipelineError> {
        check_revision(&self.projected.catalog, &self.groups.keys, attempt.loaded)?;
        let mut gone = context.rejected.records();
        let rejected_before = context.rejected.len();
        let mut blocked = Blocked::of(self, attempt.loaded);
        let (selection, writes) = loop {
            blocked.settle(self, context, &mut gone);
            let mut folding = Folding::new(self, attempt.loaded, self.select(attempt, &gone, &blocked));
            let writes = folding.run(context)?;
            if !folding.blocked.groups.is_empty() {
                blocked.groups.extend(folding.blocked.groups);
                continue;
            }
            match folding.failed {
                failed if failed.is_empty() => break (folding.selection, writes),
                failed => context.rejected.add_new(failed, &mut gone),
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
            let held = self.groups.of_record(record, |row| {
                // Groups that are not open are written.
                attempt.open.binary_search(&row.group).is_err()
                    || self.holds(attempt.loaded[row.group as usize].as_ref(), row)
            });
            if !held.is_empty() {
                self.folded.insert(record, held);
            }
        }
        Ok(writes)
    }
}

/// The calls to the aggregators for one selection of rows.
struct Folding<'f, 'a, 'c> {
    work: &'f BatchFold<'a, 'c>,
    loaded: &'f [Option<Item>],
    selection: Selection,
    /// The new state of each group; `None` before its first call.
    states: Vec<Option<Vec<u8>>>,
    /// The format of each group's state.
    formats: Vec<Option<&'f str>>,
    /// The rows on which an aggregator failed.
    failed: Rejected,
    /// The groups whose states can't be migrated.
    blocked: Blocked,
}

impl<'f, 'a, 'c> Folding<'f, 'a, 'c> {
    fn new(work: &'f BatchFold<'a, 'c>, loaded: &'f [Option<Item>], selection: Selection) -> Self {
        let format = |item: &'f Option<Item>| item.as_ref().map(|item| item.provenance.state_format.as_str());
        Self {
            work,
            loaded,
            selection,
            states: vec![None; loaded.len()],
            formats: loaded.iter().map(format).collect(),
            failed: Rejected::default(),
            blocked: Blocked::default(),
        }
    }

    /// Folds the rows and asks for the outputs. The writes count only if nothing failed.
    fn run<S: GroupStore>(&mut self, context: &mut Context<'_, S>) -> Result<Vec<(u32, Write)>, PipelineError> {
        for (call, row) in &self.selection.mismatched {
            let key = &self.work.groups.keys[row.group as usize];
            let text = format!("the item {key} has another kind of dedup than the rulebook");
            self.failed.push(row.record, self.work.reason(*call, Cause::BadGroup, text));
        }
        if !self.failed.is_empty() {
            return Ok(Vec::new());
        }
        let mut indexes = vec![u32::MAX; self.loaded.len()];
        let calls = std::mem::take(&mut self.selection.calls);
        for ((_, call), rows) in &calls {
            self.call(context, *call, rows, &mut indexes)?;
        }
        self.selection.calls = calls;
        if !self.failed.is_empty() || !self.blocked.groups.is_empty() {
            return Ok(Vec::new());
        }
        let mut writes = Vec::new();
        for call in 0..self.work.groups.calls.len() {
            self.finish(context, call, &mut writes)?;
        }
        Ok(writes)
    }

    fn state(&self, group: u32) -> &[u8] {
        match (&self.states[group as usize], &self.loaded[group as usize]) {
            (Some(state), _) => state,
            (None, Some(item)) => &item.state,
            (None, None) => &[],
        }
    }

    /// Folds rows by one call to one aggregator. `indexes` is scratch space, all `u32::MAX` before and after.
    fn call<S>(
        &mut self,
        context: &mut Context<'_, S>,
        call: usize,
        rows: &[GroupRow],
        indexes: &mut [u32],
    ) -> Result<(), PipelineError> {
        let record_batch = &self.work.record_batches[self.work.groups.calls[call].record_batch];
        let aggregate = self.work.aggregate(call).0;
        let mut touched = Vec::new();
        let groups: Vec<u32> = rows
            .iter()
            .map(|row| {
                let index = &mut indexes[row.group as usize];
                if *index == u32::MAX {
                    *index = touched.len() as u32;
                    touched.push(row.group);
                }
                *index
            })
            .collect();
        touched.iter().for_each(|&group| indexes[group as usize] = u32::MAX);

        self.migrate(context, call, &touched)?;
        let states: PackedBuf = touched.iter().map(|&group| self.state(group)).collect();
        let columns = record_batch.columns(&aggregate.inputs);
        let mut session = aggregate.aggregator.session();
        let folded = if rows.len() == record_batch.records.len() {
            session.fold(&columns, &record_batch.scores, &groups, states.as_packed())?
        } else {
            let taken: Vec<u32> = rows.iter().map(|row| row.row).collect();
            let columns: Vec<ColumnBuf> = columns.iter().map(|column| column.take(&taken)).collect();
            let columns: Vec<Column<'_>> = columns.iter().map(ColumnBuf::as_column).collect();
            let scores: Vec<f64> = taken.iter().map(|&row| record_batch.scores[row as usize]).collect();
            session.fold(&columns, &scores, &groups, states.as_packed())?
        };
        context.book_fuel(aggregate.aggregator.plugin().digest(), session.fuel());
        for (row, fault) in folded.failed {
            let reason = self.work.reason(call, Cause::PluginFailed, fault.to_string());
            self.failed.push(rows[row as usize].record, reason);
        }
        for (&group, state) in touched.iter().zip(folded.states.as_packed().iter()) {
            self.states[group as usize] = Some(state.to_vec());
        }
        Ok(())
    }

    /// Brings the states of groups into the format of the aggregator that folds into them next.
    fn migrate<S>(&mut self, context: &mut Context<'_, S>, call: usize, touched: &[u32]) -> Result<(), PipelineError> {
        let (aggregate, bound) = self.work.aggregate(call);
        let ours = bound.provenance.state_format.as_str();
        let mut foreign: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for &group in touched {
            if let Some(theirs) = self.formats[group as usize].replace(ours).filter(|theirs| *theirs != ours) {
                foreign.entry(theirs).or_default().push(group);
            }
        }
        for (theirs, groups) in foreign {
            let states: PackedBuf = groups.iter().map(|&group| self.state(group)).collect();
            let mut session = aggregate.aggregator.session();
            let migrated = session.migrate(theirs, states.as_packed())?;
            context.book_fuel(aggregate.aggregator.plugin().digest(), session.fuel());
            for (&group, state) in groups.iter().zip(migrated.states.as_packed().iter()) {
                self.states[group as usize] = Some(state.to_vec());
            }
            for (at, fault) in migrated.failed {
                self.blocked.add(groups[at as usize], call, theirs, format!("can't migrate it: {fault}"));
            }
        }
        Ok(())
    }

    /// Asks for the outputs of the groups whose last row this call folded, and adds their writes.
    fn finish<S: GroupStore>(
        &mut self,
        context: &mut Context<'_, S>,
        call: usize,
        writes: &mut Vec<(u32, Write)>,
    ) -> Result<(), PipelineError> {
        let (aggregate, bound) = self.work.aggregate(call);
        let selected = (0..).zip(&self.selection.groups).filter_map(|(at, group)| Some((at, group.as_ref()?)));
        let ours: Vec<u32> = selected.filter(|(_, group)| group.last.0 == call).map(|(at, _)| at).collect();
        if ours.is_empty() {
            return Ok(());
        }
        let states: PackedBuf = ours.iter().map(|&group| self.state(group)).collect();
        let mut session = aggregate.aggregator.session();
        let finished = session.finish(states.as_packed())?;
        context.book_fuel(aggregate.aggregator.plugin().digest(), session.fuel());
        for (index, fault) in finished.failed {
            let reason = self.work.reason(call, Cause::PluginFailed, fault.to_string());
            self.reject_group(ours[index as usize], &reason);
        }
        for (index, at) in ours.into_iter().enumerate() {
            let group = self.selection.groups[at as usize].as_mut().expect("it was selected");
            let mut attributes = outputs(aggregate, &finished.columns, index);
            for (name, bound) in &bound.attributes {
                attributes.push((Arc::clone(name), attribute(bound, self.work.projected, group.last.1)));
            }
            let expected = self.loaded[at as usize].as_ref().map(|item| item.revision);
            let item = Item {
                revision: expected.unwrap_or(0) + 1,
                state: self.states[at as usize].take().expect("its rows were folded"),
                dedup: std::mem::replace(&mut group.dedup, DedupState::Ordinal(OrdinalSet::default())),
                attributes,
                provenance: Arc::clone(&bound.provenance),
            };
            let key = self.work.groups.keys[at as usize].clone();
            match context.store.check_item(&key, &item) {
                Ok(()) => writes.push((at, Write { key, expected, item })),
                Err(why) => {
                    let reason =
                        self.work.reason(call, Cause::BadGroup, format!("the item {key} can't be stored: {why}"));
                    self.reject_group(at, &reason);
                }
            }
        }
        Ok(())
    }

    /// Rejects all new rows of a group that can't be written.
    fn reject_group(&mut self, group: u32, reason: &Reason) {
        for row in self.selection.calls.values().flatten().filter(|row| row.group == group) {
            self.failed.push(row.record, reason.clone());
        }
    }
}
