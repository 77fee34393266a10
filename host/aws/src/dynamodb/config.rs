//! Settings of the tables and of the requests to them.

use serde::Deserialize;

/// The settings of DynamoDB as the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DynamoDbConfig {
    /// The table of items, pins and checkpoints.
    pub table: String,
    /// The table of dead letters. Default: the name of `table` followed by `-dead-letters`.
    pub dead_letters: Option<String>,
    /// Days after which DynamoDB deletes a dead letter; 0 keeps them for ever.
    pub dead_letter_days: u32,
    /// Days after which DynamoDB deletes the pin of a race; 0 keeps them for ever.
    pub pin_days: u32,
    /// The region. Default: that of the environment or the profile.
    pub region: Option<String>,
    /// The URL of the service, for DynamoDB Local and private endpoints. Default: that of the region.
    pub endpoint: Option<String>,
    /// The kind of request that writes items.
    pub write: WriteWith,
    /// The maximum number of requests in flight for one call of the store.
    pub concurrency: usize,
    /// About the bytes of cached items, which need not be read before each write; 0 turns the cache off. A cached item takes
    /// some 400 bytes more than in the table. Half of it is for packed groups.
    pub cached_bytes: usize,
    /// The timeout of one attempt of a request, in milliseconds.
    pub request_ms: u64,
    /// The index for queries by rank or race; used when tables are created or checked.
    pub index: IndexConfig,
}

impl Default for DynamoDbConfig {
    fn default() -> Self {
        Self {
            table: String::new(),
            dead_letters: None,
            dead_letter_days: 14,
            pin_days: 400,
            region: None,
            endpoint: None,
            write: WriteWith::Statements,
            concurrency: 16,
            cached_bytes: 64 << 20,
            request_ms: 3_000,
            index: IndexConfig::default(),
        }
    }
}

impl DynamoDbConfig {
    /// The name of the table of dead letters.
    pub fn dead_letter_table(&self) -> String {
        self.dead_letters.clone().unwrap_or_else(|| format!("{}-dead-letters", self.table))
    }
}

/// The kind of request that writes items. Both kinds result in the same items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteWith {
    /// `BatchExecuteStatement`: up to 25 conditional writes a request. Needs the additional permissions
    /// `dynamodb:PartiQLInsert` and `dynamodb:PartiQLUpdate`.
    #[default]
    Statements,
    /// `PutItem`: one request for each item.
    Items,
}

/// The table's global index. Its hash key is a number, its range key the table's sort key; it projects all attributes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IndexConfig {
    /// The attribute that is the hash key. Only numbers can be written to it.
    pub attribute: String,
    /// The index's name.
    pub name: String,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self { attribute: "GSI".to_owned(), name: "GSI_Index".to_owned() }
    }
}
