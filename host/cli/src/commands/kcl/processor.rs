//! From message to answer: what the daemon says is done, and only then answered.

use std::time::Duration;

use paceline_config::{AnyStore, Config};
use paceline_pipeline::Pipeline;
use paceline_pipeline::ProcessOutcome;
use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::summary::Summary;

use super::batches;
use super::checkpoint::Checkpoints;
use super::input::Input;
use super::protocol::{self, Answer, Message, Record};
use crate::Failure;

/// The wait before a batch is tried again that a busy store did not take within `[retry]` `deadline-ms`.
const WAIT: Duration = Duration::from_secs(1);

/// Why the conversation is over before the daemon closes it.
#[derive(Debug)]
pub(super) enum Stop {
    /// The daemon is gone: nobody waits for an answer.
    Gone,
    /// It can't go on here.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(why: Failure) -> Self {
        Self::Failed(why)
    }
}

/// Processes the records of one shard.
#[derive(Debug)]
pub(super) struct Processor<W> {
    pipeline: Pipeline<AnyStore>,
    limits: BatchLimits,
    stream: String,
    pub(super) checkpoints: Checkpoints,
    pub(super) input: Input,
    output: W,
    /// The batch at hand, which is of the shard; nothing before the daemon has named it. Its memory is used again.
    batch: Option<Batch>,
    summary: Summary,
}

impl<W: std::io::Write> Processor<W> {
    pub(super) fn new(
        pipeline: Pipeline<AnyStore>,
        config: &Config,
        stream: String,
        checkpoint_every: Duration,
        input: Input,
        output: W,
    ) -> Self {
        let (limits, checkpoints) = (config.batch.clone(), Checkpoints::new(checkpoint_every));
        let summary = Summary::default();
        Self { pipeline, limits, stream, checkpoints, input, output, batch: None, summary }
    }

    /// Answers message after message until the daemon closes the input.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        loop {
            let Some(line) = self.input.next().await? else { break };
            match self.take(&line).await {
                Ok(()) => self.input.done(line),
                Err(Stop::Gone) => {
                    tracing::warn!("the daemon is gone; what it was not told comes again, and the fences absorb it");
                    break;
                }
                Err(Stop::Failed(why)) => return Err(why),
            }
        }
        let (records, dead, duplicates) = (self.summary.records, self.summary.dead_letters(), self.summary.duplicates);
        tracing::info!(
            shard = self.shard(),
            records,
            dead_letters = dead,
            folded_before = duplicates,
            "the input is over"
        );
        Ok(())
    }

    fn shard(&self) -> Option<&str> {
        self.batch.as_ref().map(|batch| &*batch.shard)
    }

    /// Deals with a message and answers it.
    async fn take(&mut self, line: &[u8]) -> Result<(), Stop> {
        let response_for = match protocol::read(line)? {
            Message::Initialize { shard, from } => {
                self.batch = Some(batches::of_shard(&self.stream, &shard));
                tracing::info!(shard = self.shard(), from = from.as_deref(), "ready");
                "initialize"
            }
            Message::ProcessRecords { records, behind_ms } => {
                self.process(&records).await?;
                tracing::debug!(shard = self.shard(), records = records.len(), behind_ms, "done");
                if let Some(position) = self.checkpoints.due() {
                    self.checkpoint(Some(position)).await?;
                }
                "processRecords"
            }
            Message::ShardEnded => {
                tracing::info!(shard = self.shard(), "all of the shard is done");
                self.checkpoint(None).await?;
                "shardEnded"
            }
            Message::ShutdownRequested => {
                tracing::info!(shard = self.shard(), "the daemon is about to give the shard up");
                if let Some(position) = self.checkpoints.pending() {
                    self.checkpoint(Some(position)).await?;
                }
                "shutdownRequested"
            }
            Message::LeaseLost => {
                tracing::info!(shard = self.shard(), "somebody else has the shard now");
                "leaseLost"
            }
            Message::Checkpoint { .. } => {
                return Err(Stop::Failed("the daemon answers a checkpoint that nobody asked for".to_owned()));
            }
        };
        self.say(&Answer::Status { response_for })
    }

    /// Commits all of these records.
    async fn process(&mut self, mut records: &[Record<'_>]) -> Result<(), Stop> {
        let mut batch = self.batch.take().ok_or_else(|| {
            "the daemon sends records of a shard without a name: it has to \
            begin with `initialize`"
                .to_owned()
        })?;
        while !records.is_empty() {
            let taken = batches::fill(&mut batch, records, &self.limits)?;
            let last = batch.records[taken - 1].position;
            self.commit(&mut batch).await?;
            self.checkpoints.reached(last);
            records = &records[taken..];
        }
        self.batch = Some(batch);
        Ok(())
    }

    /// Commits a batch, however long it takes: the daemon waits, and keeps the lease meanwhile.
    async fn commit(&mut self, batch: &mut Batch) -> Result<(), Stop> {
        loop {
            let (safe, why) = match self.pipeline.process(batch, None, &mut self.summary).await {
                Ok(Done { first_uncommitted: None }) => return Ok(()),
                Ok(Done { first_uncommitted: Some((record, why)) }) => (record, why),
                // Nothing could be begun.
                Err(why) if why.is_transient() => (0, why),
                Err(error) => return Err(Stop::Failed(format!("{}: {error}", batch.shard))),
            };
            if self.input.is_over() {
                let left = batch.records.len() - safe as usize;
                return Err(Stop::Failed(format!(
                    "{}: the daemon is gone, and {left} records are not safe and come again: {why}",
                    batch.shard
                )));
            }
            let of = batch.records.len();
            tracing::warn!(shard = &*batch.shard, safe, of, "the batch is not safe yet, trying again: {why}");
            batch.skip(safe as usize);
            tokio::time::sleep(WAIT).await;
        }
    }

    /// Writes a line to the daemon.
    pub(super) fn say(&mut self, answer: &Answer) -> Result<(), Stop> {
        let mut line = serde_json::to_vec(answer).map_err(|error| error.to_string())?;
        line.push(b'\n');
        match self.output.write_all(&line).and_then(|()| self.output.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Stop::Gone),
            Err(error) => Err(Stop::Failed(format!("standard output can't be written: {error}"))),
        }
    }
}
