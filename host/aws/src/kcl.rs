//! Lines of Amazon's MultiLangDaemon, which runs a record processor for each shard under the Kinesis Client Library (KCL).
//!
//! # Layout
//!
//! - `protocol`: messages from the daemon, and answers to it.
//! - `loose`: values whose type does not matter.
//! - `batches`: the records of a message as batches of bounded size.

mod batches;
mod loose;
mod protocol;

pub use batches::Batches;
pub use loose::{Loose, Text, Word};
pub use protocol::{Answer, Message, ProtocolError, Record, read};
