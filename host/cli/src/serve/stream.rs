//! What `paceline run` on a stream answers.

use std::sync::Arc;
use std::time::Duration;

use paceline_aws::kinesis::{Consumer, Status};
use paceline_config::AnyStore;
use paceline_pipeline::Pipeline;

use super::{Metrics, View, unreachable};

/// A consumer of a stream.
pub(crate) struct StreamView {
    status: Arc<Status>,
    pipeline: Arc<Pipeline<AnyStore>>,
    /// The checkpoint that is read to learn whether the store is reachable.
    probe: String,
    metrics: Metrics,
    /// How long no shard may be read.
    unread: Duration,
}

impl StreamView {
    pub(crate) fn new(
        consumer: &Consumer,
        pipeline: Arc<Pipeline<AnyStore>>,
        metrics: Metrics,
        unread: Duration,
    ) -> Self {
        Self { status: consumer.status(), pipeline, probe: consumer.initial_position(), metrics, unread }
    }
}

impl View for StreamView {
    async fn metrics(&self) -> String {
        self.metrics.shards(&self.status);
        self.metrics.render(&self.pipeline)
    }

    async fn not_alive(&self) -> Option<String> {
        self.status.standstill(self.unread)
    }

    async fn not_ready(&self) -> Option<String> {
        match self.status.trouble() {
            Some(trouble) => Some(trouble),
            None => unreachable(&self.pipeline, &self.probe).await,
        }
    }
}
