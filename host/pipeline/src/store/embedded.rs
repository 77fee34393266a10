//! A store in one file, on redb: crash-safe, without a server, for one process at a time.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    CheckpointStore, DeadLetterStore, Expected, GroupStore, Horizon, Notice, NoticeStore, Pin, PinKey, PinStore,
    StoreError, Write, WriteOutcome, notice_time,
};
use crate::clock::Clock;
use crate::dedup::day_of;
use crate::model::{Checkpoint, DeadLetter, Item, Key};

const ITEMS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("items");
/// By race: the pin, and the day on which it was stored, counted from 1970.
const PINS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("pins");
const LETTERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("dead-letters");
/// By shard.
const HORIZONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("horizons");
/// By letter. They stay when a letter is deleted.
const REDRIVE_SEQUENCES: TableDefinition<'_, &str, u64> = TableDefinition::new("redrive-sequences");
const CHECKPOINTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("checkpoints");
const NOTICES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("notices");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The format of the tables.
const FORMAT: u64 = 3;

/// Memory for pages of the file. The items of some thousand racers fit; a store that grows beyond is read from disk.
const CACHE_BYTES: usize = 32 << 20;

/// A store in one file.
///
/// A write is visible at once. It survives a crash from the next [`flush`](CheckpointStore::flush) or
/// [`put_checkpoint`](CheckpointStore::put_checkpoint) on: one write to disk a batch.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: Database,
    path: PathBuf,
}

impl EmbeddedStore {
    /// Opens a store, or creates it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_unless_in_use(path)?.ok_or_else(|| {
            let what = "is open in another process: end that one, or name another `store.path`";
            StoreError::fatal(format!("the store {} {what}", path.display()))
        })
    }

    /// Opens a store, or creates it. `None` if it is open in another process.
    pub fn open_unless_in_use(path: &Path) -> Result<Option<Self>, StoreError> {
        let fatal = |what: &str| StoreError::fatal(format!("the store {} {what}", path.display()));
        let database = match Database::builder().set_cache_size(CACHE_BYTES).create(path) {
            Ok(database) => database,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Ok(None),
            Err(error) => return Err(fatal("can't be opened").with_source(error)),
        };
        let store = Self { database, path: path.to_owned() };
        let found = store.transact(Durability::Immediate, |transaction| {
            // Creating every table now spares readers the case of a missing one.
            transaction.open_table(ITEMS)?;
            transaction.open_table(PINS)?;
            transaction.open_table(LETTERS)?;
            transaction.open_table(HORIZONS)?;
            transaction.open_table(REDRIVE_SEQUENCES)?;
            transaction.open_table(CHECKPOINTS)?;
            transaction.open_table(NOTICES)?;
            let mut meta = transaction.open_table(META)?;
            let found = meta.get("format")?.map(|format| format.value());
            if found.is_none() {
                meta.insert("format", FORMAT)?;
            }
            Ok(found.unwrap_or(FORMAT))
        })?;
        if found != FORMAT {
            return Err(fatal(&format!("has format {found}; this program reads format {FORMAT}")));
        }
        Ok(Some(store))
    }

    /// Deletes the pins that were stored more than so many days ago.
    pub fn delete_pins_after(&self, days: u32) -> Result<(), StoreError> {
        self.delete_pins_before(today().saturating_sub(days))
    }

    /// Deletes the pins that were stored before this day, counted from 1970.
    fn delete_pins_before(&self, first: u32) -> Result<(), StoreError> {
        let is_kept = |bytes: &[u8]| match Self::decode::<(Pin, u32)>(bytes) {
            Ok((_, day)) => day >= first,
            // Whoever reads it reports it.
            Err(_) => true,
        };
        self.transact(Durability::None, |transaction| {
            Ok(transaction.open_table(PINS)?.retain(|_, bytes| is_kept(bytes))?)
        })
    }

    fn failed(&self, error: redb::Error) -> StoreError {
        StoreError::fatal(format!("the store {} failed", self.path.display())).with_source(error)
    }

    fn transact<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let transact = || {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(durability)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok::<_, redb::Error>(done)
        };
        transact().map_err(|error| self.failed(error))
    }

    fn read<T>(&self, work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let read = || work(&self.database.begin_read()?);
        read().map_err(|error| self.failed(error))
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, redb::Error> {
        postcard::from_bytes(bytes).map_err(|error| redb::Error::Corrupted(format!("an entry can't be read: {error}")))
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("the tables' types can always be encoded")
}

/// A letter with its redrive sequence.
fn decode_letter(bytes: &[u8], sequences: &impl ReadableTable<&'static str, u64>) -> Result<DeadLetter, redb::Error> {
    let letter: DeadLetter = EmbeddedStore::decode(bytes)?;
    let redrive_sequence = sequences.get(letter.id.as_str())?.map(|sequence| sequence.value());
    Ok(DeadLetter { redrive_sequence, ..letter })
}

impl GroupStore for EmbeddedStore {
    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.read(|transaction| {
            let items = transaction.open_table(ITEMS)?;
            let load = |key: &Key| match items.get((key.partition.as_str(), key.sort.as_str()))? {
                Some(found) => Self::decode(found.value()).map(Some),
                None => Ok(None),
            };
            keys.iter().map(load).collect()
        })
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        self.transact(Durability::None, |transaction| {
            let mut items = transaction.open_table(ITEMS)?;
            let mut buffer = Vec::new();
            let mut write = |Write { key, expected, item }: &Write| {
                let key = (key.partition.as_str(), key.sort.as_str());
                // The revision is the first thing in an item, so that it can be read alone.
                let revision = match items.get(key)? {
                    Some(found) => Some(Self::decode::<Revision>(found.value())?.0),
                    None => None,
                };
                if revision != *expected {
                    return Ok(WriteOutcome::Conflict);
                }
                buffer.clear();
                buffer = postcard::to_extend(item, std::mem::take(&mut buffer))
                    .map_err(|error| redb::Error::Corrupted(error.to_string()))?;
                items.insert(key, buffer.as_slice())?;
                Ok(WriteOutcome::Done)
            };
            writes.iter().map(&mut write).collect()
        })
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        self.read(|transaction| {
            let items = transaction.open_table(ITEMS)?;
            let mut found = Vec::new();
            for entry in items.range((partition, "")..)? {
                let (key, item) = entry?;
                let (at, sort) = key.value();
                if at != partition {
                    break;
                }
                let key = Key::new(at, sort);
                found.push((key, Self::decode(item.value())?));
            }
            Ok(found)
        })
    }

    async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        self.read(|transaction| {
            let entry = |(partition, sort): (&str, &str), item: &[u8]| {
                let key = Key::new(partition, sort);
                Ok((key, Self::decode(item)?))
            };
            let items = transaction.open_table(ITEMS)?;
            items
                .iter()?
                .map(|found| found.map_err(Into::into).and_then(|(k, v)| entry(k.value(), v.value())))
                .collect()
        })
    }
}

