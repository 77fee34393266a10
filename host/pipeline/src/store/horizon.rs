//! What hosts that process one shard at the same time know of each other.

use serde::{Deserialize, Serialize};

use crate::model::{RecordPosition, RulesRevision};

/// How far the records of a shard may have dead letters, and by which rules they are evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizon {
    /// Counts the writes: a write is done if the stored version is the one before.
    pub version: u64,
    /// The position up to which records may have, or have had, a dead letter. `None` if none has one.
    pub letters: Option<RecordPosition>,
    /// The latest rules by which a host evaluates the shard's records. `None` while no group of the shard has dedup by
    /// sequence: ordinals recognize a record whatever became of it under other rules.
    pub rules: Option<RulesRevision>,
    /// When these rules took over from others, in milliseconds since 1970; 0 if they are the first.
    pub since_ms: u64,
}
