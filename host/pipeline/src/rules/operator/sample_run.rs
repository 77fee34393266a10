//! Sample events through the stages, by one rulebook into a store in memory: with the plugins and the bounds of a host.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use paceline_engine::Digest;

use crate::error::PipelineError;
use crate::holds::Holds;
use crate::model::{Batch, BatchLimits, Reason};
use crate::pipeline::evaluate;
use crate::retry::{RetryBudget, RetryPolicy};
use crate::rules::catalog::{Catalog, Followed};
use crate::rules::loaded::LoadedRulebook;
use crate::stages::commit::commit;
use crate::stages::context::Context;
use crate::stages::evaluated::Evaluated;
use crate::stages::fold::BatchFold;
use crate::stages::groups;
use crate::stages::project::{ProjectedBatch, project};
use crate::stages::route::{RoutedBatch, pinned_race};
use crate::store::MemoryStore;
use crate::summary::Summary;

/// A sample event.
#[derive(Debug)]
pub(super) struct SampleEvent {
    /// Its JSON.
    pub(super) payload: String,
    pub(super) partition_key: Option<String>,
    pub(super) arrival_ms: Option<i64>,
}

/// What becomes of a sample event.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is accepted, and folded into its groups.
    Score(f64),
    /// It would become a dead letter.
    Rejected(Reason),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Score(score) => write!(f, "the score {score}"),
            Self::Rejected(Reason { cause, text, .. }) => write!(f, "a rejection, {cause}: {text}"),
        }
    }
}

/// What becomes of each event, in their order.
pub(super) async fn run(
    rulebook: &Arc<LoadedRulebook>,
    events: &[&SampleEvent],
) -> Result<Vec<Outcome>, PipelineError> {
    // The rulebook stands for every race type, so that no field has to name one.
    let route = rulebook.pointers().next().expect("a key has a field");
    let catalog = Arc::new(Catalog::new(route, &[Arc::clone(rulebook)], HashMap::new(), Followed::default()));
    let store = MemoryStore::default();
    let mut outcomes = Vec::with_capacity(events.len());
    for events in events.chunks(BatchLimits::default().max_records) {
        let batch = batch(outcomes.len(), events);
        outcomes.extend(Box::pin(run_batch(&catalog, rulebook.id.digest, &store, &batch)).await?);
    }
    Ok(outcomes)
}

fn batch(first: usize, events: &[&SampleEvent]) -> Batch {
    let mut batch = Batch::new("samples".into());
    for (sequence, event) in (first as u64 + 1..).zip(events) {
        batch.push(event.payload.as_bytes(), sequence.into());
        let key = event.partition_key.as_ref().map(|key| batch.push_bytes(key.as_bytes()));
        if let Some(record) = batch.records.last_mut() {
            (record.partition_key, record.arrival_ms) = (key, event.arrival_ms);
        }
    }
    batch
}

/// The records that can be read and are of a race, where the rulebook pins races. The others are rejected, as routing does.
fn with_race<S>(context: &mut Context<'_, S>, projected: &ProjectedBatch<'_>, rulebook: Digest) -> Vec<u32> {
    let unreadable: HashSet<u32> = context.rejected.records();
    let bound = projected.catalog.rulebook(rulebook);
    let pin = bound.and_then(|bound| Some((&bound.rulebook.id, bound.pin?)));
    let mut records = Vec::new();
    for record in (0..projected.batch.records.len() as u32).filter(|record| !unreadable.contains(record)) {
        let race = pin.map(|(id, field)| {
            let pinned = (field, projected.rows.get(record, field));
            pinned_race(projected, record, pinned).map_err(|reason| reason.under(id))
        });
        match race {
            Some(Err(reason)) => context.rejected.push(record, reason),
            Some(Ok(_)) | None => records.push(record),
        }
    }
    records
}

async fn run_batch(
    catalog: &Arc<Catalog>,
    rulebook: Digest,
    store: &MemoryStore,
    batch: &Batch,
) -> Result<Vec<Outcome>, PipelineError> {
    let (policy, holds, mut summary) = (RetryPolicy::default(), Holds::new(Duration::ZERO), Summary::default());
    let budget = RetryBudget { policy: &policy, deadline: None };
    let mut context = Context::new(store, budget, &holds, &mut summary);
    let projected = project(&mut context, Arc::clone(catalog), batch, &BatchLimits::default());
    let records = with_race(&mut context, &projected, rulebook);
    let record_batches = evaluate(&mut context, &projected, vec![(rulebook, records)])?;
    let groups = groups::find(&mut context, &projected, &record_batches);
    let routed = RoutedBatch::default();
    let evaluated = Evaluated { projected: &projected, routed: &routed, record_batches: &record_batches };
    let mut fold = BatchFold::new(evaluated, &groups);
    if let Some(uncommitted) = commit(&mut context, &mut fold).await?.into_iter().next() {
        return Err(uncommitted.why);
    }
    let mut outcomes: Vec<Outcome> = batch.records.iter().map(|_| Outcome::Score(0.0)).collect();
    for record_batch in &record_batches {
        for (&record, &score) in record_batch.records.iter().zip(&record_batch.scores) {
            outcomes[record as usize] = Outcome::Score(score);
        }
    }
    // Those on which an aggregator failed have a score, too.
    for (record, letter) in fold.into_dead_letters(&context) {
        outcomes[record as usize] = Outcome::Rejected(letter.reason);
    }
    Ok(outcomes)
}
