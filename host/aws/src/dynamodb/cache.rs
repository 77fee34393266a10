//! Caches items, so that they need not be read before each write.
//!
//! A cached item may be stale. That is safe, because every write is conditional on the item's revision: a stale item
//! leads to a conflict, after which it is read again.

use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use paceline_pipeline::model::{Attribute, Item, Key};

/// Bytes that an entry takes beside its texts, states and runs, about: the structures themselves, and what the allocator adds.
pub(super) const ENTRY_BYTES: usize = 400;
/// Bytes that an attribute takes beside its text, about.
const ATTRIBUTE_BYTES: usize = 64;

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
pub(super) struct Cache(Option<Mutex<BoundedLru<Key, CachedItem>>>);

/// The most recently used entries, as many as fit into a number of bytes.
#[derive(Debug)]
pub(super) struct BoundedLru<K: Hash + Eq, V> {
    entries: LruCache<K, V>,
    /// About what an entry takes in memory.
    size: fn(&K, &V) -> usize,
    /// About what all of them take, and how much that may be.
    bytes: usize,
    most: usize,
}

impl<K: Hash + Eq, V> BoundedLru<K, V> {
    pub(super) fn new(most: usize, size: fn(&K, &V) -> usize) -> Self {
        Self { entries: LruCache::unbounded(), size, bytes: 0, most }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(super) fn pop(&mut self, key: &K) -> Option<V> {
        let (key, value) = self.entries.pop_entry(key)?;
        self.bytes -= (self.size)(&key, &value);
        Some(value)
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        self.pop(&key);
        self.bytes += (self.size)(&key, &value);
        self.entries.put(key, value);
        while self.bytes > self.most
            && let Some((key, value)) = self.entries.pop_lru()
        {
            self.bytes -= (self.size)(&key, &value);
        }
    }
}

/// About what an entry takes in memory.
fn size(key: &Key, CachedItem { item, unknown }: &CachedItem) -> usize {
    let unknown: usize = unknown.iter().map(|name| ATTRIBUTE_BYTES + name.len()).sum();
    ENTRY_BYTES + key.partition.len() + key.sort.len() + item.as_ref().map_or(0, item_size) + unknown
}

/// About what an item takes in memory beside its structure.
pub(super) fn item_size(item: &Item) -> usize {
    let attribute = |value: &Attribute| match value {
        Attribute::Text(text) => text.len(),
        Attribute::Blob(bytes) => bytes.len(),
        Attribute::Boolean(_) | Attribute::Integer(_) | Attribute::Number(_) => 0,
    };
    let attributes: usize = item.attributes.iter().map(|(_, value)| ATTRIBUTE_BYTES + attribute(value)).sum();
    item.state.len() + item.dedup.memory_bytes() + attributes
}

impl Cache {
    /// A cache of about so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self((most > 0).then(|| Mutex::new(BoundedLru::new(most, size))))
    }

    fn entries(&self) -> Option<MutexGuard<'_, BoundedLru<Key, CachedItem>>> {
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
            && entries.entries.peek(key).is_none_or(|known| known.revision() <= cached.revision())
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
        Key::new("p", sort)
    }

    fn at(revision: u64) -> CachedItem {
        of_bytes(revision, 0)
    }

    /// An item with a state of so many bytes.
    fn of_bytes(revision: u64, bytes: usize) -> CachedItem {
        let provenance = crate::dynamodb::item::test_provenance();
        let dedup = DedupState::Ordinal(OrdinalSet::default());
        CachedItem::present(Item {
            revision,
            state: vec![0; bytes],
            dedup,
            attributes: vec![],
            provenance,
            reruled: false,
        })
    }

    fn revision(cache: &Cache, sort: &str) -> Option<Option<u64>> {
        cache.get([key(sort)].iter())[0].as_ref().map(|cached| cached.as_ref().map(|item| item.revision))
    }

    #[test]
    fn a_late_response_does_not_replace_a_later_item() {
        let cache = Cache::new(1 << 20);
        cache.insert_if_newer(&key("a"), at(2));
        cache.insert_if_newer(&key("a"), at(1));
        cache.insert_if_newer(&key("a"), CachedItem::absent());
        assert_eq!(revision(&cache, "a"), Some(Some(2)));
        cache.replace(&key("a"), CachedItem::absent());
        assert_eq!(revision(&cache, "a"), Some(None), "the absence of an item is cached");
    }

    #[test]
    fn the_least_recently_used_item_is_evicted_and_a_cache_of_0_bytes_has_nothing() {
        let cache = Cache::new(2 * size(&key("a"), &at(1)));
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
    #[test]
    fn large_items_leave_room_for_few() {
        let cache = Cache::new(1 << 20);
        for (nth, bytes) in [(0, 300 << 10), (1, 300 << 10), (2, 300 << 10), (0, 10), (3, 300 << 10), (4, 300 << 10)] {
            cache.replace(&key(&nth.to_string()), of_bytes(1, bytes));
        }
        let cached: Vec<u32> = (0..5).filter(|nth| revision(&cache, &nth.to_string()).is_some()).collect();
        // The first one has become small in between, and the second one was used least recently.
        assert_eq!(cached, [0, 2, 3, 4]);
        // One that is larger than the cache is not kept, nor is anything else.
        cache.replace(&key("5"), of_bytes(1, 2 << 20));
        assert!((0..6).all(|nth| revision(&cache, &nth.to_string()).is_none()));
        assert_eq!(cache.entries().unwrap().bytes, 0);
    }
}
