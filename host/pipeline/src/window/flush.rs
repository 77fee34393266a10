//! Flush: the rows' states are merged into the table's, behind each group's dedup.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use paceline_engine::{Digest, Fault, PackedBuf, Role};

use super::merge::{GroupMerge, merge_segment, select};
use super::state::{Deltas, GroupDelta, Window};
use crate::error::PipelineError;
use crate::model::{Attribute, Cause, DeadLetter, Item, Key, Reason, RecordPosition};
use crate::pipeline::Pipeline;
use crate::rules::{BoundAggregate, BoundRulebook, Catalog, LoadedAggregate};
use crate::stages::commit::{Attempt, FoldWork, commit};
use crate::stages::context::Context;
use crate::stages::fold::{Foreign, check_revision};
use crate::stages::outputs::outputs;
use crate::store::{DeadLetterStore, GroupStore, Store, StoreError, Write};
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
        window: &Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        let mut context = self.context(deadline, summary);
        let catalog = self.load_rulebooks(window).await?;
        let groups = groups(window);
        let keys = groups.iter().map(|group| group.segments[0].key.clone()).collect();
        let mut flush = WindowFlush { catalog: &catalog, window, groups, keys, letters: Vec::new(), stored: 0 };
        let uncommitted = commit(&mut context, &mut flush).await?;
        if let Some(uncommitted) = uncommitted.into_iter().next() {
            return Err(uncommitted.why);
        }
        let (store, budget) = (context.store, context.budget);
        budget.retry(|| store.flush()).await?;
        context.book(Stage::Acknowledge);
        Ok(())
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

/// The groups of a window, each with its rows in their order.
fn groups(window: &Window) -> Vec<WindowGroup<'_>> {
    let mut groups: Vec<WindowGroup<'_>> = Vec::new();
    let mut seen: HashMap<&Key, usize> = HashMap::new();
    for delta in &window.groups {
        let at = *seen.entry(&delta.key).or_insert_with(|| {
            groups.push(WindowGroup { segments: Vec::new() });
            groups.len() - 1
        });
        groups[at].segments.push(delta);
    }
    groups
}

/// A group of a window. Segments that several rulebooks folded are merged one after another, and written together: dedup
/// by sequence could not express that the rows of one of them are missing.
struct WindowGroup<'a> {
    segments: Vec<&'a GroupDelta>,
}

impl WindowGroup<'_> {
    /// Whether rows of one race were folded by several rulebooks.
    fn is_reruled(&self, last: &BoundAggregate) -> bool {
        let rulebook = self.segments[0].rulebook;
        last.is_of_one_race && self.segments.iter().any(|delta| delta.reruled || delta.rulebook != rulebook)
    }
}

/// A window that is merged into the table.
struct WindowFlush<'a> {
    catalog: &'a Catalog,
    window: &'a Window,
    groups: Vec<WindowGroup<'a>>,
    keys: Vec<Key>,
    /// The dead letters of groups that could not be merged, and how many of them are stored.
    letters: Vec<DeadLetter>,
    stored: usize,
}

