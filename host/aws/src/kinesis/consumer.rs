//! Reads all shards of a stream into a pipeline, for as long as it is not told to stop.
//!
//! One process reads all of the stream. There are no leases: beyond one machine, Amazon's KCL shares the shards out.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use paceline_pipeline::model::{Batch, BatchLimits, Checkpoint};
use paceline_pipeline::store::{Store, StoreError};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, PipelineError};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::client::Stream;
use super::config::{ConsumerKind, KinesisConfig, timestamp};
use super::describe::{self, Described};
use super::error::{StreamError, StreamErrorKind};
use super::fan_out;
use super::initial_position::InitialPosition;
use super::lineage::{Lineage, Shard};
use super::position::IteratorPosition;
use super::reader::ReaderContext;
use super::retention::RetentionWindow;
use super::shard::{self, STORE_WAIT, ShardEnd, Shared};
use super::status::{ShardState, Status};

/// A clock that differs by more is told: requests are refused from five minutes on.
const CLOCK_MS: i64 = 30_000;

/// Why a consumer can't go on. What was done has its checkpoint; the rest comes at the next start.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The stream can't be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A batch can't be done.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The reader of a shard has come to a panic.
    #[error("the reader of {0} has come to a panic: see the lines before")]
    Reader(String),
}

/// A batch that is done.
#[derive(Debug)]
pub struct Finished<'a> {
    /// The shard's id.
    pub shard: &'a str,
    /// The batch.
    pub batch: &'a Batch,
    /// What it came to.
    pub summary: &'a Summary,
    /// From its being full, or due, to its checkpoint.
    pub took: Duration,
}

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
    /// Finds out region and credentials; sends no request to Kinesis yet. `name` is the one by which checkpoints and
    /// fences know the stream, its own by default.
    pub async fn connect(config: &KinesisConfig, name: Option<&str>, limits: BatchLimits) -> Result<Self, StreamError> {
        let stream = Stream::connect(config).await?;
        let status = Arc::new(Status::new(stream.clock.clone()));
        let name = name.unwrap_or(&config.stream).to_owned();
        Ok(Self { stream, config: Arc::new(config.clone()), limits, name, status })
    }

    /// How the shards are.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// The name of a checkpoint that stands as soon as the stream is read: by asking for it one learns whether the store
    /// is there.
    pub fn initial_position(&self) -> String {
        InitialPosition::name(&self.name)
    }

    /// Reads the stream until `stop` is ready; then the batches in hand end, for at most the time that the configuration
    /// gives them. `finished` hears of each batch that is done.
    pub async fn run<S: Store + 'static>(
        self,
        pipeline: Arc<Pipeline<S>>,
        stop: impl Future<Output = ()>,
        finished: impl Fn(&Finished<'_>) + Send + Sync + 'static,
    ) -> Result<(), ConsumerError> {
        let mut stop = std::pin::pin!(stop);
        let start = Run::start(self, pipeline, Box::new(finished));
        let mut run = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            run = start => run?,
        };
        let ended = run.until(stop).await;
        run.end().await;
        ended
    }
}

/// A consumer at work.
struct Run<S> {
    shared: Arc<Shared<S>>,
    initial_position: InitialPosition,
    lineage: Lineage,
    readers: JoinSet<(Shard, Result<ShardEnd, ConsumerError>)>,
    stopping: CancellationToken,
}

