//! The calls to the aggregators for one selection of rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use paceline_engine::{AggregatorSession, Column, ColumnBuf, PackedBuf, Role};

use super::blocked::Blocked;
use super::foreign::Foreign;
use super::rows::Rows;
use super::select::{SelectedCalls, Selection};
use crate::dedup::{DedupState, OrdinalSet, day_of};
use crate::error::PipelineError;
use crate::model::{Cause, Item, Reason};
use crate::stages::commit::Writes;
use crate::stages::context::Context;
use crate::stages::groups::GroupRow;
use crate::stages::outputs::{attribute, outputs};
use crate::stages::rejected::Rejected;
use crate::store::{GroupStore, Write};

/// The calls to the aggregators for one selection of rows.
pub(super) struct Folding<'f, 'a, 'c> {
    work: Rows<'a, 'c>,
    loaded: &'f [Option<Item>],
    pub(super) selection: Selection,
    /// The new state of each group; `None` before its first call.
    states: Vec<Option<Vec<u8>>>,
    /// The format of each group's state.
    formats: Vec<Option<&'f str>>,
    /// The rows on which an aggregator failed.
    pub(super) failed: Rejected,
    /// The groups whose states can't be migrated, or whose rows have several dedup rules.
    pub(super) blocked: Blocked,
}

/// The groups whose outputs are asked for after a call, by the instance that made it.
#[derive(Default)]
struct Finishing {
    /// The last segment of the call's rows.
    after: u32,
    groups: Vec<u32>,
}

/// Groups, with their states after a call.
struct FoldedGroups {
    groups: Vec<u32>,
    states: PackedBuf,
}

/// The groups whose outputs are known.
struct FinishedGroups {
    writes: Writes,
    /// Groups that can't be written, and why.
    unwritable: Vec<(u32, Reason)>,
}