impl<S: GroupStore + DeadLetterStore> FoldWork<S> for WindowFlush<'_> {
    fn keys(&self) -> &[Key] {
        &self.keys
    }

    async fn prepare(&self, _: &Context<'_, S>) -> Result<(), StoreError> {
        Ok(())
    }

    fn dead_letters(&mut self, _: &Context<'_, S>) -> Vec<(u32, DeadLetter)> {
        let new = std::mem::replace(&mut self.stored, self.letters.len());
        // They belong to no record of a batch.
        self.letters[new..].iter().map(|letter| (0, letter.clone())).collect()
    }

    fn fold(
        &mut self,
        context: &mut Context<'_, S>,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<(u32, Write)>, PipelineError> {
        check_revision(self.catalog, &self.keys, attempt.loaded)?;
        let mut merges = Vec::new();
        for &group in attempt.open {
            let (item, segments) = (attempt.loaded[group as usize].as_ref(), &self.groups[group as usize].segments);
            if let Some((foreign, delta)) = self.foreign(group, item) {
                let rulebook = &self.aggregate(delta).0.rulebook.id;
                let error = foreign.error(&delta.key, rulebook);
                if !context.holds.is_over(rulebook.digest, None) {
                    return Err(error);
                }
                self.reject(group, foreign.cause(), &error.to_string());
                continue;
            }
            match select(&self.window.shard, group, segments, item) {
                Ok((merge, duplicates)) => {
                    if attempt.number == 0 {
                        context.summary.duplicates += duplicates;
                    }
                    merges.extend(merge);
                }
                Err(why) => self.reject(group, Cause::BadGroup, why),
            }
        }
        for nth in 0.. {
            let calls = by_aggregate(&mut merges, |merge| merge.segments.get(nth).map(|(delta, _)| *delta));
            if calls.is_empty() {
                break;
            }
            let mut faults = HashMap::new();
            for mut groups in calls.into_values() {
                let (bound, aggregate) = self.aggregate(groups[0].segments[nth].0);
                faults.extend(merge_segment(context, &bound.rulebook.id, &aggregate.aggregator, (nth, &mut groups))?);
            }
            merges.retain(|merge| !faults.contains_key(&merge.group));
            for (group, fault) in faults {
                self.reject(group, Cause::PluginFailed, &fault.to_string());
            }
        }
        self.finish(context, merges, attempt.loaded)
    }
}

/// The groups of each aggregate, by the rows that `of` chooses. A group without any is left out.
fn by_aggregate<'m, 'a>(
    merges: &'m mut [GroupMerge<'a>],
    of: impl Fn(&GroupMerge<'a>) -> Option<&'a GroupDelta>,
) -> BTreeMap<(u32, u32), Vec<&'m mut GroupMerge<'a>>> {
    let mut calls: BTreeMap<(u32, u32), Vec<&mut GroupMerge<'a>>> = BTreeMap::new();
    for merge in merges {
        if let Some(delta) = of(merge) {
            calls.entry((delta.rulebook, delta.aggregate)).or_default().push(merge);
        }
    }
    calls
}

impl<'a> WindowFlush<'a> {
    fn aggregate(&self, delta: &GroupDelta) -> (&'a BoundRulebook, &'a LoadedAggregate) {
        let digest = self.window.rulebooks[delta.rulebook as usize];
        let bound = self.catalog.rulebook(digest).expect("the window's rulebooks are loaded");
        (bound, &bound.rulebook.aggregates[delta.aggregate as usize])
    }

    /// Why an item, or what an aggregate before left, is not merged with, and the rows for which that is so.
    fn foreign(&self, group: u32, item: Option<&Item>) -> Option<(Foreign, &'a GroupDelta)> {
        let mut before = item.map(|item| &item.provenance);
        for &delta in &self.groups[group as usize].segments {
            let (bound, aggregate) = self.aggregate(delta);
            let bound = &bound.aggregates[delta.aggregate as usize];
            if let Some(foreign) = before.and_then(|before| Foreign::of(before, aggregate, bound)) {
                return Some((foreign, delta));
            }
            before = Some(&bound.provenance);
        }
        None
    }

