//! How often and how long a store is retried.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::store::{GroupStore, StoreError, Write, WriteOutcome};

/// How often and how long a store is retried.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RetryPolicy {
    /// How long a call that fails transiently is retried, in milliseconds.
    pub deadline_ms: u64,
    /// The bound of the first wait, in milliseconds. Each further bound is twice as long.
    pub first_wait_ms: u64,
    /// The longest wait, in milliseconds.
    pub longest_wait_ms: u64,
    /// How often groups that other hosts changed are loaded and folded again.
    pub conflicts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { deadline_ms: 30_000, first_wait_ms: 20, longest_wait_ms: 2_000, conflicts: 20 }
    }
}

impl RetryPolicy {
    /// The wait before another attempt: random up to the bound, so that hosts that collided once do not collide again.
    pub(crate) fn wait(&self, attempt: u32) -> Duration {
        Duration::from_millis(fastrand::u64(1..=self.wait_bound_ms(attempt)))
    }

    fn wait_bound_ms(&self, attempt: u32) -> u64 {
        self.first_wait_ms.saturating_mul(1 << attempt.min(20)).min(self.longest_wait_ms).max(1)
    }
}

/// How long a store is retried: by the policy, and not beyond the caller's deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryBudget<'a> {
    pub(crate) policy: &'a RetryPolicy,
    /// When the caller must be done: a Lambda's time-out, less what the response takes.
    pub(crate) deadline: Option<Instant>,
}

/// The reason of an attempt that was cut off.
const UNANSWERED: &str = "the store did not answer";

/// The reason to report. If the last attempt was cut off, the reason of the one before is more informative.
fn most_informative(before: Option<String>, why: String) -> String {
    match before {
        Some(before) if why == UNANSWERED => format!("{before}; the last time {UNANSWERED}"),
        _ => why,
    }
}

