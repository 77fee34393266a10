//! Commit: each touched group is written once, on the condition that it is as it was read.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::fold::{self, Fold, Groups};
use crate::pipeline::{Clock, Pipeline, PipelineError};
use crate::project::ProjectedRows;
use crate::store::{Item, Key, Store, StoreError, Write, Written};
use crate::summary::{Stage, Summary};
use crate::record_batch::{Rejected, RecordBatch};

/// How long and how often a store is tried.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RetryPolicy {
    /// How long a busy store is tried, in milliseconds.
    pub deadline_ms: u64,
    /// The first wait, in milliseconds. Each further one is up to twice as long.
    pub first_wait_ms: u64,
    /// The longest wait, in milliseconds.
    pub longest_wait_ms: u64,
    /// How often groups that others change meanwhile are loaded and folded again.
    pub conflicts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { deadline_ms: 30_000, first_wait_ms: 20, longest_wait_ms: 2_000, conflicts: 20 }
    }
}

impl RetryPolicy {
    /// The wait before another attempt: anything up to twice the last one's bound, so that hosts that met once do not
    /// meet again.
    fn wait(&self, attempt: u32) -> Duration {
        let bound = self.first_wait_ms.saturating_mul(1 << attempt.min(20)).min(self.longest_wait_ms).max(1);
        Duration::from_millis(fastrand::u64(1..=bound))
    }
}

/// How long a store is tried: by the policy, and not beyond the caller's own deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryBudget<'a> {
    pub(crate) policy: &'a RetryPolicy,
    /// When the caller must be done: a Lambda's time-out, less what an answer takes.
    pub(crate) deadline: Option<Instant>,
}

/// The share of the time left, as one in so many, that committing leaves for the dead letters, and the most of it.
const LETTERS_ONE_IN: u32 = 4;
const LETTERS_AT_MOST: Duration = Duration::from_secs(1);

/// Why an attempt that was cut off came to nothing.
const UNANSWERED: &str = "the store did not answer";

/// The reason to be told: where the last attempt was cut off, that of the one before says more.
fn telling(before: Option<String>, why: String) -> String {
    match before {
        Some(before) if why == UNANSWERED => format!("{before}; the last time {UNANSWERED}"),
        _ => why,
    }
}

impl RetryBudget<'_> {
    /// The same, but with time left for dead letters: if the groups took all of it, letters that could be kept would
    /// have to come again with them.
    pub(crate) fn leaving_time_for_letters(self) -> Self {
        let deadline = self.deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            deadline - (left / LETTERS_ONE_IN).min(LETTERS_AT_MOST)
        });
        Self { deadline, ..self }
    }

    /// When to give up what begins now.
    fn limit(&self) -> Instant {
        let own = Instant::now() + Duration::from_millis(self.policy.deadline_ms);
        self.deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Waits before another attempt, unless it would come too late.
    async fn wait(&self, tries: u32, limit: Instant) -> bool {
        let wait = self.policy.wait(tries);
        if Instant::now() + wait >= limit {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }

    /// Why it was given up.
    fn exhausted(&self, why: &str) -> StoreError {
        StoreError::Transient(match self.deadline {
            Some(deadline) if deadline <= Instant::now() + Duration::from_millis(self.policy.longest_wait_ms) => {
                format!("{why}; there was no time left to try again")
            }
            _ => format!("{why}; it stayed so for {} ms (`retry.deadline-ms`)", self.policy.deadline_ms),
        })
    }

    /// One attempt, cut off at the limit. What it was about to do may be done or not.
    async fn attempt<T>(
        &self,
        limit: Instant,
        attempt: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout_at(limit, attempt).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Transient(UNANSWERED.to_owned())),
        }
    }

    /// Tries until the store is no longer busy, or the time is over: then it is busy for the caller, too.
    pub(crate) async fn retry<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let limit = self.limit();
        let mut before = None;
        for tries in 0.. {
            match self.attempt(limit, attempt()).await {
                Err(StoreError::Transient(why)) => {
                    let why = telling(before.take(), why);
                    if !self.wait(tries, limit).await {
                        return Err(self.exhausted(&why));
                    }
                    before = Some(why);
                }
                done => return done,
            }
        }
        unreachable!("the limit comes")
    }

    /// Makes writes until each is either done or has met a conflict, or the time is over. How each ended; `Transient` for
    /// those that are still open then.
    pub(crate) async fn write<S: Store>(&self, store: &S, writes: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        let limit = self.limit();
        let mut ended: Vec<Option<Written>> = vec![None; writes.len()];
        let mut open: Vec<usize> = (0..writes.len()).collect();
        let mut writes = writes;
        let mut before = None;
        for tries in 0.. {
            let (why, again): (String, Vec<usize>) = match self.attempt(limit, store.write(&writes)).await {
                Ok(written) => {
                    let mut reason = String::new();
                    let mut still = Vec::new();
                    for (at, written) in written.into_iter().enumerate() {
                        match written {
                            Written::Transient(why) => {
                                still.push(at);
                                reason = why;
                            }
                            done => ended[open[at]] = Some(done),
                        }
                    }
                    (reason, still)
                }
                Err(StoreError::Transient(why)) => (why, (0..writes.len()).collect()),
                Err(error) => return Err(error),
            };
            if again.is_empty() {
                break;
            }
            let why = telling(before.take(), why);
            // Only what is still open is sent again.
            let mut keep = again.iter().copied().peekable();
            let mut at = 0;
            writes.retain(|_| {
                at += 1;
                keep.next_if_eq(&(at - 1)).is_some()
            });
            open = again.into_iter().map(|at| open[at]).collect();
            if !self.wait(tries, limit).await {
                let why = self.exhausted(&why).to_string();
                open.iter().for_each(|&at| ended[at] = Some(Written::Transient(why.clone())));
                break;
            }
            before = Some(why);
        }
        Ok(ended.into_iter().map(|written| written.expect("each has ended one way or another")).collect())
    }

    /// Waits before groups that others changed are loaded and folded again; whether there is time for it.
    pub(crate) async fn wait_for_others(&self, attempt: u32) -> bool {
        self.wait(attempt, self.limit()).await
    }
}

