//! Which shard has which hash keys.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::kinesis::shard::Shard;

/// The shards of a stream.
#[derive(Clone, Debug)]
pub(super) struct ShardMap {
    /// The shards that accept records, by their first hash keys. Together they cover every hash key once.
    open: Vec<Shard>,
    /// The hash ranges of all shards, closed ones included. A shard's range never changes.
    ranges: HashMap<Arc<str>, (u128, u128)>,
}

/// A listing whose open shards do not cover every hash key once, as may happen while the stream is resharded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IncompleteListing {
    #[error("it has no open shard")]
    NoOpenShard,
    #[error("its open shards leave a gap or overlap before the hash key {first} of {shard}")]
    GapOrOverlap { first: u128, shard: Arc<str> },
    #[error("none of its open shards has the hash keys from {from} on")]
    Uncovered { from: u128 },
}

impl ShardMap {
    /// The map of a listing.
    pub(super) fn new(listed: Vec<Shard>) -> Result<Self, IncompleteListing> {
        let ranges = listed.iter().map(|shard| (Arc::clone(&shard.id), shard.hash_range)).collect();
        let parents: HashSet<Arc<str>> = listed.iter().flat_map(|shard| shard.parents.iter().cloned()).collect();
        let is_open = |shard: &Shard| !shard.closed && !parents.contains(&shard.id);
        let mut open: Vec<_> = listed.into_iter().filter(is_open).collect();
        open.sort_by_key(|shard| shard.hash_range.0);
        let mut expected = Some(0);
        for Shard { id, hash_range: (first, last), .. } in &open {
            if expected != Some(*first) || last < first {
                return Err(IncompleteListing::GapOrOverlap { first: *first, shard: Arc::clone(id) });
            }
            expected = last.checked_add(1);
        }
        match expected {
            None => Ok(Self { open, ranges }),
            Some(0) => Err(IncompleteListing::NoOpenShard),
            Some(from) => Err(IncompleteListing::Uncovered { from }),
        }
    }

    /// The open shards, in the order of their hash ranges.
    pub(super) fn open(&self) -> &[Shard] {
        &self.open
    }

    /// The index of the open shard that has this hash key.
    pub(super) fn locate(&self, hash: u128) -> usize {
        self.open.partition_point(|shard| shard.hash_range.1 < hash)
    }

    /// The hash range of a shard, open or closed; `None` if the shard is unknown.
    pub(super) fn range(&self, id: &str) -> Option<(u128, u128)> {
        self.ranges.get(id).copied()
    }

    /// Whether the same shards are open.
    pub(super) fn has_same_open(&self, other: &Self) -> bool {
        let ids = |map: &Self| map.open.iter().map(|shard| Arc::clone(&shard.id)).collect::<Vec<_>>();
        ids(self) == ids(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u128 = 1 << 127;

    fn shard(id: &str, hash_range: (u128, u128), closed: bool, parents: &[&str]) -> Shard {
        Shard { id: id.into(), hash_range, closed, parents: parents.iter().map(|parent| (*parent).into()).collect() }
    }

    #[test]
    fn open_shards_have_neither_an_end_nor_children() {
        let whole = |closed| shard("0", (0, u128::MAX), closed, &[]);
        let halves = [shard("2", (HALF, u128::MAX), false, &["0"]), shard("1", (0, HALF - 1), false, &["0"])];
        for closed in [true, false] {
            let map = ShardMap::new([&[whole(closed)][..], &halves].concat()).unwrap();
            let open: Vec<_> = map.open().iter().map(|shard| &*shard.id).collect();
            assert_eq!(open, ["1", "2"]);
            assert_eq!([0, HALF - 1, HALF, u128::MAX].map(|hash| map.locate(hash)), [0, 0, 1, 1]);
            assert_eq!(map.range("0"), Some((0, u128::MAX)));
        }
    }

    #[test]
    fn a_listing_with_a_gap_or_an_overlap_is_an_error() {
        let error = |listed: &[Shard]| ShardMap::new(listed.to_vec()).unwrap_err().to_string();
        assert!(error(&[]).contains("no open shard"));
        assert!(error(&[shard("1", (0, HALF - 1), false, &[])]).contains(&HALF.to_string()));
        assert!(error(&[shard("2", (HALF, u128::MAX), false, &[])]).contains("before the hash key"));
        let overlap = [shard("0", (0, u128::MAX), false, &[]), shard("1", (HALF, u128::MAX), false, &[])];
        assert!(error(&overlap).contains("overlap"));
    }
}
