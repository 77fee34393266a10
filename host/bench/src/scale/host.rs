//! A process that takes batches from memory through the pipeline into the memory store.

use std::path::Path;
use std::sync::Arc;

use paceline_engine::{Engine, Limits};
use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::rules::Registry;
use paceline_pipeline::store::MemoryStore;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks};
use paceline_testbed::rules;

use super::axis::{Job, Load};
use super::prepare::message;
use super::process::{Cost, Meter};
use crate::root;

/// Records of a process: enough that its clock is exact.
const RECORDS: usize = 60_000;

/// Steps that are measured: with fewer, start-up would count; with more, small sizes would take long.
const STEPS: (usize, usize) = (3, 6_000);

pub(super) fn run(job: &Job) -> Cost {
    let steps = (RECORDS / job.records_in_a_step()).clamp(STEPS.0, STEPS.1);
    // The first one warms up.
    let batches: Vec<Vec<Batch>> = (0..=steps).map(|step| step_of(&job.load, step)).collect();
    let mut meter = Meter::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts");
    let rulebooks = runtime.block_on(rulebooks(&job.registry));
    let pipeline = Pipeline::new(MemoryStore::default(), rulebooks, BatchLimits::default(), RetryPolicy::default());
    let mut summary = Summary::default();
    for (step, batches) in batches.iter().enumerate() {
        if step == 1 {
            meter.start_clock();
        }
        for batch in batches {
            let outcome = runtime.block_on(pipeline.process(batch, None, &mut summary));
            assert!(outcome.expect("the batch is processed").first_uncommitted.is_none());
        }
    }
    let cost = meter.stop((steps * job.records_in_a_step()) as u64);
    let all = (batches.len() * job.records_in_a_step()) as u64;
    assert_eq!((summary.records, summary.dead_letter_count()), (all, 0), "every message is folded");
    cost
}

/// The rulebooks of a registry, loaded.
pub(super) async fn rulebooks(registry: &Path) -> Arc<Rulebooks> {
    // The cache that was filled when the rules were published.
    let engine = Engine::with_cache(Limits::default(), &root().join("target/tmp/compiled"));
    let registry = Registry::folder(registry).expect("the registry was written before");
    let rulebooks = Arc::new(Rulebooks::new(engine.expect("the sandbox starts"), registry, rules::route()));
    rulebooks.poll().await.expect("the registry can be read");
    rulebooks
}

/// A message of each racer of each race type, in batches.
fn step_of(load: &Load, step: usize) -> Vec<Batch> {
    let race_types = 1..=load.race_types;
    let racers = (0..load.racers).flat_map(|racer| race_types.clone().map(move |race_type| (race_type, racer)));
    let racers: Vec<(usize, usize)> = racers.collect();
    let batch = |(at, racers): (usize, &[(usize, usize)])| {
        let mut batch = Batch::new("scale".into());
        for (nth, (race_type, racer)) in racers.iter().enumerate() {
            let sequence = step * load.race_types * load.racers + at * BATCH + nth;
            batch.push(&message(*race_type, *racer, step + 1), (sequence as u64).into());
        }
        batch
    };
    racers.chunks(BATCH).enumerate().map(batch).collect()
}

/// Records of a batch, at most.
const BATCH: usize = 10_000;
