//! The key of a group's item.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::pack::Pack;

/// Bytes of a partition key that DynamoDB takes. Every store keeps to it, so that a rulebook works with all of them.
pub const PARTITION_BYTES: usize = 2048;
/// Bytes of a sort key that DynamoDB takes. Every store keeps to it.
pub const SORT_BYTES: usize = 1024;

/// Attributes, and partitions of pins and checkpoints, whose names begin with this character belong to the host.
pub const RESERVED_PREFIX: char = '@';

/// Sort keys that begin with it belong to items that hold many groups.
pub const PACK_PREFIX: &str = "@pack-";

/// The key of a group's item.
///
/// Most keys are short, so that making and cloning one takes no allocation: a batch has about as many new groups as records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The partition key, `PK`.
    pub partition: SmolStr,
    /// The sort key, `SK`.
    pub sort: SmolStr,
    /// Which item of the partition the group shares with others, where its rulebook packs groups. It follows from the
    /// rulebook and the sort key, so it is no part of the identity, and it is not stored with keys.
    #[serde(skip)]
    pub pack: Option<Pack>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.sort == other.sort && self.partition == other.partition
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.partition, &self.sort).hash(state);
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.partition, &self.sort).cmp(&(&other.partition, &other.sort))
    }
}

/// No group can have this key: the record that renders it is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key is empty or too long.
    #[error("the group's {name} would have {bytes} bytes: 1 to {allowed} are allowed")]
    Length {
        /// `PK` or `SK`.
        name: &'static str,
        /// The length that the key would have.
        bytes: usize,
        /// The longest key that is allowed.
        allowed: usize,
    },
    /// The partition begins with [`RESERVED_PREFIX`].
    #[error("the group's PK would be `{0}`: names that begin with `{RESERVED_PREFIX}` are reserved for the host")]
    Reserved(String),
    /// The sort key begins with [`PACK_PREFIX`].
    #[error("the group's SK would be `{0}`: names that begin with `{PACK_PREFIX}` are reserved for packed groups")]
    Packed(String),
}

impl Key {
    /// The key of an item of its own.
    pub fn new(partition: impl Into<SmolStr>, sort: impl Into<SmolStr>) -> Self {
        Self { partition: partition.into(), sort: sort.into(), pack: None }
    }

    /// Whether a group may have this key.
    pub fn check(partition: &str, sort: &str) -> Result<(), KeyError> {
        for (name, key, allowed) in [("PK", partition, PARTITION_BYTES), ("SK", sort, SORT_BYTES)] {
            if key.is_empty() || key.len() > allowed {
                return Err(KeyError::Length { name, bytes: key.len(), allowed });
            }
        }
        if partition.starts_with(RESERVED_PREFIX) {
            return Err(KeyError::Reserved(partition.to_owned()));
        }
        if sort.starts_with(PACK_PREFIX) {
            return Err(KeyError::Packed(sort.to_owned()));
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.partition, self.sort)
    }
}
