//! The way of a batch: project, route, validate, score, fold, commit, acknowledge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use paceline_engine::EngineError;

use crate::batch::{Batch, BatchLimits};
use crate::commit::{RetryBudget, RetryPolicy};
use crate::dead_letter::DeadLetter;
use crate::fold::{self, Fold, Groups};
use crate::project::ProjectedRows;
use crate::registry::{Catalog, Rulebooks};
use crate::route::{Route, route};
use crate::score::score;
use crate::store::{Item, Key, Pin, PinKey, Store, StoreError, Write};
use crate::summary::{Stage, Summary};
use crate::record_batch::{Rejected, RecordBatch};
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
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(StoreError::Transient(_)) | Self::Contended { .. })
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
    pub(crate) retry: RetryPolicy,
    pins: Mutex<HashMap<PinKey, Pin>>,
}

/// How far a batch came.
#[derive(Debug)]
#[must_use = "what is not safe has to come again"]
pub struct Done {
    /// The first record that is not safe, by its index, and why: it and all after it have to come again. Nothing where
    /// all of the batch is safe.
    pub first_uncommitted: Option<(u32, PipelineError)>,
}

/// A batch that is judged: what is to be written of it.
#[derive(Debug)]
pub struct Evaluation {
    /// The groups' writes, in no order.
    pub writes: Vec<Write>,
    /// The records that could not go on, in the order of the batch.
    pub dead: Vec<DeadLetter>,
    /// Rows that were folded before.
    pub duplicates: u64,
}

impl<S: Store> Pipeline<S> {
    /// A pipeline into this store, by these rulebooks.
    pub fn new(store: S, rulebooks: Arc<Rulebooks>, limits: BatchLimits, retry: RetryPolicy) -> Self {
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
        let budget = self.budget(deadline);
        let (catalog, rows_of_fields, mut dead, routes) = self.prepare(batch, budget, summary, &mut clock).await?;
        let record_batches = evaluate(&catalog, batch, &rows_of_fields, routes, &mut dead, summary, &mut clock)?;
        let groups = Groups::find(&record_batches, batch, &rows_of_fields, &mut dead);
        clock.lap(summary, Stage::Fold);

        let committing = if dead.is_empty() { budget } else { budget.leaving_time_for_letters() };
        let mut committed =
            self.commit(batch, &rows_of_fields, &record_batches, &groups, committing, &mut dead, summary, &mut clock).await?;

        let dead_letters = dead_letters(batch, dead, &mut committed.folded);
        let mut first_uncommitted = committed.first_uncommitted;
        self.acknowledge(batch, &dead_letters, &mut first_uncommitted, budget, summary).await?;
        clock.lap(summary, Stage::Acknowledge);
        summary.records += first_uncommitted.as_ref().map_or(batch.records.len() as u64, |(record, _)| u64::from(*record));
        summary.batches += 1;
        Ok(Done { first_uncommitted })
    }

