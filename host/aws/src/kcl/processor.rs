//! From message to answer: a message is processed completely, and only then answered.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::store::Store;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, PipelineError};
use tracing::Instrument;

use super::batches::Batches;
use super::checkpoint::Checkpoints;
use super::connection::Connection;
use super::error::KclError;
use super::observer::{Observer, Processed};
use super::protocol::{Answer, Message, Record, read};

/// What a shard's records are processed by.
#[derive(Debug)]
pub struct Host<S, O> {
    /// The pipeline.
    pub pipeline: Arc<Pipeline<S>>,
    /// The largest batch: a message may have more records.
    pub limits: BatchLimits,
    /// The name of the stream in dedup state and dead letters.
    pub stream: String,
    /// How long plugins may run once the daemon has closed the input: nobody waits for them then.
    pub calls_after_end: Duration,
    /// What others see of it.
    pub observer: O,
}

/// Processes the records of one shard.
#[derive(Debug)]
pub struct Processor<S, O, W> {
    host: Host<S, O>,
    checkpoints: Checkpoints,
    daemon: Connection<W>,
    /// The batches of the shard; `None` until the daemon has named it.
    batches: Option<Batches>,
    summary: Summary,
}

impl<S: Store, O: Observer, W: Write> Processor<S, O, W> {
    /// A processor at the beginning of its conversation.
    pub fn new(host: Host<S, O>, checkpoints: Checkpoints, daemon: Connection<W>) -> Self {
        Self { host, checkpoints, daemon, batches: None, summary: Summary::default() }
    }

    /// Answers message after message until the daemon closes the input.
    pub async fn run(mut self) -> Result<(), KclError> {
        while let Some(line) = self.daemon.input.next().await? {
            match self.handle(&line).await {
                Ok(()) => self.daemon.input.reuse(line),
                Err(KclError::DaemonGone) => {
                    tracing::warn!("the daemon is gone; records after its last checkpoint are delivered again");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let Summary { records, duplicates, .. } = self.summary;
        let dead_letters = self.summary.dead_letter_count();
        tracing::info!(shard = self.shard(), records, dead_letters, duplicates, "the input is closed");
        Ok(())
    }

    fn shard(&self) -> Option<&str> {
        self.batches.as_ref().map(Batches::shard)
    }

    /// Handles a message and answers it.
    async fn handle(&mut self, line: &[u8]) -> Result<(), KclError> {
        let response_for = match read(line)? {
            Message::Initialize { shard, from } => {
                self.batches = Some(Batches::new(&self.host.stream, &shard, self.host.limits.clone()));
                self.host.observer.began(&shard);
                tracing::info!(shard = self.shard(), from = from.as_deref(), "ready");
                "initialize"
            }
            Message::ProcessRecords { records, behind_ms } => {
                let bytes = records.iter().map(Record::data_bytes).sum();
                self.host.observer.received(records.len(), bytes, behind_ms);
                self.process(&records).await?;
                self.host.observer.committed();
                tracing::debug!(shard = self.shard(), records = records.len(), behind_ms, "records committed");
                if let Some(position) = self.checkpoints.due() {
                    self.checkpoints.write(&mut self.daemon, Some(position)).await?;
                }
                "processRecords"
            }
            Message::ShardEnded => {
                tracing::info!(shard = self.shard(), "the shard is read to its end");
                self.checkpoints.write(&mut self.daemon, None).await?;
                self.host.observer.done();
                "shardEnded"
            }
            Message::ShutdownRequested => {
                tracing::info!(shard = self.shard(), "the daemon is about to release the lease");
                if let Some(position) = self.checkpoints.pending() {
                    self.checkpoints.write(&mut self.daemon, Some(position)).await?;
                }
                "shutdownRequested"
            }
            Message::LeaseLost => {
                tracing::info!(shard = self.shard(), "another worker has the lease");
                self.host.observer.done();
                "leaseLost"
            }
            message @ Message::Checkpoint { .. } => return Err(KclError::Unexpected(message.action())),
        };
        self.daemon.send(&Answer::Status { response_for })
    }

    /// Commits all of these records.
    async fn process(&mut self, mut records: &[Record<'_>]) -> Result<(), KclError> {
        if self.daemon.input.has_ended() {
            // Messages that the daemon sent before it closed the input get the same time, each.
            let until = tokio::time::Instant::now().into_std() + self.host.calls_after_end;
            self.host.pipeline.rulebooks().call_deadline().set(Some(until));
        }
        let mut batches = self.batches.take().ok_or(KclError::NoShard)?;
        while let Some(mut batch) = batches.next(&mut records)? {
            let last = batch.records.last().map(|record| record.position);
            self.commit(&mut batch).await?;
            last.into_iter().for_each(|last| self.checkpoints.reached(last));
            batches.reuse(batch);
        }
        self.batches = Some(batches);
        Ok(())
    }

    /// Commits a batch, however long that takes: the daemon waits, and keeps the lease. Only when the daemon is gone does
    /// nobody wait.
    async fn commit(&mut self, batch: &mut Batch) -> Result<(), KclError> {
        let (input, observer, mut gone) = (&self.daemon.input, &self.host.observer, false);
        let on_wait = |_: &Batch, why: &PipelineError| {
            observer.waits(why);
            // The calls have a deadline once the input has ended.
            gone = input.is_over() || why.is_past_deadline();
            if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (mut summary, began) = (Summary::default(), Instant::now());
        let span = batch.span();
        let committed = self.host.pipeline.process_until_committed(batch, &mut summary, on_wait).instrument(span).await;
        observer.processed(&Processed { batch, summary: &summary, began, error: committed.as_ref().err() });
        self.summary.add(&summary);
        committed.map_err(|source| {
            let shard = batch.shard.to_string();
            match gone {
                true => KclError::NotCommitted { shard, left: batch.records.len(), source },
                false => KclError::Batch { shard, source },
            }
        })
    }
}
