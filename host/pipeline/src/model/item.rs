//! What the store holds of a group.

use std::sync::Arc;

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::rulebook_id::{RulebookId, RulesRevision};
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
    /// The rulebook.
    pub rulebook: RulebookId,
    /// The rules. A host that knows only earlier ones of the same log reads on before it writes the item.
    pub rules: RulesRevision,
    /// Digests of the plugins: validators, scorer, then the aggregator that owns the state.
    pub plugins: Vec<Digest>,
    /// The format of the state. Only an aggregator that takes the format is handed the state.
    pub state_format: String,
    /// The dedup rule, such as `ordinal /second`. Under another one, the dedup state does not show which records the state
    /// holds.
    pub dedup_rule: String,
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
    pub attributes: Vec<(SmolStr, Attribute)>,
    /// Which rulebook and plugins produced it.
    pub provenance: Arc<Provenance>,
    /// Whether several rulebooks evaluated the records of this item, which belongs to one race: the race was moved while it
    /// was in progress. Once it is set, it stays.
    pub reruled: bool,
}

/// The origin of items of tests.
#[cfg(test)]
pub(crate) fn test_provenance() -> Arc<Provenance> {
    let rulebook = RulebookId { name: "flat".to_owned(), version: 1, digest: [1; 32].into() };
    let (rules, plugins) = (RulesRevision::default(), Vec::new());
    let (state_format, dedup_rule) = ("count/1".to_owned(), "ordinal /second".to_owned());
    Arc::new(Provenance { rulebook, rules, plugins, state_format, dedup_rule })
}

impl Item {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(other, _)| **other == *name).map(|(_, value)| value)
    }
}
