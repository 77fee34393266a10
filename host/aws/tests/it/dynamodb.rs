//! Tests the store with DynamoDB Local, which `make test` and `scripts/local-aws` start. Each test has separate tables.

mod groups;
mod letters;
mod notes;
mod packed;
mod tables;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex,
    Projection, ProjectionType, ProvisionedThroughput, ScalarAttributeType,
};
use paceline_aws::dynamodb::table::{self, Billing, Created};
use paceline_aws::dynamodb::{self, DynamoDbConfig, DynamoDbStore, WriteWith};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::dedup::{DedupState, OrdinalSet};
use paceline_pipeline::model::{
    Attribute, Cause, Checkpoint, DeadLetter, Item, Key, Provenance, Reason, RecordPosition, RulebookId, RulesRevision,
};
use paceline_pipeline::store::{
    CheckpointStore, DeadLetterStore, Expected, GroupStore, Horizon, Notice, NoticeStore, Pin, PinKey, PinStore,
    StoreError, Write, WriteOutcome,
};
use paceline_testbed::notices::check_notices;
use paceline_testbed::require;

const MODES: [WriteWith; 2] = [WriteWith::Statements, WriteWith::Items];

fn endpoint() -> String {
    std::env::var("PACELINE_TEST_DYNAMODB").expect("run `make test`, or `scripts/local-aws scripts/nextest run …`")
}

/// Settings with unique table names.
fn config() -> DynamoDbConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    DynamoDbConfig {
        table: format!("races-{}-{now}.{number}", std::process::id()),
        region: Some("eu-west-1".into()),
        endpoint: Some(endpoint()),
        // One Java process serves all tests concurrently.
        request_ms: 30_000,
        ..DynamoDbConfig::default()
    }
}

/// The store's client, with credentials that DynamoDB Local accepts.
async fn client(config: &DynamoDbConfig) -> Client {
    let settings = dynamodb::client(config).await.unwrap().config().to_builder();
    let credentials = Credentials::new("test", "test", None, None, "test");
    Client::from_conf(settings.credentials_provider(SharedCredentialsProvider::new(credentials)).build())
}

/// Futures are copied on their way to where they are polled, and a batch awaits dozens of these.
#[tokio::test]
async fn the_futures_of_the_store_s_calls_are_small() {
    const MOST: usize = 3_072;
    let (table, region) = ("races".to_owned(), Some("eu-west-1".into()));
    let config = DynamoDbConfig { table, region, ..DynamoDbConfig::default() };
    let store = DynamoDbStore::new(dynamodb::client(&config).await.unwrap(), &config);
    let checkpoint = Checkpoint::default();
    let sizes = [
        ("load_groups", size_of_val(&store.load_groups(&[]))),
        ("write_groups", size_of_val(&store.write_groups(&[]))),
        ("list_partition", size_of_val(&store.list_partition(""))),
        ("get_pins", size_of_val(&store.get_pins(&[]))),
        ("put_pins", size_of_val(&store.put_pins(&[]))),
        ("get_checkpoint", size_of_val(&store.get_checkpoint(""))),
        ("put_checkpoint", size_of_val(&store.put_checkpoint("", &checkpoint))),
        ("put_dead_letters", size_of_val(&store.put_dead_letters(&[]))),
        ("known_dead_letters", size_of_val(&store.known_dead_letters(&[]))),
        ("get_horizon", size_of_val(&store.get_horizon(""))),
        ("list_notices", size_of_val(&store.list_notices(""))),
    ];
    assert!(sizes.iter().all(|(_, size)| *size <= MOST), "{sizes:?}");
}

/// Tables, and stores on them.
struct Tables {
    config: DynamoDbConfig,
    client: Client,
}

impl Tables {
    async fn new() -> Self {
        let config = config();
        let client = client(&config).await;
        table::create(&client, &config, Billing::OnDemand).await.unwrap();
        Self { config, client }
    }

    fn store(&self, write: WriteWith) -> DynamoDbStore {
        DynamoDbStore::new(self.client.clone(), &DynamoDbConfig { write, ..self.config.clone() })
    }

    fn uncached(&self, write: WriteWith) -> DynamoDbStore {
        DynamoDbStore::new(self.client.clone(), &DynamoDbConfig { write, cached_bytes: 0, ..self.config.clone() })
    }

    /// An item as it is in the table.
    async fn raw(&self, key: &Key) -> Option<BTreeMap<String, AttributeValue>> {
        let answer = self.client.get_item().table_name(&self.config.table).set_key(Some(key_map(key)));
        Some(answer.consistent_read(true).send().await.unwrap().item?.into_iter().collect())
    }

    async fn put_raw(&self, key: &Key, more: &[(&str, AttributeValue)]) {
        let mut map = self.raw(key).await.unwrap_or_default();
        map.extend(key_map(key));
        map.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let request = self.client.put_item().table_name(&self.config.table);
        request.set_item(Some(map.into_iter().collect())).send().await.unwrap();
    }
}

fn key_map(key: &Key) -> HashMap<String, AttributeValue> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    HashMap::from([("PK".into(), text(&key.partition)), ("SK".into(), text(&key.sort))])
}

fn key(partition: &str, sort: &str) -> Key {
    Key::new(partition, sort)
}

fn rulebook() -> RulebookId {
    RulebookId { name: "flat".into(), version: 7, digest: [9; 32].into() }
}

fn item(revision: u64, attributes: &[(&str, Attribute)]) -> Item {
    let mut ordinals = OrdinalSet::default();
    for second in 1..=revision as i64 {
        ordinals.insert(second);
    }
    let attributes = attributes.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    let provenance = Arc::new(Provenance {
        rulebook: rulebook(),
        rules: RulesRevision::new("0123456789", 3),
        plugins: vec![[1; 32].into(), [2; 32].into()],
        state_format: "count/1".into(),
        dedup_rule: "ordinal /second".into(),
    });
    let (state, dedup) = (vec![revision as u8; 24], DedupState::Ordinal(ordinals));
    Item { revision, state, dedup, attributes, provenance, reruled: false }
}

fn write(key: &Key, expected: Option<u64>, item: Item) -> Write {
    Write { key: key.clone(), expected, item }
}

/// A write of the next revision, with one number.
fn increment(key: &Key, expected: Option<u64>, output: i64) -> Write {
    write(key, expected, item(expected.unwrap_or(0) + 1, &[("GSI", Attribute::Integer(output))]))
}

async fn load_one(store: &DynamoDbStore, key: &Key) -> Option<Item> {
    store.load_groups(std::slice::from_ref(key)).await.unwrap().pop().unwrap()
}

/// The message of a fatal error, with its causes.
fn fatal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(error) if !error.is_transient() => ErrorChain(&error).to_string(),
        other => panic!("{other:?}"),
    }
}

fn assert_contains(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "`{part}` is not in: {text}"));
}
