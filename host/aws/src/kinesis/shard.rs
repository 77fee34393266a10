//! One shard: from its records to batches, through the pipeline, to its checkpoint.
//!
//! A reader fetches ahead, as far as the budget allows, while the batch before is under way. Batches go one after
//! another, so that records keep their order. What the store can't take for the moment waits here, however long that is:
//! nothing is dropped, and the reader stops when the budget is used up.

use std::sync::Arc;
use std::time::Duration;

use paceline_pipeline::Pipeline;
use paceline_pipeline::model::SequenceNumber;
use paceline_pipeline::model::{Batch, BatchLimits, Checkpoint};
use paceline_pipeline::store::{Store, StoreError};
use paceline_pipeline::summary::Summary;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::batcher::Batcher;
use super::budget::{Budget, Permit};
use super::config::timestamp;
use super::consumer::{ConsumerError, Finished};
use super::error::{StreamError, StreamErrorKind};
use super::lineage::Shard;
use super::position::IteratorPosition;
use super::reader::{Reader, ReaderContext, RecordChunk};
use super::retention::{self, RetentionWindow};
use super::status::ShardState;

/// How long a busy store is left alone before a batch is tried again as a whole; the pipeline has tried for its own
/// deadline by then.
pub(super) const STORE_WAIT: Duration = Duration::from_millis(500);
/// How often the checkpoint of a shard without new records is renewed, so that a later start knows that none was missed.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(60);
/// What a reader expects before it knows better.
const EXPECTED_BYTES: usize = 64 << 10;

/// What all shards share.
pub(super) struct Shared<S> {
    pub(super) context: ReaderContext,
    pub(super) pipeline: Arc<Pipeline<S>>,
    pub(super) limits: BatchLimits,
    pub(super) budget: Budget,
    pub(super) retention: RetentionWindow,
    /// The name by which checkpoints and fences know the stream.
    pub(super) name: String,
    /// Hears of each batch that is done.
    pub(super) finished: Box<dyn Fn(&Finished<'_>) + Send + Sync>,
}

impl<S> Shared<S> {
    /// The name by which checkpoints and fences know a shard.
    pub(super) fn name_of(&self, shard: &str) -> Arc<str> {
        format!("{}/{shard}", self.name).into()
    }
}

/// How reading a shard came to an end.
#[derive(Debug)]
pub(super) enum ShardEnd {
    /// The process was told to stop. What was done has its checkpoint.
    Stopped,
    /// All of it is done; these are its children, as far as the service told.
    Done(Vec<Shard>),
    /// The stream has no such shard any more, or is itself gone.
    Gone {
        error: StreamError,
        /// Up to when all was read.
        seen_ms: Option<i64>,
    },
}

type Fetched = Result<(RecordChunk, Permit), StreamError>;

/// Reads a shard from `position` on. `checkpoint` is where it stood before.
pub(super) async fn read<S: Store + 'static>(
    shared: Arc<Shared<S>>,
    shard: Shard,
    checkpoint: Option<Checkpoint>,
    position: IteratorPosition,
    stop: CancellationToken,
) -> Result<ShardEnd, ConsumerError> {
    let (sender, mut fetched) = mpsc::channel::<Fetched>(1);
    let reader = Reader::new(shared.context.clone(), shard.clone(), position);
    let _fetching = AbortOnDropHandle::new(tokio::spawn(fetch(reader, shared.budget.clone(), sender)));
    shared.context.status.set(&shard.id, ShardState::Starting);

    let name = shared.name_of(&shard.id);
    let batcher = Batcher::new(Arc::clone(&name), shard.hashes, shared.limits.clone());
    let last = checkpoint.as_ref().map(|checkpoint| checkpoint.sequence).unwrap_or_default();
    let seen_ms = checkpoint.and_then(|checkpoint| checkpoint.arrival_ms);
    let renewed = Instant::now();
    let mut processor = ShardProcessor { shared, shard, name, batcher, held: Vec::new(), last, seen_ms, renewed };
    loop {
        let due = processor.batcher.due();
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                processor.commit().await?;
                return Ok(ShardEnd::Stopped);
            }
            () = async { sleep_until(due.expect("it is looked at only then")).await }, if due.is_some() => {
                processor.commit().await?;
            }
            chunk = fetched.recv() => match chunk {
                Some(Ok((chunk, taken))) => {
                    if let Some(children) = processor.take(chunk, taken, &stop).await? {
                        return Ok(children);
                    }
                }
                Some(Err(error)) => {
                    processor.commit().await?;
                    return match error.kind {
                        StreamErrorKind::Missing => Ok(ShardEnd::Gone { error, seen_ms: processor.seen_ms }),
                        _ => Err(error.into()),
                    };
                }
                // Its task has come to a panic, which is printed.
                None => return Err(ConsumerError::Reader(processor.shard.id.to_string())),
            },
        }
    }
}

