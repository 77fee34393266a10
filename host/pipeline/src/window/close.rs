//! Close: the records' states are joined with what the table has, each behind its group's fence.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use paceline_engine::{Aggregator, Digest, Fault, PackedBuf};

use super::{Partial, Rows, RulingName, Window};
use crate::commit::Patience;
use crate::dead_letter::{Cause, DeadLetter, Reason};
use crate::fence::{Fence, OrdinalSet, SequenceFence};
use crate::fold::outputs;
use crate::pipeline::{Clock, Pipeline, PipelineError};
use crate::position::Place;
use crate::registry::Catalog;
use crate::ruling::{Aggregate, Plan};
use crate::store::{Item, Key, Pin, Store, StoreError, Write, Written};
use crate::summary::{Fuel, Stage, Summary};

impl<S: Store> Pipeline<S> {
    /// Commits a window. When this returns, all of it is in the table; after an error the same window can be closed
    /// again, and what stands by then stays behind the fences.
    pub async fn close(
        &self,
        window: &Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        let mut clock = Clock(Instant::now());
        let patience = self.patience(deadline);
        let catalog = self.recall(window)?;
        // A group whose records went by several rulebooks is handed from one aggregator to the next.
        let mut rounds: Vec<Vec<&Partial>> = Vec::new();
        let mut seen: HashMap<&Key, usize> = HashMap::new();
        for partial in &window.groups {
            let round = seen.entry(&partial.key).and_modify(|round| *round += 1).or_default();
            if rounds.len() == *round {
                rounds.push(Vec::new());
            }
            rounds[*round].push(partial);
        }
        for round in rounds {
            Closing {
                catalog: &catalog,
                window,
                store: &self.store,
                patience,
                summary: &mut *summary,
                clock: &mut clock,
            }
            .run(round, self.retry.conflicts)
            .await?;
        }
        patience.retry(|| self.store.acknowledge(None)).await?;
        clock.lap(summary, Stage::Acknowledge);
        Ok(())
    }

    /// A catalog that holds every rulebook of a window.
    fn recall(&self, window: &Window) -> Result<Arc<Catalog>, PipelineError> {
        for RulingName { race_type, version, digest } in &window.rulings {
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
struct Closing<'a, S> {
    catalog: &'a Catalog,
    window: &'a Window,
    store: &'a S,
    patience: Patience<'a>,
    summary: &'a mut Summary,
    clock: &'a mut Clock,
}

/// A group's records that its item does not hold yet, being joined.
struct Joining<'a> {
    partial: &'a Partial,
    item: Option<Item>,
    fence: Fence,
    /// The item's state, where there is an item, and the records' states; one in the end.
    states: Vec<Vec<u8>>,
}

impl<'a, S: Store> Closing<'a, S> {
    async fn run(mut self, round: Vec<&'a Partial>, conflicts: u32) -> Result<(), PipelineError> {
        let mut open = round;
        for attempt in 0.. {
            let keys: Vec<Key> = open.iter().map(|partial| partial.key.clone()).collect();
            let loaded = self.patience.retry(|| self.store.load(&keys)).await?;
            self.clock.lap(self.summary, Stage::Load);
            let (writes, failed) = self.join(&open, loaded)?;
            self.clock.lap(self.summary, Stage::Fold);
            if !failed.is_empty() {
                self.patience.retry(|| self.store.bury(&failed)).await?;
                for letter in &failed {
                    *self.summary.dead.entry(letter.reason.cause).or_default() += 1;
                }
            }
            if writes.is_empty() {
                return Ok(());
            }
            let (partials, writes): (Vec<&Partial>, Vec<Write>) = writes.into_iter().unzip();
            let written = self.patience.write(self.store, writes).await?;
            let (mut lost, mut busy) = (Vec::new(), None);
            for (partial, written) in partials.into_iter().zip(written) {
                match written {
                    Written::Done => self.summary.groups += 1,
                    Written::Conflict => lost.push(partial),
                    Written::Busy(why) => busy = Some(why),
                }
            }
            self.summary.conflicts += lost.len() as u64;
            self.clock.lap(self.summary, Stage::Commit);
            if let Some(why) = busy {
                return Err(StoreError::Busy(why).into());
            }
            let Some(first) = lost.first() else { return Ok(()) };
            if attempt >= conflicts || !self.patience.wait_for_others(attempt).await {
                let (groups, key) = (lost.len(), first.key.to_string());
                return Err(PipelineError::Contended { groups, key, attempts: attempt + 1 });
            }
            open = lost;
        }
        unreachable!("the attempts are counted")
    }

