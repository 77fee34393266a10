//! The way of a batch: project, route, validate, score, fold, commit, acknowledge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use paceline_engine::EngineError;

use crate::batch::{Batch, BatchLimits};
use crate::commit::{Patience, Retry};
use crate::dead_letter::DeadLetter;
use crate::fold::{self, Fold, Groups};
use crate::project::Cells;
use crate::registry::{Catalog, Rulebooks};
use crate::route::{Route, route};
use crate::score::score;
use crate::store::{Item, Key, Pin, PinKey, Store, StoreError, Write};
use crate::summary::{Stage, Summary};
use crate::table::{Dead, Table};
use crate::validate::validate;

/// Why a batch can't be done. Nothing of it is acknowledged; what was written of it stands behind the fences.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sandbox has no room.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A race is pinned to a rulebook that can't be had.
    #[error("race `{value}` of race type {race_type} is pinned to version {version}: {reason}")]
    Pin {
        /// The race type.
        race_type: String,
        /// The value of the pinned field.
        value: String,
        /// The version.
        version: u64,
        /// Why it can't be had.
        reason: String,
    },
    /// A window holds records that were judged by a rulebook that can't be had.
    #[error("the window's records went by version {version} of race type {race_type}: {reason}")]
    Window {
        /// The race type.
        race_type: String,
        /// The version.
        version: u64,
        /// Why it can't be had.
        reason: String,
    },
    /// Others write the same groups all the time.
    #[error(
        "{groups} groups, {key} among them, were changed by others at each of {attempts} attempts: is another host \
         reading the same shard?"
    )]
    Contended {
        /// How many groups.
        groups: usize,
        /// One of them.
        key: String,
        /// How often it was tried.
        attempts: u32,
    },
}

impl PipelineError {
    /// Whether it passes by itself, so that the batch may be tried again: the store is busy, or another host is at work
    /// on the same groups, as while one deployment or worker takes over from another.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Store(StoreError::Busy(_)) | Self::Contended { .. })
    }
}

/// Races whose pin is remembered, so that it need not be read again. A pin never changes.
const REMEMBERED_PINS: usize = 100_000;

/// Takes batches through all stages into a store.
#[derive(Debug)]
pub struct Pipeline<S> {
    pub(crate) store: S,
    rulebooks: Arc<Rulebooks>,
    limits: BatchLimits,
    pub(crate) retry: Retry,
    pins: Mutex<HashMap<PinKey, Pin>>,
}

/// How far a batch came.
#[derive(Debug)]
#[must_use = "what is not safe has to come again"]
pub struct Done {
    /// The first record that is not safe, by its index, and why: it and all after it have to come again. Nothing where
    /// all of the batch is safe.
    pub not_safe: Option<(u32, PipelineError)>,
}

/// A batch that is judged: what is to be written of it.
#[derive(Debug)]
pub struct Judged {
    /// The groups' writes, in no order.
    pub writes: Vec<Write>,
    /// The records that could not go on, in the order of the batch.
    pub dead: Vec<DeadLetter>,
    /// Rows that were folded before.
    pub behind: u64,
}

