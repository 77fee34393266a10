//! What is behind a host's store: the store in memory, or DynamoDB in memory through the AWS SDK.

use std::collections::HashSet;
use std::sync::Arc;

use aws_types::SdkConfig;
use paceline_aws::dynamodb::{DynamoDbConfig, DynamoDbStore, client_from};
use paceline_pipeline::Clock;
use paceline_pipeline::model::{Checkpoint, DeadLetter, Item, Key};
use paceline_pipeline::store::{
    CheckpointStore, DeadLetterStore, Expected, GroupStore, Horizon, MemoryStore, Notice, NoticeStore, Pin, PinKey,
    PinStore, StoreError, UnstorableItem, Write, WriteOutcome,
};

use crate::dynamodb::{Database, ITEMS};
use crate::http;

/// A store without faults of its own.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Memory(Arc<MemoryStore>),
    DynamoDb(Arc<DynamoDbStore>),
}

/// The same call on either.
macro_rules! on {
    ($backend:expr, $method:ident($($argument:expr),*)) => {
        match $backend {
            Backend::Memory(store) => store.$method($($argument),*).await,
            // The larger of the two futures: it would make all calls as large as itself.
            Backend::DynamoDb(store) => Box::pin(store.$method($($argument),*)).await,
        }
    };
}

impl Backend {
    /// DynamoDB as a store.
    pub(crate) fn dynamodb(sdk: &SdkConfig, clock: Clock, config: &DynamoDbConfig) -> Self {
        Self::DynamoDb(Arc::new(DynamoDbStore::new(client_from(sdk, config), config).with_clock(clock)))
    }

    /// DynamoDB for those who look at the tables from outside: without faults and without a cache.
    pub(crate) fn outside(database: &Arc<Database>, clock: Clock) -> Self {
        let config = DynamoDbConfig { table: ITEMS.to_owned(), cached_bytes: 0, ..DynamoDbConfig::default() };
        Self::dynamodb(&http::sdk(Arc::clone(database), clock), clock, &config)
    }

    /// Holds from now on what another one holds now. Tables of DynamoDB lose nothing with a host.
    pub(crate) fn copy_from(&self, other: &Self) {
        if let (Self::Memory(store), Self::Memory(other)) = (self, other) {
            store.copy_from(other);
        }
    }
}

impl GroupStore for Backend {
    fn check_item(&self, key: &Key, item: &Item) -> Result<(), UnstorableItem> {
        match self {
            Self::Memory(store) => store.check_item(key, item),
            Self::DynamoDb(store) => store.check_item(key, item),
        }
    }

    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        on!(self, load_groups(keys))
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        on!(self, write_groups(writes))
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        on!(self, list_partition(partition))
    }

    async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        on!(self, list_groups())
    }
}

impl PinStore for Backend {
    async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        on!(self, get_pins(keys))
    }

    async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        on!(self, put_pins(pins))
    }

    async fn list_pins(&self, race_type: &str, limit: usize) -> Result<Vec<(PinKey, Pin)>, StoreError> {
        on!(self, list_pins(race_type, limit))
    }
}

impl CheckpointStore for Backend {
    async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        on!(self, get_checkpoint(shard))
    }

    async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        on!(self, put_checkpoint(shard, checkpoint))
    }

    async fn flush(&self) -> Result<(), StoreError> {
        on!(self, flush())
    }
}

impl DeadLetterStore for Backend {
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        on!(self, put_dead_letters(letters))
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        on!(self, delete_dead_letters(ids))
    }

    async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        on!(self, get_dead_letter(id))
    }

    async fn get_horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
        on!(self, get_horizon(shard))
    }

    async fn put_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
        on!(self, put_horizon(shard, horizon))
    }

    async fn known_dead_letters(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        on!(self, known_dead_letters(ids))
    }

    async fn scan_dead_letters(&self, each: impl FnMut(DeadLetter) + Send) -> Result<(), StoreError> {
        on!(self, scan_dead_letters(each))
    }

    async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        on!(self, assign_redrive_sequences(ids))
    }
}

impl NoticeStore for Backend {
    async fn list_notices(&self, topic: &str) -> Result<Vec<Notice>, StoreError> {
        on!(self, list_notices(topic))
    }

    async fn put_notice(&self, topic: &str, notice: &Notice, expected: Expected) -> Result<bool, StoreError> {
        on!(self, put_notice(topic, notice, expected))
    }
}
