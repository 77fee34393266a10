//! One ordered sequence of batches: all records of a shard, or those of some of its partition keys.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::arrivals::Arrivals;
use super::batch::{OpenWindow, PendingBatch};
use super::event::{self, ShardRef};
use super::report::{FailureRecord, Report};
use super::response::{self, BatchOutcome, ResponseError};
use super::settings::{Invoke, Mapping};
use crate::lambda::Invocation;
use crate::stream::StreamRecord;

/// The largest state that is passed on.
const MAX_STATE_BYTES: usize = 1 << 20;

/// What all queues of a run share.
pub(super) struct Target<'a, F> {
    pub(super) mapping: &'a Mapping<F>,
    pub(super) function: &'a F,
    /// The stream's ARN.
    pub(super) arn: &'a str,
}

/// Records in order, and how far they are processed. One worker at a time has it.
pub(super) struct ShardQueue<'a> {
    shard: usize,
    shard_id: &'a str,
    report: Report,
    records: Vec<&'a StreamRecord>,
    /// The first record that was in no batch yet.
    next: usize,
    /// Batches, and parts of batches, to deliver; the last one first.
    pending: Vec<PendingBatch>,
    window: Option<OpenWindow>,
    arrivals: Arrivals,
    rng: Rng,
    failures_in_a_row: u32,
}

/// Whether a queue has more to deliver.
pub(super) enum Progress {
    More,
    Done,
}

