//! A token bucket: what a shard may be given, by what it takes a second.

use std::time::Duration;

/// How many seconds' worth a bucket holds. Half of it is sent at once where enough waits: requests stay large, and a
/// shard that counts by the second refuses little after a pause.
const BURST_SECONDS: f64 = 0.5;

/// A token bucket. Times are since the producer's start.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Tokens a second.
    rate: f64,
    /// Tokens at `at`. Negative after something that was larger than the bucket.
    level: f64,
    at: Duration,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(rate: u32, now: Duration) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, level: rate * BURST_SECONDS, at: now }
    }

    /// When so much may begin to go: it is covered, or half of the bucket is there.
    pub(super) fn ready_at(&self, waiting: usize) -> Duration {
        let missing = (waiting as f64).min(self.burst() / 2.0) - self.level;
        self.at + Duration::from_secs_f64((missing / self.rate).max(0.0))
    }

    /// Whether so much is there.
    pub(super) fn covers(&self, now: Duration, amount: usize) -> bool {
        self.level(now) >= amount as f64
    }

    /// Takes so much, whether it is there or not. Who takes too much waits the longer.
    pub(super) fn take(&mut self, now: Duration, amount: usize) {
        self.level = self.level(now) - amount as f64;
        self.at = now;
    }

    fn burst(&self) -> f64 {
        self.rate * BURST_SECONDS
    }

    fn level(&self, now: Duration) -> f64 {
        (self.level + self.rate * now.saturating_sub(self.at).as_secs_f64()).min(self.burst())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_the_bucket_goes_and_the_next_waits_for_it() {
        let second = Duration::from_secs(1);
        let mut bucket = Bucket::full(1_000, second);
        assert!(bucket.ready_at(5_000) <= second && bucket.covers(second, 500) && !bucket.covers(second, 501));
        bucket.take(second, 2_500);
        // 2,000 behind, and half of 500 is waited for.
        assert_eq!(bucket.ready_at(5_000), second + Duration::from_millis(2_250));
        assert_eq!(bucket.ready_at(1), second + Duration::from_millis(2_001));
        assert!(!bucket.covers(3 * second, 1) && bucket.covers(4 * second, 500) && !bucket.covers(9 * second, 501));
    }
}