impl<S: Store> Pipeline<S> {
    /// A pipeline into this store, by these rulebooks.
    pub fn new(store: S, rulebooks: Arc<Rulebooks>, limits: BatchLimits, retry: Retry) -> Self {
        Self { store, rulebooks, limits, retry, pins: Mutex::default() }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The rulebooks.
    pub fn rulebooks(&self) -> &Arc<Rulebooks> {
        &self.rulebooks
    }

    /// Takes a batch through all stages. When this returns, the outcome of what is safe survives a crash; where all is,
    /// its checkpoint stands. An error means that nothing of it can be called safe.
    ///
    /// At the `deadline` no store is tried any longer; what is written by then is written.
    pub async fn process(
        &self,
        batch: &Batch,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<Done, PipelineError> {
        let mut clock = Clock(Instant::now());
        let patience = self.patience(deadline);
        let (catalog, cells, mut dead, routes) = self.prepare(batch, patience, summary, &mut clock).await?;
        let tables = judge(&catalog, batch, &cells, routes, &mut dead, summary, &mut clock)?;
        let groups = Groups::find(&tables, batch, &cells, &mut dead);
        clock.lap(summary, Stage::Fold);

        let committing = if dead.is_empty() { patience } else { patience.leaving_time_for_letters() };
        let mut committed =
            self.commit(batch, &cells, &tables, &groups, committing, &mut dead, summary, &mut clock).await?;

        let letters = letters(batch, dead, &mut committed.folded);
        let mut not_safe = committed.not_safe;
        self.acknowledge(batch, &letters, &mut not_safe, patience, summary).await?;
        clock.lap(summary, Stage::Acknowledge);
        summary.records += not_safe.as_ref().map_or(batch.records.len() as u64, |(record, _)| u64::from(*record));
        summary.batches += 1;
        Ok(Done { not_safe })
    }

    pub(crate) fn patience(&self, deadline: Option<Instant>) -> Patience<'_> {
        Patience { policy: &self.retry, deadline: deadline.map(Into::into) }
    }

    /// Takes a batch up to the point where it would be written, and no further.
    pub async fn judge(&self, batch: &Batch) -> Result<Judged, PipelineError> {
        let (mut summary, mut clock) = (Summary::default(), Clock(Instant::now()));
        let patience = self.patience(None);
        let (catalog, cells, mut dead, routes) = self.prepare(batch, patience, &mut summary, &mut clock).await?;
        let tables = judge(&catalog, batch, &cells, routes, &mut dead, &mut summary, &mut clock)?;
        let groups = Groups::find(&tables, batch, &cells, &mut dead);
        let loaded: Vec<Option<Item>> = patience.retry(|| self.store.load(&groups.keys)).await?;
        let fold = Fold { tables: &tables, groups: &groups, batch, cells: &cells, loaded: &loaded };
        let outcome = fold::fold(&fold, &self.store, |_| true, &mut dead, &mut summary.fuel)?;
        let letters = letters(batch, dead, &mut HashMap::new());
        Ok(Judged {
            writes: outcome.writes.into_iter().map(|pending| pending.write).collect(),
            dead: letters.into_iter().map(|(_, letter)| letter).collect(),
            behind: outcome.behind,
        })
    }

    /// Projects and routes a batch, by a catalog that holds every rulebook that its races are pinned to.
    pub(crate) async fn prepare(
        &self,
        batch: &Batch,
        patience: Patience<'_>,
        summary: &mut Summary,
        clock: &mut Clock,
    ) -> Result<Prepared, PipelineError> {
        loop {
            let catalog = self.rulebooks.catalog();
            let (cells, mut dead) = catalog.projection.project(batch, self.limits.max_payload_bytes);
            clock.lap(summary, Stage::Project);
            let routes = route(&catalog, batch, &cells, &mut dead);
            let routes = self.rule(&catalog, patience, routes).await?;
            clock.lap(summary, Stage::Route);
            if let Some(routes) = routes {
                return Ok((catalog, cells, dead, routes));
            }
            // A rulebook came in from the registry. It may read other fields, so the payloads are read once more.
        }
    }

    /// Which version each route goes by; nothing where a rulebook had to be brought in first.
    async fn rule(
        &self,
        catalog: &Catalog,
        patience: Patience<'_>,
        routes: Vec<(Route, Vec<u32>)>,
    ) -> Result<Option<Vec<Ruled>>, PipelineError> {
        let keys: Vec<PinKey> = routes.iter().filter_map(|(route, _)| route.pin_key()).collect();
        let pins = self.pins(catalog, patience, &keys).await?;
        let mut pins = pins.into_iter();
        let mut complete = true;
        let mut ruled: Vec<Ruled> = Vec::new();
        for (route, records) in routes {
            let active = catalog.active(&route.race_type).expect("routed by it").ruling.book.version;
            let version = match &route.pinned {
                None => active,
                Some(value) => {
                    let pin = pins.next().expect("a pin for each key");
                    let known = catalog.plan(&route.race_type, pin.version);
                    if known.is_none_or(|plan| *plan.ruling.digest.as_bytes() != pin.rulebook) {
                        self.rulebooks.recall(&route.race_type, pin).map_err(|reason| PipelineError::Pin {
                            race_type: route.race_type.clone(),
                            value: value.clone(),
                            version: pin.version,
                            reason,
                        })?;
                        complete = false;
                    }
                    pin.version
                }
            };
            match ruled.iter_mut().find(|(race_type, other, _)| *race_type == route.race_type && *other == version) {
                Some((_, _, all)) => all.extend(records),
                None => ruled.push((route.race_type, version, records)),
            }
        }
        for (_, _, records) in &mut ruled {
            if !records.is_sorted() {
                records.sort_unstable();
            }
        }
        Ok(complete.then_some(ruled))
    }

    /// The pins of races; those that have none are pinned to what is active.
    async fn pins(
        &self,
        catalog: &Catalog,
        patience: Patience<'_>,
        keys: &[PinKey],
    ) -> Result<Vec<Pin>, PipelineError> {
        let remembered = |key: &PinKey| self.pins.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        let mut pins: Vec<Option<Pin>> = keys.iter().map(remembered).collect();
        let unknown: Vec<PinKey> =
            keys.iter().zip(&pins).filter(|(_, pin)| pin.is_none()).map(|(key, _)| key.clone()).collect();
        if !unknown.is_empty() {
            let mut found = patience.retry(|| self.store.pins(&unknown)).await?;
            let fresh: Vec<(PinKey, Pin)> = unknown
                .iter()
                .zip(&found)
                .filter(|(_, pin)| pin.is_none())
                .map(|(key, _)| {
                    let ruling = &catalog.active(&key.race_type).expect("routed by it").ruling;
                    let pin = Pin { version: ruling.book.version, rulebook: *ruling.digest.as_bytes() };
                    (key.clone(), pin)
                })
                .collect();
            if !fresh.is_empty() {
                let mut stand = patience.retry(|| self.store.pin(&fresh)).await?.into_iter();
                found.iter_mut().filter(|pin| pin.is_none()).for_each(|pin| *pin = stand.next());
            }
            let mut memory = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
            if memory.len() + unknown.len() > REMEMBERED_PINS {
                memory.clear();
            }
            memory.extend(unknown.into_iter().zip(found.iter().flatten().copied()));
            let mut found = found.into_iter();
            pins.iter_mut().filter(|pin| pin.is_none()).for_each(|pin| *pin = found.next().flatten());
        }
        Ok(pins.into_iter().map(|pin| pin.expect("found, or pinned just now")).collect())
    }
}

pub(crate) type Prepared = (Arc<Catalog>, Cells, Dead, Vec<Ruled>);

/// Race type, version, and the records that go by them, ascending.
pub(crate) type Ruled = (String, u64, Vec<u32>);

/// Gathers, validates and scores the records of each ruling.
pub(crate) fn judge<'c>(
    catalog: &'c Catalog,
    batch: &Batch,
    cells: &Cells,
    routes: Vec<Ruled>,
    dead: &mut Dead,
    summary: &mut Summary,
    clock: &mut Clock,
) -> Result<Vec<Table<'c>>, PipelineError> {
    let mut tables = Vec::new();
    for (race_type, version, records) in routes {
        let plan = catalog.plan(&race_type, version).expect("the catalog holds it");
        *summary.ruled.entry((race_type, version)).or_default() += records.len() as u64;
        let mut table = Table::gather(plan, &catalog.projection, batch, cells, records, dead);
        clock.lap(summary, Stage::Gather);
        validate(&mut table, dead, &mut summary.fuel)?;
        clock.lap(summary, Stage::Validate);
        score(&mut table, dead, &mut summary.fuel)?;
        clock.lap(summary, Stage::Score);
        tables.push(table);
    }
    Ok(tables)
}

/// The dead letters of a batch, in its order.
pub(crate) fn letters(batch: &Batch, mut dead: Dead, folded: &mut HashMap<u32, Vec<Key>>) -> Vec<(u32, DeadLetter)> {
    dead.sort_by_key(|(record, _)| *record);
    let letter = |(record, reason)| {
        let mut letter = DeadLetter::of(batch, record, reason);
        letter.folded.extend(folded.remove(&record).unwrap_or_default());
        (record, letter)
    };
    dead.into_iter().map(letter).collect()
}

/// Tells the stages' times.
pub(crate) struct Clock(pub(crate) Instant);

impl Clock {
    /// Books the time since the last lap to a stage.
    pub(crate) fn lap(&mut self, summary: &mut Summary, stage: Stage) {
        let now = Instant::now();
        let spent: Duration = now - std::mem::replace(&mut self.0, now);
        summary.time[stage as usize] += spent;
    }
}
