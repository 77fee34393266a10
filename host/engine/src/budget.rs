//! What the calls for a batch may cost together: fuel, time and log lines.

use std::time::{Duration, Instant};

use crate::call_deadline::CallDeadline;
use crate::fault::{CallError, EngineError, Fault};
use crate::limits::{Limits, Work};

/// What is left for the calls of a batch.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    fuel: u64,
    time: Duration,
    log_lines: u32,
    /// Lines that were logged beyond that.
    dropped_lines: u32,
    /// After which no call begins or goes on: the caller's, not a limit.
    deadline: Option<Instant>,
    /// The same for all calls of the engine.
    call_deadline: CallDeadline,
}

/// What one call may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) fuel: u64,
    pub(crate) time: Duration,
    pub(crate) log_lines: u32,
}

/// What a call has cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) fuel: u64,
    pub(crate) log_lines: u32,
    /// Log lines of which the end was cut off.
    pub(crate) cut_lines: u32,
    /// Bytes of all memories of the instance after it.
    pub(crate) memory_bytes: usize,
}

impl Budget {
    pub(crate) fn new(limits: &Limits, call_deadline: CallDeadline) -> Self {
        Self { log_lines: limits.log_lines, call_deadline, ..Self::default() }
    }

    pub(crate) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Adds what one call for all of this work may cost, as often as the limit says.
    pub(crate) fn add(&mut self, limits: &Limits, work: Work) {
        self.fuel = self.fuel.saturating_add(limits.fuel(work).saturating_mul(limits.calls_per_batch.into()));
        self.time = self.time.saturating_add(limits.call_time() * limits.calls_per_batch);
    }

    /// What a call with this work may cost. It fails if nothing is left.
    pub(crate) fn grant(&self, limits: &Limits, work: Work) -> Result<Grant, CallError> {
        let left = self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(EngineError::Deadline.into());
        }
        if self.fuel == 0 || self.time.is_zero() {
            return Err(Fault::Budget(limits.calls_per_batch).into());
        }
        let time = limits.call_time().min(self.time).min(left.unwrap_or(Duration::MAX));
        Ok(Grant { fuel: limits.fuel(work).min(self.fuel), time, log_lines: self.log_lines })
    }

    /// After which no call begins or goes on.
    fn deadline(&self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.call_deadline.get()).min()
    }

    pub(crate) fn call_deadline(&self) -> &CallDeadline {
        &self.call_deadline
    }

    /// Takes what a call has cost.
    pub(crate) fn take(&mut self, cost: Cost, time: Duration) {
        self.fuel = self.fuel.saturating_sub(cost.fuel);
        self.time = self.time.saturating_sub(time);
        self.dropped_lines = self.dropped_lines.saturating_add(cost.log_lines.saturating_sub(self.log_lines));
        self.log_lines = self.log_lines.saturating_sub(cost.log_lines);
    }

    /// The error of a call that failed: one that was stopped because the caller's deadline passed is not to blame.
    pub(crate) fn blame(&self, error: CallError) -> CallError {
        match error {
            CallError::Fault(Fault::Time(_)) if self.deadline().is_some_and(|deadline| deadline <= Instant::now()) => {
                EngineError::Deadline.into()
            }
            error => error,
        }
    }

    pub(crate) fn dropped_lines(&self) -> u32 {
        self.dropped_lines
    }
}
