//! Reads all shards of a stream: lists them, reads those that the core begins, and follows them to their children.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::Checkpoint;
use paceline_pipeline::store::Store;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::context::ConsumerContext;
use super::core::{Core, InitialPosition};
use super::error::ConsumerError;
use super::processor::{ShardEnd, ShardProcessor};
use super::reader::{self, ReaderContext};
use super::store_retry::retry_transient;
use crate::kinesis::config::timestamp;
use crate::kinesis::describe::{self, StreamSummary};
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::shard::Shard;

/// The wait before the shards are listed again at the start.
const LIST_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Reads all shards of a stream.
pub(super) struct Driver<S> {
    context: Arc<ConsumerContext<S>>,
    initial_position: InitialPosition,
    /// When the stream was created, in milliseconds since 1970.
    created_ms: i64,
    readers: JoinSet<(Shard, Result<ShardEnd, ConsumerError>)>,
    /// Stops the readers.
    stop: CancellationToken,
}

impl<S: Store + 'static> Driver<S> {
    pub(super) fn new(context: Arc<ConsumerContext<S>>, initial_position: InitialPosition, created_ms: i64) -> Self {
        Self { context, initial_position, created_ms, readers: JoinSet::new(), stop: CancellationToken::new() }
    }

    /// Lists the shards, and begins to read. `is_first`: the stream was never read under this name.
    pub(super) async fn start(&mut self, is_first: bool) -> Result<(), ConsumerError> {
        while let Err(error) = self.discover(is_first).await {
            match error {
                ConsumerError::Stream(error) if error.kind.is_transient() => {
                    tracing::warn!("{}; retrying", ErrorChain(&error));
                }
                error => return Err(error),
            }
            sleep(LIST_AGAIN_AFTER).await;
        }
        self.begin().await
    }

    /// Reads until `stop` is ready or reading fails for good.
    pub(super) async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<(), ConsumerError> {
        tokio::select! {
            biased;
            () = stop => Ok(()),
            failed = self.read() => failed.map(|never| match never {}),
        }
    }

    async fn read(&mut self) -> Result<Infallible, ConsumerError> {
        let every = Duration::from_millis(self.context.reader.config.discover_every_ms.max(100));
        let mut discovery = interval_at(Instant::now() + every, every);
        discovery.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                ended = self.readers.join_next(), if !self.readers.is_empty() => {
                    let ended = ended.expect("there is a reader");
                    let (shard, end) = ended.map_err(|error| ConsumerError::Panicked(error.to_string()))?;
                    self.ended(&shard, end?).await?;
                }
                _ = discovery.tick() => self.discover_and_begin().await?,
            }
        }
    }

    /// Stops all readers. Those with a batch may commit it within the configured time.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        let bound = Duration::from_millis(self.context.reader.config.stop_ms);
        let all = async {
            while let Some(ended) = self.readers.join_next().await {
                if let Ok((shard, Err(error))) = ended {
                    let error = ErrorChain(&error);
                    tracing::warn!(
                        shard = &*shard.id,
                        "the last batch is not committed and will be read again: {error}"
                    );
                }
            }
        };
        if timeout(bound, all).await.is_err() {
            tracing::warn!(
                "{} shards did not commit their batches within {} ms (`stop-ms`); the next start reads them again",
                self.readers.len(),
                bound.as_millis()
            );
        }
        self.readers.shutdown().await;
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.context.reader.status.core()
    }

    /// A shard is not read any more.
    async fn ended(&mut self, shard: &Shard, end: ShardEnd) -> Result<(), ConsumerError> {
        match end {
            ShardEnd::Stopped => return Ok(()),
            ShardEnd::Done => {}
            ShardEnd::Gone { error, read_until_ms } => {
                // Fails if the stream is gone, too.
                let summary = describe::active(&self.context.reader.stream).await?;
                self.check_identity(&summary)?;
                self.check_registration(&summary.arn, &error).await?;
                if self.is_listed(shard).await? {
                    // Not at once: the next listing begins it.
                    tracing::warn!(
                        shard = &*shard.id,
                        "{}. The stream lists it, so that it is read again",
                        ErrorChain(&error)
                    );
                    self.core().set_back(&shard.id);
                    return Ok(());
                }
                self.report_expired(&shard.id, read_until_ms);
                tracing::error!(shard = &*shard.id, "{}", ErrorChain(&error));
                self.core().done(&shard.id, Vec::new());
            }
        }
        self.begin().await?;
        self.discover_and_begin().await
    }

    /// Fails if the stream was created again since the start: its shards have the ids of the earlier ones, and other
    /// records.
    fn check_identity(&self, summary: &StreamSummary) -> Result<(), ConsumerError> {
        if summary.created_ms == self.created_ms {
            return Ok(());
        }
        let text = format_args!(
            "it was deleted, and created again at {}, while it was read. To read the new one, give it another name: \
             `name` in [source]",
            timestamp(summary.created_ms)
        );
        Err(self.context.reader.stream.stream_ref.error(StreamErrorKind::Fatal, text).into())
    }

    /// Whether the stream has a shard; also true if that can't be known now.
    async fn is_listed(&self, shard: &Shard) -> Result<bool, ConsumerError> {
        match describe::shards(&self.context.reader.stream).await {
            Ok(listed) => Ok(listed.iter().any(|listed| listed.id == shard.id)),
            Err(error) if error.kind.is_transient() => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Fails if what is gone is the fan-out consumer, not the shard. Each shard seems to be gone then.
    async fn check_registration(&self, stream_arn: &str, error: &StreamError) -> Result<(), ConsumerError> {
        let ReaderContext { stream, config, consumer_arn, .. } = &self.context.reader;
        let (Some(arn), name) = (consumer_arn, &config.consumer_name) else { return Ok(()) };
        if reader::is_registered(stream, stream_arn, name, arn).await? {
            return Ok(());
        }
        let text = format_args!(
            "the fan-out consumer `{name}` was deregistered, so no shard can be read. Start this process again, which \
             registers it, or set `consumer = \"poll\"`"
        );
        Err(stream.stream_ref.error(StreamErrorKind::Fatal, text).with_source(error.clone()).into())
    }

    /// Lists the shards and begins new ones. A transient error is no reason to stop: the known shards are being read.
    async fn discover_and_begin(&mut self) -> Result<(), ConsumerError> {
        match self.discover(false).await {
            Err(ConsumerError::Stream(error)) if error.kind.is_transient() => {
                tracing::warn!("{}; the known shards are read", ErrorChain(&error));
            }
            discovered => discovered?,
        }
        self.begin().await
    }

    /// Lists the shards.
    async fn discover(&mut self, is_first: bool) -> Result<(), ConsumerError> {
        let stream = &self.context.reader.stream;
        let listed = describe::shards(stream).await?;
        let summary = describe::summary(stream).await?;
        self.check_identity(&summary)?;
        self.context.retention.set_hours(summary.retention_hours);
        match is_first {
            true => self.skip_expired_parents(&listed).await?,
            false => self.report_expired_parents(&listed).await?,
        }
        self.core().listed(listed);
        Ok(())
    }

    /// Shards that expired before the stream was begun are not missing: later starts know that by their checkpoints.
    async fn skip_expired_parents(&self, listed: &[Shard]) -> Result<(), ConsumerError> {
        let parents = self.core().expired_parents(listed).into_iter().map(|(_, parent)| parent);
        for parent in parents.collect::<HashSet<_>>() {
            let (store, name) = (self.context.pipeline.store(), self.context.shard_name(&parent));
            let (what, ended) =
                (format!("writing the checkpoint of {parent}"), Checkpoint { ended: true, ..Checkpoint::default() });
            retry_transient(&what, &self.stop, || store.put_checkpoint(&name, &ended), || {}).await?;
        }
        Ok(())
    }

    /// Reports shards that expired before they were read to their end: the stream does not list them any more, but
    /// their children, which have not been begun.
    async fn report_expired_parents(&self, listed: &[Shard]) -> Result<(), ConsumerError> {
        let expired = self.core().expired_parents(listed);
        let mut checked = HashSet::new();
        for (child, parent) in expired {
            if checked.contains(&parent) || self.checkpoint(&child).await?.is_some() {
                continue;
            }
            let checkpoint = self.checkpoint(&parent).await?;
            if let Some(unread) = self.initial_position.unread(checkpoint.as_ref()) {
                self.report_expired(&parent, unread.read_until_ms);
            }
            checked.insert(parent);
        }
        Ok(())
    }

    /// Reports a shard that expired, unless all of its records were read.
    fn report_expired(&self, shard: &Arc<str>, read_until_ms: Option<i64>) {
        let retention = &self.context.retention;
        let now_ms = self.context.reader.stream.clock.now_ms();
        let Some(hours) = retention.missing_hours(read_until_ms, self.created_ms, now_ms) else { return };
        self.core().expired(shard, hours);
        let read = match read_until_ms {
            Some(until) => format!("it was read up to {}", timestamp(until)),
            None => "nothing of it was read".to_owned(),
        };
        tracing::error!(
            shard = &**shard,
            hours,
            "RECORDS ARE LOST: the stream does not have {shard} any more, and {read}: up to {hours:.2} hours are missing. \
             The stream keeps records for {} hours; increase that beyond the time that this host may be down or behind \
             (IncreaseStreamRetentionPeriod)",
            retention.hours()
        );
    }

    /// Begins to read all shards that have to be read and are not.
    async fn begin(&mut self) -> Result<(), ConsumerError> {
        loop {
            let begun = self.core().begin();
            if begun.is_empty() {
                return Ok(());
            }
            for shard in begun {
                let checkpoint = self.checkpoint(&shard.id).await?;
                match checkpoint {
                    // An earlier process read it. Its children may be read now.
                    Some(Checkpoint { ended: true, .. }) => self.core().done(&shard.id, Vec::new()),
                    checkpoint => self.spawn(shard, checkpoint.as_ref()),
                }
            }
        }
    }

    fn spawn(&mut self, shard: Shard, checkpoint: Option<&Checkpoint>) {
        let position = self.initial_position.resume_at(checkpoint);
        tracing::info!(shard = &*shard.id, closed = shard.closed, "reading {position}");
        let context = Arc::clone(&self.context);
        let processor = ShardProcessor::new(context, shard.clone(), checkpoint, self.stop.clone());
        self.readers.spawn(async move { (shard, processor.run(position).await) });
    }

    async fn checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, ConsumerError> {
        let (store, name) = (self.context.pipeline.store(), self.context.shard_name(shard));
        let what = format!("reading the checkpoint of {shard}");
        Ok(retry_transient(&what, &self.stop, || store.get_checkpoint(&name), || {}).await?)
    }
}
