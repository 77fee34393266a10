//! Where a log is, and how far the hosts of a store have followed it.

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};

/// An entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its revision.
    pub revision: u64,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// How far the hosts of a store have followed which log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Head {
    /// The registry's id.
    pub registry: String,
    /// The newest valid entry that a host has taken over.
    #[serde(flatten)]
    pub position: Position,
    /// Who set it, if an operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
