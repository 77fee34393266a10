//! What all shards of a consumer share.

use std::sync::Arc;
use std::time::Duration;

use paceline_pipeline::Pipeline;
use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::summary::Summary;

use super::budget::ReadAheadBudget;
use super::reader::ReaderContext;
use super::retention::RetentionWindow;

/// A committed batch.
#[derive(Debug)]
pub struct Finished<'a> {
    /// The shard's id.
    pub shard: &'a str,
    /// The batch. After a retry, the records that were not committed before.
    pub batch: &'a Batch,
    /// The counts of the batch.
    pub summary: &'a Summary,
    /// The time from the last record to the checkpoint.
    pub took: Duration,
}

/// What all shards share.
pub(super) struct ConsumerContext<S> {
    pub(super) reader: ReaderContext,
    pub(super) pipeline: Arc<Pipeline<S>>,
    pub(super) limits: BatchLimits,
    pub(super) budget: ReadAheadBudget,
    pub(super) retention: RetentionWindow,
    /// The stream's name in checkpoints and dedup state.
    pub(super) name: String,
    /// Called after each committed batch.
    pub(super) finished: Box<dyn Fn(&Finished<'_>) + Send + Sync>,
}

impl<S> ConsumerContext<S> {
    /// A shard's name in checkpoints and dedup state.
    pub(super) fn shard_name(&self, shard: &str) -> Arc<str> {
        format!("{}/{shard}", self.name).into()
    }
}
