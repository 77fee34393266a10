//! Which shard takes which hash keys.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::kinesis::lineage::Shard;

/// The shards of a stream.
#[derive(Clone, Debug)]
pub(super) struct ShardMap {
    /// Those that take records, by their first hash keys. Together they take every hash key once.
    open: Vec<Shard>,
    /// The ranges of all, the closed ones among them. A shard's range never changes.
    ranges: HashMap<Arc<str>, (u128, u128)>,
}

impl ShardMap {
    /// The map that a listing makes, or what is wrong with the listing. While a stream is resharded, a listing may be
    /// neither before nor after.
    pub(super) fn new(listed: Vec<Shard>) -> Result<Self, String> {
        let ranges = listed.iter().map(|shard| (Arc::clone(&shard.id), shard.hashes)).collect();
        let parents: HashSet<Arc<str>> = listed.iter().flat_map(|shard| shard.parents.iter().cloned()).collect();
        let is_open = |shard: &Shard| !shard.closed && !parents.contains(&shard.id);
        let mut open: Vec<_> = listed.into_iter().filter(is_open).collect();
        open.sort_by_key(|shard| shard.hashes.0);
        let mut expected = Some(0);
        for Shard { id, hashes: (first, last), .. } in &open {
            if expected != Some(*first) || last < first {
                return Err(format!("its open shards leave a gap or overlap before the hash key {first} of {id}"));
            }
            expected = last.checked_add(1);
        }
        match expected {
            None => Ok(Self { open, ranges }),
            Some(0) => Err("it has no open shard".to_owned()),
            Some(next) => Err(format!("none of its open shards takes the hash keys from {next} on")),
        }
    }

    /// The open shards, in the order of their ranges.
    pub(super) fn open(&self) -> &[Shard] {
        &self.open
    }

    /// Which of the open shards takes this hash key.
    pub(super) fn locate(&self, hash: u128) -> usize {
        self.open.partition_point(|shard| shard.hashes.1 < hash)
    }

    /// The range of a shard, open or closed, if it is known.
    pub(super) fn range(&self, id: &str) -> Option<(u128, u128)> {
        self.ranges.get(id).copied()
    }

    /// Whether the same shards are open.
    pub(super) fn same_open(&self, other: &Self) -> bool {
        self.open.len() == other.open.len() && self.open.iter().zip(&other.open).all(|(mine, its)| mine.id == its.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u128 = 1 << 127;

    fn shard(id: &str, hashes: (u128, u128), closed: bool, parents: &[&str]) -> Shard {
        Shard { id: id.into(), hashes, closed, parents: parents.iter().map(|parent| (*parent).into()).collect() }
    }

    #[test]
    fn the_open_shards_are_those_that_have_neither_an_end_nor_children() {
        let whole = |ended| shard("0", (0, u128::MAX), ended, &[]);
        let halves = [shard("2", (HALF, u128::MAX), false, &["0"]), shard("1", (0, HALF - 1), false, &["0"])];
        for ended in [true, false] {
            let map = ShardMap::new([&[whole(ended)][..], &halves].concat()).unwrap();
            let open: Vec<_> = map.open().iter().map(|shard| &*shard.id).collect();
            assert_eq!(open, ["1", "2"]);
            assert_eq!([0, HALF - 1, HALF, u128::MAX].map(|hash| map.locate(hash)), [0, 0, 1, 1]);
            assert_eq!(map.range("0"), Some((0, u128::MAX)));
        }
    }

    #[test]
    fn a_listing_that_leaves_a_gap_is_no_map() {
        let error = |listed: &[Shard]| ShardMap::new(listed.to_vec()).unwrap_err();
        assert!(error(&[]).contains("no open shard"));
        assert!(error(&[shard("1", (0, HALF - 1), false, &[])]).contains(&HALF.to_string()));
        assert!(error(&[shard("2", (HALF, u128::MAX), false, &[])]).contains("before the hash key"));
        let overlap = [shard("0", (0, u128::MAX), false, &[]), shard("1", (HALF, u128::MAX), false, &[])];
        assert!(error(&overlap).contains("overlap"));
    }
}
