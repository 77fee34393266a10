//! DynamoDB as the store.
//!
//! Each group is one item with its revision, state, dedup state and attributes, unless its rulebook packs groups. A write
//! is conditional on the revision that was read. Pins, checkpoints and notices are in the same table, in partitions whose
//! keys begin with `@`. Dead letters are in a separate table, so that DynamoDB can expire them.
//!
//! Every method attempts each request once and returns transient failures as [`StoreError::Transient`]; the caller
//! retries. Every method is safe to cancel: a repeated call completes what a dropped future left undone.
//!
//! # Layout
//!
//! - `config`: the settings.
//! - `groups`, `write`: reads and conditional writes of items. `statement`: a write in PartiQL. `cache`: cached items.
//! - `item`, `number`: the format of items. `packs`: groups that share an item.
//! - `pins`, `checkpoints`, `dead_letters` and their `horizons`, `notices`: the other stores. `dead_letter_item`: the format
//!   of dead letters.
//! - `names`: shortens names to the limits of keys. `requests`: concurrent requests.
//!   `batch_get`: one `BatchGetItem`.
//! - `table`: creates and checks the tables. `difference`: how a table differs from what is needed.
//! - `error`: errors by what the caller does. `usage`: counts requests and capacity. `throttle`:
//!   which limit throttled a request.

mod batch_get;
mod cache;
mod checkpoints;
mod config;
mod dead_letter_item;
mod dead_letters;
mod difference;
mod error;
mod groups;
mod horizons;
mod item;
mod names;
mod notices;
mod number;
mod packs;
mod pins;
mod requests;
mod statement;
pub mod table;
mod throttle;
mod usage;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::StalledStreamProtectionConfig;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use paceline_pipeline::Clock;
use paceline_pipeline::store::StoreError;

pub use config::{DynamoDbConfig, IndexConfig, WriteWith};
pub use throttle::{ThrottleCause, Throttled, Throttles, throttles_since};
pub use usage::Usage;

use crate::sdk;

use cache::Cache;
use error::TableRef;
use packs::Packs;
use usage::UsageCounter;

/// The connect timeout. Within a region, connecting takes a millisecond; a lost packet is sent again after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A client with the store's timeouts. Region, endpoint and credentials come from the configuration, or else from where
/// the AWS tools take them.
///
/// The client does not retry, because the pipeline retries by its own deadline.
pub async fn client(config: &DynamoDbConfig) -> Result<Client, StoreError> {
    if config.table.is_empty() {
        return Err(StoreError::fatal("no DynamoDB table is configured: set `table`"));
    }
    if config.dead_letter_table() == config.table {
        return Err(StoreError::fatal(format!(
            "`dead-letters` and `table` name the same table `{}`: name another table for dead letters",
            config.table
        )));
    }
    let loaded = sdk::load(config.region.as_deref(), config.endpoint.as_deref(), "`region` beside `table`").await;
    Ok(client_from(&loaded.map_err(|error| StoreError::fatal(error.to_string()))?, config))
}

/// A client as that of [`client`], by what is loaded already: region, endpoint, credentials, HTTP and clock.
pub fn client_from(shared: &SdkConfig, config: &DynamoDbConfig) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(Duration::from_millis(config.request_ms.max(1)))
        .build();
    // These limits hold for requests to DynamoDB only: requests for credentials go elsewhere and may take longer.
    let settings = aws_sdk_dynamodb::config::Builder::from(shared)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(settings.build())
}

/// DynamoDB as the store.
pub struct DynamoDbStore {
    client: Client,
    table: Arc<TableRef>,
    dead_letters: Arc<TableRef>,
    dead_letter_days: u32,
    pin_days: u32,
    write: WriteWith,
    concurrency: usize,
    /// The hash key of the global index. Its values must be numbers.
    index_attribute: String,
    cache: Cache,
    packs: Arc<Packs>,
    usage: Arc<UsageCounter>,
    /// By which items expire.
    clock: Clock,
}

impl fmt::Debug for DynamoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbStore")
            .field("table", &self.table)
            .field("dead_letters", &self.dead_letters)
            .finish_non_exhaustive()
    }
}

impl DynamoDbStore {
    /// Resolves region and credentials. Sends no request to DynamoDB.
    pub async fn connect(config: &DynamoDbConfig) -> Result<Self, StoreError> {
        Ok(Self::new(client(config).await?, config))
    }

    /// A store that uses this client, which should not retry; see [`client`].
    pub fn new(client: Client, config: &DynamoDbConfig) -> Self {
        let (table, dead_letters) = table_refs(&client, config);
        Self {
            client,
            table: Arc::new(table),
            dead_letters: Arc::new(dead_letters),
            dead_letter_days: config.dead_letter_days,
            pin_days: config.pin_days,
            write: config.write,
            concurrency: config.concurrency,
            index_attribute: config.index.attribute.clone(),
            cache: Cache::new(config.cached_bytes / 2),
            packs: Arc::new(Packs::new(config.cached_bytes / 2)),
            usage: Arc::default(),
            clock: Clock::default(),
        }
    }

    /// With another clock, by which items expire.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The time of day in seconds since 1970.
    fn now(&self) -> u64 {
        self.clock.since_epoch().as_secs()
    }

    /// Requests and consumed capacity since the store was opened.
    pub fn usage(&self) -> Usage {
        self.usage.snapshot()
    }

    /// What was throttled since the store was opened.
    pub fn throttles(&self) -> Throttles {
        self.usage.throttles()
    }
}

/// The tables of items and of dead letters.
fn table_refs(client: &Client, config: &DynamoDbConfig) -> (TableRef, TableRef) {
    let region = client.config().region().map(ToString::to_string);
    let table_ref = |table: String| TableRef::new(table, region.as_deref(), config.endpoint.as_deref());
    (table_ref(config.table.clone()), table_ref(config.dead_letter_table()))
}
