//! The capacity of shards: token buckets that refill with time.

use std::collections::HashMap;
use std::time::Instant;

use super::super::faults::KinesisLimits;

/// A bucket that lacks less than this is full: the difference is a rounding error.
const ROUNDING: f64 = 1e-6;

/// The buckets of all shards.
#[derive(Default)]
pub(super) struct Buckets {
    /// By stream and shard.
    shards: HashMap<(String, String), ShardBuckets>,
}

#[derive(Default)]
pub(super) struct ShardBuckets {
    put_records: Bucket,
    put_bytes: Bucket,
    reads: Bucket,
    read_bytes: Bucket,
    iterators: Bucket,
}

impl Buckets {
    pub(super) fn of(&mut self, stream: &str, shard: &str) -> &mut ShardBuckets {
        self.shards.entry((stream.to_owned(), shard.to_owned())).or_default()
    }
}

impl ShardBuckets {
    /// Takes the capacity for a record of so many bytes; whether there was enough.
    pub(super) fn take_put(&mut self, limits: &KinesisLimits, bytes: usize, now: Instant) -> bool {
        let bytes = bytes as f64;
        let fits =
            self.put_records.holds(limits.put_records, 1.0, now) && self.put_bytes.holds(limits.put_bytes, bytes, now);
        if fits {
            self.put_records.missing += 1.0;
            self.put_bytes.missing += bytes;
        }
        fits
    }

    /// Takes the capacity for a `GetRecords`; whether there was enough.
    pub(super) fn take_read(&mut self, limits: &KinesisLimits, now: Instant) -> bool {
        // The size of the response is not known yet: `take_read_bytes` takes it later.
        let fits = self.read_bytes.holds(limits.read_bytes, f64::MIN_POSITIVE, now)
            && self.reads.holds(limits.reads, 1.0, now);
        if fits {
            self.reads.missing += 1.0;
        }
        fits
    }

    /// Takes the capacity for the bytes that a `GetRecords` returned, even if there is not enough.
    pub(super) fn take_read_bytes(&mut self, bytes: usize) {
        self.read_bytes.missing += bytes as f64;
    }

    /// Takes the capacity for a `GetShardIterator`; whether there was enough.
    pub(super) fn take_iterator(&mut self, limits: &KinesisLimits, now: Instant) -> bool {
        let fits = self.iterators.holds(limits.iterators, 1.0, now);
        if fits {
            self.iterators.missing += 1.0;
        }
        fits
    }
}

/// A token bucket that holds a second's worth when full.
#[derive(Default)]
struct Bucket {
    missing: f64,
    refilled: Option<Instant>,
}

impl Bucket {
    /// Whether it holds this amount now. A full bucket holds any amount: more than a second's worth would never fit.
    fn holds(&mut self, rate: f64, amount: f64, now: Instant) -> bool {
        let passed = self.refilled.map_or(0.0, |refilled| now.saturating_duration_since(refilled).as_secs_f64());
        self.refilled = Some(now);
        self.missing = (self.missing - rate * passed).max(0.0);
        self.missing < ROUNDING || rate - self.missing >= amount
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_shard_takes_a_seconds_worth_at_once_and_then_at_the_rate_of_the_limit() {
        let limits = KinesisLimits { put_bytes: f64::INFINITY, ..KinesisLimits::default() };
        let (mut shard, start) = (ShardBuckets::default(), Instant::now());
        let mut taken =
            |ms| (0..5_000).filter(|_| shard.take_put(&limits, 9, start + Duration::from_millis(ms))).count();
        assert_eq!([taken(0), taken(0), taken(500), taken(501), taken(9_000)], [1_000, 0, 500, 1, 1_000]);
    }

    #[test]
    fn bytes_are_limited_like_records_and_a_large_record_waits_for_a_full_bucket() {
        let limits = KinesisLimits { put_bytes: 100.0, ..KinesisLimits::default() };
        let (mut shard, start) = (ShardBuckets::default(), Instant::now());
        let mut put = |bytes, ms| shard.take_put(&limits, bytes, start + Duration::from_millis(ms));
        assert_eq!(
            [put(60, 0), put(60, 0), put(40, 0), put(500, 999), put(500, 1_000)],
            [true, false, true, false, true]
        );
        assert_eq!([put(1, 5_000), put(1, 5_020)], [false, true]);
    }

    #[test]
    fn a_large_response_delays_the_next_reads() {
        let limits = KinesisLimits::default();
        let (mut shard, start) = (ShardBuckets::default(), Instant::now());
        assert!(shard.take_read(&limits, start));
        shard.take_read_bytes(10 * 1_048_576);
        let mut read = |ms| shard.take_read(&limits, start + Duration::from_millis(ms));
        assert_eq!([read(1_000), read(3_999), read(4_001)], [false, false, true]);
    }
}