impl PinStore for EmbeddedStore {
    async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(PINS)?;
            let load = |key: &PinKey| match table.get((key.race_type.as_str(), key.value.as_str()))? {
                Some(found) => decode_pin(found.value()).map(Some),
                None => Ok(None),
            };
            keys.iter().map(load).collect()
        })
    }

    async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        self.transact(Durability::None, |transaction| {
            let mut table = transaction.open_table(PINS)?;
            let mut pin = |(key, pin): &(PinKey, Pin)| {
                let key = (key.race_type.as_str(), key.value.as_str());
                if let Some(found) = table.get(key)? {
                    return decode_pin(found.value());
                }
                table.insert(key, encode(&(pin, today())).as_slice())?;
                Ok(*pin)
            };
            pins.iter().map(&mut pin).collect()
        })
    }

    async fn list_pins(&self, race_type: &str, limit: usize) -> Result<Vec<(PinKey, Pin)>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(PINS)?;
            let mut pins = Vec::new();
            for found in table.range((race_type, "")..)?.take(limit) {
                let (key, pin) = found?;
                let (of, value) = key.value();
                if of != race_type {
                    break;
                }
                pins.push((PinKey { race_type: of.to_owned(), value: value.to_owned() }, decode_pin(pin.value())?));
            }
            Ok(pins)
        })
    }
}

impl CheckpointStore for EmbeddedStore {
    async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.read(|transaction| match transaction.open_table(CHECKPOINTS)?.get(shard)? {
            Some(found) => Self::decode(found.value()).map(Some),
            None => Ok(None),
        })
    }

    async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        // A durable commit makes those before it durable, too.
        self.transact(Durability::Immediate, |transaction| {
            transaction.open_table(CHECKPOINTS)?.insert(shard, encode(checkpoint).as_slice())?;
            Ok(())
        })
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.transact(Durability::Immediate, |transaction| {
            transaction.open_table(CHECKPOINTS).map(drop).map_err(Into::into)
        })
    }
}

