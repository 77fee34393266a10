//! From message to answer: a message is processed completely, and only then answered.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use paceline_aws::kcl::{self, Answer, Batches, Message, Record};
use paceline_config::{AnyStore, batch_trace};
use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{ErrorChain, Pipeline, PipelineError};
use paceline_traces::Traces;
use tracing::Instrument;

use super::checkpoint::Checkpoints;
use super::connection::Connection;
use super::error::KclError;
use crate::serve::ShardWork;
use crate::stop::CALLS_AFTER_STOP;

/// What a shard's records are processed by.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) pipeline: Arc<Pipeline<AnyStore>>,
    pub(super) limits: BatchLimits,
    /// The name of the stream in dedup state and dead letters.
    pub(super) stream: String,
    /// What others see of it.
    pub(super) work: Arc<ShardWork>,
    pub(super) traces: Option<Traces>,
}

/// Processes the records of one shard.
#[derive(Debug)]
pub(super) struct Processor<W> {
    host: Host,
    checkpoints: Checkpoints,
    daemon: Connection<W>,
    /// The batches of the shard; `None` until the daemon has named it.
    batches: Option<Batches>,
    summary: Summary,
}

impl<W: Write> Processor<W> {
    pub(super) fn new(host: Host, checkpoints: Checkpoints, daemon: Connection<W>) -> Self {
        Self { host, checkpoints, daemon, batches: None, summary: Summary::default() }
    }

    /// Answers message after message until the daemon closes the input.
    pub(super) async fn run(mut self) -> Result<(), KclError> {
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
        let response_for = match kcl::read(line)? {
            Message::Initialize { shard, from } => {
                self.batches = Some(Batches::new(&self.host.stream, &shard, self.host.limits.clone()));
                self.host.work.begin(&shard);
                tracing::info!(shard = self.shard(), from = from.as_deref(), "ready");
                "initialize"
            }
            Message::ProcessRecords { records, behind_ms } => {
                let bytes = records.iter().map(Record::data_bytes).sum();
                self.host.work.received(records.len(), bytes, behind_ms);
                self.process(&records).await?;
                self.host.work.committed();
                tracing::debug!(shard = self.shard(), records = records.len(), behind_ms, "records committed");
                if let Some(position) = self.checkpoints.due() {
                    self.checkpoints.write(&mut self.daemon, Some(position)).await?;
                }
                "processRecords"
            }
            Message::ShardEnded => {
                tracing::info!(shard = self.shard(), "the shard is read to its end");
                self.checkpoints.write(&mut self.daemon, None).await?;
                self.host.work.done();
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
                self.host.work.done();
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
            self.host.pipeline.rulebooks().call_deadline().set(Some(Instant::now() + CALLS_AFTER_STOP));
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
        let (input, work, mut gone) = (&self.daemon.input, &self.host.work, false);
        let on_wait = |_: &Batch, why: &PipelineError| {
            work.waits();
            // The calls have a deadline once the input has ended.
            gone = input.is_over() || why.is_past_deadline();
            if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (mut summary, began) = (Summary::default(), Instant::now());
        let span = batch.span();
        let committed = self.host.pipeline.process_until_committed(batch, &mut summary, on_wait).instrument(span).await;
        if committed.is_ok() {
            work.finished(&summary, began.elapsed());
        }
        if let Some(traces) = &self.host.traces {
            let error = committed.as_ref().err().map(|error| ErrorChain(error).to_string());
            traces.send(&batch_trace(batch, &summary, began, error));
        }
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
