//! What this process knows of items with packed groups, and when it does not rely on it.
//!
//! A cached copy may be stale. That is safe, because each write is conditional on the item's revision, but a failed condition
//! is billed like a write, and its groups are folded again. So a copy of an item that others write, too, is not relied on:
//! the item is read before its groups are folded, for some kilobytes' read units.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::content::{Content, PackKey};
use crate::dynamodb::cache::{BoundedLru, ENTRY_BYTES, item_size};

/// After another host's write, an item is read so many times that find nothing new before its copy is relied on again. So
/// many reads cost about what a failed write does.
pub(super) const READS_AFTER_A_RIVAL: u8 = 16;

/// Writers of one item in this process wait for each other: otherwise all but one would pay for a conflict. Items share
/// these locks.
const LOCKS: usize = 64;

/// A cached item.
#[derive(Debug)]
struct Copy {
    content: Arc<Content>,
    /// Reads until the copy is relied on.
    reads: u8,
}

/// The copies, and who writes now.
#[derive(Debug)]
pub(in crate::dynamodb) struct Packs {
    /// `None`: caching is off.
    cache: Option<Mutex<BoundedLru<PackKey, Copy>>>,
    locks: [tokio::sync::Mutex<()>; LOCKS],
}

impl Packs {
    /// Caches about so many bytes.
    pub(in crate::dynamodb) fn new(most: usize) -> Self {
        Self {
            cache: (most > 0).then(|| Mutex::new(BoundedLru::new(most, size))),
            locks: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }
    }

    /// Waits until no other task of this process writes the item.
    pub(super) async fn turn(&self, key: &PackKey) -> tokio::sync::MutexGuard<'_, ()> {
        // The items of a race have different locks.
        let nth = usize::from(key.number) + key.partition.bytes().map(usize::from).sum::<usize>();
        self.locks[nth % LOCKS].lock().await
    }

    fn entries(&self) -> Option<MutexGuard<'_, BoundedLru<PackKey, Copy>>> {
        self.cache.as_ref().map(|cache| cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The copy, for folding, unless others write the item.
    pub(super) fn reliable(&self, key: &PackKey) -> Option<Arc<Content>> {
        self.entries()?.get(key).filter(|copy| copy.reads == 0).map(|copy| Arc::clone(&copy.content))
    }

    /// The copy, for writing: its groups were read or folded just before.
    pub(super) fn latest(&self, key: &PackKey) -> Option<Arc<Content>> {
        self.entries()?.get(key).map(|copy| Arc::clone(&copy.content))
    }

    /// Caches what was read, unless something later is cached. What this process did not write is another host's.
    pub(super) fn found(&self, key: &PackKey, content: &Arc<Content>) {
        let Some(mut entries) = self.entries() else { return };
        let (content, reads) = match entries.get(key) {
            None => (content, 0),
            Some(copy) if copy.content.revision > content.revision => return,
            Some(copy) if copy.content.revision == content.revision => (content, copy.reads.saturating_sub(1)),
            Some(_) => (content, READS_AFTER_A_RIVAL),
        };
        entries.put(key.clone(), Copy { content: Arc::clone(content), reads });
    }

    /// Caches what was written, unless something later is cached.
    pub(super) fn written(&self, key: &PackKey, content: &Arc<Content>) {
        let Some(mut entries) = self.entries() else { return };
        let copy = entries.get(key);
        let reads = copy.map_or(0, |copy| copy.reads);
        if copy.is_none_or(|copy| copy.content.revision <= content.revision) {
            entries.put(key.clone(), Copy { content: Arc::clone(content), reads });
        }
    }

    /// Caches what is there in place of anything else: a failed condition has shown that another host was first.
    pub(super) fn overtaken(&self, key: &PackKey, content: &Arc<Content>) {
        if let Some(mut entries) = self.entries() {
            entries.put(key.clone(), Copy { content: Arc::clone(content), reads: READS_AFTER_A_RIVAL });
        }
    }
}

/// About what an entry takes in memory.
fn size(key: &PackKey, Copy { content, .. }: &Copy) -> usize {
    let groups = content.groups.iter().map(|(sort, item)| ENTRY_BYTES + sort.len() + item_size(item));
    ENTRY_BYTES + key.partition.len() + groups.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> PackKey {
        PackKey { partition: "race-3-1".to_owned(), number: 7 }
    }

    fn content(revision: u64) -> Arc<Content> {
        Arc::new(Content { revision, ..Content::default() })
    }

    /// What happens to an item.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// Another host writes it.
        Rival,
        /// A batch of this process: it reads the item if it has to, and writes it. What it reads may be `late`: this process
        /// has written the item since.
        Batch { late: bool },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![1 => Just(Event::Rival), 6 => any::<bool>().prop_map(|late| Event::Batch { late })]
    }

    proptest! {
        /// A copy is not relied on in the batches after a conflict, nor after a read that found another host's write. It never
        /// goes back.
        #[test]
        fn an_item_that_others_write_is_read(events in prop::collection::vec(event(), 1..200)) {
            let (packs, key) = (Packs::new(1 << 20), key());
            let (mut revision, mut quiet) = (1, u32::from(READS_AFTER_A_RIVAL));
            packs.found(&key, &content(revision));
            for event in events {
                let Event::Batch { late } = event else {
                    revision += 1;
                    continue;
                };
                let before = packs.latest(&key).unwrap().revision;
                let reliable = packs.reliable(&key).map(|content| content.revision);
                prop_assert_eq!(reliable, (quiet >= u32::from(READS_AFTER_A_RIVAL)).then_some(before));
                let is_read = reliable.is_none();
                if is_read {
                    packs.found(&key, &content(revision));
                }
                let is_new = before != revision;
                quiet = match (is_new, is_read) {
                    (true, _) => 0,
                    (false, true) => quiet + 1,
                    (false, false) => quiet,
                };
                if is_new && !is_read {
                    // The condition fails.
                    packs.overtaken(&key, &content(revision));
                }
                revision += 1;
                packs.written(&key, &content(revision));
                if late {
                    packs.found(&key, &content(revision - 1));
                }
                prop_assert_eq!(packs.latest(&key).unwrap().revision, revision);
            }
        }
    }

    #[test]
    fn without_a_cache_everything_is_read() {
        let packs = Packs::new(0);
        packs.found(&key(), &content(1));
        packs.written(&key(), &content(2));
        assert_eq!((packs.latest(&key()), packs.reliable(&key())), (None, None));
    }
}