impl RetryBudget<'_> {
    /// When to give up a call that begins now.
    fn limit(&self) -> Instant {
        let own = Instant::now() + Duration::from_millis(self.policy.deadline_ms);
        self.deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Waits before another attempt. Returns false, without waiting, if that attempt would begin after the limit.
    async fn wait(&self, attempt: u32, limit: Instant) -> bool {
        let wait = self.policy.wait(attempt);
        if Instant::now() + wait >= limit {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }

    /// The last attempt's reason, and why there is no further attempt.
    fn exhausted(&self, why: &str) -> String {
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() + Duration::from_millis(self.policy.longest_wait_ms) => {
                format!("{why}; no time was left for a retry")
            }
            _ => format!("{why}; retries went on for {} ms (`retry.deadline-ms`)", self.policy.deadline_ms),
        }
    }

    /// One attempt, cut off at the limit. What a cut-off attempt was about to do may be done or not.
    ///
    /// It is pinned, because it would be copied three times on its way: a store's futures are large.
    async fn attempt<T>(
        &self,
        limit: Instant,
        attempt: Pin<&mut impl Future<Output = Result<T, StoreError>>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout_at(limit, attempt).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::transient(UNANSWERED)),
        }
    }

    /// Retries while the call fails transiently and time is left. After that the error is transient for the caller, too.
    pub(crate) async fn retry<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let limit = self.limit();
        let mut before = None;
        for attempt in 0.. {
            let done = self.attempt(limit, pin!(call())).await;
            match done {
                Err(StoreError::Transient(failure)) => {
                    let why = most_informative(before.take(), failure.to_string());
                    if !self.wait(attempt, limit).await {
                        return Err(StoreError::transient(self.exhausted(&why)).with_cause_of(failure));
                    }
                    before = Some(why);
                }
                done => return done,
            }
        }
        unreachable!("the limit comes")
    }

    /// Makes writes until each is done or met a conflict, or no time is left. Returns how each ended, `Transient` for
    /// those that are still open then.
    pub(crate) async fn write_groups<S: GroupStore>(
        &self,
        store: &S,
        mut writes: Vec<Write>,
    ) -> Result<Vec<WriteOutcome>, StoreError> {
        let limit = self.limit();
        let mut outcomes: Vec<Option<WriteOutcome>> = vec![None; writes.len()];
        let mut open: Vec<usize> = (0..writes.len()).collect();
        let mut before = None;
        for attempt in 0.. {
            let done = self.attempt(limit, pin!(store.write_groups(&writes))).await;
            let (why, again): (String, Vec<usize>) = match done {
                Ok(ended) => {
                    let mut reason = String::new();
                    let mut again = Vec::new();
                    for (at, outcome) in ended.into_iter().enumerate() {
                        match outcome {
                            WriteOutcome::Transient(why) => {
                                again.push(at);
                                reason = why;
                            }
                            outcome => outcomes[open[at]] = Some(outcome),
                        }
                    }
                    (reason, again)
                }
                Err(StoreError::Transient(failure)) => (failure.to_string(), (0..writes.len()).collect()),
                Err(error) => return Err(error),
            };
            if again.is_empty() {
                break;
            }
            let why = most_informative(before.take(), why);
            // Only the open writes are sent again.
            let mut keep = again.iter().copied().peekable();
            let mut at = 0;
            writes.retain(|_| {
                at += 1;
                keep.next_if_eq(&(at - 1)).is_some()
            });
            open = again.into_iter().map(|at| open[at]).collect();
            if !self.wait(attempt, limit).await {
                let why = self.exhausted(&why);
                open.iter().for_each(|&at| outcomes[at] = Some(WriteOutcome::Transient(why.clone())));
                break;
            }
            before = Some(why);
        }
        Ok(outcomes.into_iter().map(|outcome| outcome.expect("each write has ended")).collect())
    }

    /// Waits before groups that other hosts changed are loaded and folded again. Returns whether there is time for it.
    pub(crate) async fn wait_for_rivals(&self, attempt: u32) -> bool {
        self.wait(attempt, self.limit()).await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::dedup::{DedupState, OrdinalSet};
    use crate::model::{Item, Key, test_provenance};
    use crate::store::MemoryStore;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn policy() -> RetryPolicy {
        RetryPolicy { deadline_ms: 100, first_wait_ms: 1, longest_wait_ms: 2, conflicts: 3 }
    }

    #[test]
    fn a_call_is_retried_until_it_succeeds() {
        let (policy, calls) = (policy(), Cell::new(0));
        let budget = RetryBudget { policy: &policy, deadline: None };
        let done = block_on(budget.retry(|| {
            calls.set(calls.get() + 1);
            let attempt = calls.get();
            async move { if attempt < 4 { Err(StoreError::transient("throttled")) } else { Ok(attempt) } }
        }));
        assert_eq!(done.unwrap(), 4);
    }

    #[test]
    fn a_fatal_error_is_not_retried() {
        let (policy, calls) = (policy(), Cell::new(0));
        let budget = RetryBudget { policy: &policy, deadline: None };
        let failed: Result<(), _> = block_on(budget.retry(|| {
            calls.set(calls.get() + 1);
            async { Err(StoreError::fatal("no such table")) }
        }));
        assert!(!failed.unwrap_err().is_transient());
        assert_eq!(calls.get(), 1);
    }

    #[test]
    fn a_store_that_stays_throttled_is_a_transient_error_that_names_the_setting() {
        let policy = policy();
        let budget = RetryBudget { policy: &policy, deadline: None };
        let failed: Result<(), _> = block_on(async {
            let began = Instant::now();
            let failed = budget.retry(|| async { Err(StoreError::transient("throttled")) }).await;
            assert!(began.elapsed() >= Duration::from_millis(90), "it is retried until the deadline");
            failed
        });
        let error = failed.unwrap_err();
        assert!(error.is_transient());
        assert_eq!(error.to_string(), "throttled; retries went on for 100 ms (`retry.deadline-ms`)");
    }

    #[test]
    fn a_call_that_never_answers_is_cut_off_with_the_reason_of_the_one_before() {
        let (policy, calls) = (policy(), Cell::new(0));
        let budget = RetryBudget { policy: &policy, deadline: None };
        let failed: Result<(), _> = block_on(budget.retry(|| {
            calls.set(calls.get() + 1);
            let first = calls.get() == 1;
            async move {
                match first {
                    true => Err(StoreError::transient("throttled")),
                    false => std::future::pending().await,
                }
            }
        }));
        let error = failed.unwrap_err().to_string();
        assert!(error.starts_with("throttled; the last time the store did not answer"), "{error}");
    }

    #[test]
    fn the_callers_deadline_is_kept() {
        let policy = policy();
        block_on(async {
            let began = Instant::now();
            let deadline = began + Duration::from_millis(20);
            let budget = RetryBudget { policy: &policy, deadline: Some(deadline) };
            let failed: Result<(), _> = budget.retry(|| async { Err(StoreError::transient("throttled")) }).await;
            assert!(began.elapsed() < Duration::from_millis(100), "the policy alone would allow more");
            let error = failed.unwrap_err().to_string();
            assert!(error.ends_with("no time was left for a retry"), "{error}");
        });
    }

    /// A memory store whose writes each fail transiently as often as their number says.
    struct Flaky {
        store: MemoryStore,
        failures: std::sync::Mutex<std::collections::HashMap<Key, u32>>,
        /// How often each key was sent.
        sent: std::sync::Mutex<std::collections::HashMap<Key, u32>>,
    }

    impl GroupStore for Flaky {
        async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
            self.store.load_groups(keys).await
        }

        async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
            let mut outcomes = Vec::new();
            for write in writes {
                *self.sent.lock().unwrap().entry(write.key.clone()).or_default() += 1;
                let fails = match self.failures.lock().unwrap().get_mut(&write.key) {
                    Some(left) if *left > 0 => {
                        *left -= 1;
                        true
                    }
                    _ => false,
                };
                outcomes.push(match fails {
                    true => WriteOutcome::Transient("throttled".to_owned()),
                    false => self.store.write_groups(std::slice::from_ref(write)).await?.remove(0),
                });
            }
            Ok(outcomes)
        }

        async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
            self.store.list_partition(partition).await
        }

        async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
            self.store.list_groups().await
        }
    }

    fn key(number: usize) -> Key {
        Key::new("race-1", format!("racer-{number}"))
    }

    fn write(number: usize, expected: Option<u64>) -> Write {
        let provenance = test_provenance();
        let item = Item {
            revision: expected.unwrap_or(0) + 1,
            state: vec![number as u8],
            dedup: DedupState::Ordinal(OrdinalSet::default()),
            attributes: Vec::new(),
            provenance,
            reruled: false,
        };
        Write { key: key(number), expected, item }
    }

    proptest! {
        /// Whatever fails transiently, each write ends once, in its own place, and none is sent again after it ended.
        #[test]
        fn each_write_ends_in_its_place(
            writes in prop::collection::vec((0..5_u32, prop::bool::ANY), 1..20),
        ) {
            let store = Flaky {
                store: MemoryStore::default(),
                failures: std::sync::Mutex::new(writes.iter().enumerate().map(|(at, (fails, _))| (key(at), *fails)).collect()),
                sent: std::sync::Mutex::default(),
            };
            let policy = RetryPolicy { deadline_ms: 60_000, longest_wait_ms: 1, ..policy() };
            let budget = RetryBudget { policy: &policy, deadline: None };
            // A write that expects an item where there is none meets a conflict.
            let expected = |conflict: bool| conflict.then_some(7);
            let all = writes.iter().enumerate().map(|(at, (_, conflict))| write(at, expected(*conflict))).collect();
            let outcomes = block_on(budget.write_groups(&store, all)).unwrap();
            prop_assert_eq!(outcomes.len(), writes.len());
            for (at, ((fails, conflict), outcome)) in writes.iter().zip(outcomes).enumerate() {
                let wanted = if *conflict { WriteOutcome::Conflict } else { WriteOutcome::Done };
                prop_assert_eq!(outcome, wanted);
                prop_assert_eq!(store.sent.lock().unwrap()[&key(at)], fails + 1);
            }
            let written = block_on(store.list_groups()).unwrap().len();
            prop_assert_eq!(written, writes.iter().filter(|(_, conflict)| !conflict).count());
        }

        /// Waits stay within their bounds, which grow to the longest.
        #[test]
        fn waits_are_bounded(attempt in 0..100_u32, first in 0..1_000_u64, longest in 0..5_000_u64) {
            let policy = RetryPolicy { first_wait_ms: first, longest_wait_ms: longest, ..policy() };
            let wait = policy.wait(attempt).as_millis() as u64;
            prop_assert!(wait >= 1 && wait <= longest.max(1));
            prop_assert!(policy.wait_bound_ms(attempt) <= policy.wait_bound_ms(attempt + 1));
        }
    }
}
