//! The memory that may be used to read ahead, by all shards together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of the budget, in bytes: a semaphore's permits do not count far enough for single bytes.
const UNIT: usize = 1024;

/// Bytes that may be read and not committed. A reader reserves what it expects to receive, and corrects that once it
/// knows.
#[derive(Clone, Debug)]
pub(super) struct ReadAheadBudget {
    free: Arc<Semaphore>,
    total: u32,
}

/// Reserved bytes. They are free again when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    budget: ReadAheadBudget,
    permit: OwnedSemaphorePermit,
}

/// Units, rounded up: at least one, and at most what a semaphore counts.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX >> 4).clamp(1, u32::MAX >> 4)
}

impl ReadAheadBudget {
    pub(super) fn new(bytes: usize) -> Self {
        let total = units(bytes);
        Self { free: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Reserves this many bytes, or the whole budget if it is smaller, once they are free.
    pub(super) async fn reserve(&self, expected: usize) -> Permit {
        let permit = Arc::clone(&self.free).acquire_many_owned(units(expected).min(self.total)).await;
        Permit { budget: self.clone(), permit: permit.expect("the semaphore is never closed") }
    }
}

impl Permit {
    /// Corrects the reservation to the actual size. An excess is reserved only as far as the budget has room: the bytes
    /// are in memory already, so waiting would not help.
    pub(super) fn correct(&mut self, bytes: usize) {
        let (reserved, actual) = (self.permit.num_permits(), units(bytes) as usize);
        if actual < reserved {
            drop(self.permit.split(reserved - actual));
        } else if let Ok(more) = Arc::clone(&self.budget.free).try_acquire_many_owned((actual - reserved) as u32) {
            self.permit.merge(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reserved_bytes_are_free_again() {
        let budget = ReadAheadBudget::new(10 * UNIT);
        let mut first = budget.reserve(8 * UNIT).await;
        first.correct(3 * UNIT);
        let mut second = budget.reserve(7 * UNIT).await;
        // More was received than is free.
        second.correct(20 * UNIT);
        assert_eq!(budget.free.available_permits(), 0);
        drop(first);
        second.correct(9 * UNIT);
        assert_eq!(budget.free.available_permits(), 1);
        drop(second);
        let all = budget.reserve(1 << 40).await;
        assert_eq!(budget.free.available_permits(), 0, "no more than the whole budget is reserved");
        drop(all);
        assert_eq!(budget.free.available_permits(), 10);
    }
}
