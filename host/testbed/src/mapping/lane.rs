//! One ordered sequence of batches: all records of a shard, or those of some of its partition keys.

use std::ops::Range;

use fastrand::Rng;
use serde_json::{Value, json};

use super::answer::{self, Verdict};
use super::event::{self, Source};
use super::{Driver, FailureRecord, Invoke, Mapping, Report};
use crate::lambda::Invocation;
use crate::stream::StreamRecord;

/// The largest state that is handed on.
const MAX_STATE_BYTES: usize = 1 << 20;

/// Records in order, and how far they are done. One worker at a time has it.
pub(super) struct Lane<'a> {
    /// The shard's number.
    pub(super) shard: usize,
    /// What happened in it.
    pub(super) report: Report,
    records: Vec<&'a StreamRecord>,
    /// The first record that no batch has held yet.
    next: usize,
    /// Batches, and parts of batches, that are to be delivered; the last one first.
    pieces: Vec<Piece>,
    window: Option<Window>,
    rng: Rng,
    failures_in_a_row: u32,
}

/// Whether there is more to do.
pub(super) enum Progress {
    More,
    Done,
}

/// Records that are delivered together. Without records: the final invocation of the window.
#[derive(Clone, Debug)]
struct Piece {
    records: Range<usize>,
    /// Retries that it has used up.
    retries: u32,
    /// How often its records have been delivered.
    deliveries: u32,
    /// The last delivery failed.
    failed: bool,
    /// It has succeeded, and is delivered again.
    again: bool,
}

/// The open window.
#[derive(Debug)]
struct Window {
    /// Seconds since 1970.
    start: i64,
    state: Value,
    /// The last answer's state was too large.
    terminated_early: bool,
}

impl Piece {
    fn new(records: Range<usize>) -> Self {
        Self { records, retries: 0, deliveries: 0, failed: false, again: false }
    }

    fn part(&self, records: Range<usize>) -> Self {
        Self { records, ..self.clone() }
    }

    fn is_final(&self) -> bool {
        self.records.is_empty()
    }
}

impl<'a> Lane<'a> {
    pub(super) fn new(shard: usize, records: Vec<&'a StreamRecord>, rng: Rng) -> Self {
        let report = Report::default();
        Self { shard, report, records, next: 0, pieces: Vec::new(), window: None, rng, failures_in_a_row: 0 }
    }

    /// Delivers one batch once. Where the lane is stuck, says so.
    pub(super) fn step<F: Invoke>(&mut self, driver: &Driver<'_, F>) -> Result<Progress, String> {
        let mapping = &driver.mapping;
        let Some(mut piece) = self.pieces.pop().or_else(|| self.cut(mapping)) else { return Ok(Progress::Done) };
        let is_new = !piece.is_final() && piece.records.start == self.next;
        let records = &self.records[piece.records.clone()];
        let source = Source { shard_id: &driver.stream.shards[self.shard].id, arn: &driver.arn };
        let window = self.window.as_ref().map(|window| event::Window {
            start: window.start,
            end: window.start + seconds(mapping),
            state: &window.state,
            is_final: piece.is_final(),
            terminated_early: window.terminated_early,
        });
        let (event, written) = event::write(&source, records, window.as_ref(), mapping.payload_limit);
        if written < records.len() {
            // It closes at the limit. A new batch leaves the rest to the next one.
            let fits = piece.records.start + written.max(1);
            if !is_new && fits < piece.records.end {
                self.pieces.push(piece.part(fits..piece.records.end));
            }
            piece.records.end = fits;
            if is_new {
                self.next = fits;
            }
            if written == 0 {
                self.give_up(driver, &piece, "PayloadTooLarge");
                return Ok(Progress::More);
            }
        } else if is_new {
            self.next = piece.records.end;
        }

        self.report.batches += u64::from(is_new);
        self.report.invocations += 1;
        self.report.final_invocations += u64::from(piece.is_final());
        self.report.retries += u64::from(piece.failed);
        piece.deliveries += 1;
        let rng = &mut self.rng;
        let outcome = driver.function.invoke_with(event, mapping.timeout, &mut || {
            if let Some(chaos) = &mapping.chaos {
                chaos(driver.function, rng);
            }
        });
        let verdict = self.evaluate(outcome, &piece, mapping);
        self.settle(driver, piece, verdict)
    }

    /// The next batch, as far as its size and window go, or the window's final invocation.
    fn cut<F>(&mut self, mapping: &Mapping<F>) -> Option<Piece> {
        let window_of = |record: &StreamRecord| {
            let arrival = record.arrival_ms.div_euclid(1_000);
            arrival - arrival.rem_euclid(seconds(mapping))
        };
        let mut rest = self.records[self.next..].iter().take(mapping.batch_size);
        let first = self.records.get(self.next);
        if mapping.tumbling_window.is_none() {
            return first.map(|_| Piece::new(self.next..self.next + rest.len()));
        }
        match (&self.window, first) {
            (Some(window), first) if first.is_none_or(|first| window_of(first) != window.start) => {
                return Some(Piece::new(self.next..self.next));
            }
            (_, None) => return None,
            (Some(_), Some(_)) => (),
            (None, Some(first)) => {
                self.window = Some(Window { start: window_of(first), state: json!({}), terminated_early: false });
            }
        }
        let start = self.window.as_ref().map(|window| window.start);
        let others = rest.position(|record| Some(window_of(record)) != start);
        let end = others.map_or((self.next + mapping.batch_size).min(self.records.len()), |others| self.next + others);
        Some(Piece::new(self.next..end))
    }