    fn aggregate(&self, partial: &Partial) -> (&'a Plan, &'a Aggregate) {
        let name = &self.window.rulings[partial.ruling as usize];
        let plan = self.catalog.plan(&name.race_type, name.version).expect("it was recalled");
        (plan, &plan.ruling.aggregates[partial.aggregate as usize])
    }

    /// Joins the records that the items do not hold yet with the items' states.
    #[expect(clippy::type_complexity, reason = "what is to be written, and what can't be")]
    fn join(
        &mut self,
        open: &[&'a Partial],
        loaded: Vec<Option<Item>>,
    ) -> Result<(Vec<(&'a Partial, Write)>, Vec<DeadLetter>), PipelineError> {
        let mut calls: BTreeMap<(u32, u32), Vec<Joining<'a>>> = BTreeMap::new();
        let mut failed = Vec::new();
        for (&partial, item) in open.iter().zip(loaded) {
            match admit(&self.window.shard, partial, item) {
                Ok((joining, behind)) => {
                    self.summary.behind += behind;
                    if let Some(joining) = joining {
                        calls.entry((partial.ruling, partial.aggregate)).or_default().push(joining);
                    }
                }
                Err(wrong) => failed.push(self.letter(partial, Cause::BadGroup, wrong)),
            }
        }
        let mut writes = Vec::new();
        for mut groups in calls.into_values() {
            let (plan, aggregate) = self.aggregate(groups[0].partial);
            let mut faults = merge(&aggregate.aggregator, &mut groups, &mut self.summary.fuel)?;
            let mut at = 0;
            groups.retain(|group| {
                let fault = faults.remove(&at);
                at += 1;
                let Some(fault) = fault else { return true };
                failed.push(self.letter(group.partial, Cause::PluginFailed, fault.to_string()));
                false
            });
            let states: PackedBuf = groups.iter().map(|group| group.states[0].as_slice()).collect();
            let mut session = aggregate.aggregator.session();
            let finished = session.finish(states.as_packed())?;
            *self.summary.fuel.entry(aggregate.aggregator.plugin().digest()).or_default() += session.fuel();
            let faults: HashMap<u32, Fault> = finished.failed.into_iter().collect();
            for (at, Joining { partial, item, fence, mut states }) in groups.into_iter().enumerate() {
                if let Some(fault) = faults.get(&(at as u32)) {
                    failed.push(self.letter(partial, Cause::PluginFailed, fault.to_string()));
                    continue;
                }
                let mut attributes = outputs(aggregate, &finished.columns, at);
                let named = plan.aggregates[partial.aggregate as usize].attributes.iter().zip(&partial.attributes);
                attributes.extend(named.map(|((name, _), value)| (Arc::clone(name), value.clone())));
                let expected = item.map(|item| item.revision);
                let item = Item {
                    revision: expected.unwrap_or(0) + 1,
                    state: states.swap_remove(0),
                    fence,
                    attributes,
                    provenance: Arc::clone(&aggregate.provenance),
                };
                match self.store.fits(&partial.key, &item) {
                    Ok(()) => writes.push((partial, Write { key: partial.key.clone(), expected, item })),
                    Err(wrong) => {
                        let wrong = format!("the item {} {wrong}", partial.key);
                        failed.push(self.letter(partial, Cause::BadGroup, wrong));
                    }
                }
            }
        }
        Ok((writes, failed))
    }

    /// The dead letter of a group's part of the window. The records' payloads are no longer at hand: it names their
    /// places, and the stream holds them.
    fn letter(&self, partial: &Partial, cause: Cause, wrong: String) -> DeadLetter {
        let (plan, aggregate) = self.aggregate(partial);
        let hex = |state: &[u8]| state.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (place, rows): (Place, Vec<_>) = match &partial.rows {
            Rows::Places(rows) => (
                rows.first().map(|(place, _)| *place).unwrap_or_default(),
                rows.iter()
                    .map(|(place, state)| serde_json::json!({ "sequence": place.sequence.to_string(), "state": hex(state) }))
                    .collect(),
            ),
            Rows::Ordinals(rows) => (
                Place::default(),
                rows.iter()
                    .map(|(ordinal, state)| serde_json::json!({ "ordinal": ordinal, "state": hex(state) }))
                    .collect(),
            ),
        };
        let Key { partition, sort } = &partial.key;
        let text = format!(
            "{} records of a window could not be joined into the item {}: {wrong}; their states are the payload, their \
             payloads are in the stream",
            rows.len(),
            partial.key
        );
        let payload = serde_json::json!({ "window": { "PK": partition, "SK": sort, "records": rows } }).to_string();
        let digest = Digest::of(payload.as_bytes()).hex();
        let book = &plan.ruling.book;
        let reason =
            Reason::new(cause, text).by(aggregate.aggregator.plugin().digest()).under(&book.race_type, book.version);
        DeadLetter {
            id: format!("{}:window.{}", self.window.shard, &digest[..16]),
            shard: self.window.shard.to_string(),
            place,
            partition_key: None,
            arrival_ms: None,
            payload: payload.into_bytes(),
            cut_from: None,
            reason,
            ticket: None,
            folded: Vec::new(),
        }
    }
}

/// The records of a group that its item does not hold yet; nothing where it holds them all. With how many it holds.
fn admit<'a>(shard: &Arc<str>, partial: &'a Partial, item: Option<Item>) -> Result<(Option<Joining<'a>>, u64), String> {
    let mut states: Vec<Vec<u8>> = item.iter().map(|item| item.state.clone()).collect();
    let before = states.len();
    let (fence, all) = match (&partial.rows, item.as_ref().map(|item| &item.fence)) {
        (Rows::Places(rows), None | Some(Fence::Sequence(_))) => {
            let held = match item.as_ref().map(|item| &item.fence) {
                Some(Fence::Sequence(fence)) => fence.clone(),
                _ => SequenceFence::default(),
            };
            let mut fence = held.clone();
            for (place, state) in rows.iter().filter(|(place, _)| held.admits(shard, *place)) {
                fence.advance(shard, *place);
                states.push(state.clone());
            }
            (Fence::Sequence(fence), rows.len())
        }
        (Rows::Ordinals(rows), None | Some(Fence::Ordinal(_))) => {
            let mut fence = match item.as_ref().map(|item| &item.fence) {
                Some(Fence::Ordinal(fence)) => fence.clone(),
                _ => OrdinalSet::default(),
            };
            for (ordinal, state) in rows {
                if fence.insert(*ordinal) {
                    states.push(state.clone());
                }
            }
            (Fence::Ordinal(fence), rows.len())
        }
        _ => return Err("it has another sort of fence than the rulebook says".to_owned()),
    };
    let new = states.len() - before;
    let joining = (new > 0).then_some(Joining { partial, item, fence, states });
    Ok((joining, (all - new) as u64))
}

/// Joins each group's states into one, in as few calls as possible: all groups' neighbours two by two, then again. The
/// groups that could not be joined, by index.
fn merge(
    aggregator: &Aggregator,
    groups: &mut [Joining<'_>],
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
