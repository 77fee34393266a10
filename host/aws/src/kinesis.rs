//! Kinesis: streams, read and written.
//!
//! A [`Consumer`] reads all shards of a stream into a pipeline. Kinesis delivers at least once, and a process may die at
//! any moment; the groups' fences and the shards' checkpoints, written after what they stand for, make each record count
//! once all the same.
//!
//! # Layout
//!
//! - `config`: the settings.
//! - `client`: how Kinesis is reached, and what time it is there.
//! - `error`: what goes wrong, and what to do about it.
//! - `describe`: what a stream says of itself.
//! - `consumer`: all shards of a stream, and how they follow each other.
//! - `lineage`: which shards may be read by now.
//! - `initial_position`, `position`: where reading begins, and where it goes on.
//! - `shard`: one shard, from its records to its checkpoint.
//! - `reader`, `poll`, `fan_out`: the two ways to its records.
//! - `budget`: how much may be read ahead.
//! - `batcher`: from records to batches.
//! - `retention`: whether records expired before they were read.
//! - `producer`: records are put, and none is lost.
//! - `status`: how the shards are, for others to see.

mod batcher;
mod budget;
mod client;
mod config;
mod consumer;
mod describe;
mod error;
mod fan_out;
mod initial_position;
mod lineage;
mod poll;
mod position;
mod producer;
mod reader;
mod retention;
mod shard;
mod status;

pub use client::Stream;
pub use config::{ConsumerKind, KinesisConfig, Start};
pub use consumer::{Consumer, ConsumerError, Finished};
pub use error::{StreamError, StreamErrorKind};
pub use producer::{Meter, Order, Producer, ProducerConfig, Sent, Unsent};
pub use status::{ShardState, ShardStatus, Status};
