//! An event source mapping: feeds a function from a [`Stream`] as AWS documents it, with all that can go wrong in it.
//!
//! # Layout
//! - `event`: the JSON that a function is invoked with.
//! - `answer`: what its answer says of the batch.
//! - `lane`: one ordered sequence of batches, with their retries.
//!
//! Where AWS is silent, one reading was chosen:
//! - All shards end where their records end; there is no waiting for more, so the last window of an open shard closes.
//! - A batch holds neighbouring records of one window. When the next record belongs to another window, the open one
//!   closes, even if the other is earlier: then that one opens anew, with a fresh state.
//! - A batch that closed a window early, by a state over 1 MB, is done. The window goes on: its next invocation (which
//!   may be the final one) has the state `{}` and `isWindowTerminatedEarly`, those after it have the flag no more.
//! - The state that comes with a partial failure is that of the records before the failure, and is handed on.
//! - A `state` of null is no state.
//! - A final invocation is retried like a batch, and given up like one.
//! - A partial failure that is not split uses up a retry of the rest.
//! - An answer that is neither null nor an object is a complete failure where batch item failures are reported.

mod answer;
mod event;
mod lane;

use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use self::lane::{Lane, Progress};
use crate::lambda::{Function, Invocation};
use crate::stream::{Stream, hash_key};

/// What can be invoked: a [`Function`], or a closure that plays one.
pub trait Invoke: Sync {
    /// Hands over an event and waits for the outcome.
    fn invoke(&self, event: Vec<u8>, timeout: Duration) -> Invocation;

    /// The same; calls `begun` as soon as the event is handed over.
    fn invoke_with(&self, event: Vec<u8>, timeout: Duration, begun: &mut dyn FnMut()) -> Invocation {
        begun();
        self.invoke(event, timeout)
    }
}

impl<F: Fn(Vec<u8>, Duration) -> Invocation + Sync> Invoke for F {
    fn invoke(&self, event: Vec<u8>, timeout: Duration) -> Invocation {
        self(event, timeout)
    }
}

impl Invoke for Function {
    fn invoke(&self, event: Vec<u8>, timeout: Duration) -> Invocation {
        self.invoke(event, timeout)
    }

    fn invoke_with(&self, event: Vec<u8>, timeout: Duration, begun: &mut dyn FnMut()) -> Invocation {
        self.invoke_with(event, timeout, begun)
    }
}

/// What a test does to a function while it works.
pub type Chaos<F> = Arc<dyn Fn(&F, &mut Rng) + Send + Sync>;

/// The settings of a mapping.
pub struct Mapping<F> {
    /// Records of a batch, at most; Lambda allows 10,000.
    pub batch_size: usize,
    /// Bytes of an event, at most.
    pub payload_limit: usize,
    /// Lanes of a shard, 1 to 10: its records are dealt out by partition key, and each lane has one batch in flight.
    /// With windows there is one lane.
    pub parallelization_factor: usize,
    /// Seconds of a window, 1 to 900: by approximate arrival time, aligned to 1970.
    pub tumbling_window: Option<u32>,
    /// Whether a failed batch is split in two.
    pub bisect: bool,
    /// How often a batch is retried until it is given up; without a number, forever.
    pub max_retries: Option<u32>,
    /// Whether an answer's `batchItemFailures` are heeded.
    pub report_batch_item_failures: bool,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// How many invocations may run at once.
    pub max_concurrency: usize,
    /// Decides all that is left to chance.
    pub seed: u64,
    /// The chance that a batch or final invocation that succeeded is delivered once more, as if the answer had not been
    /// heard: with windows, with the state that it had before.
    pub deliver_twice: f64,
    /// Called on the lane's thread each time that the function has taken an event.
    pub chaos: Option<Chaos<F>>,
    /// How many invocations of a lane may fail in a row until the run panics. Lambda would try until records expire.
    pub max_failures_in_a_row: u32,
}

impl<F> Default for Mapping<F> {
    fn default() -> Self {
        Self {
            batch_size: 100,
            payload_limit: 6 << 20,
            parallelization_factor: 1,
            tumbling_window: None,
            bisect: false,
            max_retries: None,
            report_batch_item_failures: false,
            timeout: Duration::from_secs(60),
            max_concurrency: 10,
            seed: 0,
            deliver_twice: 0.0,
            chaos: None,
            max_failures_in_a_row: 100,
        }
    }
}

