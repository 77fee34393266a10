//! One of the two rulebooks of a replay, with its items and what it costs.

use std::sync::Arc;
use std::time::Duration;

use crate::error::PipelineError;
use crate::evaluation::Evaluation;
use crate::model::{Batch, BatchLimits, Cause, Item, Key};
use crate::pipeline::Pipeline;
use crate::retry::RetryPolicy;
use crate::rules::Rulebooks;
use crate::store::{GroupStore, MemoryStore, StoreError};
use crate::summary::{Calls, Stage, Summary};

/// The stages that plugins run in.
const PLUGIN_STAGES: [Stage; 3] = [Stage::Validate, Stage::Score, Stage::Fold];

/// The stages that a rulebook makes dearer or cheaper. Those that read or write a store are not among them.
const STAGES: [Stage; 6] = [Stage::Project, Stage::Route, Stage::Columns, Stage::Validate, Stage::Score, Stage::Fold];

/// A rulebook of a replay.
#[derive(Debug)]
pub(super) struct Side {
    pipeline: Pipeline<MemoryStore>,
    summary: Summary,
    failed: u64,
}

/// What a rulebook cost.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// The records that were evaluated by it.
    pub rows: u64,
    /// The calls of its plugins.
    pub calls: Calls,
    /// The time from payloads to folded groups.
    pub time: Duration,
    /// The part of it in the stages that plugins run in.
    pub plugin_time: Duration,
    /// The records on which a call to a plugin failed, or gave no finite score.
    pub failed: u64,
}

impl Side {
    pub(super) fn new(rulebooks: Arc<Rulebooks>, limits: BatchLimits) -> Self {
        // Nothing waits: a record that would is counted as rejected.
        let pipeline =
            Pipeline::new(MemoryStore::default(), rulebooks, limits, RetryPolicy::default()).with_hold(Duration::ZERO);
        Self { pipeline, summary: Summary::default(), failed: 0 }
    }

    /// Evaluates a batch that does not count.
    pub(super) async fn warm_up(&self, batch: &Batch) -> Result<(), PipelineError> {
        self.pipeline.evaluate(batch).await.map(drop)
    }

    /// Evaluates a batch, and folds it into the items in memory.
    pub(super) async fn fold(&mut self, batch: &Batch) -> Result<Evaluation, PipelineError> {
        let evaluation = self.pipeline.evaluate(batch).await?;
        // Nobody else writes them, so that there are no conflicts.
        self.pipeline.store().write_groups(&evaluation.writes).await?;
        self.summary.add(&evaluation.summary);
        let failed = |cause| matches!(cause, Cause::PluginFailed | Cause::BadScore);
        let failed = evaluation.dead_letters.iter().filter(|(_, letter)| failed(letter.reason.cause));
        self.failed += failed.count() as u64;
        Ok(evaluation)
    }

    /// The items, by key.
    pub(super) async fn items(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        self.pipeline.store().list_groups().await
    }

    pub(super) fn into_cost(self) -> Cost {
        let Summary { rows, calls, time, .. } = self.summary;
        let sum = |stages: &[Stage]| stages.iter().map(|stage| time[*stage as usize]).sum();
        let (rows, failed) = (rows.values().map(|rows| rows.evaluated).sum(), self.failed);
        Cost { rows, calls, time: sum(&STAGES), plugin_time: sum(&PLUGIN_STAGES), failed }
    }
}

impl Cost {
    /// Fuel for one record; 0 without records.
    pub fn fuel_per_row(&self) -> f64 {
        self.calls.values().map(|usage| usage.fuel).sum::<u64>() as f64 / self.rows.max(1) as f64
    }

    /// Nanoseconds for one record.
    pub fn ns_per_row(&self) -> f64 {
        self.time.as_nanos() as f64 / self.rows.max(1) as f64
    }

    /// Nanoseconds for one record, in the stages that plugins run in.
    pub fn plugin_ns_per_row(&self) -> f64 {
        self.plugin_time.as_nanos() as f64 / self.rows.max(1) as f64
    }
}