impl<'f, 'a, 'c: 'f> Folding<'f, 'a, 'c> {
    pub(super) fn new(work: Rows<'a, 'c>, loaded: &'f [Option<Item>], selection: Selection) -> Self {
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
    pub(super) fn run<S: GroupStore>(&mut self, context: &mut Context<'_, S>) -> Result<Writes, PipelineError> {
        for mismatch in &self.selection.mismatched {
            let rule = |call: usize| self.work.aggregate(call).1.provenance.dedup_rule.clone();
            let why = Foreign::Dedup { theirs: rule(mismatch.first), ours: rule(mismatch.call) };
            self.blocked.add(mismatch.group, mismatch.call, why);
        }
        if !self.blocked.is_empty() {
            return Ok(Writes::default());
        }
        let calls = std::mem::take(&mut self.selection.calls);
        let (mut finishing, groups) = self.finishing(&calls);
        let mut finished = FinishedGroups { writes: Writes::with_capacity(groups), unwritable: Vec::new() };
        let mut indexes = vec![u32::MAX; self.loaded.len()];
        for (&(segment, call), rows) in &calls {
            let (aggregate, bound) = self.work.aggregate(call);
            let mut session = aggregate.aggregator.session().until(context.plugins_until);
            let groups = (finishing[call].after == segment).then(|| std::mem::take(&mut finishing[call].groups));
            let done = self.call(&mut session, call, rows, &mut indexes);
            let done = done.and_then(|folded| match groups {
                // What fails in one group may be what keeps another one from being written: all are folded again.
                Some(groups) if !groups.is_empty() && self.failed.is_empty() && self.blocked.is_empty() => {
                    let folded = self.keep(folded, Some(groups));
                    self.finish(context, &mut session, (call, folded), &mut finished)
                }
                _ => {
                    self.keep(folded, None);
                    Ok(())
                }
            });
            context.book_calls(&bound.provenance.rulebook, Role::Aggregator, &session);
            done?;
        }
        let FinishedGroups { writes, unwritable } = finished;
        if self.failed.is_empty() && self.blocked.is_empty() {
            for (group, reason) in unwritable {
                // All of its new rows.
                let rows = calls.values().flatten().filter(|row| row.group == group);
                rows.for_each(|row| self.failed.push(row.record, reason.clone()));
            }
        }
        self.selection.calls = calls;
        Ok(writes)
    }

    /// By call, the groups whose last row it folds, and how many groups there are.
    fn finishing(&self, calls: &SelectedCalls) -> (Vec<Finishing>, usize) {
        let mut finishing: Vec<Finishing> = Vec::new();
        finishing.resize_with(self.work.groups.calls.len(), Finishing::default);
        calls.keys().for_each(|&(segment, call)| finishing[call].after = segment);
        let mut groups = 0;
        for (at, group) in (0..).zip(&self.selection.groups) {
            if let Some(group) = group {
                finishing[group.last.0].groups.push(at);
                groups += 1;
            }
        }
        (finishing, groups)
    }

    fn state(&self, group: u32) -> &[u8] {
        match (&self.states[group as usize], &self.loaded[group as usize]) {
            (Some(state), _) => state,
            (None, Some(item)) => &item.state,
            (None, None) => &[],
        }
    }

    /// Folds rows by one call to one aggregator. `indexes` is scratch space, all `u32::MAX` before and after.
    fn call(
        &mut self,
        session: &mut AggregatorSession<'_>,
        call: usize,
        rows: &[GroupRow],
        indexes: &mut [u32],
    ) -> Result<FoldedGroups, PipelineError> {
        let record_batch = &self.work.record_batches[self.work.groups.calls[call].record_batch];
        let (aggregate, _) = self.work.aggregate(call);
        let mut touched = Vec::with_capacity(rows.len().min(self.loaded.len()));
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

        self.migrate(session, call, &touched)?;
        let states: PackedBuf = touched.iter().map(|&group| self.state(group)).collect();
        let columns = record_batch.columns(&aggregate.inputs);
        let folded = if rows.len() == record_batch.records.len() {
            session.fold(&columns, &record_batch.scores, &groups, states.as_packed())?
        } else {
            let taken: Vec<u32> = rows.iter().map(|row| row.row).collect();
            let columns: Vec<ColumnBuf> = columns.iter().map(|column| column.take(&taken)).collect();
            let columns: Vec<Column<'_>> = columns.iter().map(ColumnBuf::as_column).collect();
            let scores: Vec<f64> = taken.iter().map(|&row| record_batch.scores[row as usize]).collect();
            session.fold(&columns, &scores, &groups, states.as_packed())?
        };
        for (row, fault) in folded.failed {
            let reason = self.work.reason(call, Cause::PluginFailed, fault.to_string());
            self.failed.push(rows[row as usize].record, reason);
        }
        Ok(FoldedGroups { groups: touched, states: folded.states })
    }

    /// Keeps the states that a call returned for calls after it. Returns those of the groups that are `finishing`.
    fn keep(&mut self, folded: FoldedGroups, finishing: Option<Vec<u32>>) -> FoldedGroups {
        // Nearly always: no other call folds into them.
        if finishing.as_ref() == Some(&folded.groups) {
            return folded;
        }
        for (&group, state) in folded.groups.iter().zip(folded.states.as_packed().iter()) {
            self.states[group as usize] = Some(state.to_vec());
        }
        let groups = finishing.unwrap_or_default();
        let states = groups.iter().map(|&group| self.state(group)).collect();
        FoldedGroups { groups, states }
    }

    /// Brings the states of groups into the format of the aggregator that folds into them next.
    fn migrate(
        &mut self,
        session: &mut AggregatorSession<'_>,
        call: usize,
        touched: &[u32],
    ) -> Result<(), PipelineError> {
        let (_, bound) = self.work.aggregate(call);
        let ours = bound.provenance.state_format.as_str();
        let mut foreign: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for &group in touched {
            if let Some(theirs) = self.formats[group as usize].replace(ours).filter(|theirs| *theirs != ours) {
                foreign.entry(theirs).or_default().push(group);
            }
        }
        for (theirs, groups) in foreign {
            let states: PackedBuf = groups.iter().map(|&group| self.state(group)).collect();
            let migrated = session.migrate(theirs, states.as_packed())?;
            for (&group, state) in groups.iter().zip(migrated.states.as_packed().iter()) {
                self.states[group as usize] = Some(state.to_vec());
            }
            for (at, fault) in migrated.failed {
                let (group, why) = (groups[at as usize], format!("can't migrate it: {fault}"));
                let before = self.loaded[group as usize].as_ref().map_or(&bound.provenance, |item| &item.provenance);
                let (format, wrote) = (theirs.to_owned(), before.rulebook.digest);
                self.blocked.add(group, call, Foreign::StateFormat { format, wrote, why });
            }
        }
        Ok(())
    }

    /// Asks for the outputs of the groups whose last row a call folded, and adds their writes.
    fn finish<S: GroupStore>(
        &mut self,
        context: &Context<'_, S>,
        session: &mut AggregatorSession<'_>,
        (call, FoldedGroups { groups, states }): (usize, FoldedGroups),
        finished: &mut FinishedGroups,
    ) -> Result<(), PipelineError> {
        let FinishedGroups { writes, unwritable } = finished;
        let (aggregate, bound) = self.work.aggregate(call);
        let states = states.as_packed();
        let found = session.finish(states)?;
        for (index, fault) in found.failed {
            let reason = self.work.reason(call, Cause::PluginFailed, fault.to_string());
            unwritable.push((groups[index as usize], reason));
        }
        let (shard, today) = (&self.work.projected.batch.shard, day_of(context.now()));
        for (index, at) in groups.into_iter().enumerate() {
            let group = self.selection.groups[at as usize].as_mut().expect("it was selected");
            let mut attributes = outputs(aggregate, &found.columns, index, bound.attributes.len());
            for (name, bound) in &bound.attributes {
                attributes.push((name.clone(), attribute(bound, self.work.projected, group.last.1)));
            }
            group.dedup.note_write(shard, today);
            let before = self.loaded[at as usize].as_ref();
            let expected = before.map(|item| item.revision);
            let item = Item {
                revision: expected.unwrap_or(0) + 1,
                state: states.get(index).to_vec(),
                dedup: std::mem::replace(&mut group.dedup, DedupState::Ordinal(OrdinalSet::default())),
                attributes,
                provenance: Arc::clone(&bound.provenance),
                reruled: bound.is_reruled_after(before) || bound.is_of_one_race && self.work.is_reruled(group.last.1),
            };
            let key = self.work.groups.keys[at as usize].clone();
            match context.store.check_item(&key, &item) {
                Ok(()) => writes.push(at, Write { key, expected, item }),
                Err(why) => {
                    let reason =
                        self.work.reason(call, Cause::BadGroup, format!("the item {key} can't be stored: {why}"));
                    unwritable.push((at, reason));
                }
            }
        }
        Ok(())
    }
}
