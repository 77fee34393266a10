//! Caches items, so that they need not be read before each write.
//!
//! A cached item may be stale. That is safe, because every write is conditional on the item's revision: a stale item
//! leads to a conflict, after which it is read again.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use paceline_pipeline::model::{Item, Key};

/// What the table holds at a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CachedItem {
    /// `None`: the table has no item at the key.
    pub(super) item: Option<Item>,
    /// Names of attributes that another program added and that paceline can't represent. The next write removes them.
    pub(super) unknown: Vec<String>,
}

impl CachedItem {
    pub(super) fn present(item: Item) -> Self {
        Self { item: Some(item), unknown: Vec::new() }
    }

    pub(super) fn absent() -> Self {
        Self { item: None, unknown: Vec::new() }
    }

    pub(super) fn revision(&self) -> Option<u64> {
        self.item.as_ref().map(|item| item.revision)
    }
}

/// The most recently used items. `None`: caching is off.
#[derive(Debug)]
pub(super) struct Cache(Option<Mutex<LruCache<Key, CachedItem>>>);

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self(NonZeroUsize::new(capacity).map(|capacity| Mutex::new(LruCache::new(capacity))))
    }

    fn entries(&self) -> Option<MutexGuard<'_, LruCache<Key, CachedItem>>> {
        self.0.as_ref().map(|entries| entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks up many keys under one lock. The outer `None` is a miss, the inner one a key without an item.
    pub(super) fn get<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Vec<Option<Option<Item>>> {
        match self.entries() {
            Some(mut entries) => keys.map(|key| entries.get(key).map(|cached| cached.item.clone())).collect(),
            None => keys.map(|_| None).collect(),
        }
    }

    /// Removes many keys under one lock and returns their items.
    pub(super) fn remove<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Vec<Option<CachedItem>> {
        match self.entries() {
            Some(mut entries) => keys.map(|key| entries.pop(key)).collect(),
            None => keys.map(|_| None).collect(),
        }
    }

    /// Caches an item that was read or written, unless a later revision is cached: two shards of the process may use the
    /// same item, and their responses may arrive out of order.
    pub(super) fn insert_if_newer(&self, key: &Key, cached: CachedItem) {
        if let Some(mut entries) = self.entries()
            && entries.peek(key).is_none_or(|known| known.revision() <= cached.revision())
        {
            entries.put(key.clone(), cached);
        }
    }

    /// Caches an item in place of any other. For use after a failed condition, which shows that the cached item was
    /// stale.
    pub(super) fn replace(&self, key: &Key, cached: CachedItem) {
        if let Some(mut entries) = self.entries() {
            entries.put(key.clone(), cached);
        }
    }
}

#[cfg(test)]
mod tests {

    use paceline_pipeline::dedup::{DedupState, OrdinalSet};

    use super::*;

    fn key(sort: &str) -> Key {
        Key { partition: "p".into(), sort: sort.into() }
    }

    fn at(revision: u64) -> CachedItem {
        let provenance = crate::dynamodb::item::test_provenance();
        let dedup = DedupState::Ordinal(OrdinalSet::default());
        CachedItem::present(Item { revision, state: vec![], dedup, attributes: vec![], provenance, reruled: false })
    }

    fn revision(cache: &Cache, sort: &str) -> Option<Option<u64>> {
        cache.get([key(sort)].iter())[0].as_ref().map(|cached| cached.as_ref().map(|item| item.revision))
    }

    #[test]
    fn a_late_response_does_not_replace_a_later_item() {
        let cache = Cache::new(10);
        cache.insert_if_newer(&key("a"), at(2));
        cache.insert_if_newer(&key("a"), at(1));
        cache.insert_if_newer(&key("a"), CachedItem::absent());
        assert_eq!(revision(&cache, "a"), Some(Some(2)));
        cache.replace(&key("a"), CachedItem::absent());
        assert_eq!(revision(&cache, "a"), Some(None), "the absence of an item is cached");
    }

    #[test]
    fn the_least_recently_used_item_is_evicted_and_capacity_0_caches_nothing() {
        let cache = Cache::new(2);
        ["a", "b"].iter().for_each(|sort| cache.insert_if_newer(&key(sort), at(1)));
        assert!(revision(&cache, "a").is_some());
        cache.insert_if_newer(&key("c"), at(1));
        assert_eq!((revision(&cache, "a"), revision(&cache, "b")), (Some(Some(1)), None));
        assert_eq!(cache.remove([key("a")].iter()), [Some(at(1))]);
        assert_eq!(revision(&cache, "a"), None);

        let none = Cache::new(0);
        none.insert_if_newer(&key("a"), at(1));
        assert_eq!((revision(&none, "a"), none.remove([key("a")].iter())), (None, vec![None]));
    }
}
