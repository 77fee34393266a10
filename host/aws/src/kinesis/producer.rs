//! A producer that loses nothing: what it has taken is in the stream, or it says how much is not, and why.
//!
//! Delivery is at least once. Where a request gets no answer, its records may have been taken, and are sent again; the
//! summary counts them. With aggregates, so are all records of an aggregate that a resharding put into a shard where some
//! of them don't belong: Amazon's consumer library drops the whole of such an aggregate, paceline's consumer just what is
//! foreign, and with all of it sent again nothing is lost under either. Fences by ordinal absorb the copies.
//!
//! # Layout
//!
//! - this file: the face.
//! - `core`: what is sent when; without input and output.
//! - `queue`: what waits for one shard, and what of it goes into a request.
//! - `bucket`: how much a shard may be given.
//! - `shard_map`: which shard takes which hash keys.
//! - `drive`: the task that does what `core` says.
//! - `service`: the requests.

mod bucket;
mod core;
mod drive;
mod queue;
mod service;
mod shard_map;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use self::core::Core;
use self::drive::Shared;
use super::client::Stream;
use super::error::{StreamError, StreamErrorKind};

/// Kinesis's limit for the characters of a partition key.
const KEY_CHARS: usize = 256;

/// How records are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// In which order.
    pub order: Order,
    /// Whether records are packed into aggregates of the Kinesis Producer Library: many in one record of the stream.
    pub aggregate: bool,
    /// How long a record waits at most for an aggregate to become full.
    pub linger: Duration,
    /// How long to try while nothing at all is taken.
    pub patience: Duration,
    /// Bytes of records that are kept at most: those that wait and those that are under way. Who puts more waits.
    pub buffer_bytes: usize,
    /// What the stream takes of one record at most, its partition key included. 1 MiB, unless the stream says otherwise.
    pub record_bytes: usize,
    /// Records a second that a shard is given at most, aggregates counted as one.
    pub shard_records_per_second: u32,
    /// Bytes a second that a shard is given at most.
    pub shard_bytes_per_second: u32,
    /// Requests under way at once.
    pub requests: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            order: Order::ByKey,
            aggregate: false,
            // As the KPL has it.
            linger: Duration::from_millis(100),
            patience: Duration::from_secs(60),
            buffer_bytes: 32 << 20,
            record_bytes: 1 << 20,
            // What Kinesis takes of all producers together.
            shard_records_per_second: 1_000,
            shard_bytes_per_second: 1_000_000,
            requests: 8,
        }
    }
}

/// In which order records are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those of one partition key arrive in the order in which they were put, copies of earlier ones aside.
    ///
    /// One request is under way for each shard, and what failed is sent before what is newer. `PutRecords` promises no
    /// order within a request and may take a record but not the one before it. So no request has two records of one key,
    /// and no two aggregates for one shard.
    #[default]
    ByKey,
    /// As it comes. For keys that mean nothing.
    None,
}

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Records that were put and are in the stream.
    pub records: u64,
    /// Records of the stream that they are in, copies included as far as they are known: the fewer with aggregates.
    pub stream_records: u64,
    /// The bytes of those, keys included.
    pub bytes: u64,
    /// Requests.
    pub requests: u64,
    /// Records of the stream that were not taken because it was too much.
    pub throttled: u64,
    /// Records of the stream that had to be sent again, for whatever reason but resharding.
    pub retried: u64,
    /// Those of them that may have been taken all the same: there was no answer, or a failure at the other end.
    pub unsure: u64,
    /// Records that were sent again because their aggregate came into a shard where not all of it belongs.
    pub resharded: u64,
}

/// Not everything that was put is in the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}; of the records that were put, {left} are not known to be in the stream")]
pub struct Unsent {
    /// What was sent.
    pub sent: Sent,
    /// How many records were put and are not known to be in the stream.
    pub left: u64,
    /// Why.
    pub why: StreamError,
}

/// By which to see how far a producer is.
#[derive(Clone, Debug)]
pub struct Meter {
    shared: Arc<Shared>,
}

impl Meter {
    /// What was sent so far.
    pub fn sent(&self) -> Sent {
        self.shared.core().sent().clone()
    }
}

/// A producer. Drop it without [`Producer::finish`], and what waits is lost.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    /// One task. A set, because that ends its tasks when it is dropped.
    task: JoinSet<Result<Sent, Unsent>>,
    config: ProducerConfig,
    stream: Stream,
}

impl Producer {
    /// Waits until the stream is active, lists its shards, and is ready.
    pub async fn start(stream: &Stream, config: ProducerConfig) -> Result<Self, StreamError> {
        let map = service::first_map(stream, config.patience).await?;
        let core = Core::new(config.clone(), stream.named.clone(), map, fastrand::Rng::new());
        // A record must fit, however small the buffer, and the semaphore counts in 32 bits.
        let least = config.record_bytes + (1 << 10);
        let shared = Arc::new(Shared::new(core, config.buffer_bytes.clamp(least, 1 << 31)));
        let mut task = JoinSet::new();
        task.spawn(drive::drive(stream.clone(), Arc::clone(&shared)));
        Ok(Self { shared, task, config, stream: stream.clone() })
    }

    /// Takes a record, once there is room. The partition key decides its shard.
    ///
    /// An error says that this record was not taken: it is not one that the stream takes ([`StreamErrorKind::Invalid`]), or the
    /// producer has given up, for the reason that the error tells. Dropped while it waits, it has taken nothing.
    pub async fn put(&self, partition_key: impl Into<String>, data: impl Into<Vec<u8>>) -> Result<(), StreamError> {
        let (key, data) = (partition_key.into(), data.into());
        self.check(&key, &data)?;
        self.shared.put(key, data).await
    }

    /// By which to see how far it is, also while it finishes.
    pub fn meter(&self) -> Meter {
        Meter { shared: Arc::clone(&self.shared) }
    }

    /// Sends what waits, and tells what was sent.
    pub async fn finish(mut self) -> Result<Sent, Unsent> {
        self.shared.flush();
        match self.task.join_next().await.expect("there is one task") {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Whether the stream takes such a record.
    fn check(&self, key: &str, data: &[u8]) -> Result<(), StreamError> {
        let (chars, bytes, most) = (key.chars().count(), key.len() + data.len(), self.config.record_bytes);
        let wrong = if !(1..=KEY_CHARS).contains(&chars) {
            format!("a partition key has {chars} characters, not 1 to {KEY_CHARS}")
        } else if bytes > most {
            format!("a record has {bytes} bytes with its partition key, and {most} are the most that it takes")
        } else {
            return Ok(());
        };
        Err(self.stream.named.error(StreamErrorKind::Invalid, wrong))
    }
}
