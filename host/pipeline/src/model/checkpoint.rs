//! How far a shard has been read.

use serde::{Deserialize, Serialize};

use super::position::SequenceNumber;

/// How far a shard has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Files: the byte at which to resume. Streams: the last committed record; 0 before the first.
    pub sequence: SequenceNumber,
    /// Distinguishes this input from another one of the same name. Files: the SHA-256 of the bytes before the checkpoint.
    /// Streams: the SHA-256 of ARN and creation time.
    pub fingerprint: Option<[u8; 32]>,
    /// Streams: every record that arrived earlier is committed, in milliseconds since 1970 by the service's clock.
    pub arrival_ms: Option<i64>,
    /// Streams: the shard is read to its end.
    pub ended: bool,
}
