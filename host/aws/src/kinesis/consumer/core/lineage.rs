//! Which shards a stream has, and which of them may be read: a shard's records come after all records of its parents.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kinesis::shard::Shard;

/// How far a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its parents are not done.
    Waiting,
    /// It has to be read and is not.
    Ready,
    Reading,
    /// It is read to its end and all of it is committed.
    Done,
}

/// The shards of a stream, and how far each is.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    /// `Ready` follows from the parents and is not kept.
    shards: BTreeMap<Arc<str>, (Shard, Progress)>,
}

impl Lineage {
    /// How far a shard is; `None` if it is unknown.
    pub(super) fn progress(&self, id: &str) -> Option<Progress> {
        match self.shards.get(id)? {
            (shard, Progress::Waiting) if self.parents_are_done(shard) => Some(Progress::Ready),
            (_, progress) => Some(*progress),
        }
    }

    /// Whether a shard need not wait. A parent that the stream does not have any more has expired with all its records.
    fn parents_are_done(&self, shard: &Shard) -> bool {
        let progress = |parent| self.shards.get(parent).map(|(_, progress)| *progress);
        shard.parents.iter().all(|parent| matches!(progress(parent), None | Some(Progress::Done)))
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.shards.contains_key(id)
    }

    /// The ids of all shards.
    pub(super) fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.shards.keys()
    }

    /// Adds a shard. A known one stays as it is.
    pub(super) fn learn(&mut self, shard: Shard) {
        self.shards.entry(Arc::clone(&shard.id)).or_insert((shard, Progress::Waiting));
    }

    /// A shard that is being read has to be begun again.
    pub(super) fn set_back(&mut self, id: &str) {
        if let Some((_, progress)) = self.shards.get_mut(id) {
            *progress = Progress::Waiting;
        }
    }

    /// A shard is read to its end and all of it is committed.
    pub(super) fn done(&mut self, id: &str) {
        if let Some((_, progress)) = self.shards.get_mut(id) {
            *progress = Progress::Done;
        }
    }

    /// Marks the shards that have to be read as being read, and returns them.
    pub(super) fn begin_ready(&mut self) -> Vec<Shard> {
        let waiting = self.shards.values().filter(|(_, progress)| *progress == Progress::Waiting);
        let waiting = waiting.map(|(shard, _)| shard);
        let ready: Vec<Shard> = waiting.filter(|shard| self.parents_are_done(shard)).cloned().collect();
        for shard in &ready {
            self.shards.get_mut(&shard.id).expect("it is one of them").1 = Progress::Reading;
        }
        ready
    }

    /// Forgets the shards that are done and not listed any more.
    pub(super) fn retain(&mut self, is_listed: impl Fn(&str) -> bool) {
        self.shards.retain(|id, (_, progress)| *progress != Progress::Done || is_listed(id));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn shard(id: usize, parents: &[usize]) -> Shard {
        let name = |id: &usize| Arc::from(format!("shardId-{id:012}"));
        Shard { id: name(&id), parents: parents.iter().map(name).collect(), hash_range: (0, u128::MAX), closed: false }
    }

    #[test]
    fn children_wait_for_both_parents_and_for_no_expired_one() {
        let mut lineage = Lineage::default();
        for shard in [shard(1, &[0]), shard(2, &[0]), shard(3, &[1, 2]), shard(4, &[3])] {
            lineage.learn(shard);
        }
        assert_eq!(lineage.begin_ready(), [shard(1, &[0]), shard(2, &[0])], "shard 0 has expired");
        assert_eq!(lineage.begin_ready(), [], "each is begun once");
        lineage.done(&shard(1, &[]).id);
        assert_eq!(lineage.begin_ready(), []);
        lineage.done(&shard(2, &[]).id);
        assert_eq!(lineage.begin_ready(), [shard(3, &[1, 2])]);
        lineage.learn(shard(3, &[]));
        assert_eq!(lineage.begin_ready(), [], "what is known stays as it is");
        lineage.retain(|_| false);
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
            all[first..].iter().rev().for_each(|shard| lineage.learn(shard.clone()));
            let (mut reading, mut done) = (Vec::new(), BTreeSet::new());
            for end in ends {
                for shard in lineage.begin_ready() {
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
