//! What all readers share.

use std::sync::Arc;
use std::time::Instant;

use paceline_pipeline::ErrorChain;

use crate::kinesis::client::Stream;
use crate::kinesis::config::KinesisConfig;
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
}
