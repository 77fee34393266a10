//! A reader of one shard, by either way.
//!
//! # Layout
//!
//! - `poll`, `fan_out`: the two ways to read a shard.
//! - `registration`: the name under which fan-out subscribes.
//! - `context`, `chunk`, `backoff`: what both use.

mod backoff;
mod chunk;
mod context;
mod fan_out;
mod poll;
mod registration;

pub(super) use chunk::{RecordChunk, arrival_ms};
pub(super) use context::ReaderContext;
pub(super) use poll::Poll;
pub(super) use registration::{is_registered, register};

use self::fan_out::FanOut;
use super::iterator_position::IteratorPosition;
use crate::kinesis::config::ConsumerKind;
use crate::kinesis::error::StreamError;
use crate::kinesis::shard::Shard;

/// A reader of one shard.
pub(super) enum Reader {
    Poll(Box<Poll>),
    FanOut(Box<FanOut>),
}

impl Reader {
    pub(super) fn new(context: ReaderContext, shard: Shard, position: IteratorPosition) -> Self {
        match context.config.consumer {
            ConsumerKind::Poll => Self::Poll(Box::new(Poll::new(context, shard, position))),
            ConsumerKind::FanOut => Self::FanOut(Box::new(FanOut::new(context, shard, position))),
        }
    }

    /// The next records, perhaps none. Retries while errors are transient.
    pub(super) async fn next(&mut self) -> Result<RecordChunk, StreamError> {
        match self {
            Self::Poll(poll) => poll.next().await,
            Self::FanOut(fan_out) => fan_out.next().await,
        }
    }
}
