//! A producer that loses no record: each record that it accepted is in the stream, or it reports how many may not be,
//! and why.
//!
//! Delivery is at least once. A request without a response may have been stored and is sent again; the counts show it.
//! So are all records of an aggregate that a resharding put into a shard to which not all of them belong: Amazon's
//! consumer library drops the whole aggregate, paceline's consumer only the misrouted records, and with all of it sent
//! again nothing is lost under either. Dedup by ordinal absorbs the copies.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - this file: a producer from its start to its end.
//! - `driver`: the task that does what `core` decides.
//! - `shared_core`: the core, as the task and those who put records share it.
//! - `service`: the requests.
//! - `core`: what is sent when, without I/O.
//! - `queue`: what waits for one shard, and which of it goes into a request.
//! - `bucket`, `listing`, `shard_map`, `request`, `sent`, `config`: what they work with.

mod bucket;
mod config;
mod core;
mod driver;
mod listing;
mod queue;
mod request;
mod sent;
mod service;
mod shard_map;
mod shared_core;

use std::sync::Arc;

use tokio::task::JoinSet;

pub use self::config::{Order, ProducerConfig};
pub use self::sent::{Sent, Unsent};

use self::core::Core;
use self::shared_core::SharedCore;
use super::client::Stream;
use super::error::{StreamError, StreamErrorKind};

/// Kinesis's limit for the characters of a partition key.
const KEY_CHARS: usize = 256;

/// Shows how far a producer is.
#[derive(Clone, Debug)]
pub struct Meter {
    core: Arc<SharedCore>,
}

impl Meter {
    /// What was sent so far.
    pub fn sent(&self) -> Sent {
        self.core.lock().sent().clone()
    }
}

/// A producer. If it is dropped without [`Producer::finish`], waiting records are lost.
#[derive(Debug)]
pub struct Producer {
    core: Arc<SharedCore>,
    /// One task. A set, because that aborts its tasks when it is dropped.
    task: JoinSet<Result<Sent, Unsent>>,
    config: ProducerConfig,
    stream: Stream,
}

impl Producer {
    /// Waits until the stream is active, and lists its shards.
    pub async fn start(stream: &Stream, config: ProducerConfig) -> Result<Self, StreamError> {
        let map = service::first_map(stream, config.give_up_after).await?;
        let core = Core::new(config.clone(), stream.stream_ref.clone(), map, fastrand::Rng::new());
        // The largest record has to fit, and the semaphore counts in 32 bits.
        let least = config.record_bytes + (1 << 10);
        let core = Arc::new(SharedCore::new(core, config.buffer_bytes.clamp(least, 1 << 31)));
        let mut task = JoinSet::new();
        task.spawn(driver::drive(stream.clone(), Arc::clone(&core)));
        Ok(Self { core, task, config, stream: stream.clone() })
    }

    /// Accepts a record once there is room. The partition key decides its shard.
    ///
    /// An error means that this record is not accepted: the stream does not take such records
    /// ([`StreamErrorKind::Invalid`]), or the producer has given up, for the reason in the error. If the future is
    /// dropped while it waits, the record is not accepted.
    pub async fn put(&self, partition_key: impl Into<String>, data: impl Into<Vec<u8>>) -> Result<(), StreamError> {
        let (key, data) = (partition_key.into(), data.into());
        self.check(&key, &data)?;
        self.core.put(key, data).await
    }

    /// Shows how far the producer is, also while it finishes.
    pub fn meter(&self) -> Meter {
        Meter { core: Arc::clone(&self.core) }
    }

    /// Sends the waiting records, and returns what was sent.
    pub async fn finish(mut self) -> Result<Sent, Unsent> {
        self.core.flush();
        match self.task.join_next().await.expect("there is one task") {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Whether the stream takes such a record.
    fn check(&self, key: &str, data: &[u8]) -> Result<(), StreamError> {
        let (chars, bytes, limit) = (key.chars().count(), key.len() + data.len(), self.config.record_bytes);
        let wrong = if !(1..=KEY_CHARS).contains(&chars) {
            format!("a partition key has {chars} characters, not 1 to {KEY_CHARS}")
        } else if bytes > limit {
            format!("a record has {bytes} bytes with its partition key; the limit is {limit}")
        } else {
            return Ok(());
        };
        Err(self.stream.stream_ref.error(StreamErrorKind::Invalid, wrong))
    }
}