/// A batch that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRecord {
    /// The shard.
    pub shard_id: String,
    /// The first record's sequence number; nothing for the final invocation of a window.
    pub start_sequence_number: Option<String>,
    /// The last record's.
    pub end_sequence_number: Option<String>,
    /// Records of the batch.
    pub batch_size: usize,
    /// How often it was delivered.
    pub approximate_invoke_count: u32,
    /// `RetryAttemptsExhausted`, or `PayloadTooLarge` for a record that fits into no event.
    pub condition: &'static str,
}

/// What happened in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches that were cut from the stream.
    pub batches: u64,
    /// How often the function was invoked.
    pub invocations: u64,
    /// Invocations for the final call of a window, among them.
    pub final_invocations: u64,
    /// Invocations after a failure, with all or some of the records that failed.
    pub retries: u64,
    /// Invocations that ended in an error of the function's.
    pub function_errors: u64,
    /// Invocations that took too long.
    pub timeouts: u64,
    /// Invocations in which the instance died.
    pub deaths: u64,
    /// Invocations whose answer failed some records.
    pub partial_failures: u64,
    /// Invocations whose answer failed the batch, or was none that Lambda takes: without a state, for one.
    pub failing_answers: u64,
    /// Splits of a failed batch.
    pub splits: u64,
    /// Windows that ended early.
    pub early_ends: u64,
    /// Batches and final invocations that had succeeded and were delivered again.
    pub duplicates: u64,
    /// What was given up.
    pub failures: Vec<FailureRecord>,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.batches += other.batches;
        self.invocations += other.invocations;
        self.final_invocations += other.final_invocations;
        self.retries += other.retries;
        self.function_errors += other.function_errors;
        self.timeouts += other.timeouts;
        self.deaths += other.deaths;
        self.partial_failures += other.partial_failures;
        self.failing_answers += other.failing_answers;
        self.splits += other.splits;
        self.early_ends += other.early_ends;
        self.duplicates += other.duplicates;
        self.failures.extend(other.failures);
    }
}

impl<F: Invoke> Mapping<F> {
    /// Feeds the function until all records of all shards are done, children after their parents.
    ///
    /// # Panics
    /// Where a setting is out of its bounds, where a lane fails too often in a row, and where the function does.
    pub fn run(self, stream: &Stream, function: &F) -> Report {
        assert!((1..=10_000).contains(&self.batch_size), "a batch holds 1 to 10,000 records, not {}", self.batch_size);
        let factor = self.parallelization_factor;
        assert!((1..=10).contains(&factor), "the parallelization factor is 1 to 10, not {factor}");
        let window = self.tumbling_window.unwrap_or(1);
        assert!((1..=900).contains(&window), "a window has 1 to 900 seconds, not {window}");
        assert!(self.max_concurrency > 0, "with a concurrency of 0 nothing ever runs");

        let driver = Driver {
            stream,
            arn: stream.arn(),
            function,
            board: Mutex::default(),
            moved: Condvar::new(),
            mapping: self,
        };
        driver.board().rng = Rng::with_seed(driver.mapping.seed);
        driver.board().shards = vec![ShardState::Waiting; stream.shards.len()];
        driver.start_shards(&mut driver.board());
        thread::scope(|scope| {
            let workers: Vec<_> = (0..driver.mapping.max_concurrency).map(|_| scope.spawn(|| driver.work())).collect();
            for worker in workers {
                // With the message of the worker itself.
                worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
        });
        let board = driver.board.into_inner().unwrap_or_else(PoisonError::into_inner);
        let undone = board.shards.iter().position(|shard| *shard != ShardState::Done);
        assert!(undone.is_none(), "shard {undone:?} was never started: its parents are its own children");
        board.report
    }
}

/// A run.
struct Driver<'a, F> {
    mapping: Mapping<F>,
    stream: &'a Stream,
    arn: String,
    function: &'a F,
    board: Mutex<Board<'a>>,
    /// The board has changed in a way that others wait for.
    moved: Condvar,
}

