//! One shard: from its records to batches, through the pipeline, to its checkpoint.
//!
//! A reader fetches ahead, as far as the budget allows, while the batch before is being committed. Batches are
//! committed one after another, so that records keep their order. A batch that the store does not accept for now waits
//! here, however long that takes: nothing is dropped, and the reader pauses once the budget is used up.

use std::ops::ControlFlow;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use paceline_pipeline::PipelineError;
use paceline_pipeline::model::Checkpoint;
use paceline_pipeline::store::Store;
use paceline_pipeline::summary::Summary;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::batcher::Batcher;
use super::budget::{Permit, ReadAheadBudget};
use super::context::{ConsumerContext, Finished};
use super::core::{Core, Gap, ShardProgress};
use super::error::ConsumerError;
use super::iterator_position::IteratorPosition;
use super::reader::{Reader, RecordChunk, arrival_ms};
use super::store_retry::retry_transient;
use crate::kinesis::config::{Misrouted, timestamp};
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::shard::Shard;

/// The size that a reader expects of its first response, in bytes.
const EXPECTED_BYTES: usize = 64 << 10;

/// Why a shard is not read any more.
#[derive(Debug)]
pub(super) enum ShardEnd {
    /// The process is stopping. Committed batches have their checkpoint.
    Stopped,
    /// It is read to its end and committed. Its children are known to the core.
    Done,
    /// The stream does not have the shard any more, or does not exist itself.
    Gone {
        error: StreamError,
        /// Every record that arrived earlier has been read.
        read_until_ms: Option<i64>,
    },
}

type Fetched = Result<(RecordChunk, Permit), StreamError>;

/// The reader of a shard on its own task, up to its error or the shard's end.
struct Prefetch {
    fetched: mpsc::Receiver<Fetched>,
    _task: AbortOnDropHandle<()>,
}

impl Prefetch {
    fn spawn(reader: Reader, budget: ReadAheadBudget) -> Self {
        let (sender, fetched) = mpsc::channel(1);
        Self { fetched, _task: AbortOnDropHandle::new(tokio::spawn(fetch(reader, budget, sender))) }
    }
}

/// Reads ahead until the receiver is dropped.
async fn fetch(mut reader: Reader, budget: ReadAheadBudget, sender: mpsc::Sender<Fetched>) {
    let mut expected = EXPECTED_BYTES;
    loop {
        let mut permit = budget.reserve(expected).await;
        let chunk = reader.next().await;
        let is_last = chunk.as_ref().map_or(true, |chunk| chunk.children.is_some());
        let fetched = chunk.map(|chunk| {
            permit.correct(chunk.bytes);
            // The next response is about as large as the last.
            expected = chunk.bytes.max(EXPECTED_BYTES);
            (chunk, permit)
        });
        if sender.send(fetched).await.is_err() || is_last {
            return;
        }
    }
}

/// Takes the records of one shard through the pipeline.
pub(super) struct ShardProcessor<S> {
    context: Arc<ConsumerContext<S>>,
    shard: Shard,
    /// The shard's name in checkpoints and dedup state.
    name: Arc<str>,
    batcher: Batcher,
    /// The reservations of the records in `batcher`.
    permits: Vec<Permit>,
    progress: ShardProgress,
    stop: CancellationToken,
}

