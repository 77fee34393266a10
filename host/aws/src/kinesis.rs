//! Kinesis: streams, read and written.
//!
//! A [`Consumer`] reads all shards of a stream into a pipeline. Kinesis delivers at least once, and a process may die
//! at any moment. The groups' dedup state, and checkpoints that are written after what they cover, make each record
//! count exactly once nevertheless. A [`Producer`] puts records without losing any.
//!
//! # Layout
//!
//! - `consumer`: reads a stream.
//! - `producer`: puts records into a stream.
//! - `describe`: a stream's status and shards.
//! - `client`, `clock`: a client of one stream, and the service's clock.
//! - `polled_stream`: a stream in another place than Kinesis.
//! - `config`: the settings.
//! - `shard`: a shard as the service describes it.
//! - `error`: what goes wrong, by what the caller does about it.

mod client;
mod clock;
mod config;
mod consumer;
mod describe;
mod error;
mod polled_stream;
mod producer;
mod shard;

pub use client::Stream;
pub use config::{ConsumerKind, KinesisConfig, Misrouted, NotAStart, Start};
pub use consumer::{
    Consumer, ConsumerError, Finished, Range, RangeReader, RangeRecords, ReaderStatus, Recording, ShardState,
    ShardStatus, Status,
};
pub use error::{StreamError, StreamErrorKind};
pub use polled_stream::{PolledFrom, PolledRecord, PolledRecords, PolledShard, PolledStream, Refusal};
pub use producer::{Meter, Order, Producer, ProducerConfig, Sent, Unsent};
