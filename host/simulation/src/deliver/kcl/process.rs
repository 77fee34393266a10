//! A process of `paceline kcl`, on a host of its own: the real processor, with lines in memory. It outlives its daemon by
//! the batch that it commits then.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use paceline_aws::kcl::{Checkpoints, Connection, Host, Input, InputError, KclError, Processor};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::BatchLimits;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;

use super::super::Fleet;
use crate::finding::Finding;
use crate::host;
use crate::latch::Latch;
use crate::world::sleep_ms;

/// Answers that a daemon has not read: a process waits for the daemon after each.
const ANSWERS: usize = 2;
/// The number of the first host that is such a process.
const FIRST: u32 = 1_000;
/// The intervals between checkpoints of which a process has one, in milliseconds.
const CHECKPOINT_EVERY_MS: [u64; 3] = [0, 1_000, 15_000];
/// How long calls of plugins may take without a daemon: by the machine's clock no call takes as long in a run.
const CALLS_AFTER_END: Duration = Duration::from_secs(5);

/// All processes that were started.
#[derive(Debug, Default)]
pub(super) struct Processes {
    started: AtomicU32,
    running: Mutex<JoinSet<()>>,
}

/// The process as its daemon has it: standard input and output. They are closed when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    lines: mpsc::Sender<Result<Vec<u8>, InputError>>,
    answers: mpsc::Receiver<Vec<u8>>,
    killed: Arc<Latch>,
}

/// The process, or its daemon, is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl Processes {
    /// Starts a process, which dies with its machine.
    pub(super) fn start(&self, fleet: &Fleet, machine: &Arc<Latch>) -> Process {
        let (lines, input) = Input::queue();
        let (sender, answers) = mpsc::channel(ANSWERS);
        let killed = Arc::new(Latch::default());
        let process = Process { lines, answers, killed: Arc::clone(&killed) };
        let id = FIRST + self.started.fetch_add(1, Ordering::SeqCst);
        let connection = Connection::new(input, Output { line: Vec::new(), answers: sender });
        let (fleet, machine) = (fleet.clone(), Arc::clone(machine));
        self.running.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            let host = host::Host::new(id, &fleet.environment, false);
            run(&fleet, &host, connection, [&killed, &machine]).await;
        });
        process
    }

    /// Waits until all have ended.
    pub(super) async fn ended(&self) {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        running.join_all().await;
    }
}

impl Process {
    /// Writes a line to the process.
    pub(super) async fn send(&self, message: &Value) -> Result<(), Gone> {
        self.lines.send(Ok(message.to_string().into_bytes())).await.map_err(|_| Gone)
    }

    /// The next line of the process.
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, Gone> {
        self.answers.recv().await.ok_or(Gone)
    }

    /// Kills the process after some time, wherever it is then.
    pub(super) fn kill_in(&self, ms: u64) {
        let killed = Arc::clone(&self.killed);
        tokio::spawn(async move {
            sleep_ms(ms).await;
            killed.set();
        });
    }

    /// Closes standard input, and waits until the process closes its output. Returns what it wrote meanwhile.
    pub(super) async fn close(self) -> Option<Vec<u8>> {
        let Self { lines, mut answers, .. } = self;
        drop(lines);
        answers.recv().await
    }
}

/// Standard output: whole lines.
struct Output {
    line: Vec<u8>,
    answers: mpsc::Sender<Vec<u8>>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line = self.line.drain(..=end).collect();
            self.answers.try_send(line).map_err(|error| match error {
                TrySendError::Full(_) => io::Error::other("answers were not asked for"),
                TrySendError::Closed(_) => io::ErrorKind::BrokenPipe.into(),
            })?;
        }
        Ok(())
    }
}

/// The process from its start to its end.
async fn run(fleet: &Fleet, host: &host::Host, connection: Connection<Output>, deaths: [&Latch; 2]) {
    let world = &fleet.world;
    let Some(life) = until_death(deaths, host.life()).await else { return };
    let every_ms = CHECKPOINT_EVERY_MS[world.below(CHECKPOINT_EVERY_MS.len() as u64) as usize];
    let shard_host = Host {
        pipeline: Arc::clone(&life.pipeline),
        limits: BatchLimits { max_records: world.plan.batch as usize, ..BatchLimits::default() },
        stream: "alleycat".to_owned(),
        calls_after_end: CALLS_AFTER_END,
        observer: (),
    };
    let processor = Processor::new(shard_host, Checkpoints::new(Duration::from_millis(every_ms)), connection);
    // Boxed, because the compiler limits how deep futures nest in one type.
    let ended = until_death(deaths, life.work(Box::pin(processor.run()))).await;
    life.kill(world);
    if let Some(Some(Err(error))) = ended {
        report(fleet, &error);
    }
}

/// Some work, unless a death comes first.
async fn until_death<T>([killed, machine]: [&Latch; 2], work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = killed.wait() => None,
        () = machine.wait() => None,
        done = work => Some(done),
    }
}

/// A process ends by itself when its daemon is gone or can't write a checkpoint, and otherwise without an error.
fn report(fleet: &Fleet, error: &KclError) {
    let world = &fleet.world;
    match error {
        KclError::Batch { source, .. } => fleet.report_fatal(source),
        KclError::NotCommitted { .. } | KclError::LeaseTable { .. } | KclError::ShardEnd { .. } => {
            world.trace(format_args!("a process ends: {}", ErrorChain(error)));
        }
        _ => world.report(Finding::Fatal { at_ms: world.now_ms(), error: ErrorChain(error).to_string() }),
    }
}
