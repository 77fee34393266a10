//! Which tables, and how they are asked.

use serde::Deserialize;

/// The settings of DynamoDB as the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DynamoDbConfig {
    /// The table of items, pins and checkpoints.
    pub table: String,
    /// The table of dead letters. Without it, the table's name with `-dead-letters` after it.
    pub dead_letters: Option<String>,
    /// After how many days DynamoDB deletes a dead letter; 0 keeps them for ever.
    pub dead_letter_days: u32,
    /// The region. Without it, what the environment or the profile says.
    pub region: Option<String>,
    /// The address of the service, for DynamoDB Local and private endpoints. Without it, the region's.
    pub endpoint: Option<String>,
    /// By which requests items are written.
    pub write: WriteWith,
    /// Requests in flight at once.
    pub concurrency: usize,
    /// Items that are kept in memory, so that they need not be read before each write; 0 keeps none. One takes about
    /// what it takes in the table.
    pub cached_items: usize,
    /// How long one attempt of a request may take, in milliseconds.
    pub request_ms: u64,
    /// The index for reading by rank or race, where a table is created or checked.
    pub index: IndexConfig,
}

impl Default for DynamoDbConfig {
    fn default() -> Self {
        Self {
            table: String::new(),
            dead_letters: None,
            dead_letter_days: 14,
            region: None,
            endpoint: None,
            write: WriteWith::Statements,
            concurrency: 16,
            cached_items: 50_000,
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

/// By which requests items are written. Both leave the same items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteWith {
    /// `BatchExecuteStatement`: 25 conditional writes a request. Needs the permissions `dynamodb:PartiQLInsert` and
    /// `dynamodb:PartiQLUpdate` beside the others.
    #[default]
    Statements,
    /// `PutItem`: a request for each item.
    Items,
}

/// The global index of the table: by a number, then by the sort key, with all attributes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IndexConfig {
    /// The attribute that is its hash key. Only a number may be written under this name.
    pub attribute: String,
    /// Its name.
    pub name: String,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self { attribute: "GSI".to_owned(), name: "GSI_Index".to_owned() }
    }
}
