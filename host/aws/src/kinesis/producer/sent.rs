//! What a producer has sent.

use crate::kinesis::error::StreamError;

/// The counts of a producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Records that were put and are in the stream.
    pub records: u64,
    /// Stream records that hold them, known copies included. With aggregates these are fewer.
    pub stream_records: u64,
    /// Bytes of the stream records, keys included.
    pub bytes: u64,
    /// Requests.
    pub requests: u64,
    /// Stream records that were rejected because their shard was over its limit.
    pub throttled: u64,
    /// Stream records that were sent again for any reason except resharding.
    pub retried: u64,
    /// Those of them that may be in the stream twice: there was no response, or the service failed.
    pub ambiguous: u64,
    /// Records that were sent again because their aggregate landed in a shard to which not all of it belongs.
    pub resharded: u64,
}

/// A producer ended before all records were known to be in the stream.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{source}; of the records that were put, {left} are not known to be in the stream")]
pub struct Unsent {
    /// What was sent.
    pub sent: Sent,
    /// Records that were put and are not known to be in the stream.
    pub left: u64,
    /// Why the producer ended.
    pub source: StreamError,
}
