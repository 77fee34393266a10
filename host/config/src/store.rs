//! The store that a configuration names.

use paceline_aws::DynamoDbStore;
use paceline_pipeline::Store;
use paceline_pipeline::model::Checkpoint;
use paceline_pipeline::model::DeadLetter;
use paceline_pipeline::store::{EmbeddedStore, MemoryStore, Pin, PinKey, StoreError, Write, WriteOutcome};
use paceline_pipeline::model::{Item, Key};

/// One of the stores.
#[derive(Debug)]
pub enum AnyStore {
    /// One file on this machine.
    Embedded(EmbeddedStore),
    /// A table in DynamoDB.
    DynamoDb(DynamoDbStore),
    /// The process's memory.
    Memory(MemoryStore),
}

macro_rules! either {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Self::Embedded($store) => $call,
            Self::DynamoDb($store) => $call,
            Self::Memory($store) => $call,
        }
    };
}

impl Store for AnyStore {
    fn fits(&self, key: &Key, item: &Item) -> Result<(), String> {
        either!(self, store => store.fits(key, item))
    }

    async fn load(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        either!(self, store => store.load(keys).await)
    }

    async fn write(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        either!(self, store => store.write(writes).await)
    }

    async fn pin(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        either!(self, store => store.pin(pins).await)
    }

    async fn pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        either!(self, store => store.pins(keys).await)
    }

    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        either!(self, store => store.put_dead_letters(letters).await)
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        either!(self, store => store.delete_dead_letters(ids).await)
    }

    async fn acknowledge(&self, checkpoint: Option<(&str, &Checkpoint)>) -> Result<(), StoreError> {
        either!(self, store => store.acknowledge(checkpoint).await)
    }

    async fn checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        either!(self, store => store.checkpoint(shard).await)
    }

    async fn partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        either!(self, store => store.partition(partition).await)
    }

    async fn items(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        either!(self, store => store.items().await)
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        either!(self, store => store.dead_letter(id).await)
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        either!(self, store => store.dead_letters().await)
    }

    async fn redrive_sequence(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        either!(self, store => store.redrive_sequence(ids).await)
    }
}
