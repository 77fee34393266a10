//! The store that a configuration names.

use std::collections::HashSet;
use std::sync::Arc;

#[cfg(feature = "aws")]
use paceline_aws::DynamoDbStore;
use paceline_pipeline::model::{Checkpoint, DeadLetter, Item, Key};
use paceline_pipeline::store::{
    CheckpointStore, DeadLetterStore, EmbeddedStore, Expected, GroupStore, Horizon, MemoryStore, Notice, NoticeStore,
    Pin, PinKey, PinStore, RemoteStore, StoreError, StoreServer, UnstorableItem, Write, WriteOutcome,
};

/// One of the stores.
#[derive(Debug)]
pub enum AnyStore {
    /// One file on this machine. While the server lives, other processes can use it, too.
    Embedded(Arc<EmbeddedStore>, Option<StoreServer>),
    /// One file on this machine that another process has open.
    Remote(RemoteStore),
    /// A table in DynamoDB.
    #[cfg(feature = "aws")]
    DynamoDb(DynamoDbStore),
    /// The process's memory.
    Memory(MemoryStore),
}

impl AnyStore {
    /// Stops the server, if there is one: from now on no other process can begin to use the store.
    pub fn stop_serving(&self) {
        if let Self::Embedded(_, Some(server)) = self {
            server.stop();
        }
    }
}

/// The same call on whichever store it is.
macro_rules! each {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Self::Embedded($store, _) => $call,
            Self::Remote($store) => $call,
            #[cfg(feature = "aws")]
            Self::DynamoDb($store) => $call,
            Self::Memory($store) => $call,
        }
    };
}

impl GroupStore for AnyStore {
    fn check_item(&self, key: &Key, item: &Item) -> Result<(), UnstorableItem> {
        each!(self, store => store.check_item(key, item))
    }

    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        each!(self, store => store.load_groups(keys).await)
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        each!(self, store => store.write_groups(writes).await)
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        each!(self, store => store.list_partition(partition).await)
    }

    async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        each!(self, store => store.list_groups().await)
    }
}

impl PinStore for AnyStore {
    async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        each!(self, store => store.get_pins(keys).await)
    }

    async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        each!(self, store => store.put_pins(pins).await)
    }

    async fn list_pins(&self, race_type: &str, limit: usize) -> Result<Vec<(PinKey, Pin)>, StoreError> {
        each!(self, store => store.list_pins(race_type, limit).await)
    }
}

impl CheckpointStore for AnyStore {
    async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        each!(self, store => store.get_checkpoint(shard).await)
    }

    async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        each!(self, store => store.put_checkpoint(shard, checkpoint).await)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        each!(self, store => store.flush().await)
    }
}

impl DeadLetterStore for AnyStore {
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        each!(self, store => store.put_dead_letters(letters).await)
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        each!(self, store => store.delete_dead_letters(ids).await)
    }

    async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        each!(self, store => store.get_dead_letter(id).await)
    }

    async fn get_horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
        each!(self, store => store.get_horizon(shard).await)
    }

    async fn put_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
        each!(self, store => store.put_horizon(shard, horizon).await)
    }

    async fn known_dead_letters(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        each!(self, store => store.known_dead_letters(ids).await)
    }

    async fn scan_dead_letters(&self, on_letter: impl FnMut(DeadLetter) + Send) -> Result<(), StoreError> {
        each!(self, store => store.scan_dead_letters(on_letter).await)
    }

    async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        each!(self, store => store.assign_redrive_sequences(ids).await)
    }
}

impl NoticeStore for AnyStore {
    async fn list_notices(&self, topic: &str) -> Result<Vec<Notice>, StoreError> {
        each!(self, store => store.list_notices(topic).await)
    }

    async fn put_notice(&self, topic: &str, notice: &Notice, expected: Expected) -> Result<bool, StoreError> {
        each!(self, store => store.put_notice(topic, notice, expected).await)
    }
}
