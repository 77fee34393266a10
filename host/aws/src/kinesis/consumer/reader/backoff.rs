//! The wait between retries of a shard's requests.

use std::time::Duration;

/// The bounds of the first and of the longest wait. A shard's limits are per second.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The wait after consecutive failures.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A request succeeded.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// A random wait in the upper half of a bound that doubles, so that readers that collided do not collide again.
    pub(super) fn next_wait(&mut self) -> Duration {
        let bound = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures += 1;
        bound.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        for bound in [200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let (wait, bound) = (backoff.next_wait(), Duration::from_millis(bound));
            assert!(wait >= bound / 2 && wait <= bound, "{wait:?} of {bound:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST_WAIT);
    }
}
