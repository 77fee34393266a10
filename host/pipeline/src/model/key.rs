//! The key of a group's item.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a partition key that DynamoDB takes. Every store keeps to it, so that a rulebook works with all of them.
pub const PARTITION_BYTES: usize = 2048;
/// Bytes of a sort key that DynamoDB takes. Every store keeps to it.
pub const SORT_BYTES: usize = 1024;

/// Attributes, and partitions of pins and checkpoints, whose names begin with this character belong to the host.
pub const RESERVED_PREFIX: char = '@';

/// The key of a group's item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The partition key, `PK`.
    pub partition: String,
    /// The sort key, `SK`.
    pub sort: String,
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
}

impl Key {
    /// Whether a group may have this key.
    pub fn check(partition: &str, sort: &str) -> Result<(), KeyError> {
        for (name, key, allowed) in [("PK", partition, PARTITION_BYTES), ("SK", sort, SORT_BYTES)] {
            if key.is_empty() || key.len() > allowed {
                return Err(KeyError::Length { name, bytes: key.len(), allowed });
            }
        }
        match partition.starts_with(RESERVED_PREFIX) {
            true => Err(KeyError::Reserved(partition.to_owned())),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.partition, self.sort)
    }
}