/// Why a whole batch failed.
#[derive(Debug, thiserror::Error)]
enum BatchFailure {
    #[error("the function returned an error: {0}")]
    FunctionError(Value),
    #[error("the function took longer than {0:?}")]
    TimedOut(Duration),
    #[error("the function's instance died")]
    InstanceDied,
    #[error(transparent)]
    Response(#[from] ResponseError),
}

impl<'a> ShardQueue<'a> {
    /// A queue of the shard with this number and id.
    pub(super) fn new((shard, shard_id): (usize, &'a str), records: Vec<&'a StreamRecord>, rng: Rng) -> Self {
        Self {
            shard,
            shard_id,
            report: Report::default(),
            records,
            next: 0,
            pending: Vec::new(),
            window: None,
            arrivals: Arrivals::default(),
            rng,
            failures_in_a_row: 0,
        }
    }

    /// The shard's number, and what happened.
    pub(super) fn into_report(self) -> (usize, Report) {
        (self.shard, self.report)
    }

    /// Delivers one batch once.
    ///
    /// # Panics
    ///
    /// If too many deliveries in a row have failed.
    pub(super) fn deliver<F: Invoke>(&mut self, target: &Target<'_, F>) -> Progress {
        let mapping = target.mapping;
        let is_over = mapping.live.is_some_and(|live| live.clock.now_ms() >= live.until_ms);
        let batch = if is_over { None } else { self.pending.pop().or_else(|| self.next_batch(mapping)) };
        let Some(mut batch) = batch else { return Progress::Done };
        let is_new = !batch.is_final() && batch.records.start == self.next;
        let records = &self.records[batch.records.clone()];
        let shard = ShardRef { id: self.shard_id, arn: target.arn };
        let window = self.window.as_ref().map(|window| event::Window {
            start: window.start,
            end: window.start + mapping.window_seconds(),
            state: &window.state,
            is_final: batch.is_final(),
            terminated_early: window.terminated_early,
        });
        let (event, written) = event::write(&shard, records, window.as_ref(), mapping.payload_limit);
        if written < records.len() {
            // The batch closes at the limit. A new batch leaves the rest to the next one.
            let end = batch.records.start + written.max(1);
            if !is_new && end < batch.records.end {
                self.pending.push(batch.part(end..batch.records.end));
            }
            batch.records.end = end;
            if is_new {
                self.next = end;
            }
            if written == 0 {
                self.discard(&batch, "PayloadTooLarge");
                return Progress::More;
            }
        } else if is_new {
            self.next = batch.records.end;
        }

        self.report.batches += u64::from(is_new);
        self.report.invocations += 1;
        self.report.final_invocations += u64::from(batch.is_final());
        self.report.retries += u64::from(batch.failed);
        batch.deliveries += 1;
        let rng = &mut self.rng;
        let invocation = target.function.invoke_with(event, mapping.timeout, &mut || {
            if let Some(chaos) = &mapping.chaos {
                chaos(target.function, rng);
            }
        });
        match self.evaluate(invocation, &batch, mapping) {
            Ok(outcome) => self.apply(outcome, batch, mapping),
            Err(failure) => self.fail(&failure, batch, mapping),
        }
        Progress::More
    }

    /// The next batch, within its size and window, or the window's final invocation.
    fn next_batch<F>(&mut self, mapping: &Mapping<F>) -> Option<PendingBatch> {
        let window_of = |record: &StreamRecord| {
            let arrival = record.arrival_ms.div_euclid(1_000);
            arrival - arrival.rem_euclid(mapping.window_seconds())
        };
        let first = self.records.get(self.next);
        if let (Some(window), Some(live)) = (&self.window, &mapping.live)
            && first.is_none_or(|first| window_of(first) != window.start)
        {
            // All of its records are processed.
            let end_ms = (window.start + mapping.window_seconds()) * 1_000;
            return self.arrivals.wait_for_poll(end_ms, live).then(|| PendingBatch::new(self.next..self.next));
        }
        let come = match &mapping.live {
            Some(live) => self.arrivals.wait(&self.records, self.next, mapping.batch_size, live)?,
            None => self.records.len(),
        };
        let mut rest = self.records[self.next..come].iter().take(mapping.batch_size);
        if mapping.tumbling_window.is_none() {
            return first.map(|_| PendingBatch::new(self.next..self.next + rest.len()));
        }
        match (&self.window, first) {
            (Some(window), first) if first.is_none_or(|first| window_of(first) != window.start) => {
                return Some(PendingBatch::new(self.next..self.next));
            }
            (_, None) => return None,
            (Some(_), Some(_)) => (),
            (None, Some(first)) => {
                self.window = Some(OpenWindow { start: window_of(first), state: json!({}), terminated_early: false });
            }
        }
        let start = self.window.as_ref().map(|window| window.start);
        let other = rest.position(|record| Some(window_of(record)) != start);
        let end = other.map_or((self.next + mapping.batch_size).min(come), |other| self.next + other);
        Some(PendingBatch::new(self.next..end))
    }

    fn evaluate<F>(
        &mut self,
        invocation: Invocation,
        batch: &PendingBatch,
        mapping: &Mapping<F>,
    ) -> Result<BatchOutcome, BatchFailure> {
        let (count, failure) = match invocation {
            Invocation::Ok(response) => {
                let records = &self.records[batch.records.clone()];
                let expected = response::Expected {
                    state: mapping.tumbling_window.is_some(),
                    item_failures: mapping.report_batch_item_failures,
                };
                let outcome = response::evaluate(response, records, &expected);
                self.report.partial_failures += u64::from(matches!(outcome, Ok(BatchOutcome::DoneBefore(..))));
                self.report.failing_answers += u64::from(outcome.is_err());
                return Ok(outcome?);
            }
            Invocation::FunctionError(error) => (&mut self.report.function_errors, BatchFailure::FunctionError(error)),
            Invocation::TimedOut => (&mut self.report.timeouts, BatchFailure::TimedOut(mapping.timeout)),
            Invocation::Died => (&mut self.report.deaths, BatchFailure::InstanceDied),
        };
        *count += 1;
        Err(failure)
    }

    /// Applies the outcome of a batch that was processed, at least in part.
    fn apply<F>(&mut self, outcome: BatchOutcome, mut batch: PendingBatch, mapping: &Mapping<F>) {
        self.failures_in_a_row = 0;
        match outcome {
            BatchOutcome::Done(state) => {
                batch.failed = false;
                if !batch.repeated && self.rng.f64() < mapping.deliver_twice {
                    self.report.duplicates += 1;
                    batch.repeated = true;
                    self.pending.push(batch);
                } else if batch.is_final() {
                    self.window = None;
                } else {
                    self.pass_on(state);
                }
            }
            BatchOutcome::DoneBefore(first_failed, state) => {
                batch.failed = true;
                self.pass_on(state);
                batch.records.start += first_failed;
                if mapping.bisect {
                    self.report.splits += 1;
                    self.pending.push(batch);
                } else {
                    self.retry(batch, mapping);
                }
            }
        }
    }

    /// Splits or retries a batch that failed as a whole.
    fn fail<F>(&mut self, failure: &BatchFailure, mut batch: PendingBatch, mapping: &Mapping<F>) {
        self.failures_in_a_row += 1;
        batch.failed = true;
        if self.failures_in_a_row > mapping.max_failures_in_a_row {
            self.panic_stuck(&batch, failure);
        }
        let Range { start, end } = batch.records;
        if mapping.bisect && end - start > 1 {
            self.report.splits += 1;
            let middle = start + (end - start) / 2;
            self.pending.push(batch.part(middle..end));
            self.pending.push(batch.part(start..middle));
        } else {
            self.retry(batch, mapping);
        }
    }

    /// Keeps the state for the window's next invocation.
    fn pass_on(&mut self, state: Option<Value>) {
        if let (Some(window), Some(state)) = (&mut self.window, state) {
            window.terminated_early = state.to_string().len() > MAX_STATE_BYTES;
            window.state = if window.terminated_early { json!({}) } else { state };
            self.report.early_ends += u64::from(window.terminated_early);
        }
    }

    /// Delivers a batch again, unless its retries are used up.
    fn retry<F>(&mut self, mut batch: PendingBatch, mapping: &Mapping<F>) {
        if mapping.max_retries.is_some_and(|max| batch.retries >= max) {
            self.discard(&batch, "RetryAttemptsExhausted");
            return;
        }
        batch.retries += 1;
        self.pending.push(batch);
    }

    fn discard(&mut self, batch: &PendingBatch, condition: &'static str) {
        self.failures_in_a_row = 0;
        let records = &self.records[batch.records.clone()];
        self.report.failures.push(FailureRecord {
            shard_id: self.shard_id.to_owned(),
            start_sequence_number: records.first().map(|record| record.sequence.clone()),
            end_sequence_number: records.last().map(|record| record.sequence.clone()),
            batch_size: records.len(),
            approximate_invoke_count: batch.deliveries,
            condition,
        });
        if batch.is_final() {
            self.window = None;
        }
    }

    fn panic_stuck(&self, batch: &PendingBatch, failure: &BatchFailure) -> ! {
        let delivered = match &self.records[batch.records.clone()] {
            [] => "the final invocation of a window".to_owned(),
            [only] => format!("the record {}", only.sequence),
            [first, .., last] => format!("the records {} to {}", first.sequence, last.sequence),
        };
        panic!(
            "{} is stuck: {} invocations have failed in a row, the last one with {delivered}: {failure}",
            self.shard_id, self.failures_in_a_row
        )
    }
}
