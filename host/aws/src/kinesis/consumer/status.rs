//! How the shards are: for metrics, readiness and logs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::core::{Core, ShardStatus};
use crate::kinesis::clock::ServiceClock;

/// The status of a consumer.
#[derive(Debug)]
pub struct Status {
    clock: ServiceClock,
    began: Instant,
    core: Mutex<Core>,
}

impl Status {
    pub(super) fn new(clock: ServiceClock) -> Self {
        Self { clock, began: Instant::now(), core: Mutex::default() }
    }

    /// The state that the status is derived from.
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All shards, by id.
    pub fn shards(&self) -> Vec<(Arc<str>, ShardStatus)> {
        self.core().shards(self.clock.now_ms(), Instant::now())
    }

    /// Why not every shard that has to be read is being read; `None` if every one is.
    pub fn trouble(&self) -> Option<String> {
        self.core().not_ready().map(|reason| reason.to_string())
    }

    /// Why the consumer reads nothing, if it has to and could not for this time.
    pub fn standstill(&self, for_at_least: Duration) -> Option<String> {
        let now = Instant::now();
        let standstill =
            self.core().standstill(self.began, now).filter(|standstill| standstill.time >= for_at_least)?;
        Some(standstill.to_string())
    }
}
