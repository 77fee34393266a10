//! Flush: the rows' states are merged into the table's, behind each group's dedup.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use paceline_engine::{Digest, Fault, PackedBuf, Role};
use smol_str::SmolStr;

use super::groups::WindowGroups;
use super::merge::{GroupMerge, Owner, Segment, Selected, merge_segment, select};
use super::rejections::Rejections;
use super::state::{Deltas, Window};
use crate::dedup::day_of;
use crate::error::PipelineError;
use crate::model::{Attribute, Cause, DeadLetter, Item, Key, Reason, RulesRevision};
use crate::pipeline::Pipeline;
use crate::rules::Catalog;
use crate::stages::commit::{Attempt, FoldWork, Writes, commit};
use crate::stages::context::Context;
use crate::stages::fold::check_revision;
use crate::stages::horizon::take_over;
use crate::stages::outputs::outputs;
use crate::store::{DeadLetterStore, GroupStore, Store, Write};
use crate::summary::{Stage, Summary};

impl<S: Store> Pipeline<S> {
    /// Commits a window. When this returns, all of it is in the table. After an error the same window can be flushed
    /// again: dedup recognizes the rows that are in the table already.
    pub async fn flush_window(
        &self,
        window: &Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        self.flush(FlushedWindow { window, redriven: None }, deadline, summary).await
    }

    pub(super) async fn flush(
        &self,
        window: FlushedWindow<'_>,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        // Boxed, because the compiler limits how deep futures nest in one type.
        match Box::pin(self.flush_by_current_rules(window, deadline, summary)).await {
            Err(PipelineError::Behind { theirs, .. }) if self.catch_up(&theirs).await => {
                Box::pin(self.flush_by_current_rules(window, deadline, summary)).await
            }
            done => done,
        }
    }

    async fn flush_by_current_rules(
        &self,
        flushed: FlushedWindow<'_>,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        let mut context = self.context(deadline, summary);
        context.blame_waste();
        loop {
            let catalog = self.load_rulebooks(flushed.window).await?;
            let why = match flush(&mut context, flushed, &catalog).await {
                Err(PipelineError::StateFormat(why)) if catalog.rulebook(why.wrote).is_none() => why,
                done => return done,
            };
            // What wrote the item may take the rows.
            if self.rulebooks().load_pinned(why.wrote, self.store()).await.is_err() {
                return Err(PipelineError::StateFormat(why));
            }
            context.start_again();
        }
    }

    /// A catalog that holds every rulebook of a window.
    async fn load_rulebooks(&self, window: &Window) -> Result<Arc<Catalog>, PipelineError> {
        loop {
            let catalog = self.rulebooks().catalog();
            let missing = window.rulebooks.iter().find(|digest| catalog.rulebook(**digest).is_none());
            let Some(&rulebook) = missing else { return Ok(catalog) };
            let failed = |source| PipelineError::Window { rulebook, source: Box::new(source) };
            self.rulebooks().load_pinned(rulebook, self.store()).await.map_err(failed)?;
        }
    }
}

/// Merges a window into the table by a catalog that holds its rulebooks.
async fn flush<S: Store>(
    context: &mut Context<'_, S>,
    FlushedWindow { window, redriven }: FlushedWindow<'_>,
    catalog: &Catalog,
) -> Result<(), PipelineError> {
    let rejections = Rejections::new(&window.shard, redriven);
    let mut flush = WindowFlush { catalog, window, groups: WindowGroups::new(window, catalog), rejections };
    let uncommitted = commit(context, &mut flush).await?;
    if let Some(uncommitted) = uncommitted.into_iter().next() {
        return Err(uncommitted.why);
    }
    let (store, budget) = (context.store, context.budget);
    budget.retry(|| store.flush()).await?;
    context.book(Stage::Acknowledge);
    Ok(())
}

/// A window to be merged into the table.
#[derive(Clone, Copy)]
pub(super) struct FlushedWindow<'a> {
    pub(super) window: &'a Window,
    /// The dead letter whose rows the window has. It keeps its identity if they can't be merged.
    pub(super) redriven: Option<&'a DeadLetter>,
}

/// A window that is merged into the table.
struct WindowFlush<'a> {
    catalog: &'a Catalog,
    window: &'a Window,
    groups: WindowGroups<'a>,
    rejections: Rejections<'a>,
}

