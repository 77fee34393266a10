//! What a shard has room for: buckets that fill up again as time goes by.

use std::collections::HashMap;
use std::time::Instant;

/// What a shard takes and gives in a second. By default it is what Kinesis promises; what is infinite has no limit.
///
/// A shard that has rested has a second's worth.
#[derive(Clone, Debug, PartialEq)]
pub struct KinesisLimits {
    /// Records put.
    pub put_records: f64,
    /// Bytes put, keys included.
    pub put_bytes: f64,
    /// Calls of `GetRecords`.
    pub reads: f64,
    /// Bytes read by `GetRecords`, keys included. An answer may exceed them; then the next calls have to wait.
    pub read_bytes: f64,
    /// Calls of `GetShardIterator`.
    pub iterators: f64,
}

impl Default for KinesisLimits {
    fn default() -> Self {
        let mebibyte = 1_048_576.0;
        Self { put_records: 1_000.0, put_bytes: mebibyte, reads: 5.0, read_bytes: 2.0 * mebibyte, iterators: 5.0 }
    }
}

impl KinesisLimits {
    pub(super) fn check(&self) {
        let all = [self.put_records, self.put_bytes, self.reads, self.read_bytes, self.iterators];
        assert!(all.iter().all(|limit| *limit > 0.0), "a shard that takes nothing never will: {self:?}");
    }
}

/// What is missing from a bucket that is full but for errors of arithmetic.
const ROUNDING: f64 = 1e-6;

/// The buckets of all shards.
#[derive(Default)]
pub(super) struct Buckets {
    /// By stream and shard.
    shards: HashMap<(String, String), ShardBuckets>,
}

/// The buckets of one shard.
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
    /// Whether there is room for a record of so many bytes; it takes it.
    pub(super) fn put(&mut self, limits: &KinesisLimits, bytes: usize, now: Instant) -> bool {
        let bytes = bytes as f64;
        let fits =
            self.put_records.holds(limits.put_records, 1.0, now) && self.put_bytes.holds(limits.put_bytes, bytes, now);
        if fits {
            self.put_records.missing += 1.0;
            self.put_bytes.missing += bytes;
        }
        fits
    }

    /// Whether there is room for a `GetRecords`.
    pub(super) fn read(&mut self, limits: &KinesisLimits, now: Instant) -> bool {
        // How much it gives is known afterwards.
        let fits = self.read_bytes.holds(limits.read_bytes, f64::MIN_POSITIVE, now)
            && self.reads.holds(limits.reads, 1.0, now);
        if fits {
            self.reads.missing += 1.0;
        }
        fits
    }

    /// A `GetRecords` gave so many bytes.
    pub(super) fn gave(&mut self, bytes: usize) {
        self.read_bytes.missing += bytes as f64;
    }

    /// Whether there is room for a `GetShardIterator`.
    pub(super) fn iterator(&mut self, limits: &KinesisLimits, now: Instant) -> bool {
        let fits = self.iterators.holds(limits.iterators, 1.0, now);
        if fits {
            self.iterators.missing += 1.0;
        }
        fits
    }
}

/// A bucket that holds a second's worth when full.
#[derive(Default)]
struct Bucket {
    missing: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// Whether it has so much. A full one has anything: what exceeds a second's worth would never fit.
    fn holds(&mut self, rate: f64, amount: f64, now: Instant) -> bool {
        let passed = self.filled.map_or(0.0, |filled| now.saturating_duration_since(filled).as_secs_f64());
        self.filled = Some(now);
        self.missing = (self.missing - rate * passed).max(0.0);
        self.missing < ROUNDING || rate - self.missing >= amount
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_shard_takes_a_seconds_worth_at_once_and_then_as_time_goes_by() {
        let limits = KinesisLimits { put_bytes: f64::INFINITY, ..KinesisLimits::default() };
        let (mut shard, start) = (ShardBuckets::default(), Instant::now());
        let mut taken = |ms| (0..5_000).filter(|_| shard.put(&limits, 9, start + Duration::from_millis(ms))).count();
        assert_eq!([taken(0), taken(0), taken(500), taken(501), taken(9_000)], [1_000, 0, 500, 1, 1_000]);
    }

    #[test]
    fn bytes_are_limited_like_records_and_a_large_record_waits_for_a_full_bucket() {
        let limits = KinesisLimits { put_bytes: 100.0, ..KinesisLimits::default() };
        let (mut shard, start) = (ShardBuckets::default(), Instant::now());
        let mut put = |bytes, ms| shard.put(&limits, bytes, start + Duration::from_millis(ms));
        assert_eq!(
            [put(60, 0), put(60, 0), put(40, 0), put(500, 999), put(500, 1_000)],
            [true, false, true, false, true]
        );
        assert_eq!([put(1, 5_000), put(1, 5_020)], [false, true]);
    }

    #[test]
    fn a_large_answer_is_paid_for_by_waiting() {
        let limits = KinesisLimits::default();
        let (mut shard, start) = (ShardBuckets::default(), Instant::now());
        assert!(shard.read(&limits, start));
        shard.gave(10 * 1_048_576);
        let mut read = |ms| shard.read(&limits, start + Duration::from_millis(ms));
        assert_eq!([read(1_000), read(3_999), read(4_001)], [false, false, true]);
    }
}
