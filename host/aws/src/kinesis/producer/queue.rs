//! What waits for one shard, and how much of it may be sent when.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::bucket::Bucket;
use super::config::{Order, ProducerConfig};
use crate::kpl::{AGGREGATE_BYTES, Aggregator, Packed};

/// Kinesis's limits for a request.
pub(super) const ENTRIES_PER_REQUEST: usize = 500;
pub(super) const BYTES_PER_REQUEST: usize = 10 << 20;

/// The memory that a record takes in addition to its key and data, about.
const OVERHEAD_BYTES: usize = 128;

/// A record as it was put: with aggregates, a user record.
#[derive(Debug)]
pub(super) struct UserRecord {
    /// The number of records that were put before. Records of one shard are sent in this order.
    pub(super) number: u64,
    /// When it was put.
    pub(super) at: Duration,
    /// The hash key, which decides the shard.
    pub(super) hash: u128,
    pub(super) key: String,
    pub(super) data: Vec<u8>,
}

impl UserRecord {
    /// Its bytes as Kinesis counts them.
    fn bytes(&self) -> usize {
        self.key.len() + self.data.len()
    }

    /// Its bytes in the buffer.
    pub(super) fn room(&self) -> usize {
        room(&self.key, &self.data)
    }
}

/// The bytes of a record in the buffer.
pub(super) fn room(key: &str, data: &[u8]) -> usize {
    key.len() + data.len() + OVERHEAD_BYTES
}

/// A stream record in flight.
#[derive(Debug)]
pub(super) struct Entry {
    /// The index of the queue that it came from.
    pub(super) queue: usize,
    /// The shard in which it should land.
    pub(super) predicted: Arc<str>,
    /// The hash key that decides where it lands.
    pub(super) hash: u128,
    /// Its bytes as Kinesis counts them.
    pub(super) bytes: usize,
    /// The records in it: one, unless it is an aggregate.
    pub(super) user_records: Vec<UserRecord>,
}

/// What decides how much of a queue is sent now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending<'a> {
    pub(super) config: &'a ProducerConfig,
    pub(super) now: Duration,
    /// No further records are put: aggregates need not become full.
    pub(super) flushing: bool,
}

/// Accumulates the entries of a request.
#[derive(Debug, Default)]
pub(super) struct RequestBuilder {
    /// The entries as they are sent.
    pub(super) packed: Vec<Packed>,
    /// The same entries as they are kept until the response.
    pub(super) entries: Vec<Entry>,
    bytes: usize,
    /// The hash keys in the request, where each may occur only once.
    hashes: HashSet<u128>,
    pub(super) is_full: bool,
}

/// What waits for one shard.
#[derive(Debug)]
pub(super) struct ShardQueue {
    shard: Arc<str>,
    waiting: VecDeque<UserRecord>,
    /// Bytes of all waiting records.
    bytes: usize,
    /// The shard's limit of records per second.
    record_limit: Bucket,
    /// The shard's limit of bytes per second.
    byte_limit: Bucket,
    /// Requests in flight with entries for this shard.
    in_flight: usize,
    /// Consecutive requests that failed for this shard, at least in part.
    failures: u32,
    /// After a failure: when to send again.
    not_before: Duration,
}

impl ShardQueue {
    pub(super) fn new(shard: Arc<str>, config: &ProducerConfig, now: Duration) -> Self {
        Self {
            shard,
            waiting: VecDeque::new(),
            bytes: 0,
            record_limit: Bucket::full(config.shard_records_per_second, now),
            byte_limit: Bucket::full(config.shard_bytes_per_second, now),
            in_flight: 0,
            failures: 0,
            not_before: now,
        }
    }

    pub(super) fn shard(&self) -> &Arc<str> {
        &self.shard
    }

    /// Adds the newest record.
    pub(super) fn push(&mut self, record: UserRecord) {
        self.bytes += record.bytes();
        self.waiting.push_back(record);
    }

    /// Adds a record that has to be sent again, before all later ones.
    pub(super) fn push_front(&mut self, record: UserRecord) {
        self.bytes += record.bytes();
        self.waiting.push_front(record);
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = UserRecord> + '_ {
        self.bytes = 0;
        self.waiting.drain(..)
    }