/// What there is to do.
#[derive(Default)]
struct Board<'a> {
    /// Lanes that a worker may take.
    ready: Vec<Lane<'a>>,
    /// How many lanes workers have taken.
    taken: usize,
    shards: Vec<ShardState>,
    /// Chooses the lanes, so that runs differ in the order of lanes by seed.
    rng: Rng,
    report: Report,
    /// A worker has panicked.
    stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShardState {
    /// For its parents.
    Waiting,
    /// With so many lanes left.
    Started(usize),
    Done,
}

impl<'a, F: Invoke> Driver<'a, F> {
    fn board(&self) -> MutexGuard<'_, Board<'a>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes lanes and brings each a step forward, until there are none.
    fn work(&self) {
        let _stop = StopOnPanic(self);
        while let Some(mut lane) = self.take() {
            match lane.step(self) {
                Ok(Progress::More) => {
                    let mut board = self.board();
                    board.taken -= 1;
                    board.ready.push(lane);
                    self.moved.notify_one();
                }
                Ok(Progress::Done) => {
                    let mut board = self.board();
                    board.taken -= 1;
                    self.finish(&mut board, lane);
                    self.moved.notify_all();
                }
                Err(stuck) => panic!("{stuck}"),
            }
        }
    }

    fn take(&self) -> Option<Lane<'a>> {
        let over = |board: &Board<'_>| board.stopped || (board.ready.is_empty() && board.taken == 0);
        let waits = |board: &mut Board<'_>| !over(board) && board.ready.is_empty();
        let mut board = self.moved.wait_while(self.board(), waits).unwrap_or_else(PoisonError::into_inner);
        if over(&board) {
            return None;
        }
        board.taken += 1;
        let ready = board.ready.len();
        let chosen = board.rng.usize(..ready);
        Some(board.ready.swap_remove(chosen))
    }

    fn finish(&self, board: &mut Board<'a>, lane: Lane<'a>) {
        let state = &mut board.shards[lane.shard];
        *state = match *state {
            ShardState::Started(left) if left > 1 => ShardState::Started(left - 1),
            _ => ShardState::Done,
        };
        board.report.add(lane.report);
        self.start_shards(board);
    }

    /// Starts each shard whose parents are wholly done. Those that the stream no longer has are.
    fn start_shards(&self, board: &mut Board<'a>) {
        let shards = &self.stream.shards;
        let undone = |board: &Board<'_>, id: &String| {
            shards.iter().zip(&board.shards).any(|(shard, state)| shard.id == *id && *state != ShardState::Done)
        };
        while let Some(number) = (0..shards.len()).find(|&number| {
            board.shards[number] == ShardState::Waiting && !shards[number].parents.iter().any(|id| undone(board, id))
        }) {
            let lanes = self.lanes(number);
            board.shards[number] = if lanes.is_empty() { ShardState::Done } else { ShardState::Started(lanes.len()) };
            board.ready.extend(lanes);
        }
    }

    /// The lanes of a shard that have records.
    fn lanes(&self, shard: usize) -> Vec<Lane<'a>> {
        let factor = if self.mapping.tumbling_window.is_some() { 1 } else { self.mapping.parallelization_factor };
        let mut lanes = vec![Vec::new(); factor];
        for record in &self.stream.shards[shard].records {
            // The low bits: the high ones have already decided the shard.
            lanes[(hash_key(&record.partition_key) as u64 % factor as u64) as usize].push(record);
        }
        let seed = |lane: usize| self.mapping.seed ^ ((shard as u64 + 1) << 32 | (lane as u64 + 1));
        let filled = lanes.into_iter().enumerate().filter(|(_, records)| !records.is_empty());
        filled.map(|(lane, records)| Lane::new(shard, records, Rng::with_seed(seed(lane)))).collect()
    }
}

/// Lets the other workers end when one panics; they would wait for its lane forever.
struct StopOnPanic<'a, 'b, F: Invoke>(&'a Driver<'b, F>);

impl<F: Invoke> Drop for StopOnPanic<'_, '_, F> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.board().stopped = true;
            self.0.moved.notify_all();
        }
    }
}
