//! What the store holds of a group.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dedup::DedupState;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Attribute {
    /// `true` or `false`.
    Boolean(bool),
    /// A 64-bit integer.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Which rulebook and plugins produced an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The rulebook's race type.
    pub race_type: String,
    /// The rulebook's version.
    pub version: u64,
    /// SHA-256 digests of the plugins: validators, scorer, then the aggregator that owns the state.
    pub plugins: Vec<[u8; 32]>,
}

/// What one write stores of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Counts the writes; a conditional write compares it. It is the first field, so that a store can read it alone.
    pub revision: u64,
    /// The aggregator's state, opaque to the host.
    pub state: Vec<u8>,
    /// Which records are folded into the state.
    pub dedup: DedupState,
    /// What readers use: the aggregator's outputs and the rulebook's attributes, by name.
    pub attributes: Vec<(Arc<str>, Attribute)>,
    /// Which rulebook and plugins produced it.
    pub provenance: Arc<Provenance>,
}

impl Item {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(other, _)| **other == *name).map(|(_, value)| value)
    }
}