    /// The number of the oldest record.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.waiting.front().map(|record| record.number)
    }

    /// A request with entries of this queue was answered: whether some failed, and whether some were stored. `retry_at`
    /// is the time of a retry after so many failures.
    pub(super) fn answered(&mut self, failed: bool, stored: bool, retry_at: impl FnOnce(u32) -> Duration) {
        self.in_flight -= 1;
        if failed {
            // A shard that stored some entries is only at its limit.
            self.failures = if stored { 1 } else { self.failures + 1 };
            self.not_before = retry_at(self.failures);
        } else {
            self.failures = 0;
        }
    }

    /// When the next record may be sent; `None` if there is none, or if a response has to come first.
    pub(super) fn ready_at(&self, config: &ProducerConfig, flushing: bool) -> Option<Duration> {
        let front = self.waiting.front()?;
        if config.order == Order::ByKey && self.in_flight > 0 {
            return None;
        }
        let (records, due) = match config.aggregate {
            false => (self.waiting.len(), self.not_before),
            true if flushing || self.fills_an_aggregate() => (self.bytes / AGGREGATE_BYTES + 1, self.not_before),
            true => (1, self.not_before.max(front.at + config.linger)),
        };
        Some(due.max(self.record_limit.ready_at(records)).max(self.byte_limit.ready_at(self.bytes)))
    }

    /// An estimate: an aggregate adds a few bytes per record, and has each key only once.
    fn fills_an_aggregate(&self) -> bool {
        self.bytes >= AGGREGATE_BYTES
    }

    /// Moves what may be sent into a request. `index` is the queue's. To be called only if the queue is ready: the
    /// first record is sent whatever the limits are.
    pub(super) fn fill(&mut self, index: usize, sending: Sending<'_>, request: &mut RequestBuilder) {
        let Sending { config, now, flushing } = sending;
        let mut is_first = true;
        while let Some(front) = self.waiting.front() {
            let bytes = match config.aggregate {
                true => front.bytes().max(AGGREGATE_BYTES) + 1,
                false => front.bytes(),
            };
            if request.entries.len() == ENTRIES_PER_REQUEST || request.bytes + bytes > BYTES_PER_REQUEST {
                request.is_full = true;
                break;
            }
            let may_be_sent = is_first
                || self.record_limit.covers(now, 1)
                    && self.byte_limit.covers(now, bytes.min(self.bytes))
                    && match (config.aggregate, config.order) {
                        (true, Order::ByKey) => false,
                        (true, Order::None) => flushing || self.fills_an_aggregate() || now >= front.at + config.linger,
                        (false, Order::ByKey) => !request.hashes.contains(&front.hash),
                        (false, Order::None) => true,
                    };
            if !may_be_sent {
                break;
            }
            is_first = false;
            let hash = front.hash;
            request.hashes.insert(hash);
            let (packed, user_records) = if config.aggregate { self.pack() } else { self.take_one() };
            let bytes = packed.partition_key.len() + packed.data.len();
            self.record_limit.take(now, 1);
            self.byte_limit.take(now, bytes);
            request.bytes += bytes;
            request.packed.push(packed);
            let predicted = Arc::clone(&self.shard);
            request.entries.push(Entry { queue: index, predicted, hash, bytes, user_records });
        }
        if !is_first {
            self.in_flight += 1;
        }
    }

    /// The next record as a stream record.
    fn take_one(&mut self) -> (Packed, Vec<UserRecord>) {
        let record = self.pop();
        let packed = Packed { partition_key: record.key.clone(), explicit_hash_key: None, data: record.data.clone() };
        (packed, vec![record])
    }

    /// As many of the next records as an aggregate holds.
    fn pack(&mut self) -> (Packed, Vec<UserRecord>) {
        let mut aggregator = Aggregator::default();
        let mut records = Vec::new();
        while let Some(next) = self.waiting.front() {
            // The record that does not fit stays: the next aggregate begins with it.
            if let Some(full) = aggregator.add(&next.key, None, &next.data) {
                return (full, records);
            }
            records.push(self.pop());
        }
        (aggregator.finish().expect("there was a record"), records)
    }

    fn pop(&mut self) -> UserRecord {
        let record = self.waiting.pop_front().expect("there is a record");
        self.bytes -= record.bytes();
        record
    }
}
