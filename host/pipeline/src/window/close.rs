//! Close: the records' states are joined with what the table has, each behind its group's fence.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use paceline_engine::{Aggregator, Digest, Fault, PackedBuf};

use super::{GroupDelta, Deltas, RulebookRef, Window};
use crate::commit::RetryBudget;
use crate::dead_letter::{Cause, DeadLetter, Reason};
use crate::dedup::{DedupState, OrdinalSet, LastPositions};
use crate::fold::outputs;
use crate::pipeline::{Clock, Pipeline, PipelineError};
use crate::position::RecordPosition;
use crate::registry::Catalog;
use crate::rulebook::{LoadedAggregate, BoundRulebook};
use crate::store::{Item, Key, Pin, Store, StoreError, Write, Written};
use crate::summary::{Fuel, Stage, Summary};

impl<S: Store> Pipeline<S> {
    /// Commits a window. When this returns, all of it is in the table; after an error the same window can be closed
    /// again, and what stands by then stays behind the fences.
    pub async fn flush(
        &self,
        window: &Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        let mut clock = Clock(Instant::now());
        let budget = self.budget(deadline);
        let catalog = self.recall(window)?;
        // A group whose records went by several rulebooks is handed from one aggregator to the next.
        let mut rounds: Vec<Vec<&GroupDelta>> = Vec::new();
        let mut seen: HashMap<&Key, usize> = HashMap::new();
        for delta in &window.groups {
            let round = seen.entry(&delta.key).and_modify(|round| *round += 1).or_default();
            if rounds.len() == *round {
                rounds.push(Vec::new());
            }
            rounds[*round].push(delta);
        }
        for round in rounds {
            WindowFlush {
                catalog: &catalog,
                window,
                store: &self.store,
                budget,
                summary: &mut *summary,
                clock: &mut clock,
            }
            .run(round, self.retry.conflicts)
            .await?;
        }
        budget.retry(|| self.store.acknowledge(None)).await?;
        clock.lap(summary, Stage::Acknowledge);
        Ok(())
    }

    /// A catalog that holds every rulebook of a window.
    fn recall(&self, window: &Window) -> Result<Arc<Catalog>, PipelineError> {
        for RulebookRef { race_type, version, digest } in &window.rulebooks {
            let pin = Pin { version: *version, rulebook: *digest };
            self.rulebooks().recall(race_type, pin).map_err(|reason| PipelineError::Window {
                race_type: race_type.clone(),
                version: *version,
                reason,
            })?;
        }
        Ok(self.rulebooks().catalog())
    }
}

/// A round of closing: each group at most once.
struct WindowFlush<'a, S> {
    catalog: &'a Catalog,
    window: &'a Window,
    store: &'a S,
    budget: RetryBudget<'a>,
    summary: &'a mut Summary,
    clock: &'a mut Clock,
}

/// A group's records that its item does not hold yet, being joined.
struct GroupMerge<'a> {
    delta: &'a GroupDelta,
    item: Option<Item>,
    dedup: DedupState,
    /// The item's state, where there is an item, and the records' states; one in the end.
    states: Vec<Vec<u8>>,
}

impl<'a, S: Store> WindowFlush<'a, S> {
    async fn run(mut self, round: Vec<&'a GroupDelta>, conflicts: u32) -> Result<(), PipelineError> {
        let mut open = round;
        for attempt in 0.. {
            let keys: Vec<Key> = open.iter().map(|delta| delta.key.clone()).collect();
            let loaded = self.budget.retry(|| self.store.load(&keys)).await?;
            self.clock.lap(self.summary, Stage::Load);
            let (writes, failed) = self.join(&open, loaded)?;
            self.clock.lap(self.summary, Stage::Fold);
            if !failed.is_empty() {
                self.budget.retry(|| self.store.put_dead_letters(&failed)).await?;
                for letter in &failed {
                    *self.summary.dead.entry(letter.reason.cause).or_default() += 1;
                }
            }
            if writes.is_empty() {
                return Ok(());
            }
            let (deltas, writes): (Vec<&GroupDelta>, Vec<Write>) = writes.into_iter().unzip();
            let written = self.budget.write(self.store, writes).await?;
            let (mut lost, mut busy) = (Vec::new(), None);
            for (delta, written) in deltas.into_iter().zip(written) {
                match written {
                    Written::Done => self.summary.groups += 1,
                    Written::Conflict => lost.push(delta),
                    Written::Transient(why) => busy = Some(why),
                }
            }
            self.summary.conflicts += lost.len() as u64;
            self.clock.lap(self.summary, Stage::Commit);
            if let Some(why) = busy {
                return Err(StoreError::Transient(why).into());
            }
            let Some(first) = lost.first() else { return Ok(()) };
            if attempt >= conflicts || !self.budget.wait_for_others(attempt).await {
                let (groups, key) = (lost.len(), first.key.to_string());
                return Err(PipelineError::Contended { groups, key, attempts: attempt + 1 });
            }
            open = lost;
        }
        unreachable!("the attempts are counted")
    }

