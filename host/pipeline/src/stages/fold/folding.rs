//! The calls to the aggregators for one selection of rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use paceline_engine::{Column, ColumnBuf, PackedBuf, Role};

use super::blocked::Blocked;
use super::foreign::Foreign;
use super::rows::Rows;
use super::select::Selection;
use crate::dedup::{DedupState, OrdinalSet, day_of};
use crate::error::PipelineError;
use crate::model::{Cause, Item, Reason};
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
    pub(super) fn run<S: GroupStore>(
        &mut self,
        context: &mut Context<'_, S>,
    ) -> Result<Vec<(u32, Write)>, PipelineError> {
        for mismatch in &self.selection.mismatched {
            let rule = |call: usize| self.work.aggregate(call).1.provenance.dedup_rule.clone();
            let why = Foreign::Dedup { theirs: rule(mismatch.first), ours: rule(mismatch.call) };
            self.blocked.add(mismatch.group, mismatch.call, why);
        }
        if !self.blocked.is_empty() {
            return Ok(Vec::new());
        }
        let mut indexes = vec![u32::MAX; self.loaded.len()];
        let calls = std::mem::take(&mut self.selection.calls);
        for ((_, call), rows) in &calls {
            self.call(context, *call, rows, &mut indexes)?;
        }
        self.selection.calls = calls;
        if !self.failed.is_empty() || !self.blocked.is_empty() {
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
        let (aggregate, bound) = self.work.aggregate(call);
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
        let mut session = aggregate.aggregator.session().until(context.plugins_until);
        let folded = if rows.len() == record_batch.records.len() {
            session.fold(&columns, &record_batch.scores, &groups, states.as_packed())?
        } else {
            let taken: Vec<u32> = rows.iter().map(|row| row.row).collect();
            let columns: Vec<ColumnBuf> = columns.iter().map(|column| column.take(&taken)).collect();
            let columns: Vec<Column<'_>> = columns.iter().map(ColumnBuf::as_column).collect();
            let scores: Vec<f64> = taken.iter().map(|&row| record_batch.scores[row as usize]).collect();
            session.fold(&columns, &scores, &groups, states.as_packed())?
        };
        context.book_calls(&bound.provenance.rulebook, Role::Aggregator, &session);
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
            let mut session = aggregate.aggregator.session().until(context.plugins_until);
            let migrated = session.migrate(theirs, states.as_packed())?;
            context.book_calls(&bound.provenance.rulebook, Role::Aggregator, &session);
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
        let mut session = aggregate.aggregator.session().until(context.plugins_until);
        let finished = session.finish(states.as_packed())?;
        context.book_calls(&bound.provenance.rulebook, Role::Aggregator, &session);
        for (index, fault) in finished.failed {
            let reason = self.work.reason(call, Cause::PluginFailed, fault.to_string());
            self.reject_group(ours[index as usize], &reason);
        }
        let (shard, today) = (&self.work.projected.batch.shard, day_of(context.now()));
        for (index, at) in ours.into_iter().enumerate() {
            let group = self.selection.groups[at as usize].as_mut().expect("it was selected");
            let mut attributes = outputs(aggregate, &finished.columns, index);
            for (name, bound) in &bound.attributes {
                attributes.push((Arc::clone(name), attribute(bound, self.work.projected, group.last.1)));
            }
            group.dedup.note_write(shard, today);
            let before = self.loaded[at as usize].as_ref();
            let expected = before.map(|item| item.revision);
            let item = Item {
                revision: expected.unwrap_or(0) + 1,
                state: self.states[at as usize].take().expect("its rows were folded"),
                dedup: std::mem::replace(&mut group.dedup, DedupState::Ordinal(OrdinalSet::default())),
                attributes,
                provenance: Arc::clone(&bound.provenance),
                reruled: bound.is_reruled_after(before) || bound.is_of_one_race && self.work.is_reruled(group.last.1),
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
