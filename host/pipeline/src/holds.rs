//! How long records wait for a rulebook that can't be had.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use paceline_engine::Digest;
use tokio::time::Instant;

use crate::clock::Clock;

/// How long this process itself waits at least, even for records that are older than `hold-seconds`: a host that starts
/// with a backlog must give the registry a chance.
const LEAST: Duration = Duration::from_secs(30);

/// The waits of a process.
#[derive(Debug)]
pub(crate) struct Holds {
    hold: Duration,
    clock: Clock,
    /// By rulebook.
    waits: Mutex<HashMap<Digest, Wait>>,
}

/// Since when records of a rulebook are held.
#[derive(Debug)]
struct Wait {
    since: Instant,
    /// When one was held last. After a long pause, the next one is another case.
    last: Instant,
}

impl Holds {
    pub(crate) fn new(hold: Duration) -> Self {
        Self { hold, clock: Clock::default(), waits: Mutex::default() }
    }

    pub(crate) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The time of day since 1970.
    pub(crate) fn now(&self) -> Duration {
        self.clock.since_epoch()
    }

    /// The rulebook can be had again.
    pub(crate) fn forget(&self, rulebook: Digest) {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(&rulebook);
    }

    /// Whether a record that waits for this rulebook has waited long enough. Its age counts as well as the time in this
    /// process: a function has many processes, and none of them may live that long.
    pub(crate) fn is_over(&self, rulebook: Digest, arrival_ms: Option<i64>) -> bool {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let wait = waits.entry(rulebook).or_insert(Wait { since: now, last: now });
        if now - wait.last > self.hold.max(LEAST) {
            wait.since = now;
        }
        wait.last = now;
        let waited = now - wait.since;
        let now_ms = self.now().as_millis() as i64;
        let age = arrival_ms.and_then(|arrival| u64::try_from(now_ms - arrival).ok()).map(Duration::from_millis);
        waited >= self.hold || waited >= LEAST.min(self.hold) && age.is_some_and(|age| age >= self.hold)
    }
}
