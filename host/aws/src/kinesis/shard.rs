//! A shard as `ListShards` and the end of its parent describe it.

use std::num::ParseIntError;
use std::sync::Arc;

use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, Shard as ListedShard};

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: Arc<str>,
    /// The shards that it came from: one by a split, two by a merge.
    pub(super) parents: Vec<Arc<str>>,
    /// The first and the last hash key of the shard.
    pub(super) hash_range: (u128, u128),
    /// Whether it accepts no more records, as far as is known.
    pub(super) closed: bool,
}

/// The description of a shard can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedShard {
    #[error("{shard} has no range of hash keys")]
    NoRange { shard: String },
    #[error("the hash key `{key}` of {shard} is not a decimal of at most 128 bits")]
    HashKey { shard: String, key: String, source: ParseIntError },
}

impl Shard {
    pub(super) fn from_listing(listed: &ListedShard) -> Result<Self, MalformedShard> {
        let parents = [listed.parent_shard_id(), listed.adjacent_parent_shard_id()];
        Ok(Self {
            id: listed.shard_id().into(),
            parents: parents.into_iter().flatten().map(Arc::from).collect(),
            hash_range: hash_range(listed.shard_id(), listed.hash_key_range())?,
            closed: listed.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some()),
        })
    }

    pub(super) fn from_child(child: &ChildShard) -> Result<Self, MalformedShard> {
        Ok(Self {
            id: child.shard_id().into(),
            parents: child.parent_shards().iter().map(|parent| parent.as_str().into()).collect(),
            hash_range: hash_range(child.shard_id(), child.hash_key_range())?,
            closed: false,
        })
    }
}

fn hash_range(shard: &str, range: Option<&HashKeyRange>) -> Result<(u128, u128), MalformedShard> {
    let range = range.ok_or_else(|| MalformedShard::NoRange { shard: shard.to_owned() })?;
    let parse = |key: &str| {
        key.parse().map_err(|source| MalformedShard::HashKey { shard: shard.to_owned(), key: key.to_owned(), source })
    };
    Ok((parse(range.starting_hash_key())?, parse(range.ending_hash_key())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_without_a_readable_range_is_an_error_that_names_it() {
        let child = |range: Option<HashKeyRange>| {
            let child =
                ChildShard::builder().shard_id("shardId-7").parent_shards("shardId-3").set_hash_key_range(range);
            Shard::from_child(&child.build().unwrap())
        };
        let range = |last: &str| HashKeyRange::builder().starting_hash_key("0").ending_hash_key(last).build().unwrap();
        assert_eq!(child(Some(range("9"))).unwrap().hash_range, (0, 9));
        assert_eq!(child(None).unwrap_err().to_string(), "shardId-7 has no range of hash keys");
        let error = child(Some(range("ten"))).unwrap_err().to_string();
        assert!(error.contains("`ten` of shardId-7"), "{error}");
    }
}
