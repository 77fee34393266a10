//! A record as it arrives.

use std::sync::Arc;

use paceline_json::Span;

use super::dead_letter::DeadLetter;
use super::position::RecordPosition;

/// A record as it arrives. Its bytes are in its batch.
#[derive(Clone, Debug)]
pub struct Record {
    /// The payload.
    pub payload: Span,
    /// Where the record is in its shard.
    pub position: RecordPosition,
    /// The partition key. Files have none.
    pub partition_key: Option<Span>,
    /// The arrival in the stream, in milliseconds since 1970. Files have none.
    pub arrival_ms: Option<i64>,
    /// The payload's full length in bytes, if it was too long to keep whole.
    pub cut_from: Option<u64>,
    /// The dead letter that a redrive processes again.
    pub redriven: Option<Arc<DeadLetter>>,
}
