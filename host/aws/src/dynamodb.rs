//! DynamoDB as the store.
//!
//! Each group is an item that carries, beside what people read, its revision, state and fence, and is written on the
//! condition that its revision is the one that was read. Pins and checkpoints stand in the same table, in partitions
//! that begin with `@`; dead letters have a table of their own, so that they can expire.
//!
//! Every method makes one attempt of each request. What passes by itself is [`StoreError::Transient`], and the caller tries
//! again; a future that is dropped leaves nothing behind that a further attempt would not put right.
//!
//! # Layout
//! - `config`: the settings.
//! - `item`: what an item looks like in the table, and whether it fits.
//! - `cache`: items that need not be read again.
//! - `requests`: several requests at once.
//! - `load`, `write`: items of groups.
//! - `pins`: pins and checkpoints.
//! - `letters`: dead letters.
//! - `table`: creating and checking the tables.
//! - `error`: what goes wrong, and what to do about it.
//! - `usage`: what it costs.

mod cache;
mod config;
mod error;
mod requests;
mod item;
mod letters;
mod load;
mod pins;
pub mod table;
mod usage;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::StalledStreamProtectionConfig;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use paceline_pipeline::model::Checkpoint;
use paceline_pipeline::model::DeadLetter;
use paceline_pipeline::model::{Item, Key};
use paceline_pipeline::store::{Pin, PinKey, Store, StoreError, Write, WriteOutcome};

pub use config::{DynamoDbConfig, IndexConfig, WriteWith};
pub use usage::Usage;

use crate::sdk;

use cache::Cache;
use error::TableRef;
use usage::Meter;

/// How long connecting may take. Within a region it takes a millisecond; a lost packet is sent again after one second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A client with the settings that the store wants, with region, endpoint and credentials from the configuration or,
/// failing that, from where the AWS tools take them.
///
/// It makes one attempt a call, because the pipeline tries again by a deadline of its own.
pub async fn client(config: &DynamoDbConfig) -> Result<Client, StoreError> {
    if config.table.is_empty() {
        return Err(StoreError::Fatal("no DynamoDB table is named: set `table`".to_owned()));
    }
    if config.dead_letter_table() == config.table {
        let text = "`dead-letters` names the table of items: dead letters need a table of their own";
        return Err(StoreError::Fatal(text.to_owned()));
    }
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(Duration::from_millis(config.request_ms.max(1)))
        .build();
    let loaded = sdk::load(config.region.as_deref(), config.endpoint.as_deref(), "table").await;
    let shared = loaded.map_err(StoreError::Fatal)?;
    // Only DynamoDB's calls get these limits: credentials come from elsewhere, and may take longer.
    let settings = aws_sdk_dynamodb::config::Builder::from(&shared)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Ok(Client::from_conf(settings.build()))
}

/// DynamoDB as the store.
pub struct DynamoDbStore {
    client: Client,
    table: Arc<TableRef>,
    letters: Arc<TableRef>,
    dead_letter_days: u32,
    write: WriteWith,
    concurrency: usize,
    /// The attribute that the index goes by, which must be a number.
    index: String,
    cache: Cache,
    meter: Arc<Meter>,
}

impl fmt::Debug for DynamoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbStore")
            .field("table", &self.table)
            .field("letters", &self.letters)
            .finish_non_exhaustive()
    }
}

impl DynamoDbStore {
    /// Finds out region and credentials; sends no request to DynamoDB yet.
    pub async fn connect(config: &DynamoDbConfig) -> Result<Self, StoreError> {
        Ok(Self::new(client(config).await?, config))
    }

    /// A store on a client. The client should make one attempt a call, as that of [`client`] does.
    pub fn new(client: Client, config: &DynamoDbConfig) -> Self {
        let (table, letters) = names(&client, config);
        Self {
            client,
            table: Arc::new(table),
            letters: Arc::new(letters),
            dead_letter_days: config.dead_letter_days,
            write: config.write,
            concurrency: config.concurrency.max(1),
            index: config.index.attribute.clone(),
            cache: Cache::new(config.cached_items),
            meter: Arc::default(),
        }
    }

    /// What has been asked of DynamoDB since the store was opened.
    pub fn usage(&self) -> Usage {
        self.meter.read()
    }
}

/// The two tables, as messages name them.
fn names(client: &Client, config: &DynamoDbConfig) -> (TableRef, TableRef) {
    let region = client.config().region().map(ToString::to_string);
    let named = |table: String| TableRef::new(table, region.as_deref(), config.endpoint.as_deref());
    (named(config.table.clone()), named(config.dead_letter_table()))
}

impl Store for DynamoDbStore {
    fn fits(&self, key: &Key, item: &Item) -> Result<(), String> {
        item::fits(key, item, &self.index)
    }

    async fn load(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.load_items(keys).await
    }

    async fn write(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        self.write_items(writes).await
    }

    async fn pin(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        self.put_pins(pins).await
    }

    async fn pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        self.get_pins(keys).await
    }

    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.put_letters(letters).await
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        self.delete_letters(ids).await
    }

    async fn acknowledge(&self, checkpoint: Option<(&str, &Checkpoint)>) -> Result<(), StoreError> {
        // Everything before is durable since it was answered.
        match checkpoint {
            Some((shard, checkpoint)) => self.put_checkpoint(shard, checkpoint).await,
            None => Ok(()),
        }
    }

    async fn checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.get_checkpoint(shard).await
    }

    async fn partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        self.query_partition(partition).await
    }

    async fn items(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        self.scan_items().await
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.get_letter(id).await
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.scan_letters().await
    }

    async fn redrive_sequence(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        self.ticket_letters(ids).await
    }
}