    fn evaluate<F>(&mut self, outcome: Invocation, piece: &Piece, mapping: &Mapping<F>) -> Verdict {
        let (counter, reason) = match outcome {
            Invocation::Ok(answer) => {
                let records = &self.records[piece.records.clone()];
                let partial = mapping.report_batch_item_failures;
                let verdict = answer::evaluate(answer, records, mapping.tumbling_window.is_some(), partial);
                self.report.partial_failures += u64::from(matches!(verdict, Verdict::DoneBefore(..)));
                self.report.failing_answers += u64::from(matches!(verdict, Verdict::Failed(_)));
                return verdict;
            }
            Invocation::FunctionError(error) => {
                (&mut self.report.function_errors, format!("the function failed: {error}"))
            }
            Invocation::TimedOut => {
                (&mut self.report.timeouts, format!("the function took longer than {:?}", mapping.timeout))
            }
            Invocation::Died => (&mut self.report.deaths, "the function's instance died".to_owned()),
        };
        *counter += 1;
        Verdict::Failed(reason)
    }

    /// Draws the consequences.
    fn settle<F: Invoke>(
        &mut self,
        driver: &Driver<'_, F>,
        mut piece: Piece,
        verdict: Verdict,
    ) -> Result<Progress, String> {
        let mapping = &driver.mapping;
        let Range { start, end } = piece.records;
        match verdict {
            Verdict::Done(state) => {
                self.failures_in_a_row = 0;
                piece.failed = false;
                if !piece.again && self.rng.f64() < mapping.deliver_twice {
                    self.report.duplicates += 1;
                    piece.again = true;
                    self.pieces.push(piece);
                } else if piece.is_final() {
                    self.window = None;
                } else {
                    self.hand_on(state);
                }
            }
            Verdict::DoneBefore(at, state) => {
                self.failures_in_a_row = 0;
                piece.failed = true;
                self.hand_on(state);
                piece.records.start = start + at;
                if mapping.bisect {
                    self.report.splits += 1;
                    self.pieces.push(piece);
                } else {
                    self.retry(driver, piece);
                }
            }
            Verdict::Failed(reason) => {
                self.failures_in_a_row += 1;
                piece.failed = true;
                if self.failures_in_a_row > mapping.max_failures_in_a_row {
                    return Err(self.stuck(driver, &piece, &reason));
                }
                if mapping.bisect && end - start > 1 {
                    self.report.splits += 1;
                    let middle = start + (end - start) / 2;
                    self.pieces.push(piece.part(middle..end));
                    self.pieces.push(piece.part(start..middle));
                } else {
                    self.retry(driver, piece);
                }
            }
        }
        Ok(Progress::More)
    }

    /// Keeps the state for the window's next invocation.
    fn hand_on(&mut self, state: Option<Value>) {
        if let (Some(window), Some(state)) = (&mut self.window, state) {
            window.terminated_early = state.to_string().len() > MAX_STATE_BYTES;
            window.state = if window.terminated_early { json!({}) } else { state };
            self.report.early_ends += u64::from(window.terminated_early);
        }
    }

    /// Delivers a piece again, unless its retries are used up.
    fn retry<F: Invoke>(&mut self, driver: &Driver<'_, F>, mut piece: Piece) {
        if driver.mapping.max_retries.is_some_and(|most| piece.retries >= most) {
            self.give_up(driver, &piece, "RetryAttemptsExhausted");
            return;
        }
        piece.retries += 1;
        self.pieces.push(piece);
    }

    /// Drops a piece, and goes on.
    fn give_up<F: Invoke>(&mut self, driver: &Driver<'_, F>, piece: &Piece, condition: &'static str) {
        self.failures_in_a_row = 0;
        let records = &self.records[piece.records.clone()];
        self.report.failures.push(FailureRecord {
            shard_id: driver.stream.shards[self.shard].id.clone(),
            start_sequence_number: records.first().map(|record| record.sequence.clone()),
            end_sequence_number: records.last().map(|record| record.sequence.clone()),
            batch_size: records.len(),
            approximate_invoke_count: piece.deliveries,
            condition,
        });
        if piece.is_final() {
            self.window = None;
        }
    }

    fn stuck<F: Invoke>(&self, driver: &Driver<'_, F>, piece: &Piece, reason: &str) -> String {
        let shard = &driver.stream.shards[self.shard].id;
        let what = match &self.records[piece.records.clone()] {
            [] => "the final invocation of a window".to_owned(),
            [only] => format!("the record {}", only.sequence),
            [first, .., last] => format!("the records {} to {}", first.sequence, last.sequence),
        };
        format!(
            "{shard} is stuck: {} invocations have failed in a row, the last one with {what}: {reason}",
            self.failures_in_a_row
        )
    }
}

/// Seconds of a window.
fn seconds<F>(mapping: &Mapping<F>) -> i64 {
    mapping.tumbling_window.map_or(1, i64::from)
}