    fn aggregate(&self, delta: &GroupDelta) -> (&'a BoundRulebook, &'a LoadedAggregate) {
        let name = &self.window.rulebooks[delta.rulebook as usize];
        let plan = self.catalog.plan(&name.race_type, name.version).expect("it was recalled");
        (plan, &plan.rulebook.aggregates[delta.aggregate as usize])
    }

    /// Joins the records that the items do not hold yet with the items' states.
    #[expect(clippy::type_complexity, reason = "what is to be written, and what can't be")]
    fn join(
        &mut self,
        open: &[&'a GroupDelta],
        loaded: Vec<Option<Item>>,
    ) -> Result<(Vec<(&'a GroupDelta, Write)>, Vec<DeadLetter>), PipelineError> {
        let mut calls: BTreeMap<(u32, u32), Vec<GroupMerge<'a>>> = BTreeMap::new();
        let mut failed = Vec::new();
        for (&delta, item) in open.iter().zip(loaded) {
            match admit(&self.window.shard, delta, item) {
                Ok((merging, duplicates)) => {
                    self.summary.duplicates += duplicates;
                    if let Some(merging) = merging {
                        calls.entry((delta.rulebook, delta.aggregate)).or_default().push(merging);
                    }
                }
                Err(wrong) => failed.push(self.letter(delta, Cause::BadGroup, wrong)),
            }
        }
        let mut writes = Vec::new();
        for mut groups in calls.into_values() {
            let (plan, aggregate) = self.aggregate(groups[0].delta);
            let mut faults = merge(&aggregate.aggregator, &mut groups, &mut self.summary.fuel)?;
            let mut at = 0;
            groups.retain(|group| {
                let fault = faults.remove(&at);
                at += 1;
                let Some(fault) = fault else { return true };
                failed.push(self.letter(group.delta, Cause::PluginFailed, fault.to_string()));
                false
            });
            let states: PackedBuf = groups.iter().map(|group| group.states[0].as_slice()).collect();
            let mut session = aggregate.aggregator.session();
            let finished = session.finish(states.as_packed())?;
            *self.summary.fuel.entry(aggregate.aggregator.plugin().digest()).or_default() += session.fuel();
            let faults: HashMap<u32, Fault> = finished.failed.into_iter().collect();
            for (at, GroupMerge { delta, item, dedup, mut states }) in groups.into_iter().enumerate() {
                if let Some(fault) = faults.get(&(at as u32)) {
                    failed.push(self.letter(delta, Cause::PluginFailed, fault.to_string()));
                    continue;
                }
                let mut attributes = outputs(aggregate, &finished.columns, at);
                let named = plan.aggregates[delta.aggregate as usize].attributes.iter().zip(&delta.attributes);
                attributes.extend(named.map(|((name, _), value)| (Arc::clone(name), value.clone())));
                let expected = item.map(|item| item.revision);
                let item = Item {
                    revision: expected.unwrap_or(0) + 1,
                    state: states.swap_remove(0),
                    dedup,
                    attributes,
                    provenance: Arc::clone(&aggregate.provenance),
                };
                match self.store.fits(&delta.key, &item) {
                    Ok(()) => writes.push((delta, Write { key: delta.key.clone(), expected, item })),
                    Err(wrong) => {
                        let wrong = format!("the item {} {wrong}", delta.key);
                        failed.push(self.letter(delta, Cause::BadGroup, wrong));
                    }
                }
            }
        }
        Ok((writes, failed))
    }

    /// The dead letter of a group's part of the window. The records' payloads are no longer at hand: it names their
    /// places, and the stream holds them.
    fn letter(&self, delta: &GroupDelta, cause: Cause, wrong: String) -> DeadLetter {
        let (plan, aggregate) = self.aggregate(delta);
        let hex = |state: &[u8]| state.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (position, rows): (RecordPosition, Vec<_>) = match &delta.rows {
            Deltas::Positions(rows) => (
                rows.first().map(|(position, _)| *position).unwrap_or_default(),
                rows.iter()
                    .map(|(position, state)| serde_json::json!({ "sequence": position.sequence.to_string(), "state": hex(state) }))
                    .collect(),
            ),
            Deltas::Ordinals(rows) => (
                RecordPosition::default(),
                rows.iter()
                    .map(|(ordinal, state)| serde_json::json!({ "ordinal": ordinal, "state": hex(state) }))
                    .collect(),
            ),
        };
        let Key { partition, sort } = &delta.key;
        let text = format!(
            "{} records of a window could not be joined into the item {}: {wrong}; their states are the payload, their \
             payloads are in the stream",
            rows.len(),
            delta.key
        );
        let payload = serde_json::json!({ "window": { "PK": partition, "SK": sort, "records": rows } }).to_string();
        let digest = Digest::of(payload.as_bytes()).hex();
        let book = &plan.rulebook.book;
        let reason =
            Reason::new(cause, text).by(aggregate.aggregator.plugin().digest()).under(&book.race_type, book.version);
        DeadLetter {
            id: format!("{}:window.{}", self.window.shard, &digest[..16]),
            shard: self.window.shard.to_string(),
            position,
            partition_key: None,
            arrival_ms: None,
            payload: payload.into_bytes(),
            cut_from: None,
            reason,
            redrive_sequence: None,
            folded: Vec::new(),
        }
    }
}

/// The records of a group that its item does not hold yet; nothing where it holds them all. With how many it holds.
fn admit<'a>(shard: &Arc<str>, delta: &'a GroupDelta, item: Option<Item>) -> Result<(Option<GroupMerge<'a>>, u64), String> {
    let mut states: Vec<Vec<u8>> = item.iter().map(|item| item.state.clone()).collect();
    let before = states.len();
    let (dedup, all) = match (&delta.rows, item.as_ref().map(|item| &item.dedup)) {
        (Deltas::Positions(rows), None | Some(DedupState::Sequence(_))) => {
            let held = match item.as_ref().map(|item| &item.dedup) {
                Some(DedupState::Sequence(dedup)) => dedup.clone(),
                _ => LastPositions::default(),
            };
            let mut dedup = held.clone();
            for (position, state) in rows.iter().filter(|(position, _)| held.is_new(shard, *position)) {
                dedup.record(shard, *position);
                states.push(state.clone());
            }
            (DedupState::Sequence(dedup), rows.len())
        }
        (Deltas::Ordinals(rows), None | Some(DedupState::Ordinal(_))) => {
            let mut dedup = match item.as_ref().map(|item| &item.dedup) {
                Some(DedupState::Ordinal(dedup)) => dedup.clone(),
                _ => OrdinalSet::default(),
            };
            for (ordinal, state) in rows {
                if dedup.insert(*ordinal) {
                    states.push(state.clone());
                }
            }
            (DedupState::Ordinal(dedup), rows.len())
        }
        _ => return Err("it has another sort of fence than the rulebook says".to_owned()),
    };
    let new = states.len() - before;
    let merging = (new > 0).then_some(GroupMerge { delta, item, dedup, states });
    Ok((merging, (all - new) as u64))
}

/// Joins each group's states into one, in as few calls as possible: all groups' neighbours two by two, then again. The
/// groups that could not be joined, by index.
fn merge(
    aggregator: &Aggregator,
    groups: &mut [GroupMerge<'_>],
    fuel: &mut Fuel,
) -> Result<HashMap<usize, Fault>, PipelineError> {
    let mut faults = HashMap::new();
    loop {
        let mut pairs: Vec<(usize, Vec<u8>, Vec<u8>)> = Vec::new();
        for (at, group) in groups.iter_mut().enumerate() {
            if group.states.len() < 2 || faults.contains_key(&at) {
                continue;
            }
            let mut states = std::mem::take(&mut group.states).into_iter();
            while let Some(left) = states.next() {
                match states.next() {
                    Some(right) => pairs.push((at, left, right)),
                    // The odd one goes through to the next round.
                    None => group.states.push(left),
                }
            }
        }
        if pairs.is_empty() {
            return Ok(faults);
        }
        // Halves of what fails, until the pair is known that brings the call down.
        let all = 0..pairs.len();
        let mut waiting = Vec::from([all]);
        while let Some(range) = waiting.pop() {
            let some = &pairs[range.clone()];
            let left: PackedBuf = some.iter().map(|(_, left, _)| left.as_slice()).collect();
            let right: PackedBuf = some.iter().map(|(_, _, right)| right.as_slice()).collect();
            let mut session = aggregator.session();
            let merged = session.merge(left.as_packed(), right.as_packed())?;
            *fuel.entry(aggregator.plugin().digest()).or_default() += session.fuel();
            match merged {
                Ok(joined) => {
                    for ((at, ..), state) in some.iter().zip(joined.as_packed().iter()) {
                        groups[*at].states.push(state.to_vec());
                    }
                }
                Err(fault) if range.len() == 1 => {
                    faults.insert(some[0].0, fault);
                }
                Err(_) => {
                    let middle = range.start + range.len() / 2;
                    waiting.push(middle..range.end);
                    waiting.push(range.start..middle);
                }
            }
        }
    }
}
