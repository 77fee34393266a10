//! Which shards a stream has, and which of them may be read: a shard's records come after all of its parents'.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, Shard as Listed};

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: Arc<str>,
    /// The shards that it came of: one by a split, two by a merge.
    pub(super) parents: Vec<Arc<str>>,
    /// The first and the last hash of the partition keys that it takes.
    pub(super) hashes: (u128, u128),
    /// Whether it takes no more records, as far as is known.
    pub(super) closed: bool,
}

impl Shard {
    /// A shard as `ListShards` tells of it, or what is wrong with that.
    pub(super) fn listed(listed: &Listed) -> Result<Self, String> {
        let parents = [listed.parent_shard_id(), listed.adjacent_parent_shard_id()];
        Ok(Self {
            id: listed.shard_id().into(),
            parents: parents.into_iter().flatten().map(Arc::from).collect(),
            hashes: hashes(listed.shard_id(), listed.hash_key_range())?,
            closed: listed.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some()),
        })
    }

    /// A shard as the end of its parent tells of it, likewise.
    pub(super) fn child(child: &ChildShard) -> Result<Self, String> {
        Ok(Self {
            id: child.shard_id().into(),
            parents: child.parent_shards().iter().map(|parent| parent.as_str().into()).collect(),
            hashes: hashes(child.shard_id(), child.hash_key_range())?,
            closed: false,
        })
    }
}

fn hashes(shard: &str, range: Option<&HashKeyRange>) -> Result<(u128, u128), String> {
    let range = range.ok_or_else(|| format!("{shard} has no range of hash keys"))?;
    let hash =
        |text: &str| text.parse().map_err(|_| format!("the hash key `{text}` of {shard} is no number of 128 bits"));
    Ok((hash(range.starting_hash_key())?, hash(range.ending_hash_key())?))
}

/// How far a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Its parents are not read to their end.
    Waiting,
    Reading,
    /// It is read to its end, and all of it is done.
    Done,
}

/// The shards of a stream, and how far each is.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    shards: BTreeMap<Arc<str>, (Shard, Progress)>,
}

impl Lineage {
    /// Whether a shard is known.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.shards.contains_key(id)
    }

    /// Takes in a shard; `done` where its checkpoint says so. One that is known already stays as it is.
    pub(super) fn learn(&mut self, shard: Shard, done: bool) {
        let progress = if done { Progress::Done } else { Progress::Waiting };
        self.shards.entry(Arc::clone(&shard.id)).or_insert((shard, progress));
    }

    /// A shard is read to its end, and all of it is done.
    pub(super) fn done(&mut self, id: &str) {
        if let Some((_, progress)) = self.shards.get_mut(id) {
            *progress = Progress::Done;
        }
    }

    /// The shards that may be read from now on: those whose parents are done. A parent that the stream does not know any
    /// more has expired with all its records: nothing is left to wait for.
    pub(super) fn ready(&mut self) -> Vec<Shard> {
        let free = |shard: &Shard| {
            shard.parents.iter().all(|parent| match self.shards.get(parent) {
                None => true,
                Some((_, progress)) => *progress == Progress::Done,
            })
        };
        let waiting = self.shards.values().filter(|(_, progress)| *progress == Progress::Waiting);
        let ready: Vec<Shard> = waiting.map(|(shard, _)| shard).filter(|shard| free(shard)).cloned().collect();
        for shard in &ready {
            self.shards.get_mut(&shard.id).expect("it is one of them").1 = Progress::Reading;
        }
        ready
    }

    /// Forgets shards that are done and that the stream does not list any more.
    pub(super) fn keep(&mut self, listed: impl Fn(&str) -> bool) {
        self.shards.retain(|id, (_, progress)| *progress != Progress::Done || listed(id));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn shard(id: usize, parents: &[usize]) -> Shard {
        let name = |id: &usize| Arc::from(format!("shardId-{id:012}"));
        Shard { id: name(&id), parents: parents.iter().map(name).collect(), hashes: (0, u128::MAX), closed: false }
    }

    #[test]
    fn children_wait_for_both_parents_and_for_no_expired_one() {
        let mut lineage = Lineage::default();
        for shard in [shard(1, &[0]), shard(2, &[0]), shard(3, &[1, 2]), shard(4, &[3])] {
            lineage.learn(shard, false);
        }
        assert_eq!(lineage.ready(), [shard(1, &[0]), shard(2, &[0])], "shard 0 has expired");
        assert_eq!(lineage.ready(), [], "each is given out once");
        lineage.done(&shard(1, &[]).id);
        assert_eq!(lineage.ready(), []);
        lineage.done(&shard(2, &[]).id);
        assert_eq!(lineage.ready(), [shard(3, &[1, 2])]);
        lineage.learn(shard(3, &[]), true);
        assert_eq!(lineage.ready(), [], "what is known stays as it is");
        lineage.keep(|_| false);
        assert!(!lineage.knows(&shard(1, &[]).id) && lineage.knows(&shard(3, &[]).id));
    }

    proptest! {
        /// Whatever splits and merges there were, and in whatever order shards end: each is read once, after its
        /// parents.
        #[test]
        fn every_shard_is_read_once_and_after_its_parents(
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..30),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 100),
            known in any::<prop::sample::Index>(),
        ) {
            let mut all = vec![shard(0, &[]), shard(1, &[])];
            let mut open = vec![0, 1];
            for (split, at) in steps {
                let parent = open.remove(at.index(open.len()));
                if split || open.is_empty() {
                    for _ in 0..2 {
                        open.push(all.len());
                        all.push(shard(all.len(), &[parent]));
                    }
                } else {
                    let other = open.remove(at.index(open.len()));
                    open.push(all.len());
                    all.push(shard(all.len(), &[parent, other]));
                }
            }
            // Some are listed at the start, the others while it runs.
            let first = known.index(all.len());
            let mut lineage = Lineage::default();
            all[first..].iter().rev().for_each(|shard| lineage.learn(shard.clone(), false));
            let (mut reading, mut done) = (Vec::new(), BTreeSet::new());
            for end in ends {
                for shard in lineage.ready() {
                    let known = |parent: &&Arc<str>| all[first..].iter().any(|shard| shard.id == **parent);
                    prop_assert!(shard.parents.iter().filter(known).all(|parent| done.contains(parent)));
                    reading.push(shard.id);
                }
                if reading.is_empty() {
                    break;
                }
                let id = reading.remove(end.index(reading.len()));
                lineage.done(&id);
                prop_assert!(done.insert(id), "read twice");
            }
            prop_assert_eq!(done.len(), all.len() - first);
        }
    }
}
