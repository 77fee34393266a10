//! Measures the invocations of a function.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use paceline_testbed::clock::Clock;
use paceline_testbed::lambda::{Function, Invocation};
use paceline_testbed::mapping::Invoke;

use crate::arrivals::{self, EventRecords};

/// A function whose invocations are measured, in the time of a clock.
pub(crate) struct Recorder<'a> {
    function: &'a Function,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    period: Invocations,
    /// The newest arrival of each batch in progress.
    in_progress: BTreeMap<u64, i64>,
    started: u64,
    /// The arrivals of records in each shard's window.
    windows: BTreeMap<String, Vec<i64>>,
}

/// What was measured of invocations since the last look.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Invocations {
    /// Invocations that ended.
    pub(crate) ended: u64,
    /// Those that failed: by an error, by the time-out, by the end of the process.
    pub(crate) failed: u64,
    /// Seconds of those that ended, together and at most.
    pub(crate) seconds: f64,
    pub(crate) longest_seconds: f64,
    /// Seconds from the arrival of a batch's last record to the invocation, at most; nothing without invocations.
    pub(crate) iterator_age_seconds: Option<f64>,
    /// Batches at once, at most.
    pub(crate) concurrency: u64,
    /// Records that were committed, the seconds from their arrival to that, together and at most.
    pub(crate) committed: u64,
    pub(crate) age_seconds: f64,
    pub(crate) highest_age_seconds: f64,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(function: &'a Function, clock: Clock) -> Self {
        Self { function, clock, state: Mutex::default() }
    }

    /// What was measured since the last look. If no invocation began, the age is that of the oldest one in progress.
    pub(crate) fn take(&self) -> Invocations {
        let mut state = self.state();
        let mut taken = std::mem::take(&mut state.period);
        let now = self.clock.now_ms();
        let oldest = state.in_progress.values().min().map(|newest| seconds(now - newest));
        taken.iterator_age_seconds = taken.iterator_age_seconds.or(oldest);
        state.period.concurrency = state.in_progress.len() as u64;
        taken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, records: &EventRecords) -> u64 {
        let mut state = self.state();
        state.started += 1;
        let number = state.started;
        let now = self.clock.now_ms();
        state.in_progress.insert(number, records.arrivals_ms.last().copied().unwrap_or(now));
        if let Some(newest) = records.arrivals_ms.last() {
            let age = seconds(now - newest);
            let highest = state.period.iterator_age_seconds.unwrap_or(0.0).max(age);
            state.period.iterator_age_seconds = Some(highest);
        }
        state.period.concurrency = state.period.concurrency.max(state.in_progress.len() as u64);
        number
    }

    fn end(&self, number: u64, took: Duration, failed: bool) {
        let mut state = self.state();
        state.in_progress.remove(&number);
        let took = took.as_secs_f64() * self.clock.speed();
        let period = &mut state.period;
        period.ended += 1;
        period.failed += u64::from(failed);
        period.seconds += took;
        period.longest_seconds = period.longest_seconds.max(took);
    }

    /// Notes the records of a successful invocation: all of them, or those before the first that failed.
    fn commit(&self, records: EventRecords, committed: usize) {
        let mut state = self.state();
        let now = self.clock.now_ms();
        let mut arrivals_ms = records.arrivals_ms;
        arrivals_ms.truncate(committed);
        if let Some(shard) = records.window_of {
            let window = state.windows.entry(shard).or_default();
            window.append(&mut arrivals_ms);
            if !records.is_final {
                return;
            }
            arrivals_ms = std::mem::take(window);
        }
        let period = &mut state.period;
        for arrival in arrivals_ms {
            let age = seconds(now - arrival);
            period.committed += 1;
            period.age_seconds += age;
            period.highest_age_seconds = period.highest_age_seconds.max(age);
        }
    }
}

impl Invoke for Recorder<'_> {
    fn invoke(&self, event: Vec<u8>, timeout: Duration) -> Invocation {
        self.invoke_with(event, timeout, &mut || ())
    }

    fn invoke_with(&self, event: Vec<u8>, timeout: Duration, on_start: &mut dyn FnMut()) -> Invocation {
        let records = arrivals::of(&event);
        let number = self.begin(&records);
        // It is needed only if the response names a record.
        let copy = event.clone();
        let mut started = Instant::now();
        let outcome = self.function.invoke_with(event, timeout, &mut || {
            // A cold start is no part of the duration.
            started = Instant::now();
            on_start();
        });
        let is_ok = matches!(outcome, Invocation::Ok(_));
        self.end(number, started.elapsed(), !is_ok);
        if let Invocation::Ok(response) = &outcome {
            let failed = response["batchItemFailures"][0]["itemIdentifier"].as_str();
            let committed = failed.map_or(usize::MAX, |sequence| arrivals::records_before(&copy, sequence));
            self.commit(records, committed);
        }
        outcome
    }
}

fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1e3
}