/// Reads ahead, until nobody listens any more.
async fn fetch(mut reader: Reader, budget: Budget, sender: mpsc::Sender<Fetched>) {
    let mut expected = EXPECTED_BYTES;
    loop {
        let mut taken = budget.take(expected).await;
        let chunk = reader.next().await;
        let over = chunk.as_ref().map_or(true, |chunk| chunk.ended.is_some());
        let fetched = chunk.map(|chunk| {
            taken.correct(chunk.bytes);
            // What comes next is much like what came last.
            expected = chunk.bytes.max(EXPECTED_BYTES);
            (chunk, taken)
        });
        if sender.send(fetched).await.is_err() || over {
            return;
        }
    }
}

/// Where a shard's records lie while they are worked on.
struct ShardProcessor<S> {
    shared: Arc<Shared<S>>,
    shard: Shard,
    name: Arc<str>,
    batcher: Batcher,
    /// The budget of what lies in `batcher`.
    held: Vec<Permit>,
    /// The last record that is done.
    last: SequenceNumber,
    /// All that arrived before has been read.
    seen_ms: Option<i64>,
    /// When the checkpoint was written last.
    renewed: Instant,
}

impl<S: Store + 'static> ShardProcessor<S> {
    /// Takes in what was read. Something, where it was the shard's end or the process is to stop.
    async fn take(
        &mut self,
        chunk: RecordChunk,
        taken: Permit,
        stop: &CancellationToken,
    ) -> Result<Option<ShardEnd>, ConsumerError> {
        let status = &self.shared.context.status;
        status.read(&self.shard.id, chunk.records.len(), chunk.bytes, chunk.behind_ms);
        self.look_for_gap(&chunk);
        for record in &chunk.records {
            let misrouted = self.batcher.push(record).map_err(|why| {
                let text = format_args!("{} has a record without a place: {why}", self.shard.id);
                self.shared.context.stream.named.error(StreamErrorKind::Fatal, text)
            })?;
            self.shared.context.status.misrouted(&self.shard.id, misrouted);
            if self.batcher.is_full() {
                self.commit().await?;
                if stop.is_cancelled() {
                    return Ok(Some(ShardEnd::Stopped));
                }
            }
        }
        if self.batcher.due().is_some() {
            self.held.push(taken);
        }
        self.shared.context.status.oldest(&self.shard.id, self.batcher.oldest());
        if let Some(children) = chunk.ended {
            self.commit().await?;
            let ended = Checkpoint { sequence: self.last, arrival_ms: self.seen_ms, ended: true, fingerprint: None };
            if !self.write_checkpoint(&ended, stop).await? {
                return Ok(Some(ShardEnd::Stopped));
            }
            return Ok(Some(ShardEnd::Done(children)));
        }
        if chunk.behind_ms == 0 && self.batcher.due().is_none() && self.renewed.elapsed() >= IDLE_CHECKPOINT {
            let caught_up = Checkpoint { sequence: self.last, arrival_ms: self.seen_ms, ..Checkpoint::default() };
            self.write_checkpoint(&caught_up, stop).await?;
        }
        Ok(None)
    }

    /// Whether records had expired before they were read; and how far the reader has come.
    fn look_for_gap(&mut self, chunk: &RecordChunk) {
        let arrival =
            |record: &aws_sdk_kinesis::types::Record| record.approximate_arrival_timestamp()?.to_millis().ok();
        let first = chunk.records.first().and_then(arrival);
        let retention = self.shared.retention.at(chunk.asked_ms);
        if let Some((from, to)) = retention::gap(self.seen_ms, retention, first) {
            let hours = (to - from) as f64 / 3_600_000.0;
            self.shared.context.status.expired(&self.shard.id, hours);
            tracing::error!(
                shard = &*self.shard.id,
                hours,
                "RECORDS ARE LOST: what arrived in {} from {} to {} had expired before it was read: {hours:.2} hours are \
                 missing. The stream keeps records for {} hours; let it keep them longer than this host may be down or \
                 behind (IncreaseStreamRetentionPeriod)",
                self.shard.id,
                timestamp(from),
                timestamp(to),
                self.shared.retention.hours(),
            );
        }
        let last = chunk.records.last().and_then(arrival);
        let seen = if chunk.behind_ms == 0 { Some(chunk.asked_ms - retention::MARGIN_MS) } else { None };
        self.seen_ms = [self.seen_ms, last, seen].into_iter().flatten().max();
    }

    /// Takes what was gathered through the pipeline, and tries until it is safe. A process that is told to stop bounds
    /// how long that may take from outside: a future that is dropped here leaves nothing that the fences don't absorb.
    async fn commit(&mut self) -> Result<(), ConsumerError> {
        let Some(mut batch) = self.batcher.take() else { return Ok(()) };
        let began = Instant::now();
        let mut summary = Summary::default();
        loop {
            let (safe, why) = match self.shared.pipeline.process(&batch, None, &mut summary).await {
                Ok(done) => match done.first_uncommitted {
                    None => break,
                    Some((safe, why)) => (safe as usize, why),
                },
                Err(why) => (0, why),
            };
            if !why.is_transient() {
                return Err(why.into());
            }
            tracing::warn!(
                shard = &*self.shard.id,
                safe,
                of = batch.records.len(),
                "a batch waits for the store: {why}"
            );
            self.shared.context.status.store_retry(&self.shard.id);
            batch.skip(safe);
            sleep(STORE_WAIT).await;
        }
        self.last = batch.checkpoint.as_ref().map_or(self.last, |checkpoint| checkpoint.sequence);
        self.renewed = Instant::now();
        self.report(&batch, &summary, began.elapsed());
        self.held.clear();
        self.shared.context.status.oldest(&self.shard.id, None);
        Ok(())
    }

    fn report(&self, batch: &Batch, summary: &Summary, took: Duration) {
        (self.shared.finished)(&Finished { shard: &self.shard.id, batch, summary, took });
    }

    /// Writes a checkpoint by itself. Whether it stands: the process may be told to stop meanwhile.
    async fn write_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        stop: &CancellationToken,
    ) -> Result<bool, ConsumerError> {
        loop {
            match self.shared.pipeline.store().acknowledge(Some((&self.name, checkpoint))).await {
                Ok(()) => {
                    self.renewed = Instant::now();
                    return Ok(true);
                }
                Err(StoreError::Transient(why)) => {
                    tracing::warn!(shard = &*self.shard.id, "a checkpoint waits for the store: {why}");
                    self.shared.context.status.store_retry(&self.shard.id);
                }
                Err(error) => return Err(ConsumerError::Pipeline(error.into())),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(false),
                () = sleep(STORE_WAIT) => {}
            }
        }
    }
}
