//! DynamoDB as the store.
//!
//! Each group is an item that carries its revision, state and dedup state beside what people read. It is written on the
//! condition that its revision is the one that was read. Pins and checkpoints are in the same table, in partitions that
//! begin with `@`. Dead letters are in a separate table, so that they can expire.
//!
//! Every method makes one attempt of each request. Failures that may pass are [`StoreError::Transient`], and the caller
//! retries. A future that is dropped leaves nothing behind that a further attempt would not put right.
//!
//! # Layout
//!
//! - `config`: the settings.
//! - `groups`, `write`: items of groups. `item`: what an item looks like in the table. `cache`: items that need not be read.
//! - `pins`, `checkpoints`, `letters`: the other stores.
//! - `names`: names that keys can hold. `requests`: concurrent requests.
//! - `table`: creating and checking the tables.
//! - `error`: failures, by what the caller does. `usage`: requests and capacity.

mod cache;
mod checkpoints;
mod config;
mod error;
mod groups;
mod item;
mod letters;
mod names;
mod pins;
mod requests;
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
use paceline_pipeline::store::StoreError;

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
        return Err(StoreError::fatal("no DynamoDB table is named: set `table`".to_owned()));
    }
    if config.dead_letter_table() == config.table {
        let text = "`dead-letters` names the table of items: dead letters need a table of their own";
        return Err(StoreError::fatal(text.to_owned()));
    }
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(Duration::from_millis(config.request_ms.max(1)))
        .build();
    let loaded = sdk::load(config.region.as_deref(), config.endpoint.as_deref(), "table").await;
    let shared = loaded.map_err(|error| StoreError::fatal(error.to_string()))?;
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
