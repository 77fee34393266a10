//! Reads all shards of a stream into a pipeline until it is stopped.
//!
//! One process reads the whole stream. There are no leases: beyond one machine, Amazon's KCL distributes the shards.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - this file: a consumer from connecting to its end.
//! - `driver`: all shards; which are listed, begun, ended.
//! - `processor`: one shard, from its records to its checkpoint.
//! - `recording`: what the stream holds, read for whoever processes nothing.
//! - `range`: some records of one shard, read once more.
//! - `batcher`: from records to batches.
//! - `reader`: the two ways to a shard's records.
//! - `context`: what the shards share.
//! - `status`: how the shards are, for others to see.
//! - `core`: every decision, without I/O.
//! - `budget`, `retention`, `iterator_position`, `store_retry`, `error`: what they work with.

mod batcher;
mod budget;
mod context;
mod core;
mod driver;
mod error;
mod iterator_position;
mod processor;
mod range;
mod reader;
mod recording;
mod retention;
mod status;
mod store_retry;

use std::future::Future;
use std::sync::Arc;

use paceline_pipeline::Pipeline;
use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::store::{CheckpointStore, Store};
use tokio_util::sync::CancellationToken;

pub use self::context::Finished;
pub use self::core::{ReaderStatus, ShardState, ShardStatus};
pub use self::error::ConsumerError;
pub use self::range::{Range, RangeReader, RangeRecords};
pub use self::recording::Recording;
pub use self::status::Status;

use self::budget::ReadAheadBudget;
use self::context::ConsumerContext;
use self::core::{InitialPosition, ResolvedPosition};
use self::driver::Driver;
use self::reader::ReaderContext;
use self::retention::RetentionWindow;
use self::store_retry::retry_transient;
use super::client::Stream;
use super::config::{ConsumerKind, KinesisConfig};
use super::describe::{self, StreamSummary};
use super::error::{StreamError, StreamErrorKind};

/// A larger difference between the clocks is logged. The service refuses requests from five minutes on.
const CLOCK_WARNING_MS: i64 = 30_000;

/// A stream that is to be read.
#[derive(Debug)]
pub struct Consumer {
    stream: Stream,
    config: Arc<KinesisConfig>,
    limits: BatchLimits,
    name: String,
    status: Arc<Status>,
}

impl Consumer {
    /// Loads region and credentials; sends no request to Kinesis yet. `name` is the stream's name in checkpoints and
    /// dedup state; by default the stream's own.
    pub async fn connect(config: &KinesisConfig, name: Option<&str>, limits: BatchLimits) -> Result<Self, StreamError> {
        Ok(Self::of(Stream::connect(config).await?, config, name, limits))
    }

    /// The same for a stream that is connected.
    pub fn of(stream: Stream, config: &KinesisConfig, name: Option<&str>, limits: BatchLimits) -> Self {
        let status = Arc::new(Status::new(stream.clock.clone()));
        let name = name.unwrap_or(&config.stream).to_owned();
        Self { stream, config: Arc::new(config.clone()), limits, name, status }
    }

    /// The status of the shards.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// The name of the checkpoint that holds the initial position. It exists once the stream is read, so requesting it
    /// shows whether the store is reachable.
    pub fn initial_position(&self) -> String {
        InitialPosition::checkpoint_name(&self.name)
    }

    /// Reads the stream until `stop` is ready; then the current batches are committed, within the configured time.
    /// `finished` is called after each committed batch.
    pub async fn run<S: Store + 'static>(
        self,
        pipeline: Arc<Pipeline<S>>,
        stop: impl Future<Output = ()>,
        finished: impl Fn(&Finished<'_>) + Send + Sync + 'static,
    ) -> Result<(), ConsumerError> {
        let mut stop = std::pin::pin!(stop);
        let mut driver = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            driver = self.start(pipeline, Box::new(finished)) => driver?,
        };
        let ended = driver.run(stop).await;
        driver.end().await;
        ended
    }

    async fn start<S: Store + 'static>(
        self,
        pipeline: Arc<Pipeline<S>>,
        finished: Box<dyn Fn(&Finished<'_>) + Send + Sync>,
    ) -> Result<Driver<S>, ConsumerError> {
        let summary = describe::active(&self.stream).await?;
        self.warn_of_clock_difference();
        let ResolvedPosition { position, new } = self.resolve_initial_position(&summary, pipeline.store()).await?;
        let Self { stream, config, limits, name, status } = self;
        let consumer_arn = match config.consumer {
            ConsumerKind::Poll => None,
            ConsumerKind::FanOut => Some(reader::register(&stream, &summary.arn, &config.consumer_name).await?),
        };
        let retention = RetentionWindow::default();
        retention.set_hours(summary.retention_hours);
        let budget = ReadAheadBudget::new(config.read_ahead_bytes);
        let reader = ReaderContext { stream, config, status, consumer_arn };
        let context = ConsumerContext { reader, pipeline, limits, budget, retention, name, finished };
        let mut driver = Driver::new(Arc::new(context), position, summary.created_ms);
        driver.start(new.is_some()).await?;
        Ok(driver)
    }

    fn warn_of_clock_difference(&self) {
        let ahead_ms = self.stream.clock.offset_ms();
        if ahead_ms.abs() >= CLOCK_WARNING_MS {
            tracing::warn!(
                "this machine's clock is {} s {} the service's: set it right, because the service refuses requests \
                 from a difference of five minutes on. Ages of records are by the service's clock",
                ahead_ms.abs() / 1_000,
                if ahead_ms > 0 { "behind" } else { "ahead of" }
            );
        }
    }

    /// The initial position: of an earlier start, or resolved and persisted now.
    async fn resolve_initial_position(
        &self,
        summary: &StreamSummary,
        store: &impl CheckpointStore,
    ) -> Result<ResolvedPosition, ConsumerError> {
        let (key, never) = (InitialPosition::checkpoint_name(&self.name), CancellationToken::new());
        let get = || store.get_checkpoint(&key);
        let found = retry_transient("reading the initial position", &never, get, || {}).await?;
        let (start, now) = (self.config.start, self.stream.clock.now());
        let resolved = InitialPosition::resolve(found.as_ref(), &self.name, summary, start, now);
        let resolved = resolved
            .map_err(|error| self.stream.stream_ref.error(StreamErrorKind::Fatal, &error).with_source(error))?;
        match &resolved.new {
            None => tracing::info!("resuming at the checkpoints under the name `{}`", self.name),
            Some(checkpoint) => {
                tracing::info!("no checkpoints under the name `{}`: beginning at {start}", self.name);
                let put = || store.put_checkpoint(&key, checkpoint);
                retry_transient("persisting the initial position", &never, put, || {}).await?;
            }
        }
        Ok(resolved)
    }
}
