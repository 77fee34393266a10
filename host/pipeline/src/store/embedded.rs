//! A store in one file, on redb: crash-safe, without a server, for one process at a time.

use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Item, Key, Pin, PinKey, Store, StoreError, Write, Written, give_redrive_sequence, sort_letters};
use crate::batch::Checkpoint;
use crate::dead_letter::DeadLetter;

const ITEMS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("items");
const PINS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("pins");
const LETTERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("dead-letters");
const CHECKPOINTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("checkpoints");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The format of what the tables hold.
const FORMAT: u64 = 1;

/// Memory for pages of the file. The items of some thousand racers fit; a store that grows beyond is read from disk.
const CACHE_BYTES: usize = 32 << 20;

/// A store in one file.
///
/// What is written becomes visible at once and survives a crash from the next [`acknowledge`](Store::acknowledge) on:
/// one write to disk a batch.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: Database,
    path: PathBuf,
}

impl EmbeddedStore {
    /// Opens a store, or makes it where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let broken = |what: &str| StoreError::Fatal(format!("the store {} {what}", path.display()));
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => {
                broken("is open in another process: end that one, or name another `store.path`")
            }
            error => broken(&format!("can't be opened: {error}")),
        })?;
        let store = Self { database, path: path.to_owned() };
        let found = store.transact(Durability::Immediate, |transaction| {
            // Every table is there from now on, so that reading an empty store needs no special case.
            transaction.open_table(ITEMS)?;
            transaction.open_table(PINS)?;
            transaction.open_table(LETTERS)?;
            transaction.open_table(CHECKPOINTS)?;
            let mut meta = transaction.open_table(META)?;
            let found = meta.get("format")?.map(|format| format.value());
            if found.is_none() {
                meta.insert("format", FORMAT)?;
            }
            Ok(found.unwrap_or(FORMAT))
        })?;
        if found != FORMAT {
            return Err(broken(&format!("has format {found}, this program knows {FORMAT}")));
        }
        Ok(store)
    }

    fn broken(&self, error: impl std::fmt::Display) -> StoreError {
        StoreError::Fatal(format!("the store {}: {error}", self.path.display()))
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
        transact().map_err(|error| self.broken(error))
    }

    fn read<T>(&self, work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let read = || work(&self.database.begin_read()?);
        read().map_err(|error| self.broken(error))
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, redb::Error> {
        postcard::from_bytes(bytes).map_err(|error| redb::Error::Corrupted(format!("an entry can't be read: {error}")))
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("what the tables hold can always be written")
}

impl Store for EmbeddedStore {
    async fn load(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.read(|transaction| {
            let items = transaction.open_table(ITEMS)?;
            let load = |key: &Key| match items.get((key.partition.as_str(), key.sort.as_str()))? {
                Some(found) => Self::decode(found.value()).map(Some),
                None => Ok(None),
            };
            keys.iter().map(load).collect()
        })
    }

    async fn write(&self, writes: &[Write]) -> Result<Vec<Written>, StoreError> {
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
                    return Ok(Written::Conflict);
                }
                buffer.clear();
                buffer = postcard::to_extend(item, std::mem::take(&mut buffer))
                    .map_err(|error| redb::Error::Corrupted(error.to_string()))?;
                items.insert(key, buffer.as_slice())?;
                Ok(Written::Done)
            };
            writes.iter().map(&mut write).collect()
        })
    }

    async fn pin(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        self.transact(Durability::None, |transaction| {
            let mut table = transaction.open_table(PINS)?;
            let mut pin = |(key, pin): &(PinKey, Pin)| {
                let key = (key.race_type.as_str(), key.value.as_str());
                if let Some(found) = table.get(key)? {
                    return Self::decode(found.value());
                }
                table.insert(key, encode(pin).as_slice())?;
                Ok(*pin)
            };
            pins.iter().map(&mut pin).collect()
        })
    }

    async fn pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(PINS)?;
            let load = |key: &PinKey| match table.get((key.race_type.as_str(), key.value.as_str()))? {
                Some(found) => Self::decode(found.value()).map(Some),
                None => Ok(None),
            };
            keys.iter().map(load).collect()
        })
    }

    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.transact(Durability::None, |transaction| {
            let mut table = transaction.open_table(LETTERS)?;
            for letter in letters {
                table.insert(letter.id.as_str(), encode(letter).as_slice())?;
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

    async fn acknowledge(&self, checkpoint: Option<(&str, &Checkpoint)>) -> Result<(), StoreError> {
        // A durable commit makes those before it durable, too.
        self.transact(Durability::Immediate, |transaction| {
            let mut table = transaction.open_table(CHECKPOINTS)?;
            if let Some((shard, checkpoint)) = checkpoint {
                table.insert(shard, encode(checkpoint).as_slice())?;
            }
            Ok(())
        })
    }

    async fn checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.read(|transaction| match transaction.open_table(CHECKPOINTS)?.get(shard)? {
            Some(found) => Self::decode(found.value()).map(Some),
            None => Ok(None),
        })
    }

    async fn partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        self.read(|transaction| {
            let items = transaction.open_table(ITEMS)?;
            let mut found = Vec::new();
            for entry in items.range((partition, "")..)? {
                let (key, item) = entry?;
                let (at, sort) = key.value();
                if at != partition {
                    break;
                }
                let key = Key { partition: at.to_owned(), sort: sort.to_owned() };
                found.push((key, Self::decode(item.value())?));
            }
            Ok(found)
        })
    }

    async fn items(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        self.read(|transaction| {
            let entry = |(partition, sort): (&str, &str), item: &[u8]| {
                let key = Key { partition: partition.to_owned(), sort: sort.to_owned() };
                Ok((key, Self::decode(item)?))
            };
            let items = transaction.open_table(ITEMS)?;
            items
                .iter()?
                .map(|found| found.map_err(Into::into).and_then(|(k, v)| entry(k.value(), v.value())))
                .collect()
        })
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.read(|transaction| match transaction.open_table(LETTERS)?.get(id)? {
            Some(found) => Self::decode(found.value()).map(Some),
            None => Ok(None),
        })
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(LETTERS)?;
            let letters: Result<Vec<_>, redb::Error> =
                table.iter()?.map(|found| Self::decode(found?.1.value())).collect();
            let mut letters = letters?;
            sort_letters(&mut letters);
            Ok(letters)
        })
    }

    async fn redrive_sequence(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        self.transact(Durability::Immediate, |transaction| {
            let mut table = transaction.open_table(LETTERS)?;
            let mut meta = transaction.open_table(META)?;
            let mut last = meta.get("tickets")?.map_or(0, |last| last.value());
            let mut letters = Vec::new();
            for id in ids {
                let found = table.get(id.as_str())?.map(|found| Self::decode::<DeadLetter>(found.value()));
                let Some(mut letter) = found.transpose()? else { continue };
                give_redrive_sequence(&mut letter, &mut last);
                table.insert(id.as_str(), encode(&letter).as_slice())?;
                letters.push(letter);
            }
            meta.insert("tickets", last)?;
            letters.sort_by_key(|letter| letter.redrive_sequence);
            Ok(letters)
        })
    }
}

/// The beginning of an [`Item`].
#[derive(serde::Deserialize)]
struct Revision(u64);
