//! The shards and ages of the iterators that went through.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The number of iterators above which expired ones are removed.
const MAX_ITERATORS: usize = 20_000;
/// The time after which Kinesis expires an iterator.
const EXPIRY: Duration = Duration::from_secs(300);

/// The shard of an iterator and its time of creation.
#[derive(Clone)]
pub(super) struct IteratorSource {
    pub(super) stream: String,
    pub(super) shard: String,
    pub(super) created: Instant,
}

#[derive(Default)]
pub(super) struct Iterators {
    sources: HashMap<String, IteratorSource>,
}

impl Iterators {
    pub(super) fn insert(&mut self, iterator: &str, source: IteratorSource) {
        if self.sources.len() >= MAX_ITERATORS {
            self.sources.retain(|_, source| source.created.elapsed() < EXPIRY);
        }
        self.sources.insert(iterator.to_owned(), source);
    }

    pub(super) fn get(&self, iterator: &str) -> Option<&IteratorSource> {
        self.sources.get(iterator)
    }
}