impl<S: Store + 'static> Run<S> {
    async fn start(
        consumer: Consumer,
        pipeline: Arc<Pipeline<S>>,
        finished: Box<dyn Fn(&Finished<'_>) + Send + Sync>,
    ) -> Result<Self, ConsumerError> {
        let Consumer { stream, config, limits, name, status } = consumer;
        let described = describe::active(&stream).await?;
        let ahead = stream.clock.offset_ms();
        if ahead.abs() >= CLOCK_MS {
            tracing::warn!(
                "this machine's clock is {} s {} the service's: set it right, for requests of a machine whose clock is \
                 five minutes wrong are refused. Ages of records are told by the service's clock",
                ahead.abs() / 1_000,
                if ahead > 0 { "behind" } else { "ahead of" }
            );
        }
        let (initial_position, first) =
            InitialPosition::find(&name, &described, &config, &stream, pipeline.store()).await?;
        let consumer_arn = match config.consumer {
            ConsumerKind::Poll => None,
            ConsumerKind::FanOut => Some(fan_out::register(&stream, &described.arn, &config.consumer_name).await?),
        };
        let retention = RetentionWindow::default();
        retention.set_hours(described.retention_hours);
        let budget = Budget::new(config.read_ahead_bytes);
        let context = ReaderContext { stream, config, status, consumer_arn };
        let shared = Arc::new(Shared { context, pipeline, limits, budget, retention, name, finished });
        let (readers, stopping) = (JoinSet::new(), CancellationToken::new());
        let mut run = Self { shared, initial_position, lineage: Lineage::default(), readers, stopping };
        while let Err(error) = run.discover(first).await {
            match error {
                ConsumerError::Stream(error) if error.kind.is_transient() => {
                    tracing::warn!("{error}; it is tried again")
                }
                error => return Err(error),
            }
            sleep(STORE_WAIT).await;
        }
        run.shared.context.status.discovered();
        run.begin().await?;
        Ok(run)
    }

    /// Reads until it is told to stop, or can't go on.
    async fn until(&mut self, mut stop: impl Future<Output = ()> + Unpin) -> Result<(), ConsumerError> {
        let every = Duration::from_millis(self.shared.context.config.discover_every_ms.max(100));
        let mut discover_and_start = interval_at(Instant::now() + every, every);
        discover_and_start.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                ended = self.readers.join_next(), if !self.readers.is_empty() => {
                    let ended = ended.expect("there is one");
                    let (shard, end) = ended.map_err(|error| ConsumerError::Reader(error.to_string()))?;
                    self.ended(&shard, end?).await?;
                }
                _ = discover_and_start.tick() => self.discover_and_start().await?,
            }
        }
    }

    /// Ends all readers: those that are in the middle of a batch have some time for it.
    async fn end(&mut self) {
        self.stopping.cancel();
        let bound = Duration::from_millis(self.shared.context.config.stop_ms);
        let all = async {
            while let Some(ended) = self.readers.join_next().await {
                if let Ok((shard, Err(error))) = ended {
                    tracing::warn!(shard = &*shard.id, "the last batch is not done, and comes again: {error}");
                }
            }
        };
        if timeout(bound, all).await.is_err() {
            tracing::warn!(
                "{} shards could not end their batches in {} ms (`stop-ms`): they come again at the next start",
                self.readers.len(),
                bound.as_millis()
            );
        }
        self.readers.shutdown().await;
    }

    /// A shard is at its end.
    async fn ended(&mut self, shard: &Shard, end: ShardEnd) -> Result<(), ConsumerError> {
        let children = match end {
            ShardEnd::Stopped => return Ok(()),
            ShardEnd::Done(children) => children,
            ShardEnd::Gone { error, seen_ms } => {
                // Is it the shard or the stream?
                describe::active(&self.shared.context.stream).await?;
                self.say_expired(&shard.id, seen_ms);
                tracing::error!(shard = &*shard.id, "{error}");
                Vec::new()
            }
        };
        tracing::info!(shard = &*shard.id, children = children.len(), "the shard is read to its end");
        self.lineage.done(&shard.id);
        self.shared.context.status.set(&shard.id, ShardState::Done);
        for child in children {
            self.learn(child).await?;
        }
        self.discover_and_start().await
    }

    /// Looks for new shards. A failure that passes is no reason to stop: those that are known are read.
    async fn discover_and_start(&mut self) -> Result<(), ConsumerError> {
        match self.discover(false).await {
            Err(ConsumerError::Stream(error)) if error.kind.is_transient() => {
                tracing::warn!("looking for new shards: {error}");
            }
            done => done?,
        }
        self.begin().await
    }

    /// Asks the stream for its shards.
    async fn discover(&mut self, first: bool) -> Result<(), ConsumerError> {
        let stream = &self.shared.context.stream;
        let listed = describe::shards(stream).await?;
        let Described { retention_hours, .. } = describe::summary(stream).await?;
        self.shared.retention.set_hours(retention_hours);
        let ids: HashSet<Arc<str>> = listed.iter().map(|shard| Arc::clone(&shard.id)).collect();
        if !first {
            self.look_for_unread(&listed, &ids).await?;
        }
        for shard in listed {
            self.learn(shard).await?;
        }
        self.lineage.keep(|id| ids.contains(id));
        self.shared.context.status.forget(|id| !ids.contains(id));
        Ok(())
    }

    /// Shards that expired before they were read to their end: the stream does not list them, but the children that they
    /// left behind, which nobody has begun to read.
    async fn look_for_unread(&self, listed: &[Shard], ids: &HashSet<Arc<str>>) -> Result<(), ConsumerError> {
        let mut said = HashSet::new();
        for shard in listed.iter().filter(|shard| !self.lineage.knows(&shard.id)) {
            for parent in shard.parents.iter().filter(|parent| !ids.contains(*parent)) {
                if self.lineage.knows(parent) || self.checkpoint(&shard.id).await?.is_some() || !said.insert(parent) {
                    continue;
                }
                let checkpoint = self.checkpoint(parent).await?;
                if checkpoint.as_ref().is_none_or(|checkpoint| !checkpoint.ended) {
                    let seen_ms = checkpoint.and_then(|checkpoint| checkpoint.arrival_ms);
                    self.say_expired(parent, seen_ms.or(self.initial_position.moment()));
                }
            }
        }
        Ok(())
    }

    /// Says that a shard has expired with records that were not read.
    fn say_expired(&self, shard: &Arc<str>, seen_ms: Option<i64>) {
        let now = self.shared.context.stream.clock.now_ms();
        let retention = self.shared.retention.at(now);
        let hours = seen_ms.map(|seen| (retention - seen).max(0) as f64 / 3_600_000.0);
        self.shared.context.status.expired(shard, hours.unwrap_or(0.0));
        let (read, missing) = match (seen_ms, hours) {
            (Some(seen), Some(hours)) => {
                (format!("it was read up to {}", timestamp(seen)), format!("up to {hours:.2} hours are missing"))
            }
            _ => ("nothing of it was read".to_owned(), "how many hours are missing is not known".to_owned()),
        };
        tracing::error!(
            shard = &**shard,
            hours,
            "RECORDS ARE LOST: the stream does not have {shard} any more, and {read}: {missing}. The stream keeps records \
             for {} hours; let it keep them longer than this host may be down or behind (IncreaseStreamRetentionPeriod)",
            self.shared.retention.hours()
        );
    }

    /// Takes in a shard that is not known yet.
    async fn learn(&mut self, shard: Shard) -> Result<(), ConsumerError> {
        if self.lineage.knows(&shard.id) {
            return Ok(());
        }
        let done = self.checkpoint(&shard.id).await?.is_some_and(|checkpoint| checkpoint.ended);
        self.shared.context.status.set(&shard.id, if done { ShardState::Done } else { ShardState::Waiting });
        self.lineage.learn(shard, done);
        Ok(())
    }

    /// Begins with all shards that may be read by now.
    async fn begin(&mut self) -> Result<(), ConsumerError> {
        for shard in self.lineage.ready() {
            let checkpoint = self.checkpoint(&shard.id).await?;
            let position = match &checkpoint {
                Some(Checkpoint { sequence, .. }) if *sequence != 0.into() => {
                    IteratorPosition::After(sequence.to_string())
                }
                _ => self.initial_position.position(),
            };
            tracing::info!(shard = &*shard.id, closed = shard.closed, "reading {}", said(&position));
            let (shared, stopping) = (Arc::clone(&self.shared), self.stopping.clone());
            self.readers.spawn(async move {
                let end = shard::read(shared, shard.clone(), checkpoint, position, stopping).await;
                (shard, end)
            });
        }
        Ok(())
    }

    /// A shard's checkpoint.
    async fn checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, ConsumerError> {
        checkpoint(self.shared.pipeline.store(), &self.shared.name_of(shard)).await
    }
}

/// A checkpoint, from a store that may be busy.
pub(super) async fn checkpoint<S: Store>(store: &S, name: &str) -> Result<Option<Checkpoint>, ConsumerError> {
    loop {
        match store.checkpoint(name).await {
            Err(StoreError::Transient(why)) => tracing::warn!("reading a checkpoint waits for the store: {why}"),
            found => return found.map_err(|error| ConsumerError::Pipeline(error.into())),
        }
        sleep(STORE_WAIT).await;
    }
}

fn said(position: &IteratorPosition) -> String {
    match position {
        IteratorPosition::TrimHorizon => "from its oldest record".to_owned(),
        IteratorPosition::At(time) => format!("from {}", timestamp(*time)),
        IteratorPosition::After(sequence) => format!("after {sequence}"),
    }
}

impl ConsumerError {
    /// An error of the configuration, found when it met the stream.
    pub(super) fn wrong(stream: &Stream, what: impl std::fmt::Display) -> Self {
        stream.named.error(StreamErrorKind::Fatal, what).into()
    }
}
