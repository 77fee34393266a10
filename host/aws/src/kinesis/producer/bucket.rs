//! A token bucket: how much a shard may be sent, by its limit per second.

use std::time::Duration;

/// The capacity, in seconds of the rate. Sending begins once half of it is there: requests stay large, and a shard
/// whose limit is per second rejects little after a pause.
const BURST_SECONDS: f64 = 0.5;

/// A token bucket. Times are since the producer's start.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Tokens per second.
    rate: f64,
    /// Tokens at `at`. Negative after an amount that was larger than the capacity.
    level: f64,
    at: Duration,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn full(rate: u32, now: Duration) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, level: rate * BURST_SECONDS, at: now }
    }

    /// When the bucket covers this amount, or is half full.
    pub(super) fn ready_at(&self, waiting: usize) -> Duration {
        let missing = (waiting as f64).min(self.capacity() / 2.0) - self.level;
        self.at + Duration::from_secs_f64((missing / self.rate).max(0.0))
    }

    pub(super) fn covers(&self, now: Duration, amount: usize) -> bool {
        self.level(now) >= amount as f64
    }

    /// Takes this amount, covered or not. The next one waits for an excess.
    pub(super) fn take(&mut self, now: Duration, amount: usize) {
        self.level = self.level(now) - amount as f64;
        self.at = now;
    }

    fn capacity(&self) -> f64 {
        self.rate * BURST_SECONDS
    }

    fn level(&self, now: Duration) -> f64 {
        (self.level + self.rate * now.saturating_sub(self.at).as_secs_f64()).min(self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_beyond_the_capacity_is_taken_and_the_next_one_waits() {
        let second = Duration::from_secs(1);
        let mut bucket = Bucket::full(1_000, second);
        assert!(bucket.ready_at(5_000) <= second && bucket.covers(second, 500) && !bucket.covers(second, 501));
        bucket.take(second, 2_500);
        // 2,000 below zero, and half of 500.
        assert_eq!(bucket.ready_at(5_000), second + Duration::from_millis(2_250));
        assert_eq!(bucket.ready_at(1), second + Duration::from_millis(2_001));
        assert!(!bucket.covers(3 * second, 1) && bucket.covers(4 * second, 500) && !bucket.covers(9 * second, 501));
    }
}
