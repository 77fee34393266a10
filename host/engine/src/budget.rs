//! What the calls for a batch may cost together: fuel, time, log lines and bytes of answers.

use std::time::{Duration, Instant};

use crate::call_deadline::CallDeadline;
use crate::fault::{CallError, EngineError, Fault};
use crate::limits::{Limits, Work};

/// When the calls of a session end, and who is to blame for rows that are not called by then.
#[derive(Clone, Copy, Debug)]
pub struct CallsUntil {
    at: Instant,
    /// How long a call has to run until it is to blame for being cut off then; `None` if the plugin is never to blame.
    blamed_after: Option<Duration>,
}

impl From<Instant> for CallsUntil {
    /// Nobody is to blame: the session fails with [`EngineError::Deadline`].
    fn from(at: Instant) -> Self {
        Self { at, blamed_after: None }
    }
}

impl CallsUntil {
    /// The plugin is to blame where it wasted the time. Once a call of the session has failed for want of fuel, time or
    /// memory, its further calls have half of the time that the session had when it began, and end before its last
    /// quarter; rows beyond that fail with [`Fault::Share`]. A call that is cut off at the end fails with [`Fault::Late`]
    /// if it has run for so long.
    pub fn blaming(at: Instant, blamed_after: Duration) -> Self {
        Self { at, blamed_after: Some(blamed_after) }
    }
}

/// What is left for the calls of a batch.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    fuel: u64,
    time: Duration,
    log_lines: u32,
    /// Lines that were logged beyond that.
    dropped_lines: u32,
    /// The bytes that answers may have beyond what their calls are given.
    most_answer_bytes: usize,
    /// What is left of that; `None` once they had more.
    answer_bytes: Option<usize>,
    /// After which no call begins or goes on: the caller's, not a limit.
    until: Option<CallsUntil>,
    /// The time until then when the session began.
    had: Duration,
    /// After which no call begins or goes on, because calls before failed.
    share_ends: Option<Instant>,
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

    pub(crate) fn set_deadline(&mut self, until: Option<CallsUntil>) {
        self.until = until;
        self.had = until.map_or(Duration::MAX, |until| until.at.saturating_duration_since(Instant::now()));
    }

    /// Adds what one call for all of this work may cost, as often as the limit says.
    pub(crate) fn add(&mut self, limits: &Limits, work: Work) {
        self.fuel = self.fuel.saturating_add(limits.fuel(work).saturating_mul(limits.calls_per_batch.into()));
        self.time = self.time.saturating_add(limits.call_time() * limits.calls_per_batch);
        // Not added: the session no longer holds the answers that came before.
        self.most_answer_bytes = limits.answer_bytes(work);
        self.answer_bytes = Some(self.most_answer_bytes);
    }

    /// What a call with this work may cost. It fails if nothing is left.
    pub(crate) fn grant(&self, limits: &Limits, work: Work) -> Result<Grant, CallError> {
        let now = Instant::now();
        let until = |end: Option<Instant>| end.map_or(Duration::MAX, |end| end.saturating_duration_since(now));
        let (left, share) = (until(self.deadline()), until(self.share_ends));
        if left.is_zero() {
            return Err(EngineError::Deadline.into());
        }
        if self.fuel == 0 || self.time.is_zero() {
            return Err(Fault::Budget(limits.calls_per_batch).into());
        }
        if self.answer_bytes.is_none() {
            return Err(Fault::TooManyBytes(self.most_answer_bytes).into());
        }
        if share.is_zero() {
            return Err(Fault::Share.into());
        }
        let time = limits.call_time().min(self.time).min(left).min(share);
        Ok(Grant { fuel: limits.fuel(work).min(self.fuel), time, log_lines: self.log_lines })
    }

    /// After which no call begins or goes on, whatever came before.
    fn deadline(&self) -> Option<Instant> {
        self.until.map(|until| until.at).into_iter().chain(self.call_deadline.get()).min()
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

    /// Takes an answer of so many bytes to a call with this work. It fails if the answers have too many bytes together;
    /// then no further call begins.
    pub(crate) fn take_answer(&mut self, bytes: usize, work: Work) -> Result<(), Fault> {
        let beyond = bytes.saturating_sub(work.bytes);
        self.answer_bytes = self.answer_bytes.and_then(|left| left.checked_sub(beyond));
        self.answer_bytes.map(drop).ok_or(Fault::TooManyBytes(self.most_answer_bytes))
    }

    /// The error of a call that failed after this time. One that was stopped because the caller's deadline passed is not
    /// to blame, unless the caller says so.
    pub(crate) fn blame(&mut self, error: CallError, ran: Duration) -> CallError {
        let CallError::Fault(fault) = error else { return error };
        let now = Instant::now();
        let has_passed = |end: Option<Instant>| end.is_some_and(|end| end <= now);
        let fault = match fault {
            Fault::Time(_) if has_passed(self.call_deadline.get()) => return EngineError::Deadline.into(),
            Fault::Time(_) if has_passed(self.until.map(|until| until.at)) => {
                match self.until.and_then(|until| until.blamed_after) {
                    Some(blamed_after) if blamed_after <= ran => Fault::Late(ran.as_millis() as u64),
                    _ => return EngineError::Deadline.into(),
                }
            }
            Fault::Time(_) if has_passed(self.share_ends) => Fault::Share,
            fault => fault,
        };
        if let (Some(CallsUntil { at, blamed_after: Some(_) }), true) = (self.until, fault.is_of_waste()) {
            let latest = at.checked_sub(self.had / 4).unwrap_or(now);
            self.share_ends.get_or_insert((now + self.had / 2).min(latest));
        }
        fault.into()
    }

    pub(crate) fn dropped_lines(&self) -> u32 {
        self.dropped_lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_less_than_4_gib_together_whatever_the_limits() {
        let limits = Limits { returned_bytes: usize::MAX, calls_per_batch: u32::MAX, ..Limits::default() };
        let work = Work { rows: 2, bytes: 1000 };
        let mut budget = Budget::new(&limits, CallDeadline::default());
        budget.add(&limits, work);
        let most = u32::MAX as usize - 1000;
        assert_eq!(budget.take_answer(most, Work::default()), Ok(()));
        // As many bytes as the call was given are no more than the host had.
        assert_eq!(budget.take_answer(1000, work), Ok(()));
        assert!(budget.grant(&limits, work).is_ok());
        assert_eq!(budget.take_answer(1001, work), Err(Fault::TooManyBytes(most)));
        let refused = budget.grant(&limits, work).unwrap_err();
        assert!(matches!(refused, CallError::Fault(Fault::TooManyBytes(found)) if found == most), "{refused:?}");
    }
}
