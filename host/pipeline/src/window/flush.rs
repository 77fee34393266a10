//! Flush: the rows' states are merged into the table's, behind each group's dedup.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use paceline_engine::{Digest, Fault, PackedBuf, Role};

use super::merge::{GroupMerge, merge, migrate, select};
use super::state::{Deltas, GroupDelta, Window};
use crate::error::PipelineError;
use crate::model::{Cause, DeadLetter, Item, Key, Reason, RecordPosition};
use crate::pipeline::Pipeline;
use crate::rules::{BoundRulebook, Catalog, LoadedAggregate};
use crate::stages::commit::{Attempt, FoldWork, commit};
use crate::stages::context::Context;
use crate::stages::fold::{Foreign, check_revision};
use crate::stages::outputs::outputs;
use crate::store::{GroupStore, Store, Write};
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
        match self.flush_by_current_rules(window, deadline, summary).await {
            Err(PipelineError::Behind { theirs, .. }) if self.catch_up(&theirs).await => {
                self.flush_by_current_rules(window, deadline, summary).await
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
        for round in rounds(&window.groups) {
            let keys = round.iter().map(|delta| delta.key.clone()).collect();
            let mut flush = WindowFlush { catalog: &catalog, window, round, keys, letters: Vec::new() };
            let uncommitted = commit(&mut context, &mut flush).await?;
            if !flush.letters.is_empty() {
                let (store, budget) = (context.store, context.budget);
                budget.retry(|| store.put_dead_letters(&flush.letters)).await?;
                for letter in &flush.letters {
                    *context.summary.dead_letters.entry(letter.reason.cause).or_default() += 1;
                }
            }
            if let Some(uncommitted) = uncommitted.into_iter().next() {
                return Err(uncommitted.why);
            }
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

/// The groups in rounds, each group at most once in a round: a group whose rows were evaluated by several rulebooks is
/// handed from one aggregator to the next.
fn rounds(groups: &[GroupDelta]) -> Vec<Vec<&GroupDelta>> {
    let mut rounds: Vec<Vec<&GroupDelta>> = Vec::new();
    let mut seen: HashMap<&Key, usize> = HashMap::new();
    for delta in groups {
        let round = seen.entry(&delta.key).and_modify(|round| *round += 1).or_default();
        if rounds.len() == *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(delta);
    }
    rounds
}

/// A round of flushing.
struct WindowFlush<'a> {
    catalog: &'a Catalog,
    window: &'a Window,
    round: Vec<&'a GroupDelta>,
    /// The keys of the round's groups.
    keys: Vec<Key>,
    /// The dead letters of groups that could not be merged.
    letters: Vec<DeadLetter>,
}

impl<S: GroupStore> FoldWork<S> for WindowFlush<'_> {
    fn keys(&self) -> &[Key] {
        &self.keys
    }

    fn fold(
        &mut self,
        context: &mut Context<'_, S>,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<(u32, Write)>, PipelineError> {
        check_revision(self.catalog, &self.keys, attempt.loaded)?;
        let mut calls: BTreeMap<(u32, u32), Vec<GroupMerge<'_>>> = BTreeMap::new();
        for &group in attempt.open {
            let delta = self.round[group as usize];
            if let Some(item) = &attempt.loaded[group as usize]
                && let Some(foreign) = self.check_item(delta, item)
            {
                let rulebook = &self.aggregate(delta).0.rulebook.id;
                let error = foreign.error(&delta.key, rulebook);
                if !context.holds.is_over(rulebook.digest, None) {
                    return Err(error);
                }
                self.letters.push(self.letter(delta, foreign.cause(), &error.to_string()));
                continue;
            }
            match select(&self.window.shard, group, delta, attempt.loaded[group as usize].as_ref()) {
                Ok((merge, duplicates)) => {
                    context.summary.duplicates += duplicates;
                    if let Some(merge) = merge {
                        calls.entry((delta.rulebook, delta.aggregate)).or_default().push(merge);
                    }
                }
                Err(why) => self.letters.push(self.letter(delta, Cause::BadGroup, why)),
            }
        }
        let mut writes = Vec::new();
        for mut groups in calls.into_values() {
            let (bound, aggregate) = self.aggregate(groups[0].delta);
            let (id, aggregator) = (&bound.rulebook.id, &aggregate.aggregator);
            let mut faults = migrate(context, id, aggregator, &mut groups, attempt.loaded)?;
            faults.extend(merge(context, id, aggregator, &mut groups)?);
            groups.retain(|merged| {
                let Some(fault) = faults.remove(&merged.group) else { return true };
                self.letters.push(self.letter(merged.delta, Cause::PluginFailed, &fault.to_string()));
                false
            });
            self.finish(context, groups, attempt.loaded, &mut writes)?;
        }
        Ok(writes)
    }
}

impl<'a> WindowFlush<'a> {
    fn aggregate(&self, delta: &GroupDelta) -> (&'a BoundRulebook, &'a LoadedAggregate) {
        let digest = self.window.rulebooks[delta.rulebook as usize];
        let bound = self.catalog.rulebook(digest).expect("the window's rulebooks are loaded");
        (bound, &bound.rulebook.aggregates[delta.aggregate as usize])
    }

    /// Why an item is not merged with.
    fn check_item(&self, delta: &GroupDelta, item: &Item) -> Option<Foreign> {
        let (bound, aggregate) = self.aggregate(delta);
        Foreign::of(item, aggregate, &bound.aggregates[delta.aggregate as usize])
    }

    /// Asks for the outputs of merged groups of one aggregate, and adds their writes.
    fn finish<S: GroupStore>(
        &mut self,
        context: &mut Context<'_, S>,
        groups: Vec<GroupMerge<'a>>,
        loaded: &[Option<Item>],
        writes: &mut Vec<(u32, Write)>,
    ) -> Result<(), PipelineError> {
        let Some(first) = groups.first() else { return Ok(()) };
        let (bound, aggregate) = self.aggregate(first.delta);
        let states: PackedBuf = groups.iter().map(|group| group.states[0].as_slice()).collect();
        let mut session = aggregate.aggregator.session();
        let finished = session.finish(states.as_packed())?;
        context.book_calls(&bound.rulebook.id, Role::Aggregator, &session);
        let faults: HashMap<u32, Fault> = finished.failed.into_iter().collect();
        for (at, GroupMerge { group, delta, expected, dedup, mut states }) in groups.into_iter().enumerate() {
            if let Some(fault) = faults.get(&(at as u32)) {
                self.letters.push(self.letter(delta, Cause::PluginFailed, &fault.to_string()));
                continue;
            }
            let mut attributes = outputs(aggregate, &finished.columns, at);
            let rule = &bound.aggregates[delta.aggregate as usize];
            let named = rule.attributes.iter().zip(&delta.attributes);
            attributes.extend(named.map(|((name, _), value)| (Arc::clone(name), value.clone())));
            let item = Item {
                revision: expected.unwrap_or(0) + 1,
                state: states.swap_remove(0),
                dedup,
                attributes,
                provenance: Arc::clone(&rule.provenance),
                reruled: rule.is_reruled_after(loaded[group as usize].as_ref()),
            };
            match context.store.check_item(&delta.key, &item) {
                Ok(()) => writes.push((group, Write { key: delta.key.clone(), expected, item })),
                Err(why) => {
                    let why = format!("the item {} can't be stored: {why}", delta.key);
                    self.letters.push(self.letter(delta, Cause::BadGroup, &why));
                }
            }
        }
        Ok(())
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
