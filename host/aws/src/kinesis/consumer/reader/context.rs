//! What all readers share.

use std::sync::Arc;
use std::time::Instant;

use paceline_pipeline::ErrorChain;

use crate::kinesis::client::Stream;
use crate::kinesis::config::KinesisConfig;
use crate::kinesis::consumer::core::Conflict;
use crate::kinesis::consumer::status::Status;
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::shard::Shard;

/// What all readers share.
#[derive(Clone, Debug)]
pub(in crate::kinesis::consumer) struct ReaderContext {
    pub(in crate::kinesis::consumer) stream: Stream,
    pub(in crate::kinesis::consumer) config: Arc<KinesisConfig>,
    pub(in crate::kinesis::consumer) status: Arc<Status>,
    /// `fan-out`: the ARN under which readers subscribe.
    pub(in crate::kinesis::consumer) consumer_arn: Option<Arc<str>>,
}

impl ReaderContext {
    /// Counts and logs a request that failed and will be retried.
    pub(super) fn record_failure(&self, shard: &Shard, error: &StreamError) {
        let throttled = error.kind == StreamErrorKind::Throttled;
        self.status.core().request_failed(&shard.id, throttled, Instant::now());
        match error.kind {
            // Both are expected in normal operation.
            StreamErrorKind::Throttled | StreamErrorKind::ExpiredIterator => {
                tracing::debug!(shard = &*shard.id, "{}", ErrorChain(error));
            }
            _ => tracing::warn!(shard = &*shard.id, "{}; retrying", ErrorChain(error)),
        }
    }

    /// Counts and logs that another reader has a subscription, or has taken it.
    pub(super) fn record_conflict(&self, shard: &Shard, error: &StreamError) {
        let conflict = self.status.core().conflicted(&shard.id, Instant::now());
        let (shard, name, error) = (&*shard.id, &self.config.consumer_name, ErrorChain(error));
        match conflict {
            Conflict::First => {
                tracing::warn!(
                    shard,
                    "another reader has the subscription of the fan-out consumer `{name}`: {error}; retrying"
                );
            }
            Conflict::Further => tracing::debug!(shard, "{error}; retrying"),
            Conflict::GoesOn { since, count } => tracing::error!(
                shard,
                conflicts = count,
                "the fan-out consumer `{name}` is in use by another reader: for {} s, it had or took the subscriptions \
                 to {shard} or other shards {count} times. Nothing is lost, but this reader gets records only while the \
                 other one does not. Give each application a `consumer-name` of its own, and run one reader under a \
                 name: {error}",
                since.as_secs(),
            ),
        }
    }
}
