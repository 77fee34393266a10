//! Window: what the batches of a while come to is carried along by the sender, and committed in one write a group.
//!
//! Each record is carried apart, as a state of its own that the aggregator folded from nothing. States that are joined
//! can't be taken apart again; and a record may turn out, when the window closes, to stand in the table already: an
//! earlier attempt to close the window got as far as that, or a producer sent it twice. So the records are joined with
//! [`merge`](paceline_engine::plugin::AggregatorSession::merge) only then, each behind its group's fence. That is exact
//! whatever is repeated, and costs room instead of writes: some 25 bytes a record of the Alleycat races.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use paceline_engine::{Aggregator, Digest, Fault, PackedBuf};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::commit::Patience;
use crate::dead_letter::{Cause, DeadLetter, Reason};
use crate::fence::{Fence, OrdinalSet, SequenceFence};
use crate::fold::{Groups, attribute, outputs};
use crate::pipeline::{Clock, Pipeline, PipelineError, judge, letters};
use crate::position::{Place, SequenceNumber};
use crate::project::Cells;
use crate::registry::Catalog;
use crate::rulebook::FenceRule;
use crate::ruling::{Aggregate, Plan};
use crate::store::{Attribute, Item, Key, Pin, Store, StoreError, Write, Written};
use crate::summary::{Fuel, Stage, Summary};
use crate::table::{Dead, Table};

/// The format of what [`Window::to_bytes`] writes.
const FORMAT: u8 = 1;

/// What the batches of a while came to, not yet in the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    shard: Arc<str>,
    /// The rulebooks by which the records were judged.
    rulings: Vec<RulingName>,
    groups: Vec<Partial>,
    index: HashMap<(Key, u32, u32), usize>,
}

/// A rulebook by race type, version and digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RulingName {
    race_type: String,
    version: u64,
    digest: [u8; 32],
}

/// The records of a group, by one aggregate of one rulebook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Partial {
    key: Key,
    /// The index of the rulebook.
    ruling: u32,
    /// Which of its aggregates.
    aggregate: u32,
    /// The values of the rulebook's attributes, from the last record, in the rulebook's order.
    attributes: Vec<Attribute>,
    rows: Rows,
}

/// Each record's mark, by which its group's fence knows it, and its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Rows {
    /// In the order of the shard.
    Places(Vec<(Place, Vec<u8>)>),
    /// Each ordinal once, in the order in which they came.
    Ordinals(Vec<(i64, Vec<u8>)>),
}

impl Rows {
    fn len(&self) -> usize {
        match self {
            Self::Places(rows) => rows.len(),
            Self::Ordinals(rows) => rows.len(),
        }
    }
}

/// What is written of a window.
#[derive(Serialize, Deserialize)]
struct Encoded {
    format: u8,
    shard: String,
    /// What every place's sequence number is written as a distance from: those of one shard differ in their last digits.
    base: SequenceNumber,
    rulings: Vec<RulingName>,
    groups: Vec<Partial>,
}

/// The bytes are no window of this shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window's state {0}")]
pub struct NotAWindow(String);

impl Window {
    /// An empty window of a shard.
    pub fn new(shard: Arc<str>) -> Self {
        Self { shard, rulings: Vec::new(), groups: Vec::new(), index: HashMap::new() }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many groups it touches.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// How many records it carries; one that belongs to two groups counts twice.
    pub fn rows(&self) -> usize {
        self.groups.iter().map(|group| group.rows.len()).sum()
    }

    /// The window as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let places = self.groups.iter().filter_map(|group| match &group.rows {
            Rows::Places(rows) => rows.first().map(|(place, _)| place.sequence),
            Rows::Ordinals(_) => None,
        });
        let base = places.min().unwrap_or_default();
        let mut groups = self.groups.clone();
        move_places(&mut groups, |sequence| sequence.after(base)).expect("the base is the least of them");
        let written =
            Encoded { format: FORMAT, shard: self.shard.to_string(), base, rulings: self.rulings.clone(), groups };
        postcard::to_allocvec(&written).expect("a window can always be written")
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8], shard: &Arc<str>) -> Result<Self, NotAWindow> {
        if bytes.first() != Some(&FORMAT) {
            return Err(NotAWindow(format!(
                "has format {}, this program knows {FORMAT}",
                bytes.first().map_or("no".to_owned(), u8::to_string)
            )));
        }
        let written: Encoded =
            postcard::from_bytes(bytes).map_err(|error| NotAWindow(format!("can't be read: {error}")))?;
        if *written.shard != **shard {
            return Err(NotAWindow(format!("is of shard {}, the records are of {shard}", written.shard)));
        }
        let Encoded { base, rulings, mut groups, .. } = written;
        let bad = || NotAWindow("can't be read: a place is out of range".to_owned());
        move_places(&mut groups, |sequence| base.plus(sequence)).ok_or_else(bad)?;
        if groups.iter().any(|group| group.ruling as usize >= rulings.len()) {
            return Err(NotAWindow("can't be read: it names a rulebook that it does not list".to_owned()));
        }
        let at = groups.iter().enumerate();
        let index = at.map(|(at, group)| ((group.key.clone(), group.ruling, group.aggregate), at)).collect();
        Ok(Self { shard: Arc::clone(shard), rulings, groups, index })
    }

    fn ruling(&mut self, plan: &Plan) -> u32 {
        let book = &plan.ruling.book;
        let digest = *plan.ruling.digest.as_bytes();
        let same = |name: &RulingName| {
            name.race_type == book.race_type && name.version == book.version && name.digest == digest
        };
        let at = self.rulings.iter().position(same).unwrap_or_else(|| {
            self.rulings.push(RulingName { race_type: book.race_type.clone(), version: book.version, digest });
            self.rulings.len() - 1
        });
        at as u32
    }
}

