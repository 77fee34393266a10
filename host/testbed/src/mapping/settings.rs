//! The settings of an event source mapping, and what it invokes.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::clock::Clock;
use crate::lambda::{Function, Invocation};

/// What a mapping invokes: a [`Function`], or a closure in its place.
pub trait Invoke: Sync {
    /// Invokes it with an event and waits for the outcome.
    fn invoke(&self, event: Vec<u8>, timeout: Duration) -> Invocation;

    /// As [`Invoke::invoke`]; calls `on_start` when it has taken the event.
    fn invoke_with(&self, event: Vec<u8>, timeout: Duration, on_start: &mut dyn FnMut()) -> Invocation {
        on_start();
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

    fn invoke_with(&self, event: Vec<u8>, timeout: Duration, on_start: &mut dyn FnMut()) -> Invocation {
        self.invoke_with(event, timeout, on_start)
    }
}

/// What a test does to a function during an invocation.
pub type Chaos<F> = Arc<dyn Fn(&F, &mut Rng) + Send + Sync>;

/// How a mapping reads a stream whose records come while it runs: those whose arrival is still to come by the clock are
/// not there yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live {
    /// The clock of the records' arrivals.
    pub clock: Clock,
    /// Milliseconds between two polls of a shard.
    pub poll_ms: i64,
    /// The batching window in milliseconds; 0 for none.
    pub batching_window_ms: i64,
    /// When the run ends: no batch begins after it.
    pub until_ms: i64,
}

/// The settings of a mapping.
pub struct Mapping<F> {
    /// The maximum number of records in a batch, up to Lambda's 10,000.
    pub batch_size: usize,
    /// The maximum number of bytes in an event.
    pub payload_limit: usize,
    /// Concurrent batches of a shard, 1 to 10: its records are distributed over so many queues by partition key. With
    /// windows there is one queue.
    pub parallelization_factor: usize,
    /// Seconds of a window, 1 to 900: by approximate arrival time, aligned to 1970.
    pub tumbling_window: Option<u32>,
    /// Whether a failed batch is split in two.
    pub bisect: bool,
    /// How often a batch is retried before it is discarded; without a number, forever.
    pub max_retries: Option<u32>,
    /// Whether `batchItemFailures` of a response count.
    pub report_batch_item_failures: bool,
    /// The function's timeout, by the machine's clock.
    pub timeout: Duration,
    /// Reads records as they come. Without it, all records of the stream are there, and the run ends with them. A queue
    /// that waits for records holds a thread, so `max_concurrency` must be at least the number of queues.
    pub live: Option<Live>,
    /// Concurrent invocations over all shards.
    pub max_concurrency: usize,
    /// Determines every random choice.
    pub seed: u64,
    /// The probability that a successful batch or final invocation is delivered once more, as if its response was lost:
    /// with windows, with the state that it had before.
    pub deliver_twice: f64,
    /// Called during each invocation, when the function has taken the event.
    pub chaos: Option<Chaos<F>>,
    /// The number of consecutive failures of a queue after which the run panics. Lambda retries until records expire.
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
            live: None,
            max_concurrency: 10,
            seed: 0,
            deliver_twice: 0.0,
            chaos: None,
            max_failures_in_a_row: 100,
        }
    }
}

impl<F> Mapping<F> {
    /// # Panics
    ///
    /// If a setting is out of range.
    pub(super) fn check(&self) {
        assert!((1..=10_000).contains(&self.batch_size), "batch_size is {}, not within 1 and 10,000", self.batch_size);
        let factor = self.parallelization_factor;
        assert!((1..=10).contains(&factor), "parallelization_factor is {factor}, not within 1 and 10");
        let window = self.tumbling_window.unwrap_or(1);
        assert!((1..=900).contains(&window), "tumbling_window is {window} seconds, not within 1 and 900");
        if let Some(Live { poll_ms, .. }) = self.live {
            assert!(poll_ms > 0, "poll_ms is {poll_ms}, not above 0");
        }
        assert!(self.max_concurrency > 0, "max_concurrency is 0, so no invocation ever runs");
    }

    /// Concurrent batches of a shard.
    pub(super) fn queues_per_shard(&self) -> usize {
        if self.tumbling_window.is_some() { 1 } else { self.parallelization_factor }
    }

    pub(super) fn window_seconds(&self) -> i64 {
        self.tumbling_window.map_or(1, i64::from)
    }
}