    /// Asks for the outputs of merged groups. Returns their writes.
    fn finish<S: GroupStore>(
        &mut self,
        context: &mut Context<'_, S>,
        mut merges: Vec<GroupMerge<'a>>,
        loaded: &[Option<Item>],
    ) -> Result<Vec<(u32, Write)>, PipelineError> {
        let mut writes = Vec::new();
        for groups in by_aggregate(&mut merges, |merge| Some(merge.last())).into_values() {
            let (bound, aggregate) = self.aggregate(groups[0].last());
            let states: PackedBuf = groups.iter().map(|group| group.states[0].as_slice()).collect();
            let mut session = aggregate.aggregator.session().until(context.plugins_until);
            let finished = session.finish(states.as_packed())?;
            context.book_calls(&bound.rulebook.id, Role::Aggregator, &session);
            let faults: HashMap<u32, Fault> = finished.failed.into_iter().collect();
            for (at, merge) in groups.into_iter().enumerate() {
                if let Some(fault) = faults.get(&(at as u32)) {
                    self.reject(merge.group, Cause::PluginFailed, &fault.to_string());
                    continue;
                }
                let attributes = outputs(aggregate, &finished.columns, at);
                let item = self.item(merge, attributes, loaded[merge.group as usize].as_ref());
                let key = self.keys[merge.group as usize].clone();
                match context.store.check_item(&key, &item) {
                    Ok(()) => writes.push((merge.group, Write { key, expected: merge.expected, item })),
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
        mut attributes: Vec<(Arc<str>, Attribute)>,
        before: Option<&Item>,
    ) -> Item {
        let delta = merge.last();
        let rule = &self.aggregate(delta).0.aggregates[delta.aggregate as usize];
        let named = rule.attributes.iter().zip(&delta.attributes);
        attributes.extend(named.map(|((name, _), value)| (Arc::clone(name), value.clone())));
        Item {
            revision: merge.expected.unwrap_or(0) + 1,
            state: merge.states.swap_remove(0),
            dedup: merge.dedup.clone(),
            attributes,
            provenance: Arc::clone(&rule.provenance),
            reruled: self.groups[merge.group as usize].is_reruled(rule) || rule.is_reruled_after(before),
        }
    }

    /// Makes dead letters of a group's part of the window.
    fn reject(&mut self, group: u32, cause: Cause, why: &str) {
        let segments = &self.groups[group as usize].segments;
        let letters: Vec<_> = segments.iter().map(|delta| self.letter(delta, cause, why)).collect();
        self.letters.extend(letters);
    }

    /// The dead letter of a group's part of the window. The records' payloads are not at hand: the letter lists the
    /// positions or ordinals and the states, and the stream has the payloads.
    fn letter(&self, delta: &GroupDelta, cause: Cause, why: &str) -> DeadLetter {
        let (bound, aggregate) = self.aggregate(delta);
        let hex = |state: &[u8]| state.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (position, rows): (RecordPosition, Vec<_>) = match &delta.deltas {
            Deltas::Positions(deltas) => {
                let row = |(position, state): &(RecordPosition, Vec<u8>)| serde_json::json!({ "sequence": position.sequence.to_string(), "state": hex(state) });
                let first = deltas.first().map(|(position, _)| *position);
                (first.unwrap_or_default(), deltas.iter().map(row).collect())
            }
            Deltas::Ordinals(deltas) => {
                let row =
                    |(ordinal, state): &(i64, Vec<u8>)| serde_json::json!({ "ordinal": ordinal, "state": hex(state) });
                (RecordPosition::default(), deltas.iter().map(row).collect())
            }
        };
        let Key { partition, sort } = &delta.key;
        let text = format!(
            "{} records of a window could not be merged into the item {}: {why}; their states are this letter's payload, \
             their payloads are in the stream",
            rows.len(),
            delta.key
        );
        let payload = serde_json::json!({ "window": { "PK": partition, "SK": sort, "records": rows } }).to_string();
        let digest = Digest::of(payload.as_bytes()).hex();
        let reason = Reason::new(cause, text).by(aggregate.aggregator.plugin().digest());
        DeadLetter {
            id: format!("{}:window.{}", self.window.shard, &digest[..16]),
            shard: self.window.shard.to_string(),
            position,
            partition_key: None,
            arrival_ms: None,
            payload: payload.into_bytes(),
            cut_from: None,
            reason: reason.under(&bound.rulebook.id),
            redrive_sequence: None,
            folded: Vec::new(),
            unsure: false,
        }
    }
}
