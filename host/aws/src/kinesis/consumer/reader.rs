//! A reader of one shard, whichever way it reads.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::types::{ChildShard, Record};

use super::client::Stream;
use super::config::{ConsumerKind, KinesisConfig};
use super::error::{StreamErrorKind, StreamError};
use super::fan_out::FanOut;
use super::lineage::Shard;
use super::poll::Poll;
use super::position::IteratorPosition;
use super::status::Status;

/// Some records of a shard, in order.
#[derive(Debug)]
pub(super) struct RecordChunk {
    pub(super) records: Vec<Record>,
    /// Bytes of their data.
    pub(super) bytes: usize,
    /// How far their end is behind the newest record of the shard, as the service says.
    pub(super) behind_ms: i64,
    /// When they were asked for, by the service's clock.
    pub(super) asked_ms: i64,
    /// The children of the shard, where this is its end.
    pub(super) ended: Option<Vec<Shard>>,
}

impl RecordChunk {
    pub(super) fn new(records: Vec<Record>, behind_ms: i64, asked_ms: i64) -> Self {
        let bytes = records.iter().map(|record| record.data().as_ref().len()).sum();
        Self { records, bytes, behind_ms, asked_ms, ended: None }
    }

    /// It is the shard's end.
    pub(super) fn ended(self, children: &[ChildShard]) -> Self {
        // A child that is not told rightly is found by listing the shards.
        Self { ended: Some(children.iter().filter_map(|child| Shard::child(child).ok()).collect()), ..self }
    }
}

/// What all readers share.
#[derive(Clone, Debug)]
pub(super) struct ReaderContext {
    pub(super) stream: Stream,
    pub(super) config: Arc<KinesisConfig>,
    pub(super) status: Arc<Status>,
    /// The name by which the stream knows who subscribes; nothing for one that polls.
    pub(super) consumer_arn: Option<Arc<str>>,
}

impl ReaderContext {
    /// A request failed for now: counts it, and says so.
    pub(super) fn note(&self, shard: &Shard, error: &StreamError) {
        let throttled = error.kind == StreamErrorKind::Throttled;
        self.status.failed(&shard.id, throttled);
        match error.kind {
            // They are part of the day's work.
            StreamErrorKind::Throttled | StreamErrorKind::ExpiredIterator => tracing::debug!(shard = &*shard.id, "{error}"),
            _ => tracing::warn!(shard = &*shard.id, "{error}; it is tried again"),
        }
    }
}

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

    /// The next records, which may be none. What passes by itself is waited for and tried again here.
    pub(super) async fn next(&mut self) -> Result<RecordChunk, StreamError> {
        match self {
            Self::Poll(poll) => poll.next().await,
            Self::FanOut(fan_out) => fan_out.next().await,
        }
    }
}

/// The first and the longest wait after a failure. A shard's limits are by the second.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How long to wait after failures that follow each other.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    /// It worked.
    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }

    /// Anything up to twice the last one's bound, so that readers that met once do not meet again.
    pub(super) fn next(&mut self) -> Duration {
        let bound = WAITS.0.saturating_mul(1 << self.0.min(10)).min(WAITS.1);
        self.0 += 1;
        bound.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
