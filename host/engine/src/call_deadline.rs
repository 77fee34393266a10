//! When all calls of an engine have to end, whatever their batches' deadlines are: its process is about to end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The moment after which no call for a batch begins or goes on. Clones share it. There is none at first.
#[derive(Clone, Debug, Default)]
pub struct CallDeadline(Arc<Mutex<Option<Instant>>>);

impl CallDeadline {
    /// Sets it, also for calls that are in progress; `None` is no deadline.
    pub fn set(&self, at: Option<Instant>) {
        *self.lock() = at;
    }

    pub(crate) fn get(&self) -> Option<Instant> {
        *self.lock()
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.get().is_some_and(|at| at <= Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
