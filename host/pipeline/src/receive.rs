//! Receive: batches from where the records come from.

mod lines;
mod redrive;

use std::sync::Arc;
use std::time::Duration;

pub use lines::{NdjsonSource, MAX_LINE_BYTES};
pub use redrive::Redrive;

use crate::batch::{Batch, BatchLimits, Checkpoint};

/// Where records come from: one shard, read from where it was left.
///
/// It is read on a thread of its own, so it may block.
pub trait Source: Send {
    /// The shard's name. Checkpoints and fences go by it.
    fn shard(&self) -> &Arc<str>;

    /// Goes to where the shard was left. Called once, before anything is read.
    fn resume(&mut self, checkpoint: Option<&Checkpoint>) -> Result<(), SourceError>;

    /// The next batch; nothing at the end.
    fn next(&mut self, limits: &BatchLimits) -> Result<Option<Batch>, SourceError>;

    /// The sequence number at its end, where that is known: a file's length.
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

/// A source can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

impl BatchLimits {
    pub(crate) fn max_wait(&self) -> Duration {
        Duration::from_millis(self.max_wait_ms)
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn shard(&self) -> &Arc<str> {
        (**self).shard()
    }

    fn resume(&mut self, checkpoint: Option<&Checkpoint>) -> Result<(), SourceError> {
        (**self).resume(checkpoint)
    }

    fn next(&mut self, limits: &BatchLimits) -> Result<Option<Batch>, SourceError> {
        (**self).next(limits)
    }

    fn len_hint(&self) -> Option<u64> {
        (**self).len_hint()
    }
}