impl<S: GroupStore + DeadLetterStore> FoldWork<S> for WindowFlush<'_> {
    fn keys(&self) -> &[Key] {
        &self.groups.keys
    }

    fn shard(&self) -> (&str, &RulesRevision) {
        (&self.window.shard, self.catalog.at())
    }

    async fn prepare(&self, context: &Context<'_, S>) -> Result<(), PipelineError> {
        let by_sequence = self.window.groups.iter().any(|delta| matches!(delta.deltas, Deltas::Positions(_)));
        take_over(context, &self.window.shard, self.catalog.at(), by_sequence).await
    }

    fn dead_letters(&mut self, _: &Context<'_, S>) -> Vec<(u32, DeadLetter)> {
        // They belong to no record of a batch.
        self.rejections.take_letters().map(|letter| (0, letter)).collect()
    }

    fn fold(&mut self, context: &mut Context<'_, S>, attempt: &Attempt<'_>) -> Result<Writes, PipelineError> {
        check_revision(self.catalog, &self.groups.keys, attempt.loaded)?;
        let mut merges = Vec::new();
        for &group in attempt.open {
            let item = attempt.loaded[group as usize].as_ref();
            let segments = match self.groups.segments(group, item) {
                Ok(segments) => segments,
                Err((foreign, delta)) => {
                    let rulebook = &self.groups.owner(delta).bound.rulebook.id;
                    let error = foreign.error(&delta.key, rulebook);
                    if !context.holds.is_over(rulebook.digest, None) {
                        return Err(error);
                    }
                    self.reject(group, foreign.cause(), &error.to_string());
                    continue;
                }
            };
            let gone = |segment, row| self.rejections.is_unsure(group, segment, row);
            match select(&self.window.shard, group, segments, item, gone) {
                Ok(Selected { merge, held, unsure }) => {
                    if attempt.number == 0 {
                        context.summary.duplicates += held.len() as u64;
                    }
                    self.rejections.hold(group, held);
                    if !unsure.is_empty() {
                        let rows = self.groups.rows(group);
                        self.rejections.reject_unsure(group, &rows, &unsure);
                    }
                    merges.extend(merge);
                }
                Err((cause, why)) => self.reject(group, cause, why),
            }
        }
        for nth in 0.. {
            let calls = by_owner(&mut merges, |merge| merge.segments.get(nth));
            if calls.is_empty() {
                break;
            }
            let mut faults = HashMap::new();
            for (owner, mut groups) in calls.into_values() {
                faults.extend(merge_segment(context, owner, (nth, &mut groups))?);
            }
            merges.retain(|merge| !faults.contains_key(&merge.group));
            for (group, fault) in faults {
                self.reject(group, Cause::PluginFailed, &fault.to_string());
            }
        }
        self.finish(context, merges, attempt.loaded)
    }
}

/// Groups by the aggregate that owns the rows that `of` chooses. A group without such rows is left out.
fn by_owner<'m, 'a>(
    merges: &'m mut [GroupMerge<'a>],
    of: impl for<'g> Fn(&'g GroupMerge<'a>) -> Option<&'g Segment<'a>>,
) -> BTreeMap<(Digest, usize), (Owner<'a>, Vec<&'m mut GroupMerge<'a>>)> {
    let mut calls: BTreeMap<(Digest, usize), (Owner<'a>, Vec<&'m mut GroupMerge<'a>>)> = BTreeMap::new();
    for merge in merges {
        if let Some(owner) = of(merge).map(|segment| segment.owner) {
            calls.entry(owner.id()).or_insert_with(|| (owner, Vec::new())).1.push(merge);
        }
    }
    calls
}

impl<'a> WindowFlush<'a> {
    /// Asks for the outputs of merged groups. Returns their writes.
    fn finish<S: GroupStore>(
        &mut self,
        context: &mut Context<'_, S>,
        mut merges: Vec<GroupMerge<'a>>,
        loaded: &[Option<Item>],
    ) -> Result<Writes, PipelineError> {
        let mut writes = Writes::with_capacity(merges.len());
        for (owner, groups) in by_owner(&mut merges, |merge| Some(merge.last())).into_values() {
            let aggregate = owner.loaded();
            let states: PackedBuf = groups.iter().map(|group| group.states[0].as_slice()).collect();
            let mut session = aggregate.aggregator.session().until(context.plugins_until);
            let finished = session.finish(states.as_packed())?;
            context.book_calls(&owner.bound.rulebook.id, Role::Aggregator, &session);
            let faults: HashMap<u32, Fault> = finished.failed.into_iter().collect();
            for (at, merge) in groups.into_iter().enumerate() {
                if let Some(fault) = faults.get(&(at as u32)) {
                    self.reject(merge.group, Cause::PluginFailed, &fault.to_string());
                    continue;
                }
                let attributes = outputs(aggregate, &finished.columns, at, owner.rule().attributes.len());
                let before = loaded[merge.group as usize].as_ref();
                let item = self.item(merge, attributes, before, day_of(context.now()));
                let key = self.groups.keys[merge.group as usize].clone();
                match context.store.check_item(&key, &item) {
                    Ok(()) => writes.push(merge.group, Write { key, expected: merge.expected, item }),
                    Err(why) => {
                        let why = format!("the item {key} can't be stored: {why}");
                        self.reject(merge.group, Cause::BadGroup, &why);
                    }
                }
            }
        }
        Ok(writes)
    }

    /// The item of a merged group with these outputs.
    fn item(
        &self,
        merge: &mut GroupMerge<'_>,
        mut attributes: Vec<(SmolStr, Attribute)>,
        before: Option<&Item>,
        today: u32,
    ) -> Item {
        let (delta, owner) = (merge.last().delta, merge.last().owner);
        let (rule, folded) = (owner.rule(), self.groups.owner(delta).rule());
        merge.dedup.note_write(&self.window.shard, today);
        let named = folded.attributes.iter().zip(&delta.attributes);
        attributes.extend(named.map(|((name, _), value)| (name.clone(), value.clone())));
        Item {
            revision: merge.expected.unwrap_or(0) + 1,
            state: merge.states.swap_remove(0),
            dedup: merge.dedup.clone(),
            attributes,
            provenance: Arc::clone(&rule.provenance),
            reruled: self.groups.is_reruled(merge.group, owner) || rule.is_reruled_after(before),
        }
    }

    /// Makes dead letters of a group's part of the window.
    fn reject(&mut self, group: u32, cause: Cause, why: &str) {
        let rows = self.groups.rows(group);
        self.rejections.reject(group, &rows, &Reason::new(cause, why));
    }
}