/// What was not committed: the first record that is not safe, and why.
pub(crate) type FirstUncommitted = Option<(u32, PipelineError)>;

/// What committing came to.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    pub(crate) first_uncommitted: FirstUncommitted,
    /// For records that failed in one group when others held them already: those others.
    pub(crate) folded: HashMap<u32, Vec<Key>>,
}

impl<S: Store> Pipeline<S> {
    /// Loads the groups, folds, writes. Groups that others changed meanwhile are loaded and folded again, only their
    /// rows; what another host has folded already stays behind their fence. An error means that no group can be
    /// written, and that trying again would not help.
    #[expect(clippy::too_many_arguments, reason = "a batch, what is known of it, and where its cost is booked")]
    pub(crate) async fn commit(
        &self,
        batch: &Batch,
        rows_of_fields: &ProjectedRows,
        record_batches: &[RecordBatch<'_>],
        groups: &Groups<'_>,
        budget: RetryBudget<'_>,
        dead: &mut Rejected,
        summary: &mut Summary,
        clock: &mut Clock,
    ) -> Result<Committed, PipelineError> {
        let mut committed = Committed::default();
        let mut loaded: Vec<Option<Item>> = match budget.retry(|| self.store.load(&groups.keys)).await {
            Ok(loaded) => loaded,
            Err(busy @ StoreError::Transient(_)) => {
                committed.first_uncommitted = groups.first_record().map(|record| (record, busy.into()));
                return Ok(committed);
            }
            Err(error) => return Err(error.into()),
        };
        clock.lap(summary, Stage::Load);
        // The groups that are still to be written; all of them at first.
        let mut open: Option<HashSet<u32>> = None;
        for attempt in 0.. {
            let wanted = |group: u32| open.as_ref().is_none_or(|open| open.contains(&group));
            let fold = Fold { record_batches, groups, batch, rows_of_fields, loaded: &loaded };
            let died = dead.len();
            let outcome = fold::fold(&fold, &self.store, wanted, dead, &mut summary.fuel)?;
            for (record, _) in &dead[died..] {
                let holds = |group, ordinal| !wanted(group) || fold.holds(group, *record, ordinal);
                let held = groups.of_record(*record, holds);
                if !held.is_empty() {
                    committed.folded.insert(*record, held);
                }
            }
            clock.lap(summary, Stage::Fold);
            if attempt == 0 {
                summary.duplicates += outcome.duplicates;
            }
            if outcome.writes.is_empty() {
                return Ok(committed);
            }
            let (positions, writes): (Vec<(u32, u32)>, Vec<Write>) =
                outcome.writes.into_iter().map(|pending| ((pending.group, pending.first), pending.write)).unzip();
            let written = budget.write(&self.store, writes).await?;
            let (mut lost, mut first_lost) = (Vec::new(), u32::MAX);
            for (&(group, first), written) in positions.iter().zip(written) {
                match written {
                    Written::Done => summary.groups += 1,
                    Written::Conflict => {
                        lost.push(group);
                        first_lost = first_lost.min(first);
                    }
                    Written::Transient(why) => record_first_failure(&mut committed.first_uncommitted, first, || StoreError::Transient(why).into()),
                }
            }
            summary.conflicts += lost.len() as u64;
            clock.lap(summary, Stage::Commit);
            if lost.is_empty() {
                return Ok(committed);
            }
            let contended = || PipelineError::Contended {
                groups: lost.len(),
                key: groups.keys[lost[0] as usize].to_string(),
                attempts: attempt + 1,
            };
            if attempt >= self.retry.conflicts || !budget.wait_for_others(attempt).await {
                record_first_failure(&mut committed.first_uncommitted, first_lost, contended);
                return Ok(committed);
            }
            let keys: Vec<Key> = lost.iter().map(|&group| groups.keys[group as usize].clone()).collect();
            match budget.retry(|| self.store.load(&keys)).await {
                Ok(again) => lost.iter().zip(again).for_each(|(&group, item)| loaded[group as usize] = item),
                Err(busy @ StoreError::Transient(_)) => {
                    record_first_failure(&mut committed.first_uncommitted, first_lost, || busy.into());
                    return Ok(committed);
                }
                Err(error) => return Err(error.into()),
            }
            open = Some(lost.into_iter().collect());
            clock.lap(summary, Stage::Load);
        }
        unreachable!("the attempts are counted")
    }
}

/// Notes a record that is not safe, if it is the first.
pub(crate) fn record_first_failure(first_uncommitted: &mut FirstUncommitted, record: u32, why: impl FnOnce() -> PipelineError) {
    if first_uncommitted.as_ref().is_none_or(|(first, _)| record < *first) {
        *first_uncommitted = Some((record, why()));
    }
}
