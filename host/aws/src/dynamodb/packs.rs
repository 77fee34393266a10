//! Packed groups: many groups of a partition share an item, which is written once for all of them.
//!
//! DynamoDB bills a write by the kilobytes of the whole item, at least one: a thousand groups of 40 bytes cost 1,000 units as
//! items of their own, and some 50 together. Every write is conditional on the revision of the shared item, and each
//! group keeps its own revision, so a group that did not change is no conflict for those who change others.
//!
//! A group moves out, for good, once it has the attribute that its rulebook names, or when the shared item is full. The latter
//! is one transaction with the shared item; the former takes a few plain writes.
//!
//! - `write`: writes of groups, and what becomes of conflicts. `results`: groups that get items of their own.
//!   `shown`: what other programs can read.
//! - `plan`: what one write does. `request`: how it is sent.
//! - `known`: cached copies, and when an item is read nevertheless. `content`: what an item holds. `groups_format`: its
//!   bytes.

mod content;
mod groups;
mod groups_format;
mod known;
mod plan;
mod request;
mod results;
mod shown;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use paceline_pipeline::model::{Item, Key};
use paceline_pipeline::store::StoreError;

pub(super) use content::is_pack;
pub(super) use known::Packs;

use content::{Content, PackKey, decode};
use plan::is_result;
use results::SharedResult;

use super::DynamoDbStore;
use super::item::{self, Map};

impl DynamoDbStore {
    /// The packed groups of these keys, in the same order, and the indexes of those that have items of their own.
    pub(super) async fn load_packed(&self, keys: &[&Key]) -> Result<(Vec<Option<Item>>, Vec<usize>), StoreError> {
        // There is no group at a key that DynamoDB can't hold, and such a key would fail the whole request.
        let pack_of = |key: &Key| {
            let pack = key.pack.as_ref().filter(|_| Key::check(&key.partition, &key.sort).is_ok());
            pack.map(|pack| PackKey::new(&key.partition, pack))
        };
        let of: Vec<Option<PackKey>> = keys.iter().map(|key| pack_of(key)).collect();
        // In their order, so that the same keys make the same requests.
        let unique: BTreeSet<&PackKey> = of.iter().flatten().collect();
        let mut packs: BTreeMap<&PackKey, Arc<Content>> = BTreeMap::new();
        let mut missed = Vec::new();
        for key in unique {
            match self.packs.reliable(key) {
                Some(content) => drop(packs.insert(key, content)),
                None => missed.push(key),
            }
        }
        self.usage.add_lookups(packs.len() as u64, missed.len() as u64);
        let read = self.read_packs(&missed).await?;
        packs.extend(missed.into_iter().zip(read));

        let (mut loaded, mut elsewhere) = (Vec::with_capacity(keys.len()), Vec::new());
        let mut results = Vec::new();
        for (at, (&key, pack)) in keys.iter().zip(&of).enumerate() {
            let content = pack.as_ref().and_then(|pack| packs.get(pack));
            let found = content.and_then(|content| content.groups.get(key.sort.as_str()));
            let is_result = |item: &Arc<Item>| key.pack.as_ref().is_some_and(|pack| is_result(item, &pack.packing));
            match found {
                Some(item) if is_result(item) => {
                    results.push(SharedResult { key, item: Arc::clone(item) });
                    elsewhere.push(at);
                }
                None if content.is_some_and(|content| content.moved.has(&key.sort)) => elsewhere.push(at),
                _ => {}
            }
            loaded.push(found.map(|item| Item::clone(item)));
        }
        if !results.is_empty() {
            self.move_out(&results, keys).await?;
        }
        Ok((loaded, elsewhere))
    }

    /// Reads items of packed groups from the table, not from the cache, and caches them. Returns them in the order of
    /// their keys, which must not contain duplicates.
    async fn read_packs(&self, keys: &[&PackKey]) -> Result<Vec<Arc<Content>>, StoreError> {
        let mut found: BTreeMap<PackKey, Arc<Content>> = BTreeMap::new();
        let mut invalid = None;
        let maps = keys.iter().map(|key| item::key_map(&key.item_key()));
        let read = self
            .batch_get(&self.table, maps, |batch| {
                for map in batch.items {
                    match decode(&self.table, &map) {
                        Ok((key, content)) => {
                            let content = Arc::new(content);
                            self.packs.found(&key, &content);
                            found.insert(key, content);
                        }
                        Err(error) => invalid = Some(error),
                    }
                }
            })
            .await;
        // A retry does not resolve an error of decoding.
        if let Some(error) = invalid {
            return Err(error.into());
        }
        read?;
        let content = |key: &&PackKey| {
            found.remove(*key).unwrap_or_else(|| {
                let absent = Arc::new(Content::default());
                self.packs.found(key, &absent);
                absent
            })
        };
        Ok(keys.iter().map(content).collect())
    }

    /// The groups of an item, for readers.
    pub(super) fn unpack(&self, map: &Map) -> Result<impl Iterator<Item = (Key, Item)> + use<>, StoreError> {
        let (key, content) = decode(&self.table, map)?;
        let group = move |(sort, item): (Arc<str>, Arc<Item>)| {
            (Key::new(key.partition.as_str(), &*sort), Arc::unwrap_or_clone(item))
        };
        Ok(content.groups.into_iter().map(group))
    }
}
