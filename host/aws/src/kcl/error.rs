//! Why the conversation with the daemon ends early.

use std::io;

use paceline_pipeline::PipelineError;
use paceline_pipeline::model::NotASequenceNumber;

use super::input::InputError;
use super::protocol::ProtocolError;

/// Why the conversation with the daemon ends early.
#[derive(Debug, thiserror::Error)]
pub enum KclError {
    /// The daemon does not read answers any more. That is no failure of this process.
    #[error("the daemon is gone")]
    DaemonGone,
    /// Standard input can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Standard output can't be written.
    #[error("standard output can't be written")]
    Output(#[source] io::Error),
    /// A line is not a message of the daemon.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// A message is not expected now.
    #[error("the daemon sent `{0}` without a request for it")]
    Unexpected(&'static str),
    /// The daemon answered a checkpoint with another message.
    #[error("the daemon answered a checkpoint with `{0}`")]
    NotAnAnswer(&'static str),
    /// Records came before the shard's name.
    #[error("the daemon sent records before it named the shard: its first message must be `initialize`")]
    NoShard,
    /// A record's sequence number is not one.
    #[error("the daemon sent a record without a valid sequence number")]
    Record(#[from] NotASequenceNumber),
    /// A batch can't be processed.
    #[error("{shard}: a batch can't be processed")]
    Batch {
        /// The shard's name.
        shard: String,
        /// The cause.
        source: PipelineError,
    },
    /// The daemon closed the input while the store did not accept a batch.
    #[error("{shard}: the daemon is gone and {left} records are not committed; they are delivered again")]
    NotCommitted {
        /// The shard's name.
        shard: String,
        /// Records that are not committed.
        left: usize,
        /// Why not.
        source: PipelineError,
    },
    /// The daemon did not write the checkpoint at the shard's end.
    #[error("the daemon did not record the shard's end in {attempts} attempts: {error}")]
    ShardEnd {
        /// Attempts.
        attempts: u32,
        /// The class of the daemon's exception.
        error: String,
    },
    /// The daemon can't write checkpoints.
    #[error(
        "the daemon can't write a checkpoint: {error}; does its lease table exist, and may the daemon write to it?"
    )]
    LeaseTable {
        /// The class of the daemon's exception.
        error: String,
    },
}
