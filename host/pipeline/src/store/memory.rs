//! A store that lives as long as the process: for tests and measurements.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    CheckpointStore, DeadLetterStore, Expected, GroupStore, Horizon, Notice, NoticeStore, Pin, PinKey, PinStore,
    StoreError, Write, WriteOutcome,
};
use crate::clock::Clock;
use crate::model::{Checkpoint, DeadLetter, Item, Key};

/// A store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
    clock: Clock,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    items: BTreeMap<Key, Item>,
    pins: BTreeMap<PinKey, Pin>,
    letters: BTreeMap<String, DeadLetter>,
    /// By letter. They stay when a letter is deleted.
    redrive_sequences: HashMap<String, u64>,
    /// By shard.
    horizons: BTreeMap<String, Horizon>,
    checkpoints: BTreeMap<String, Checkpoint>,
    /// By topic and name.
    notices: BTreeMap<(String, String), Notice>,
}

impl Tables {
    fn with_redrive_sequence(&self, letter: &DeadLetter) -> DeadLetter {
        DeadLetter { redrive_sequence: self.redrive_sequences.get(&letter.id).copied(), ..letter.clone() }
    }
}

impl MemoryStore {
    /// A store whose notices expire by this clock.
    pub fn with_clock(clock: Clock) -> Self {
        Self { tables: Mutex::default(), clock }
    }

    fn now(&self) -> u64 {
        self.clock.since_epoch().as_secs()
    }

    /// Holds from now on what another store holds now: what a crash leaves, or what it spares.
    pub fn copy_from(&self, other: &Self) {
        let tables = other.tables().clone();
        *self.tables() = tables;
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupStore for MemoryStore {
    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        let tables = self.tables();
        Ok(keys.iter().map(|key| tables.items.get(key).cloned()).collect())
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        let mut tables = self.tables();
        let write = |Write { key, expected, item }: &Write| {
            if tables.items.get(key).map(|item| item.revision) != *expected {
                return WriteOutcome::Conflict;
            }
            tables.items.insert(key.clone(), item.clone());
            WriteOutcome::Done
        };
        Ok(writes.iter().map(write).collect())
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        let items = self.list_groups().await?;
        Ok(items.into_iter().filter(|(key, _)| key.partition == partition).collect())
    }

    async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        Ok(self.tables().items.iter().map(|(key, item)| (key.clone(), item.clone())).collect())
    }
}

impl PinStore for MemoryStore {
    async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        let tables = self.tables();
        Ok(keys.iter().map(|key| tables.pins.get(key).copied()).collect())
    }

    async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        let mut tables = self.tables();
        Ok(pins.iter().map(|(key, pin)| *tables.pins.entry(key.clone()).or_insert(*pin)).collect())
    }

    async fn list_pins(&self, race_type: &str, limit: usize) -> Result<Vec<(PinKey, Pin)>, StoreError> {
        let tables = self.tables();
        let of_type = tables.pins.iter().filter(|(key, _)| key.race_type == race_type);
        Ok(of_type.take(limit).map(|(key, pin)| (key.clone(), *pin)).collect())
    }
}

impl CheckpointStore for MemoryStore {
    async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.tables().checkpoints.get(shard).cloned())
    }

    async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.tables().checkpoints.insert(shard.to_owned(), checkpoint.clone());
        Ok(())
    }

    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl DeadLetterStore for MemoryStore {
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.letters.extend(letters.iter().map(|letter| {
            // It is kept beside the letters.
            (letter.id.clone(), DeadLetter { redrive_sequence: None, ..letter.clone() })
        }));
        Ok(())
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        ids.iter().for_each(|id| drop(tables.letters.remove(id)));
        Ok(())
    }

    async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        let tables = self.tables();
        Ok(tables.letters.get(id).map(|letter| tables.with_redrive_sequence(letter)))
    }

    async fn get_horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
        Ok(self.tables().horizons.get(shard).cloned())
    }

    async fn put_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let before = tables.horizons.get(shard).map_or(0, |horizon| horizon.version);
        let is_met = before + 1 == horizon.version;
        if is_met {
            tables.horizons.insert(shard.to_owned(), horizon.clone());
        }
        Ok(is_met)
    }

    async fn known_dead_letters(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        let tables = self.tables();
        let is_known = |id: &&String| tables.letters.contains_key(*id) || tables.redrive_sequences.contains_key(*id);
        Ok(ids.iter().filter(is_known).cloned().collect())
    }

    async fn scan_dead_letters(&self, each: impl FnMut(DeadLetter) + Send) -> Result<(), StoreError> {
        let tables = self.tables();
        tables.letters.values().map(|letter| tables.with_redrive_sequence(letter)).for_each(each);
        Ok(())
    }

    async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        let mut tables = self.tables();
        let (mut letters, mut seen) = (Vec::new(), HashSet::new());
        for id in ids.iter().filter(|id| seen.insert(*id)) {
            if tables.letters.contains_key(id) {
                let next = tables.redrive_sequences.len() as u64 + 1;
                tables.redrive_sequences.entry(id.clone()).or_insert(next);
                letters.push(tables.with_redrive_sequence(&tables.letters[id]));
            }
        }
        Ok(letters)
    }
}

impl NoticeStore for MemoryStore {
    async fn list_notices(&self, topic: &str) -> Result<Vec<Notice>, StoreError> {
        let (tables, now) = (self.tables(), self.now());
        let of_topic = tables.notices.iter().filter(|((of, _), notice)| of == topic && !notice.is_expired(now));
        Ok(of_topic.map(|(_, notice)| notice.clone()).collect())
    }

    async fn put_notice(&self, topic: &str, notice: &Notice, expected: Expected) -> Result<bool, StoreError> {
        notice.check_name()?;
        let (mut tables, now) = (self.tables(), self.now());
        tables.notices.retain(|_, notice| !notice.is_expired(now));
        let key = (topic.to_owned(), notice.name.clone());
        let is_met = expected.is_met(tables.notices.get(&key));
        if is_met {
            tables.notices.insert(key, notice.clone());
        }
        Ok(is_met)
    }
}
