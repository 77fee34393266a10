//! A record processor for Amazon's MultiLangDaemon, which runs one for each shard under the Kinesis Client Library (KCL),
//! and exchanges JSON lines with it.
//!
//! Standard input and output, arguments and signals are the program's. What is here knows lines and a pipeline.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - `processor`: from message to answer.
//! - `checkpoint`: when the daemon is sent a checkpoint.
//! - `connection`, `input`, `error`: lines in and out, and what goes wrong.
//! - `observer`: what others see of a shard.
//! - `batches`: the records of a message as batches of bounded size.
//! - `protocol`: messages from the daemon, and answers to it.
//! - `loose`: values whose type does not matter.

mod batches;
mod checkpoint;
mod connection;
mod error;
mod input;
mod loose;
mod observer;
mod processor;
mod protocol;

pub use batches::Batches;
pub use checkpoint::Checkpoints;
pub use connection::Connection;
pub use error::KclError;
pub use input::{Input, InputError};
pub use loose::{Loose, Text, Word};
pub use observer::{Observer, Processed};
pub use processor::{Host, Processor};
pub use protocol::{Answer, Message, ProtocolError, Record, read};
