//! A discrete-event simulation of a stream, its consumer and its table.
//!
//! # Layout
//!
//! - `clock`: events in the order of time.
//! - `arrivals`: which messages a queue has at a time.
//! - `bucket`, `table`: burst credit, and what the limits of a table let through.
//! - `queue`: a queue of batches, and the batch in progress.
//! - `run`: what happens at each event.
//! - `ages`: how old messages are when they are committed.
//!
//! Messages are not simulated one by one but as ranges: a batch is a range of a queue's messages, whose arrival times
//! follow from their numbers. So an hour takes milliseconds.

mod ages;
mod arrivals;
mod bucket;
mod clock;
mod queue;
mod run;
mod table;

use serde::Serialize;

pub use ages::Ages;

use crate::deployment::Deployment;
use crate::load::Load;
use crate::shape::Shape;
use crate::work::Work;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Seconds.
    pub seconds: u32,
    /// Determines the waits before retries and the phases of the queues.
    pub seed: u64,
    /// When the consumer is out of order, and for how long, in seconds.
    pub outage: Option<(u32, u32)>,
}

impl Default for Options {
    /// A quarter of an hour: three races of the Alleycat kind.
    fn default() -> Self {
        Self { seconds: 900, seed: 1, outage: None }
    }
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// Seconds that were simulated.
    pub seconds: f64,
    /// Messages that the stream accepted.
    pub arrived: u64,
    /// Messages that it did not accept in the same time, because a shard was full.
    pub rejected: u64,
    /// Messages that are committed.
    pub committed: u64,
    /// Messages that are in a batch in progress, or in the state of a window.
    pub in_progress: u64,
    /// Messages that wait in the stream.
    pub waiting: u64,
    /// How old messages were when they were committed.
    pub ages: Ages,
    /// The age of the oldest message that is not committed, at the end, in seconds.
    pub age_at_end: f64,
    /// How much higher the highest age of the last quarter is than that of the second quarter, in seconds a second: 1 at most.
    /// It is 0 if they differ by no more than ages rise and fall by in steady operation.
    pub growth: f64,
    /// Invocations.
    pub invocations: u64,
    /// Seconds of all invocations.
    pub seconds_running: f64,
    /// The longest one, in seconds.
    pub longest_seconds: f64,
    /// Invocations after which a part of the batch was delivered again.
    pub redelivered: u64,
    /// Invocations that ran into the time-out.
    pub timeouts: u64,
    /// Attempts to write of which the table throttled a part.
    pub throttled: u64,
    /// Write units of the table.
    pub table_units: u64,
    /// Write units of the index.
    pub index_units: u64,
    /// Seconds from the end of the outage until no queue was behind any more.
    pub catch_up: Option<f64>,
}

impl Outcome {
    /// The mean duration of an invocation, in seconds.
    #[must_use]
    pub fn mean_duration(&self) -> f64 {
        if self.invocations == 0 { 0.0 } else { self.seconds_running / self.invocations as f64 }
    }
}

/// Simulates a load and a deployment. Equal arguments give equal outcomes.
#[must_use]
pub fn simulate(load: &Load, deployment: &Deployment, work: &Work, options: &Options) -> Outcome {
    run::run(&Shape::new(load, deployment, work), options, false)
}

/// Seconds from the end of an outage until no queue was behind any more; `None` if that was not within the options' time.
pub(crate) fn catch_up(shape: &Shape<'_>, options: &Options) -> Option<f64> {
    run::run(shape, options, true).catch_up
}
