//! Which rulebook: its name and version for people, and the digest of its bytes for everything else.

use std::fmt;

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};

/// A published rulebook. Its digest identifies it; name and version are for people, and belong to one digest in each
/// registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RulebookId {
    /// The name.
    pub name: String,
    /// The version among the rulebooks of that name.
    pub version: u64,
    /// The digest of the published bytes.
    pub digest: Digest,
}

/// `name@version`.
impl fmt::Display for RulebookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// Characters of a registry's id that tell it from others.
const REGISTRY_CHARS: usize = 8;

/// A revision of the rules in the log of one registry. Revisions of two registries can't be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RulesRevision {
    /// The first characters of the registry's id.
    pub registry: String,
    /// The revision.
    pub revision: u64,
    /// The trials of this revision that have failed.
    pub vetoes: u32,
}

/// `17`, and `17+1` after a trial has failed.
impl fmt::Display for RulesRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vetoes {
            0 => write!(f, "{}", self.revision),
            vetoes => write!(f, "{}+{vetoes}", self.revision),
        }
    }
}

impl RulesRevision {
    /// The revision in the log of the registry with this id.
    pub fn new(registry: &str, revision: u64) -> Self {
        Self { registry: registry.chars().take(REGISTRY_CHARS).collect(), revision, vetoes: 0 }
    }

    /// Whether it is later than another one of the same log.
    pub fn is_after(&self, other: &Self) -> bool {
        self.registry == other.registry && (self.revision, self.vetoes) > (other.revision, other.vetoes)
    }
}
