//! What a daemon and a process say to each other about a shard, from the process's start to the end of its lease.

use std::sync::Arc;

use paceline_pipeline::model::RecordPosition;
use serde_json::Value;

use super::Application;
use super::leases::{Held, Progress};
use super::lines::{self, Answer};
use super::process::{Gone, Process};
use crate::acknowledged;
use crate::finding::Finding;
use crate::latch::Latch;
use crate::plant::Plant;
use crate::world::sleep_ms;

/// The longest time between two reads of a shard, in milliseconds.
const IDLE_MS: u64 = 1_000;
/// One read without a record in so many is told to the process as well.
const EMPTY: u64 = 8;
/// The longest time that a write to the lease table takes, in milliseconds.
const WRITE_MS: u64 = 40;
/// The longest time after a message at which a process is killed, in milliseconds.
const KILL_MS: u64 = 600;

/// What ends a conversation from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    /// The daemon is told to stop: it asks for the last checkpoints, and gives up its leases.
    pub(super) stop: Arc<Latch>,
    /// The daemon is gone. Its processes go on until they notice.
    pub(super) down: Arc<Latch>,
    /// The machine is gone, with all processes on it.
    pub(super) machine: Arc<Latch>,
}

/// A conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    application: Arc<Application>,
    signals: Signals,
    held: Held,
    /// Set once the daemon knows that another one has the lease.
    lost: Arc<Latch>,
    process: Process,
    /// Up to where records were sent, and the last checkpoint that the daemon knows to be written.
    sent: Progress,
    written: Progress,
}

impl Conversation {
    /// Starts a process for a shard.
    pub(super) fn new(application: &Arc<Application>, signals: &Signals, held: Held, lost: Arc<Latch>) -> Self {
        let process = application.processes.start(&application.fleet, &signals.machine);
        let (application, signals) = (Arc::clone(application), signals.clone());
        Self { application, signals, held, lost, process, sent: held.from, written: held.from }
    }

    /// Delivers the shard's records until the lease ends. When the process fails, the daemon does, too.
    pub(super) async fn run(mut self) -> Result<(), Gone> {
        let application = Arc::clone(&self.application);
        let (world, shard) = (&application.fleet.world, self.held.shard);
        self.tell(lines::initialize(world, shard, self.held.from)).await?;
        loop {
            if self.lost.is_set() {
                self.tell(lines::bare("leaseLost")).await?;
                break;
            }
            if self.signals.stop.is_set() {
                let asked = self.tell(lines::bare("shutdownRequested")).await;
                application.leases.release(&self.held);
                asked?;
                self.tell(lines::bare("leaseLost")).await?;
                break;
            }
            let records = self.next();
            if !records.is_empty() {
                self.deliver(&records).await?;
                continue;
            }
            if application.leases.is_closed(shard) && !self.has_more() {
                self.sent = Progress::End;
                self.tell(lines::bare("shardEnded")).await?;
                break;
            }
            if world.below(EMPTY) == 0 {
                self.deliver(&[]).await?;
            }
            sleep_ms(1 + world.below(IDLE_MS)).await;
        }
        let Self { process, sent, held, lost, signals, .. } = self;
        if let Some(line) = process.close().await {
            let error = format!("a process went on after its end: {}", String::from_utf8_lossy(&line));
            world.report(Finding::Fatal { at_ms: world.now_ms(), error });
        }
        // The KCL asks for the end's checkpoint until it is written, and there is no process any more that could answer.
        if sent == Progress::End && application.leases.checkpoint(shard) != Progress::End {
            world.trace(format_args!("shard {shard} ended without a checkpoint"));
            tokio::select! {
                biased;
                () = lost.wait() => {}
                () = signals.stop.wait() => application.leases.release(&held),
            }
        }
        Ok(())
    }

    /// The records that have arrived since those that were sent, as many as a message has.
    fn next(&self) -> Vec<usize> {
        let (world, left) = (&self.application.fleet.world, self.left());
        let taken = world.stream.take(left, world.plan.batch, world.now_ms());
        left[..taken].to_vec()
    }

    fn has_more(&self) -> bool {
        !self.left().is_empty()
    }