    pub(crate) fn budget(&self, deadline: Option<Instant>) -> RetryBudget<'_> {
        RetryBudget { policy: &self.retry, deadline: deadline.map(Into::into) }
    }

    /// Takes a batch up to the point where it would be written, and no further.
    pub async fn evaluate(&self, batch: &Batch) -> Result<Evaluation, PipelineError> {
        let (mut summary, mut clock) = (Summary::default(), Clock(Instant::now()));
        let budget = self.budget(None);
        let (catalog, rows_of_fields, mut dead, routes) = self.prepare(batch, budget, &mut summary, &mut clock).await?;
        let record_batches = evaluate(&catalog, batch, &rows_of_fields, routes, &mut dead, &mut summary, &mut clock)?;
        let groups = Groups::find(&record_batches, batch, &rows_of_fields, &mut dead);
        let loaded: Vec<Option<Item>> = budget.retry(|| self.store.load(&groups.keys)).await?;
        let fold = Fold { record_batches: &record_batches, groups: &groups, batch, rows_of_fields: &rows_of_fields, loaded: &loaded };
        let outcome = fold::fold(&fold, &self.store, |_| true, &mut dead, &mut summary.fuel)?;
        let dead_letters = dead_letters(batch, dead, &mut HashMap::new());
        Ok(Evaluation {
            writes: outcome.writes.into_iter().map(|pending| pending.write).collect(),
            dead: dead_letters.into_iter().map(|(_, letter)| letter).collect(),
            duplicates: outcome.duplicates,
        })
    }

    /// Projects and routes a batch, by a catalog that holds every rulebook that its races are pinned to.
    pub(crate) async fn prepare(
        &self,
        batch: &Batch,
        budget: RetryBudget<'_>,
        summary: &mut Summary,
        clock: &mut Clock,
    ) -> Result<Prepared, PipelineError> {
        loop {
            let catalog = self.rulebooks.catalog();
            let (rows_of_fields, mut dead) = catalog.projection.project(batch, self.limits.max_payload_bytes);
            clock.lap(summary, Stage::Project);
            let routes = route(&catalog, batch, &rows_of_fields, &mut dead);
            let routes = self.rule(&catalog, budget, routes).await?;
            clock.lap(summary, Stage::Route);
            if let Some(routes) = routes {
                return Ok((catalog, rows_of_fields, dead, routes));
            }
            // A rulebook came in from the registry. It may read other fields, so the payloads are read once more.
        }
    }

    /// Which version each route goes by; nothing where a rulebook had to be brought in first.
    async fn rule(
        &self,
        catalog: &Catalog,
        budget: RetryBudget<'_>,
        routes: Vec<(Route, Vec<u32>)>,
    ) -> Result<Option<Vec<Ruled>>, PipelineError> {
        let keys: Vec<PinKey> = routes.iter().filter_map(|(route, _)| route.pin_key()).collect();
        let pins = self.pins(catalog, budget, &keys).await?;
        let mut pins = pins.into_iter();
        let mut complete = true;
        let mut by_rulebook: Vec<Ruled> = Vec::new();
        for (route, records) in routes {
            let active = catalog.active(&route.race_type).expect("routed by it").rulebook.book.version;
            let version = match &route.pinned {
                None => active,
                Some(value) => {
                    let pin = pins.next().expect("a pin for each key");
                    let known = catalog.plan(&route.race_type, pin.version);
                    if known.is_none_or(|plan| *plan.rulebook.digest.as_bytes() != pin.rulebook) {
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
            match by_rulebook.iter_mut().find(|(race_type, other, _)| *race_type == route.race_type && *other == version) {
                Some((_, _, all)) => all.extend(records),
                None => by_rulebook.push((route.race_type, version, records)),
            }
        }
        for (_, _, records) in &mut by_rulebook {
            if !records.is_sorted() {
                records.sort_unstable();
            }
        }
        Ok(complete.then_some(by_rulebook))
    }

    /// The pins of races; those that have none are pinned to what is active.
    async fn pins(
        &self,
        catalog: &Catalog,
        budget: RetryBudget<'_>,
        keys: &[PinKey],
    ) -> Result<Vec<Pin>, PipelineError> {
        let remembered = |key: &PinKey| self.pins.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        let mut pins: Vec<Option<Pin>> = keys.iter().map(remembered).collect();
        let unknown: Vec<PinKey> =
            keys.iter().zip(&pins).filter(|(_, pin)| pin.is_none()).map(|(key, _)| key.clone()).collect();
        if !unknown.is_empty() {
            let mut found = budget.retry(|| self.store.pins(&unknown)).await?;
            let fresh: Vec<(PinKey, Pin)> = unknown
                .iter()
                .zip(&found)
                .filter(|(_, pin)| pin.is_none())
                .map(|(key, _)| {
                    let rulebook = &catalog.active(&key.race_type).expect("routed by it").rulebook;
                    let pin = Pin { version: rulebook.book.version, rulebook: *rulebook.digest.as_bytes() };
                    (key.clone(), pin)
                })
                .collect();
            if !fresh.is_empty() {
                let mut stand = budget.retry(|| self.store.pin(&fresh)).await?.into_iter();
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

pub(crate) type Prepared = (Arc<Catalog>, ProjectedRows, Rejected, Vec<Ruled>);

/// Race type, version, and the records that go by them, ascending.
pub(crate) type Ruled = (String, u64, Vec<u32>);

/// Gathers, validates and scores the records of each ruling.
pub(crate) fn evaluate<'c>(
    catalog: &'c Catalog,
    batch: &Batch,
    rows_of_fields: &ProjectedRows,
    routes: Vec<Ruled>,
    dead: &mut Rejected,
    summary: &mut Summary,
    clock: &mut Clock,
) -> Result<Vec<RecordBatch<'c>>, PipelineError> {
    let mut record_batches = Vec::new();
    for (race_type, version, records) in routes {
        let plan = catalog.plan(&race_type, version).expect("the catalog holds it");
        *summary.by_rulebook.entry((race_type, version)).or_default() += records.len() as u64;
        let mut record_batch = RecordBatch::gather(plan, &catalog.projection, batch, rows_of_fields, records, dead);
        clock.lap(summary, Stage::Gather);
        validate(&mut record_batch, dead, &mut summary.fuel)?;
        clock.lap(summary, Stage::Validate);
        score(&mut record_batch, dead, &mut summary.fuel)?;
        clock.lap(summary, Stage::Score);
        record_batches.push(record_batch);
    }
    Ok(record_batches)
}

/// The dead letters of a batch, in its order.
pub(crate) fn dead_letters(batch: &Batch, mut dead: Rejected, folded: &mut HashMap<u32, Vec<Key>>) -> Vec<(u32, DeadLetter)> {
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