impl DeadLetterStore for EmbeddedStore {
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.transact(Durability::None, |transaction| {
            let mut table = transaction.open_table(LETTERS)?;
            for letter in letters {
                // The redrive sequence is kept beside the letters.
                let letter = DeadLetter { redrive_sequence: None, ..letter.clone() };
                table.insert(letter.id.as_str(), encode(&letter).as_slice())?;
            }
            Ok(())
        })
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        self.transact(Durability::None, |transaction| {
            let mut table = transaction.open_table(LETTERS)?;
            for id in ids {
                table.remove(id.as_str())?;
            }
            Ok(())
        })
    }

    async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.read(|transaction| {
            let sequences = transaction.open_table(REDRIVE_SEQUENCES)?;
            match transaction.open_table(LETTERS)?.get(id)? {
                Some(found) => decode_letter(found.value(), &sequences).map(Some),
                None => Ok(None),
            }
        })
    }

    async fn get_horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
        self.read(|transaction| {
            let horizon = transaction.open_table(HORIZONS)?.get(shard)?;
            horizon.map(|horizon| Self::decode(horizon.value())).transpose()
        })
    }

    async fn put_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
        self.transact(Durability::None, |transaction| {
            let mut horizons = transaction.open_table(HORIZONS)?;
            let before = horizons.get(shard)?.map(|horizon| Self::decode::<Horizon>(horizon.value())).transpose()?;
            let is_met = before.map_or(0, |horizon| horizon.version) + 1 == horizon.version;
            if is_met {
                horizons.insert(shard, encode(horizon).as_slice())?;
            }
            Ok(is_met)
        })
    }

    async fn known_dead_letters(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        self.read(|transaction| {
            let (letters, sequences) = (transaction.open_table(LETTERS)?, transaction.open_table(REDRIVE_SEQUENCES)?);
            let mut known = HashSet::new();
            for id in ids {
                if letters.get(id.as_str())?.is_some() || sequences.get(id.as_str())?.is_some() {
                    known.insert(id.clone());
                }
            }
            Ok(known)
        })
    }

    async fn scan_dead_letters(&self, mut each: impl FnMut(DeadLetter) + Send) -> Result<(), StoreError> {
        self.read(|transaction| {
            let sequences = transaction.open_table(REDRIVE_SEQUENCES)?;
            for found in transaction.open_table(LETTERS)?.iter()? {
                each(decode_letter(found?.1.value(), &sequences)?);
            }
            Ok(())
        })
    }

    async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        self.transact(Durability::Immediate, |transaction| {
            let table = transaction.open_table(LETTERS)?;
            let mut sequences = transaction.open_table(REDRIVE_SEQUENCES)?;
            let (mut letters, mut seen) = (Vec::new(), HashSet::new());
            for id in ids.iter().filter(|id| seen.insert(*id)) {
                let Some(found) = table.get(id.as_str())? else { continue };
                if sequences.get(id.as_str())?.is_none() {
                    // None is ever removed.
                    let next = sequences.len()? + 1;
                    sequences.insert(id.as_str(), next)?;
                }
                letters.push(decode_letter(found.value(), &sequences)?);
            }
            Ok(letters)
        })
    }
}

impl NoticeStore for EmbeddedStore {
    async fn list_notices(&self, topic: &str) -> Result<Vec<Notice>, StoreError> {
        let now = notice_time();
        self.read(|transaction| {
            let table = transaction.open_table(NOTICES)?;
            let mut notices = Vec::new();
            for found in table.range((topic, "")..)? {
                let (key, notice) = found?;
                if key.value().0 != topic {
                    break;
                }
                let notice: Notice = Self::decode(notice.value())?;
                if !notice.is_expired(now) {
                    notices.push(notice);
                }
            }
            Ok(notices)
        })
    }

    async fn put_notice(&self, topic: &str, notice: &Notice, expected: Expected) -> Result<bool, StoreError> {
        notice.check_name()?;
        let now = notice_time();
        self.transact(Durability::Immediate, |transaction| {
            let mut table = transaction.open_table(NOTICES)?;
            // There are few, and nothing else deletes those that have expired.
            table.retain(|_, bytes| !Self::decode::<Notice>(bytes).is_ok_and(|notice| notice.is_expired(now)))?;
            let key = (topic, notice.name.as_str());
            let found = table.get(key)?.map(|found| Self::decode::<Notice>(found.value())).transpose()?;
            let is_met = expected.is_met(found.as_ref());
            if is_met {
                table.insert(key, encode(notice).as_slice())?;
            }
            Ok(is_met)
        })
    }
}

fn decode_pin(bytes: &[u8]) -> Result<Pin, redb::Error> {
    EmbeddedStore::decode(bytes).map(|(pin, _): (Pin, u32)| pin)
}

/// The present day, counted from 1970.
fn today() -> u32 {
    day_of(Clock::Machine.since_epoch())
}

/// The first field of an [`Item`].
#[derive(serde::Deserialize)]
struct Revision(u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_deleted_after_their_days() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store")).unwrap();
        let pin = Pin { rulebook: [7; 32].into(), revision: 3 };
        let put = |transaction: &WriteTransaction| {
            let mut pins = transaction.open_table(PINS)?;
            for (race, day) in [("131", 10_u32), ("132", 11)] {
                pins.insert(("3", race), encode(&(pin, day)).as_slice())?;
            }
            Ok(())
        };
        store.transact(Durability::None, put).unwrap();
        let kept_from = |first: u32| {
            store.delete_pins_before(first).unwrap();
            let races = |transaction: &redb::ReadTransaction| {
                let pins = transaction.open_table(PINS)?;
                pins.iter()?.map(|found| Ok(found?.0.value().1.to_owned())).collect::<Result<Vec<_>, redb::Error>>()
            };
            store.read(races).unwrap()
        };
        assert_eq!(kept_from(10), ["131", "132"]);
        assert_eq!(kept_from(11), ["132"]);
        assert_eq!(kept_from(12), [""; 0]);
    }
}
