//! How much may be read ahead, by all shards together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A unit of the budget.
const KIB: usize = 1024;

/// Bytes that may be read ahead. Whoever reads takes what it expects to get, and corrects it when it knows.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    total: u32,
}

/// Bytes taken out of a budget. They are free again when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    of: Budget,
    permit: OwnedSemaphorePermit,
}

/// In units, rounded up; at least one, and at most what a semaphore counts.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX >> 4).clamp(1, u32::MAX >> 4)
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let total = units(bytes);
        Self { free: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits until so much is free, or all of the budget, where more is expected.
    pub(super) async fn take(&self, expected: usize) -> Permit {
        let permit = Arc::clone(&self.free).acquire_many_owned(units(expected).min(self.total)).await;
        Permit { of: self.clone(), permit: permit.expect("it is never closed") }
    }
}

impl Permit {
    /// Corrects it to what there is. What is more than was expected is taken only as far as it is free: it is there
    /// already, and waiting for room would not make it smaller.
    pub(super) fn correct(&mut self, bytes: usize) {
        let (have, want) = (self.permit.num_permits(), units(bytes) as usize);
        if want < have {
            drop(self.permit.split(have - want));
        } else if let Ok(more) = Arc::clone(&self.of.free).try_acquire_many_owned((want - have) as u32) {
            self.permit.merge(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_is_free_again() {
        let budget = Budget::new(10 * KIB);
        let mut first = budget.take(8 * KIB).await;
        first.correct(3 * KIB);
        let mut second = budget.take(7 * KIB).await;
        // More came than is free.
        second.correct(20 * KIB);
        assert_eq!(budget.free.available_permits(), 0);
        drop(first);
        second.correct(9 * KIB);
        assert_eq!(budget.free.available_permits(), 1);
        drop(second);
        let all = budget.take(1 << 40).await;
        assert_eq!(budget.free.available_permits(), 0, "more than all is all");
        drop(all);
        assert_eq!(budget.free.available_permits(), 10);
    }
}
