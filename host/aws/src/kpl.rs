//! Aggregates of the Kinesis Producer Library (KPL): many user records in one stream record.
//!
//! An aggregate is four magic bytes, a protobuf message, and the message's MD5. Amazon's consumer library (the KCL)
//! unpacks aggregates before its user sees them; Lambda does not.
//!
//! # Layout
//!
//! - `unpack`: from stream records to user records.
//! - `pack`: from user records to stream records.
//! - `wire`: the protobuf message, read in place.
//! - `frame`: magic bytes and MD5; hash keys.
//! - `digests`: MD5 of several messages at once.

mod digests;
mod frame;
mod pack;
mod unpack;
mod wire;

pub use frame::hash_key;
pub use pack::{AGGREGATE_BYTES, Aggregator, Packed};
pub use unpack::{OfOtherShards, unpack, unpack_from};
