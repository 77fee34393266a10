//! Receive: batches from files, standard input and dead letters.

mod input;
mod ndjson;
mod redrive;

use std::io;
use std::sync::Arc;

pub use ndjson::{MAX_LINE_BYTES, NdjsonSource};
pub use redrive::Redrive;

use crate::model::{Batch, BatchLimits, Checkpoint};

/// A source of records: one shard, read from its checkpoint.
///
/// It is read on its own thread, so that it may block.
pub trait Source: Send {
    /// The shard's name in checkpoints and dedup state.
    fn shard(&self) -> &Arc<str>;

    /// Goes to the checkpoint. Called once, before anything is read.
    fn resume(&mut self, checkpoint: Option<&Checkpoint>) -> Result<(), SourceError>;

    /// The next batch; `None` at the end.
    fn next(&mut self, limits: &BatchLimits) -> Result<Option<Batch>, SourceError>;

    /// The sequence number at the end, if it is known: a file's length.
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

/// A source can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Reading failed.
    #[error("{input}")]
    Io {
        /// The file or shard.
        input: String,
        /// The cause.
        source: io::Error,
    },
    /// The thread that reads can't be started.
    #[error("no thread can be started to read the source")]
    Thread(#[source] io::Error),
    /// The input can't be used, or is not the one that its checkpoint was taken from.
    #[error("{0}")]
    Unusable(String),
}

impl SourceError {
    pub(crate) fn io(input: impl ToString, source: io::Error) -> Self {
        Self::Io { input: input.to_string(), source }
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
