//! Items that need not be read again before they are written.
//!
//! The cache is a guess, never the truth: every write is on the condition that the item still has the revision that the
//! guess has, so a stale guess costs a conflict and nothing else.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use paceline_pipeline::model::{Item, Key};

/// What stands at a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CachedItem {
    /// The item; nothing where there is none.
    pub(super) item: Option<Item>,
    /// Attributes of types that are not ours, which somebody else put there. A write takes them away.
    pub(super) unknown: Vec<String>,
}

impl CachedItem {
    pub(super) fn of(item: Item) -> Self {
        Self { item: Some(item), unknown: Vec::new() }
    }

    pub(super) fn nothing() -> Self {
        Self { item: None, unknown: Vec::new() }
    }

    pub(super) fn revision(&self) -> Option<u64> {
        self.item.as_ref().map(|item| item.revision)
    }
}

/// The items used last.
#[derive(Debug)]
pub(super) struct Cache(Option<Mutex<LruCache<Key, CachedItem>>>);

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self(NonZeroUsize::new(capacity).map(|capacity| Mutex::new(LruCache::new(capacity))))
    }

    fn entries(&self) -> Option<MutexGuard<'_, LruCache<Key, CachedItem>>> {
        self.0.as_ref().map(|entries| entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks many keys up under one lock.
    pub(super) fn get<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Vec<Option<Option<Item>>> {
        match self.entries() {
            Some(mut entries) => keys.map(|key| entries.get(key).map(|found| found.item.clone())).collect(),
            None => keys.map(|_| None).collect(),
        }
    }

    /// Takes many keys out under one lock.
    pub(super) fn take<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Vec<Option<CachedItem>> {
        match self.entries() {
            Some(mut entries) => keys.map(|key| entries.pop(key)).collect(),
            None => keys.map(|_| None).collect(),
        }
    }

    /// Remembers what stands at a key, unless something later is known by now: two of the process's shards may be at
    /// the same item, and an answer may come late.
    pub(super) fn learn(&self, key: &Key, cached: CachedItem) {
        if let Some(mut entries) = self.entries()
            && entries.peek(key).is_none_or(|known| known.revision() <= cached.revision())
        {
            entries.put(key.clone(), cached);
        }
    }

    /// Remembers what stands at a key, after a condition has failed: whatever was known before was wrong.
    pub(super) fn correct(&self, key: &Key, cached: CachedItem) {
        if let Some(mut entries) = self.entries() {
            entries.put(key.clone(), cached);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use paceline_pipeline::dedup::{DedupState, OrdinalSet};
    use paceline_pipeline::model::Provenance;

    use super::*;

    fn key(sort: &str) -> Key {
        Key { partition: "p".into(), sort: sort.into() }
    }

    fn at(revision: u64) -> CachedItem {
        let provenance = Arc::new(Provenance { race_type: "3".into(), version: 1, plugins: vec![] });
        let dedup = DedupState::Ordinal(OrdinalSet::default());
        CachedItem::of(Item { revision, state: vec![], dedup, attributes: vec![], provenance })
    }

    fn revision(cache: &Cache, sort: &str) -> Option<Option<u64>> {
        cache.get([key(sort)].iter())[0].as_ref().map(|found| found.as_ref().map(|item| item.revision))
    }

    #[test]
    fn a_late_answer_does_not_hide_a_later_item() {
        let cache = Cache::new(10);
        cache.learn(&key("a"), at(2));
        cache.learn(&key("a"), at(1));
        cache.learn(&key("a"), CachedItem::nothing());
        assert_eq!(revision(&cache, "a"), Some(Some(2)));
        cache.correct(&key("a"), CachedItem::nothing());
        assert_eq!(revision(&cache, "a"), Some(None), "that there is no item is known too");
    }

    #[test]
    fn the_least_used_item_goes_first_and_no_room_is_no_cache() {
        let cache = Cache::new(2);
        ["a", "b"].iter().for_each(|sort| cache.learn(&key(sort), at(1)));
        assert!(revision(&cache, "a").is_some());
        cache.learn(&key("c"), at(1));
        assert_eq!((revision(&cache, "a"), revision(&cache, "b")), (Some(Some(1)), None));
        assert_eq!(cache.take([key("a")].iter()), [Some(at(1))]);
        assert_eq!(revision(&cache, "a"), None);

        let none = Cache::new(0);
        none.learn(&key("a"), at(1));
        assert_eq!((revision(&none, "a"), none.take([key("a")].iter())), (None, vec![None]));
    }
}
