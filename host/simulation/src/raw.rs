//! Stream records as Kinesis has them, with aggregates in their bytes.

use paceline_aws::base64;
use paceline_aws::kpl::{Aggregator, Packed};

/// A stream record as Kinesis has it.
#[derive(Clone, Debug)]
pub(crate) struct RawRecord {
    pub(crate) partition_key: String,
    /// A message, or an aggregate of several.
    pub(crate) data: Vec<u8>,
    /// The data as events have it.
    pub(crate) base64: String,
    pub(crate) arrival_ms: u64,
    /// Whether its data is not in the encoding that its sender declares.
    pub(crate) is_undecodable: bool,
}

/// The stream record with these messages, each a partition key, an explicit hash key and a payload.
pub(crate) fn pack(messages: &[(String, u128, &[u8])], arrival_ms: u64, is_undecodable: bool) -> RawRecord {
    let mut aggregator = Aggregator::default();
    for (key, hash_key, payload) in messages {
        let full = aggregator.add(key, Some(*hash_key), payload);
        assert!(full.is_none(), "a run has too few messages to fill an aggregate");
    }
    let Packed { partition_key, data, .. } = aggregator.finish().expect("a stream record has a message");
    let base64 = base64::encode(&data);
    RawRecord { partition_key, data, base64, arrival_ms, is_undecodable }
}