fn move_places(groups: &mut [Partial], to: impl Fn(SequenceNumber) -> Option<SequenceNumber>) -> Option<()> {
    for group in groups {
        if let Rows::Places(rows) = &mut group.rows {
            for (place, _) in rows {
                place.sequence = to(place.sequence)?;
            }
        }
    }
    Some(())
}

/// What one aggregate of one table gathered: the table, the aggregate, and the records.
type Call = (usize, usize, Vec<Gathered>);

/// A record's state, ready for the window.
struct Gathered {
    key: Key,
    ordinal: i64,
    record: u32,
    state: Vec<u8>,
}

impl<S: Store> Pipeline<S> {
    /// Takes a batch up to its records' states, which go into the window instead of the table. Its dead letters are
    /// kept. An error leaves the window as it was: the batch has to come again as a whole.
    pub async fn gather(
        &self,
        batch: &Batch,
        window: &mut Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        let mut clock = Clock(Instant::now());
        let patience = self.patience(deadline);
        let (catalog, cells, mut dead, routes) = self.prepare(batch, patience, summary, &mut clock).await?;
        let tables = judge(&catalog, batch, &cells, routes, &mut dead, summary, &mut clock)?;
        let groups = Groups::find(&tables, batch, &cells, &mut dead);
        let (gathered, behind) = gather(window, &tables, &groups, batch, &mut dead, &mut summary.fuel)?;
        summary.behind += behind;
        clock.lap(summary, Stage::Fold);

        let letters = letters(batch, dead, &mut HashMap::new());
        let mut not_safe = None;
        self.acknowledge(batch, &letters, &mut not_safe, patience, summary).await?;
        if let Some((_, why)) = not_safe {
            return Err(why);
        }
        add(window, &tables, batch, &cells, gathered);
        clock.lap(summary, Stage::Acknowledge);
        summary.records += batch.records.len() as u64;
        summary.batches += 1;
        Ok(())
    }

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

/// Folds each record by itself. The states by call, and how many records the window has already.
fn gather(
    window: &Window,
    tables: &[Table<'_>],
    groups: &Groups<'_>,
    batch: &Batch,
    dead: &mut Dead,
    fuel: &mut Fuel,
) -> Result<(Vec<Call>, u64), PipelineError> {
    let mut gone: HashSet<u32> = dead.iter().map(|(record, _)| *record).collect();
    // A record that an aggregator can't deal with is gathered for none: the gathering starts anew without it.
    loop {
        let (mut all, mut bad, mut behind) = (Vec::new(), Dead::new(), 0);
        for (at, nth, touches) in groups.calls() {
            let table = &tables[at];
            let plan = table.plan;
            let aggregate = &plan.ruling.aggregates[nth];
            let mut known = Known::default();
            let new: Vec<_> = touches
                .iter()
                .filter(|touch| !gone.contains(&touch.record))
                .filter(|touch| {
                    let key = &groups.keys[touch.group as usize];
                    let new = known.admit(window, plan, nth, key, touch.group, batch, touch.record, touch.ordinal);
                    behind += u64::from(!new);
                    new
                })
                .collect();
            if new.is_empty() {
                continue;
            }
            let rows: Vec<u32> = new.iter().map(|touch| touch.row).collect();
            let columns = table.columns(&aggregate.needs);
            let taken: Vec<_> = columns.iter().map(|column| column.take(&rows)).collect();
            let taken: Vec<_> = taken.iter().map(|column| column.as_column()).collect();
            let scores: Vec<f64> = rows.iter().map(|&row| table.scores[row as usize]).collect();
            let alone: Vec<u32> = (0..new.len() as u32).collect();
            let nothing: PackedBuf = new.iter().map(|_| &[][..]).collect();
            let mut session = aggregate.aggregator.session();
            let folded = session.fold(&taken, &scores, &alone, nothing.as_packed())?;
            let plugin = aggregate.aggregator.plugin().digest();
            *fuel.entry(plugin).or_default() += session.fuel();
            let book = &plan.ruling.book;
            bad.extend(folded.failed.into_iter().map(|(row, fault)| {
                let reason = Reason::new(Cause::PluginFailed, fault.to_string()).by(plugin);
                (new[row as usize].record, reason.under(&book.race_type, book.version))
            }));
            let gathered = new.iter().zip(folded.states.as_packed().iter()).map(|(touch, state)| Gathered {
                key: groups.keys[touch.group as usize].clone(),
                ordinal: touch.ordinal,
                record: touch.record,
                state: state.to_vec(),
            });
            all.push((at, nth, gathered.collect()));
        }
        if bad.is_empty() {
            return Ok((all, behind));
        }
        for (record, reason) in bad {
            if gone.insert(record) {
                dead.push((record, reason));
            }
        }
    }
}

/// What the window and the batch so far have of the groups of one call.
#[derive(Default)]
struct Known {
    ordinals: HashMap<u32, HashSet<i64>>,
    last: HashMap<u32, Option<Place>>,
}

impl Known {
    /// Whether a record is new to its group's part of the window.
    #[expect(clippy::too_many_arguments, reason = "a record, its group, and what the window has of it")]
    fn admit(
        &mut self,
        window: &Window,
        plan: &Plan,
        nth: usize,
        key: &Key,
        group: u32,
        batch: &Batch,
        record: u32,
        ordinal: i64,
    ) -> bool {
        let held = || {
            let digest = plan.ruling.digest.as_bytes();
            let ruling = window.rulings.iter().position(|name| name.digest == *digest)?;
            let at = window.index.get(&(key.clone(), ruling as u32, nth as u32))?;
            Some(&window.groups[*at].rows)
        };
        match plan.ruling.aggregates[nth].rule.fence {
            FenceRule::Sequence => {
                let last = self.last.entry(group).or_insert_with(|| match held() {
                    Some(Rows::Places(rows)) => rows.last().map(|(place, _)| *place),
                    _ => None,
                });
                last.is_none_or(|last| last < batch.records[record as usize].place)
            }
            FenceRule::Ordinal(_) => {
                let ordinals = self.ordinals.entry(group).or_insert_with(|| match held() {
                    Some(Rows::Ordinals(rows)) => rows.iter().map(|(ordinal, _)| *ordinal).collect(),
                    _ => HashSet::new(),
                });
                ordinals.insert(ordinal)
            }
        }
    }
}

fn add(window: &mut Window, tables: &[Table<'_>], batch: &Batch, cells: &Cells, gathered: Vec<Call>) {
    for (table, nth, rows) in gathered {
        let plan = tables[table].plan;
        let ruling = window.ruling(plan);
        for Gathered { key, ordinal, record, state } in rows {
            let aggregate = nth as u32;
            let at = *window.index.entry((key.clone(), ruling, aggregate)).or_insert_with(|| {
                let rows = match plan.ruling.aggregates[nth].rule.fence {
                    FenceRule::Sequence => Rows::Places(Vec::new()),
                    FenceRule::Ordinal(_) => Rows::Ordinals(Vec::new()),
                };
                window.groups.push(Partial { key, ruling, aggregate, attributes: Vec::new(), rows });
                window.groups.len() - 1
            });
            let partial = &mut window.groups[at];
            match &mut partial.rows {
                Rows::Places(rows) => rows.push((batch.records[record as usize].place, state)),
                Rows::Ordinals(rows) => rows.push((ordinal, state)),
            }
            let attributes = &plan.aggregates[nth].attributes;
            partial.attributes = attributes.iter().map(|(_, plan)| attribute(plan, batch, cells, record)).collect();
        }
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
                *self.summary.dead.entry(Cause::PluginFailed).or_default() += failed.len() as u64;
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