    /// The shard's records that were not sent. A lease that begins within an aggregate gets the rest of it.
    fn left(&self) -> &[usize] {
        let stream = &self.application.fleet.world.stream;
        let records = &stream.shards[self.held.shard].records;
        &records[records.partition_point(|&record| Progress::UpTo(stream.records[record].position) <= self.sent)..]
    }

    /// Sends records, and waits for the process.
    async fn deliver(&mut self, records: &[usize]) -> Result<(), Gone> {
        let application = Arc::clone(&self.application);
        let world = &application.fleet.world;
        if let Some(&last) = records.last() {
            self.sent = Progress::UpTo(world.stream.records[last].position);
            if world.is_planted(Plant::KclCheckpointBeforeCommit) {
                self.write(self.sent).await;
            }
        }
        if world.chance(world.plan.kills) {
            world.trace(format_args!("the process of shard {} is killed", self.held.shard));
            self.process.kill_in(1 + world.below(KILL_MS));
        }
        self.tell(lines::process_records(world, records)).await?;
        application.leases.answer(&self.held, self.sent);
        Ok(())
    }

    /// Sends a message, and writes checkpoints until it is answered.
    async fn tell(&mut self, message: Value) -> Result<(), Gone> {
        let application = Arc::clone(&self.application);
        let (world, shard) = (&application.fleet.world, self.held.shard);
        let action = message["action"].as_str().unwrap_or_default();
        world.trace(format_args!("shard {shard} {action} {:?}", self.sent));
        self.process.send(&message).await?;
        loop {
            let line = self.process.receive().await?;
            match lines::parse(&line) {
                Some(Answer::Status(of)) if of == action => return Ok(()),
                Some(Answer::Checkpoint(at)) => {
                    let error = self.checkpoint(at).await;
                    world.trace(format_args!("shard {shard} checkpoint {at:?} {error:?}"));
                    self.process.send(&lines::checkpoint(at, error)).await?;
                }
                _ => {
                    let error = format!("{action} is answered with {}", String::from_utf8_lossy(&line));
                    world.report(Finding::Fatal { at_ms: world.now_ms(), error });
                    return Err(Gone);
                }
            }
        }
    }

    /// Writes a checkpoint. Returns the class of the exception with which it fails.
    async fn checkpoint(&mut self, at: Option<RecordPosition>) -> Option<&'static str> {
        let application = Arc::clone(&self.application);
        let world = &application.fleet.world;
        let to = match at {
            // With one position for all messages of a stream record, a checkpoint there is after all of them.
            Some(_) if world.is_planted(Plant::SubSequenceIgnored) => self.sent,
            Some(position) => Progress::UpTo(position),
            None => self.sent,
        };
        if to < self.written || to > self.sent || at.is_none() != (self.sent == Progress::End) {
            let error =
                format!("a checkpoint at {to:?} is not within {:?} and {:?}, which was sent", self.written, self.sent);
            world.report(Finding::Fatal { at_ms: world.now_ms(), error });
            return Some("IllegalArgumentException");
        }
        self.die_sometimes().await;
        sleep_ms(1 + world.below(WRITE_MS)).await;
        let refusal = if world.chance(world.plan.refusals) { 1 + world.below(8) } else { 0 };
        match refusal {
            1..=3 => return Some("ThrottlingException"),
            4 => return Some("KinesisClientLibDependencyException"),
            5 => return Some("RuntimeException"),
            6 => return Some("InvalidStateException"),
            7 => application.leases.release(&self.held),
            _ => {}
        }
        if !self.write(to).await {
            self.lost.set();
            return Some("ShutdownException");
        }
        self.die_sometimes().await;
        if refusal == 8 {
            // The write took effect, and its answer was lost.
            return Some("KinesisClientLibDependencyException");
        }
        self.written = to;
        None
    }

    /// Writes to the lease table. False if the lease is lost.
    async fn write(&self, to: Progress) -> bool {
        let Application { fleet, leases, .. } = &*self.application;
        let Some(acknowledged) = leases.write(&self.held, to) else { return false };
        acknowledged::check(&fleet.world, &acknowledged).await;
        true
    }

    /// The daemon may die around a write, so that its answer does not come.
    async fn die_sometimes(&self) {
        let world = &self.application.fleet.world;
        if world.chance(world.plan.kills) {
            world.trace(format_args!("the daemon of shard {} dies", self.held.shard));
            self.signals.down.set();
            std::future::pending::<()>().await;
        }
    }
}
