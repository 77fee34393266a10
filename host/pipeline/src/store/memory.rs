//! A store that lives as long as the process: for tests and measurements.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Item, Key, Pin, PinKey, Store, StoreError, Write, Written};
use crate::batch::Checkpoint;
use crate::dead_letter::DeadLetter;

/// A store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    items: BTreeMap<Key, Item>,
    pins: BTreeMap<PinKey, Pin>,
    letters: BTreeMap<String, DeadLetter>,
    checkpoints: BTreeMap<String, Checkpoint>,
    redrive_sequences: u64,
}

impl MemoryStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn load(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        let tables = self.tables();
        Ok(keys.iter().map(|key| tables.items.get(key).cloned()).collect())
    }

    async fn write(&self, writes: &[Write]) -> Result<Vec<Written>, StoreError> {
        let mut tables = self.tables();
        let write = |Write { key, expected, item }: &Write| {
            if tables.items.get(key).map(|item| item.revision) != *expected {
                return Written::Conflict;
            }
            tables.items.insert(key.clone(), item.clone());
            Written::Done
        };
        Ok(writes.iter().map(write).collect())
    }

    async fn pin(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        let mut tables = self.tables();
        Ok(pins.iter().map(|(key, pin)| *tables.pins.entry(key.clone()).or_insert(*pin)).collect())
    }

    async fn pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        let tables = self.tables();
        Ok(keys.iter().map(|key| tables.pins.get(key).copied()).collect())
    }

    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.letters.extend(letters.iter().map(|letter| (letter.id.clone(), letter.clone())));
        Ok(())
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        ids.iter().for_each(|id| drop(tables.letters.remove(id)));
        Ok(())
    }

    async fn acknowledge(&self, checkpoint: Option<(&str, &Checkpoint)>) -> Result<(), StoreError> {
        if let Some((shard, checkpoint)) = checkpoint {
            self.tables().checkpoints.insert(shard.to_owned(), checkpoint.clone());
        }
        Ok(())
    }

    async fn checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.tables().checkpoints.get(shard).cloned())
    }

    async fn partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        let items = self.items().await?;
        Ok(items.into_iter().filter(|(key, _)| key.partition == partition).collect())
    }

    async fn items(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        Ok(self.tables().items.iter().map(|(key, item)| (key.clone(), item.clone())).collect())
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        Ok(self.tables().letters.get(id).cloned())
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let mut letters: Vec<_> = self.tables().letters.values().cloned().collect();
        super::sort_letters(&mut letters);
        Ok(letters)
    }

    async fn redrive_sequence(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        let mut guard = self.tables();
        let tables = &mut *guard;
        let mut letters = Vec::new();
        for id in ids {
            if let Some(letter) = tables.letters.get_mut(id) {
                super::give_redrive_sequence(letter, &mut tables.redrive_sequences);
                letters.push(letter.clone());
            }
        }
        letters.sort_by_key(|letter| letter.redrive_sequence);
        Ok(letters)
    }
}
