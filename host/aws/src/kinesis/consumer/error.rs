//! Why a consumer stops.

use paceline_pipeline::PipelineError;
use paceline_pipeline::store::StoreError;

use crate::kinesis::error::StreamError;

/// Why a consumer can't continue. Committed batches have their checkpoints; the next start resumes there.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The stream can't be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A batch can't be committed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The task that reads a shard panicked.
    #[error("the reader of {0} panicked; see the log above")]
    Panicked(String),
}

impl From<StoreError> for ConsumerError {
    fn from(error: StoreError) -> Self {
        Self::Pipeline(error.into())
    }
}