impl<S: Store + 'static> ShardProcessor<S> {
    pub(super) fn new(
        context: Arc<ConsumerContext<S>>,
        shard: Shard,
        checkpoint: Option<&Checkpoint>,
        stop: CancellationToken,
    ) -> Self {
        let name = context.shard_name(&shard.id);
        let misrouted = context.reader.config.misrouted;
        let batcher = Batcher::new(Arc::clone(&name), shard.hash_range, context.limits.clone(), misrouted);
        let progress = ShardProgress::new(checkpoint, Instant::now());
        Self { context, shard, name, batcher, permits: Vec::new(), progress, stop }
    }

    /// Reads the shard from this position until it ends or the process stops.
    pub(super) async fn run(mut self, position: IteratorPosition) -> Result<ShardEnd, ConsumerError> {
        let reader = Reader::new(self.context.reader.clone(), self.shard.clone(), position);
        let mut prefetch = Prefetch::spawn(reader, self.context.budget.clone());
        let stop = self.stop.clone();
        loop {
            let due = self.batcher.due();
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.commit(None).await?;
                    return Ok(ShardEnd::Stopped);
                }
                () = async { sleep_until(due.expect("the branch is enabled only then")).await }, if due.is_some() => {
                    self.commit(None).await?;
                }
                fetched = prefetch.fetched.recv() => match fetched {
                    Some(Ok((chunk, permit))) => {
                        if let ControlFlow::Break(end) = self.receive(chunk, permit).await? {
                            return Ok(end);
                        }
                    }
                    Some(Err(error)) => {
                        self.core().request_failed(&self.shard.id, false, Instant::now());
                        self.commit(None).await?;
                        return match error.kind {
                            StreamErrorKind::Missing => {
                                Ok(ShardEnd::Gone { error, read_until_ms: self.progress.read_until_ms() })
                            }
                            _ => Err(error.into()),
                        };
                    }
                    // The task panicked, which is in the log.
                    None => return Err(ConsumerError::Panicked(self.shard.id.to_string())),
                },
            }
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.context.reader.status.core()
    }

    /// Adds records to the batch, and commits whenever it is full and at the shard's end. Breaks at the shard's end, or
    /// if the process is stopping.
    async fn receive(&mut self, chunk: RecordChunk, permit: Permit) -> Result<ControlFlow<ShardEnd>, ConsumerError> {
        self.core().received(&self.shard.id, chunk.received());
        let times = chunk.times();
        if let Some(gap) = self.progress.received(times, self.context.retention.begin_ms(times.requested_ms)) {
            self.report_gap(gap);
        }
        for (at, record) in chunk.records.iter().enumerate() {
            let misrouted = self.batcher.push(record).map_err(|error| {
                let text = format_args!("{} returned a record without a valid sequence number", self.shard.id);
                let stream_ref = &self.context.reader.stream.stream_ref;
                stream_ref.error(StreamErrorKind::Fatal, text).with_source(error)
            })?;
            if misrouted > 0 && self.core().misrouted(&self.shard.id, misrouted) {
                tracing::warn!(
                    shard = &*self.shard.id,
                    "aggregates in this shard have records whose keys are of other shards: {}; \
                     paceline_misrouted_records_total counts them",
                    match self.context.reader.config.misrouted {
                        Misrouted::Keep =>
                            "those that dedup would recognize if they came again are processed, the others become dead \
                             letters",
                        Misrouted::DeadLetter => "they become dead letters",
                        Misrouted::Drop => "they are dropped, and lost unless their producer sends them again",
                    }
                );
            }
            if self.batcher.is_full() {
                self.commit(chunk.records.get(at + 1).and_then(arrival_ms)).await?;
                if self.stop.is_cancelled() {
                    return Ok(ControlFlow::Break(ShardEnd::Stopped));
                }
            }
        }
        if self.batcher.due().is_some() {
            self.permits.push(permit);
        }
        if let Some(children) = chunk.children {
            return self.end(children).await.map(ControlFlow::Break);
        }
        if chunk.behind_ms == 0
            && self.batcher.due().is_none()
            && let Some(checkpoint) = self.progress.idle_checkpoint(Instant::now())
        {
            self.put_checkpoint(&checkpoint).await?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Commits the rest of the shard and marks it as done.
    async fn end(&mut self, children: Vec<Shard>) -> Result<ShardEnd, ConsumerError> {
        self.commit(None).await?;
        if !self.put_checkpoint(&self.progress.end_checkpoint()).await? {
            return Ok(ShardEnd::Stopped);
        }
        tracing::info!(shard = &*self.shard.id, children = children.len(), "read the shard to its end");
        self.core().done(&self.shard.id, children);
        Ok(ShardEnd::Done)
    }

    /// Commits the batch, however long the store takes. A process that is stopping bounds that from outside: dropping
    /// this future leaves nothing that dedup does not absorb.
    ///
    /// `next_ms` is the arrival of the first record after the batch that was read already.
    async fn commit(&mut self, next_ms: Option<i64>) -> Result<(), ConsumerError> {
        let Some(mut batch) = self.batcher.take() else { return Ok(()) };
        let began = Instant::now();
        let mut summary = Summary::default();
        let on_wait = |_: &_, why: &PipelineError| {
            if self.stop.is_cancelled() && why.is_past_deadline() {
                return ControlFlow::Break(());
            }
            self.core().store_retried(&self.shard.id);
            ControlFlow::Continue(())
        };
        let span = batch.span();
        self.context.pipeline.process_until_committed(&mut batch, &mut summary, on_wait).instrument(span).await?;
        let now = Instant::now();
        self.progress.committed(batch.checkpoint.as_ref(), now);
        let shard = &*self.shard.id;
        (self.context.finished)(&Finished { shard, batch: &batch, summary: &summary, took: now - began });
        self.permits.clear();
        self.core().committed(&self.shard.id, next_ms);
        Ok(())
    }

    /// Writes a checkpoint without a batch. Returns false if the process is stopping and the store did not accept it.
    async fn put_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<bool, ConsumerError> {
        let store = self.context.pipeline.store();
        let put = || store.put_checkpoint(&self.name, checkpoint);
        let on_wait = || self.core().store_retried(&self.shard.id);
        let what = format!("the checkpoint of {}", self.shard.id);
        match retry_transient(&what, &self.stop, put, on_wait).await {
            Ok(()) => {
                self.progress.checkpointed(Instant::now());
                Ok(true)
            }
            Err(error) if error.is_transient() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn report_gap(&self, gap: Gap) {
        let (shard, hours) = (&*self.shard.id, gap.hours());
        self.core().expired(&self.shard.id, hours);
        tracing::error!(
            shard,
            hours,
            "RECORDS ARE LOST: the records that arrived in {shard} from {} to {} expired before they were read: \
             {hours:.2} hours are missing. The stream keeps records for {} hours; increase that beyond the time that \
             this host may be down or behind (IncreaseStreamRetentionPeriod)",
            timestamp(gap.from_ms),
            timestamp(gap.to_ms),
            self.context.retention.hours(),
        );
    }
}
