//! What others see of a shard while it is processed.

use std::time::Instant;

use paceline_pipeline::PipelineError;
use paceline_pipeline::model::Batch;
use paceline_pipeline::summary::Summary;

/// A batch that was processed until it was committed, or until nobody waited for it.
#[derive(Debug)]
pub struct Processed<'a> {
    /// The batch. After a retry, the records that were not committed before.
    pub batch: &'a Batch,
    /// The counts of the batch.
    pub summary: &'a Summary,
    /// When it was first processed.
    pub began: Instant,
    /// Why it is not committed.
    pub error: Option<&'a PipelineError>,
}

/// Whoever wants to know how a shard is processed. Each method does nothing unless it is implemented.
pub trait Observer: Send + Sync {
    /// The daemon has named the shard.
    fn began(&self, _shard: &str) {}

    /// Records have come, with so many bytes of data. The daemon is so far behind the shard's end, if it says so.
    fn received(&self, _records: usize, _bytes: usize, _behind_ms: Option<i64>) {}

    /// A batch is not committed, and waits until it is processed again.
    fn waits(&self, _why: &PipelineError) {}

    /// A batch is committed, or given up.
    fn processed(&self, _processed: &Processed<'_>) {}

    /// All records that have come are committed.
    fn committed(&self) {}

    /// The shard is read to its end, or another process has it.
    fn done(&self) {}
}

/// Nobody wants to know.
impl Observer for () {}
