//! What waits for one shard, and when how much of it may go.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::bucket::Bucket;
use super::{Order, ProducerConfig};
use crate::kpl::{AGGREGATE_BYTES, Aggregator, Packed};

/// Kinesis's limits for a request.
pub(super) const ENTRIES_A_REQUEST: usize = 500;
pub(super) const BYTES_A_REQUEST: usize = 10 << 20;

/// What keeping a record takes beside its key and data, about.
const KEEPING_BYTES: usize = 128;

/// A record as it was put: a user record, where aggregates are made.
#[derive(Debug)]
pub(super) struct UserRecord {
    /// How many were put before. Those of one shard are sent in this order.
    pub(super) number: u64,
    /// When it was put.
    pub(super) at: Duration,
    /// What decides its shard.
    pub(super) hash: u128,
    pub(super) key: String,
    pub(super) data: Vec<u8>,
}

impl UserRecord {
    /// Its bytes as Kinesis counts them.
    fn bytes(&self) -> usize {
        self.key.len() + self.data.len()
    }

    /// What it takes of the buffer.
    pub(super) fn room(&self) -> usize {
        room(&self.key, &self.data)
    }
}

/// What a record takes of the buffer.
pub(super) fn room(key: &str, data: &[u8]) -> usize {
    key.len() + data.len() + KEEPING_BYTES
}

/// A record of the stream that is under way.
#[derive(Debug)]
pub(super) struct Entry {
    /// The lane that it came from.
    pub(super) queue: usize,
    /// The shard that it should land in.
    pub(super) predicted: Arc<str>,
    /// What decides where it does.
    pub(super) hash: u128,
    /// Its bytes as Kinesis counts them.
    pub(super) bytes: usize,
    /// What it is made of. One, unless it is an aggregate.
    pub(super) users: Vec<UserRecord>,
}

/// A request that is being filled.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) entries: Vec<Packed>,
    pub(super) entries: Vec<Entry>,
    bytes: usize,
    /// The hashes of the partition keys in it, where each may be there but once.
    keys: HashSet<u128>,
    pub(super) full: bool,
}

/// What waits for one shard.
#[derive(Debug)]
pub(super) struct ShardQueue {
    shard: Arc<str>,
    queue: VecDeque<UserRecord>,
    /// Of all that wait.
    bytes: usize,
    records: Bucket,
    volume: Bucket,
    /// Requests under way with entries for this shard.
    in_flight: usize,
    /// Requests in a row that failed for this shard, at least in part.
    failures: u32,
    /// Nothing is sent until then, after a failure.
    not_before: Duration,
}

impl ShardQueue {
    pub(super) fn new(shard: Arc<str>, config: &ProducerConfig, now: Duration) -> Self {
        Self {
            shard,
            queue: VecDeque::new(),
            bytes: 0,
            records: Bucket::full(config.shard_records_per_second, now),
            volume: Bucket::full(config.shard_bytes_per_second, now),
            in_flight: 0,
            failures: 0,
            not_before: now,
        }
    }

    pub(super) fn shard(&self) -> &Arc<str> {
        &self.shard
    }

    /// Adds the newest.
    pub(super) fn push(&mut self, user: UserRecord) {
        self.bytes += user.bytes();
        self.queue.push_back(user);
    }

    /// Gives back what has to be sent again, before all newer ones.
    pub(super) fn push_front(&mut self, user: UserRecord) {
        self.bytes += user.bytes();
        self.queue.push_front(user);
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = UserRecord> + '_ {
        self.bytes = 0;
        self.queue.drain(..)
    }

    /// The number of the one that is next.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.queue.front().map(|user| user.number)
    }

    /// A request with entries of this lane has ended, and this is when it is tried again if some of them failed.
    pub(super) fn landed(&mut self, failed: bool, taken: bool, again: impl FnOnce(u32) -> Duration) {
        self.in_flight -= 1;
        if failed {
            // Where the shard took some, it is merely full.
            self.failures = if taken { 1 } else { self.failures + 1 };
            self.not_before = again(self.failures);
        } else {
            self.failures = 0;
        }
    }

    /// When the next may go: nothing if there is none, or if an answer has to come first.
    pub(super) fn ready_at(&self, config: &ProducerConfig, flushing: bool) -> Option<Duration> {
        let front = self.queue.front()?;
        if config.order == Order::ByKey && self.in_flight > 0 {
            return None;
        }
        let (records, due) = match config.aggregate {
            false => (self.queue.len(), self.not_before),
            true if flushing || self.fills_an_aggregate() => (self.bytes / AGGREGATE_BYTES + 1, self.not_before),
            true => (1, self.not_before.max(front.at + config.linger)),
        };
        Some(due.max(self.records.ready_at(records)).max(self.volume.ready_at(self.bytes)))
    }

    /// About: an aggregate has a few bytes more of each record, and each key but once.
    fn fills_an_aggregate(&self) -> bool {
        self.bytes >= AGGREGATE_BYTES
    }

    /// Puts what may go into a request. To be asked only if it is ready: the first is not held against the buckets.
    pub(super) fn load(&mut self, at: usize, config: &ProducerConfig, flushing: bool, now: Duration, load: &mut Load) {
        let mut first = true;
        while let Some(front) = self.queue.front() {
            let bytes = match config.aggregate {
                true => front.bytes().max(AGGREGATE_BYTES) + 1,
                false => front.bytes(),
            };
            if load.entries.len() == ENTRIES_A_REQUEST || load.bytes + bytes > BYTES_A_REQUEST {
                load.full = true;
                break;
            }
            let goes = first
                || self.records.covers(now, 1)
                    && self.volume.covers(now, bytes.min(self.bytes))
                    && match (config.aggregate, config.order) {
                        (true, Order::ByKey) => false,
                        (true, Order::None) => flushing || self.fills_an_aggregate() || now >= front.at + config.linger,
                        (false, Order::ByKey) => !load.keys.contains(&front.hash),
                        (false, Order::None) => true,
                    };
            if !goes {
                break;
            }
            first = false;
            load.keys.insert(front.hash);
            let hash = front.hash;
            let (packed, users) = if config.aggregate { self.pack() } else { self.take_one() };
            let bytes = packed.partition_key.len() + packed.data.len();
            self.records.take(now, 1);
            self.volume.take(now, bytes);
            load.bytes += bytes;
            load.entries.push(packed);
            load.entries.push(Entry { queue: at, predicted: Arc::clone(&self.shard), hash, bytes, users });
        }
        if !first {
            self.in_flight += 1;
        }
    }

    /// The next as a record of its own.
    fn take_one(&mut self) -> (Packed, Vec<UserRecord>) {
        let user = self.pop();
        let packed = Packed { partition_key: user.key.clone(), explicit_hash_key: None, data: user.data.clone() };
        (packed, vec![user])
    }

    /// As many of the next as an aggregate takes.
    fn pack(&mut self) -> (Packed, Vec<UserRecord>) {
        let mut aggregator = Aggregator::default();
        let mut users = Vec::new();
        while let Some(next) = self.queue.front() {
            // The one that does not fit any more stays where it is: the next aggregate begins with it.
            if let Some(full) = aggregator.add(&next.key, None, &next.data) {
                return (full, users);
            }
            users.push(self.pop());
        }
        (aggregator.finish().expect("there was one at least"), users)
    }

    fn pop(&mut self) -> UserRecord {
        let user = self.queue.pop_front().expect("there is one");
        self.bytes -= user.bytes();
        user
    }
}
