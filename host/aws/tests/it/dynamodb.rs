//! Tests the store with DynamoDB Local, which `make test` and `scripts/local-aws` start. Each test has separate tables.

use std::collections::{BTreeMap, HashMap};
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

const MODES: [WriteWith; 2] = [WriteWith::Statements, WriteWith::Items];

fn endpoint() -> String {
    std::env::var("PACELINE_TEST_DYNAMODB").expect("run `make test`, or `scripts/local-aws cargo nextest run …`")
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
    let text = |text: &String| AttributeValue::S(text.clone());
    HashMap::from([("PK".into(), text(&key.partition)), ("SK".into(), text(&key.sort))])
}

fn key(partition: &str, sort: &str) -> Key {
    Key { partition: partition.into(), sort: sort.into() }
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

#[tokio::test]
async fn tables_are_created_once_and_are_compatible() {
    for billing in [Billing::OnDemand, Billing::Provisioned { read: 20, write: 20 }] {
        let config = config();
        let client = client(&config).await;
        let missing = table::check(&client, &config).await.unwrap();
        assert_eq!(missing.len(), 2);
        assert_contains(&missing[0].to_string(), &["error:", &config.table, "paceline table create"]);
        assert_contains(&missing[1].to_string(), &[&format!("{}-dead-letters", config.table)]);

        let both = Created { table: true, dead_letters: true };
        assert_eq!(table::create(&client, &config, billing).await.unwrap(), both);
        assert_eq!(table::check(&client, &config).await.unwrap(), []);
        let none = Created { table: false, dead_letters: false };
        assert_eq!(table::create(&client, &config, billing).await.unwrap(), none);
    }
}

fn key_element(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}

fn definition(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
}

fn units(read: i64, write: i64) -> ProvisionedThroughput {
    ProvisionedThroughput::builder().read_capacity_units(read).write_capacity_units(write).build().unwrap()
}

#[tokio::test]
async fn the_table_of_alleycat_is_compatible_with_warnings_about_its_cost() {
    let config = config();
    let client = client(&config).await;
    let all = || Projection::builder().projection_type(ProjectionType::All).build();
    let global = GlobalSecondaryIndex::builder()
        .index_name("GSI_Index")
        .key_schema(key_element("GSI", KeyType::Hash))
        .key_schema(key_element("SK", KeyType::Range))
        .projection(all())
        .provisioned_throughput(units(10, 10));
    let local = LocalSecondaryIndex::builder()
        .index_name("GSI_PK_Index")
        .key_schema(key_element("PK", KeyType::Hash))
        .key_schema(key_element("GSI", KeyType::Range))
        .projection(all());
    client
        .create_table()
        .table_name(&config.table)
        .key_schema(key_element("PK", KeyType::Hash))
        .key_schema(key_element("SK", KeyType::Range))
        .attribute_definitions(definition("PK", ScalarAttributeType::S))
        .attribute_definitions(definition("SK", ScalarAttributeType::S))
        .attribute_definitions(definition("GSI", ScalarAttributeType::N))
        .global_secondary_indexes(global.build().unwrap())
        .local_secondary_indexes(local.build().unwrap())
        .provisioned_throughput(units(20, 20))
        .send()
        .await
        .unwrap();
    let created = table::create(&client, &config, Billing::Provisioned { read: 20, write: 20 }).await.unwrap();
    assert_eq!(created, Created { table: false, dead_letters: true });
    let found = table::check(&client, &config).await.unwrap();
    assert!(found.iter().all(|difference| !difference.is_incompatible()), "{found:?}");
    assert_eq!(found.len(), 2);
    assert_contains(&found[0].text, &["GSI_Index", "10 write units", "the table 20"]);
    assert_contains(&found[1].text, &["GSI_PK_Index", "10 GB"]);

    let store = DynamoDbStore::new(client, &config);
    let position = key("race-1", "racer-1");
    assert_eq!(store.write_groups(&[increment(&position, None, 1)]).await.unwrap(), [WriteOutcome::Done]);
}

#[tokio::test]
async fn a_table_with_other_keys_is_incompatible() {
    let config = DynamoDbConfig { dead_letters: Some(format!("{}-x", config().table)), ..config() };
    let client = client(&config).await;
    for name in [&config.table, &config.dead_letter_table()] {
        client
            .create_table()
            .table_name(name)
            .key_schema(key_element("pk", KeyType::Hash))
            .attribute_definitions(definition("pk", ScalarAttributeType::N))
            .provisioned_throughput(units(1, 1))
            .send()
            .await
            .unwrap();
    }
    let found = table::check(&client, &config).await.unwrap();
    let text = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_contains(
        &text,
        &[
            "pk (HASH), not PK (HASH), SK (RANGE)",
            "no global index `GSI_Index`",
            "not id (HASH)",
            "time to live is off",
        ],
    );
    assert!(found.iter().all(|difference| difference.is_incompatible()));

    let store = DynamoDbStore::new(client, &config);
    let position = key("race-1", "racer-1");
    let assert_names_table = |text: &str| assert_contains(text, &[&config.table, "eu-west-1", "paceline table check"]);
    assert_names_table(&fatal(store.load_groups(std::slice::from_ref(&position)).await));
    assert_names_table(&fatal(store.write_groups(&[increment(&position, None, 1)]).await));
}

#[tokio::test]
async fn a_missing_table_is_fatal_and_the_error_names_the_remedy() {
    let config = config();
    let client = client(&config).await;
    let position = key("race-1", "racer-1");
    for write in MODES {
        let store = DynamoDbStore::new(client.clone(), &DynamoDbConfig { write, ..config.clone() });
        let assert_names_table =
            |text: &str| assert_contains(text, &[&config.table, "eu-west-1", &endpoint(), "paceline table create"]);
        assert_names_table(&fatal(store.load_groups(std::slice::from_ref(&position)).await));
        assert_names_table(&fatal(store.write_groups(&[increment(&position, None, 1)]).await));
        assert_names_table(&fatal(store.put_dead_letters(&[letter(1)]).await));
        assert_names_table(&fatal(store.list_dead_letters().await));
        assert_names_table(&fatal(store.list_groups().await));
        assert_names_table(&fatal(store.list_partition("race-1").await));
        assert_names_table(&fatal(store.get_pins(&[race("1")]).await));
        assert_names_table(&fatal(store.put_pins(&[(race("1"), pin(1))]).await));
        assert_names_table(&fatal(store.get_checkpoint("shard-1").await));
    }
}

#[tokio::test]
async fn missing_credentials_are_fatal_and_the_error_names_the_remedy() {
    let config = config();
    let settings = dynamodb::client(&config).await.unwrap().config().to_builder();
    let http = aws_smithy_http_client::Builder::new().build_http();
    let nothing = ProfileFileCredentialsProvider::builder()
        .configure(&ProviderConfig::without_region().with_http_client(http))
        .profile_name("a-profile-that-nobody-has")
        .build();
    let settings = settings.credentials_provider(SharedCredentialsProvider::new(nothing));
    let store = DynamoDbStore::new(Client::from_conf(settings.build()), &config);
    let text = fatal(store.load_groups(&[key("race-1", "racer-1")]).await);
    assert_contains(&text, &["credentials", "AWS_ACCESS_KEY_ID", &config.table]);
}

#[tokio::test]
async fn a_service_that_does_not_respond_is_transient() {
    // No server listens on port 1.
    let config = DynamoDbConfig { endpoint: Some("http://127.0.0.1:1".into()), ..config() };
    let client = client(&config).await;
    let position = key("race-1", "racer-1");
    for write in MODES {
        let store = DynamoDbStore::new(client.clone(), &DynamoDbConfig { write, ..config.clone() });
        let transient = |error: StoreError| error.is_transient();
        assert!(transient(store.load_groups(std::slice::from_ref(&position)).await.unwrap_err()));
        let written = store.write_groups(&[increment(&position, None, 1)]).await.unwrap();
        assert!(matches!(&written[..], [WriteOutcome::Transient(_)]), "{written:?}");
        assert!(transient(store.put_dead_letters(&[letter(1)]).await.unwrap_err()));
        assert!(transient(store.put_pins(&[(race("1"), pin(1))]).await.unwrap_err()));
        assert!(transient(store.list_groups().await.unwrap_err()));
    }
}

#[tokio::test]
async fn connecting_sends_no_request() {
    let store = DynamoDbStore::connect(&config()).await.unwrap();
    assert_eq!(store.usage(), dynamodb::Usage::default());
    let nameless = DynamoDbConfig { table: String::new(), ..config() };
    assert_contains(&fatal(DynamoDbStore::connect(&nameless).await), &["`table`"]);
    let same = DynamoDbConfig { table: "races".into(), dead_letters: Some("races".into()), ..config() };
    assert_contains(&fatal(DynamoDbStore::connect(&same).await), &["`dead-letters`"]);
}

/// Attributes of all types, with names in many scripts and characters.
fn varied_attributes() -> Vec<(&'static str, Attribute)> {
    vec![
        ("GSI", Attribute::Number(167.04)),
        ("class-id", Attribute::Integer(i64::MIN)),
        ("a b", Attribute::Text("it's \"so\" ?".into())),
        ("it's", Attribute::Boolean(false)),
        ("say \"so\"", Attribute::Number(-9.9e125)),
        ("#1", Attribute::Number(1e-130)),
        ("a.b[0]", Attribute::Number(3.0)),
        ("naïve 日本\n", Attribute::Text(String::new())),
        ("select", Attribute::Blob(vec![])),
        ("blob", Attribute::Blob(vec![0, 255])),
        ("?", Attribute::Number(1e17)),
    ]
}

#[tokio::test]
async fn both_kinds_of_writes_result_in_the_same_items() {
    let tables = Tables::new().await;
    let plain = || vec![("GSI", Attribute::Integer(5)), ("was-here", Attribute::Boolean(true))];
    let steps = [
        varied_attributes(),
        plain(),
        vec![("GSI", Attribute::Integer(6))],
        vec![],
        varied_attributes(),
        varied_attributes(),
        vec![],
    ];
    let mut by_mode: Vec<Vec<BTreeMap<String, AttributeValue>>> = Vec::new();
    for mode in MODES {
        let store = tables.store(mode);
        let position = key("race-1", &format!("{mode:?}"));
        let mut revisions = Vec::new();
        for (at, attributes) in steps.iter().enumerate() {
            let expected = (at > 0).then_some(at as u64);
            let next = item(at as u64 + 1, attributes);
            assert_eq!(store.check_item(&position, &next), Ok(()));
            let written = store.write_groups(&[write(&position, expected, next.clone())]).await.unwrap();
            assert_eq!(written, [WriteOutcome::Done], "{mode:?}, step {at}");
            // The cached item equals the one in the table.
            let (cached, read) = (load_one(&store, &position).await, load_one(&tables.uncached(mode), &position).await);
            assert_eq!(cached, read);
            let read = read.unwrap();
            assert_eq!((&read.state, &read.dedup, &read.provenance), (&next.state, &next.dedup, &next.provenance));
            assert_eq!(read.attributes.len(), attributes.len());
            let mut raw = tables.raw(&position).await.unwrap();
            raw.remove("SK");
            revisions.push(raw);
        }
        by_mode.push(revisions);
    }
    assert_eq!(by_mode[0], by_mode[1]);
    let read = load_one(&tables.uncached(WriteWith::Items), &key("race-1", "Items")).await.unwrap();
    assert_eq!(read.revision, 7);
}

#[tokio::test]
async fn attributes_that_others_add_are_removed_by_the_next_write() {
    let tables = Tables::new().await;
    for mode in MODES {
        let position = key("race-1", &format!("{mode:?}"));
        tables.store(mode).write_groups(&[increment(&position, None, 1)]).await.unwrap();
        let (tags, note) = (AttributeValue::Ss(vec!["x".into()]), AttributeValue::S("by hand".into()));
        tables.put_raw(&position, &[("tags", tags), ("note", note)]).await;
        let store = tables.store(mode);
        let found = load_one(&store, &position).await.unwrap();
        assert_eq!((found.attribute("note").is_some(), found.attribute("tags")), (true, None));
        assert_eq!(store.write_groups(&[increment(&position, Some(1), 2)]).await.unwrap(), [WriteOutcome::Done]);
        let raw = tables.raw(&position).await.unwrap();
        assert!(!raw.contains_key("tags") && !raw.contains_key("note") && raw.contains_key("GSI"), "{raw:?}");
    }
}

#[tokio::test]
async fn numbers_and_texts_round_trip() {
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let position = key("race-1", "racer-1");
    store.write_groups(&[write(&position, None, item(1, &varied_attributes()))]).await.unwrap();
    let read = load_one(&tables.uncached(WriteWith::Items), &position).await.unwrap();
    for (name, value) in varied_attributes() {
        let wanted = match value {
            Attribute::Number(3.0) => Attribute::Integer(3),
            Attribute::Number(1e17) => Attribute::Integer(100_000_000_000_000_000),
            value => value,
        };
        assert_eq!(read.attribute(name), Some(&wanted), "{name}");
    }
}

#[tokio::test]
async fn a_write_of_a_changed_item_is_a_conflict_and_the_reload_sends_no_request() {
    let tables = Tables::new().await;
    for mode in MODES {
        let (ours, theirs) = (tables.store(mode), tables.store(mode));
        let keys: Vec<Key> = ["new", "old", "gone"].map(|sort| key(&format!("{mode:?}"), sort)).to_vec();
        let (new, old, gone) = (&keys[0], &keys[1], &keys[2]);
        ours.write_groups(&[increment(old, None, 1), increment(gone, None, 1)]).await.unwrap();
        assert_eq!(ours.load_groups(&keys).await.unwrap()[0], None);
        theirs.load_groups(&keys).await.unwrap();
        theirs.write_groups(&[increment(new, None, 10), increment(old, Some(1), 20)]).await.unwrap();
        tables.client.delete_item().table_name(&tables.config.table).set_key(Some(key_map(gone))).send().await.unwrap();

        let writes = [increment(new, None, 11), increment(old, Some(1), 21), increment(gone, Some(1), 31)];
        assert_eq!(ours.write_groups(&writes).await.unwrap(), vec![WriteOutcome::Conflict; 3], "{mode:?}");
        let before = ours.usage();
        let found = ours.load_groups(&keys).await.unwrap();
        let revisions: Vec<Option<u64>> = found.iter().map(|item| item.as_ref().map(|item| item.revision)).collect();
        assert_eq!(revisions, [Some(1), Some(2), None]);
        assert_eq!((ours.usage().since(before).requests, ours.usage().since(before).cache_hits), (0, 3));
        let writes = [increment(new, Some(1), 11), increment(old, Some(2), 21), increment(gone, None, 31)];
        assert_eq!(ours.write_groups(&writes).await.unwrap(), vec![WriteOutcome::Done; 3], "{mode:?}");
    }
}

#[tokio::test]
async fn a_repeated_write_whose_response_was_lost_is_done() {
    let tables = Tables::new().await;
    for mode in MODES {
        let position = key("race-1", &format!("{mode:?}"));
        let (first, again) = (tables.store(mode), tables.store(mode));
        again.load_groups(std::slice::from_ref(&position)).await.unwrap();
        for expected in [None, Some(1), Some(2)] {
            let write = write(&position, expected, item(expected.unwrap_or(0) + 1, &varied_attributes()));
            assert_eq!(first.write_groups(std::slice::from_ref(&write)).await.unwrap(), [WriteOutcome::Done]);
            assert_eq!(
                again.write_groups(std::slice::from_ref(&write)).await.unwrap(),
                [WriteOutcome::Done],
                "{mode:?}"
            );
            let before = again.usage();
            assert_eq!(load_one(&again, &position).await.unwrap().revision, write.item.revision);
            assert_eq!(again.usage().since(before).requests, 0);
        }
        // The same revision with other content is a conflict.
        assert_eq!(again.write_groups(&[increment(&position, Some(2), 1)]).await.unwrap(), [WriteOutcome::Conflict]);
    }
}

#[tokio::test]
async fn a_cancelled_write_is_not_cached() {
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let position = key("race-1", &format!("{mode:?}"));
        store.write_groups(&[increment(&position, None, 1)]).await.unwrap();
        let write = increment(&position, Some(1), 2);
        assert!(tokio::time::timeout(Duration::ZERO, store.write_groups(std::slice::from_ref(&write))).await.is_err());
        let before = store.usage();
        let found = load_one(&store, &position).await.unwrap().revision;
        assert_eq!(store.usage().since(before).cache_misses, 1);
        assert!([1, 2].contains(&found), "{found}");
        assert_eq!(store.write_groups(std::slice::from_ref(&write)).await.unwrap(), [WriteOutcome::Done]);
        assert_eq!(load_one(&tables.uncached(mode), &position).await.unwrap().revision, 2);
    }
}

#[tokio::test]
async fn duplicate_keys_are_read_once_and_written_in_order() {
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let keys: Vec<Key> = (0..230).map(|racer| key(&format!("{mode:?}"), &format!("racer-{racer:03}"))).collect();
        let twice: Vec<Key> = keys.iter().chain(&keys).cloned().collect();
        assert_eq!(store.load_groups(&twice).await.unwrap(), vec![None; 460]);
        assert_eq!(store.usage().requests, 3);
        assert_eq!(store.load_groups(&twice).await.unwrap(), vec![None; 460]);
        assert_eq!((store.usage().requests, store.usage().cache_hits), (3, 460), "the absence of items is cached");

        let mut writes: Vec<Write> = keys.iter().map(|key| increment(key, None, 1)).collect();
        // Of three writes of one key, the first is done, the second conflicts, and the third follows the first.
        writes.extend([increment(&keys[0], None, 2), increment(&keys[0], Some(1), 3)]);
        let mut wanted = vec![WriteOutcome::Done; 232];
        wanted[230] = WriteOutcome::Conflict;
        assert_eq!(store.write_groups(&writes).await.unwrap(), wanted);

        let uncached = tables.uncached(mode);
        let found = uncached.load_groups(&twice).await.unwrap();
        assert!(found[1..230].iter().flatten().all(|item| item.revision == 1) && found.iter().all(Option::is_some));
        assert_eq!((found[0].as_ref().unwrap().revision, &found[230..]), (2, &found[..230]));
        assert_eq!(store.load_groups(&twice).await.unwrap(), found);
        assert!(uncached.usage().read_units > 0.0);

        let partition = store.list_partition(&format!("{mode:?}")).await.unwrap();
        assert_eq!(partition.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys);
    }
    let all = tables.store(WriteWith::Items).list_groups().await.unwrap();
    assert_eq!(all.len(), 460);
    assert!(all.is_sorted_by(|(a, _), (b, _)| a < b));
}

#[tokio::test]
async fn large_items_are_read_in_pages() {
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let partition = format!("{mode:?}");
        let full = |sort: usize| {
            let position = key(&partition, &format!("{sort:03}"));
            let mut item = item(1, &[]);
            item.state = vec![7; 407_900];
            write(&position, None, item)
        };
        let writes: Vec<Write> = (0..45).map(full).collect();
        assert_eq!(store.check_item(&writes[0].key, &writes[0].item), Ok(()));
        assert_eq!(store.write_groups(&writes).await.unwrap(), vec![WriteOutcome::Done; 45]);
        let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
        // 18 MB, more than one response can hold.
        let uncached = tables.uncached(mode);
        let found = uncached.load_groups(&keys).await.unwrap();
        assert!(found.iter().all(|item| item.as_ref().is_some_and(|item| item.state.len() == 407_900)));
        assert!(uncached.usage().requests > 1);
        assert_eq!(store.list_partition(&partition).await.unwrap().len(), 45);
        let mut grown = writes[0].item.clone();
        grown.state.push(0);
        grown.state.extend([0; 1024]);
        let error = store.check_item(&writes[0].key, &grown).unwrap_err();
        assert_contains(&error.to_string(), &["408925 of them state", "the limit is 408576"]);
    }
}

#[tokio::test]
async fn the_largest_item_that_passes_the_check_is_written() {
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let position = key(&"p".repeat(2048), &format!("{mode:?}{}", "s".repeat(1000)));
        let mut largest = item(1, &varied_attributes());
        let fits = |item: &Item| store.check_item(&position, item).is_ok();
        for more in (0..20).rev().map(|bit| 1 << bit) {
            let mut larger = largest.clone();
            larger.state.resize(larger.state.len() + more, 1);
            if fits(&larger) {
                largest = larger;
            }
        }
        assert!(largest.state.len() > 400_000, "{}", largest.state.len());
        assert_eq!(store.write_groups(&[write(&position, None, largest)]).await.unwrap(), [WriteOutcome::Done]);
    }
}

#[tokio::test]
async fn an_item_of_another_program_is_not_overwritten() {
    let tables = Tables::new().await;
    let position = key("race-1", "racer-1");
    tables.put_raw(&position, &[("GSI", AttributeValue::N("70".into())), ("ts", AttributeValue::N("1".into()))]).await;
    let before = tables.raw(&position).await;
    for mode in MODES {
        let store = tables.store(mode);
        let assert_names_item =
            |text: &str| assert_contains(text, &["race-1 / racer-1", "not written by paceline", &tables.config.table]);
        assert_names_item(&fatal(store.load_groups(std::slice::from_ref(&position)).await));
        assert_names_item(&fatal(store.write_groups(&[increment(&position, None, 1)]).await));
        assert_eq!(store.list_partition("race-1").await.unwrap(), []);
        assert_eq!(store.list_groups().await.unwrap(), []);
    }
    assert_eq!(tables.raw(&position).await, before);
}

#[tokio::test]
async fn keys_that_dynamodb_can_not_hold_do_not_fail_the_others() {
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let good = key("race-1", "racer-1");
    store.write_groups(&[increment(&good, None, 1)]).await.unwrap();
    let keys = [key("", "a"), good, key(&"p".repeat(3000), "a"), key("p", &"s".repeat(1025)), key("@checkpoint", "x")];
    let found = tables.uncached(WriteWith::Items).load_groups(&keys).await.unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, false, false]);
    for key in [&keys[0], &keys[2], &keys[3], &keys[4]] {
        assert!(store.check_item(key, &item(1, &[])).is_err());
    }
    for partition in ["", "@checkpoint", &"p".repeat(3000)] {
        assert_eq!(store.list_partition(partition).await.unwrap(), []);
    }
}

#[tokio::test]
async fn concurrent_hosts_lose_no_write() {
    let tables = Tables::new().await;
    for mode in MODES {
        let position = key("race-1", &format!("{mode:?}"));
        let count = |store: DynamoDbStore, position: Key| async move {
            for _ in 0..20 {
                loop {
                    let before = load_one(&store, &position).await;
                    let (revision, sum) = match &before {
                        Some(item) => match item.attribute("GSI") {
                            Some(Attribute::Integer(sum)) => (Some(item.revision), *sum),
                            other => panic!("{other:?}"),
                        },
                        None => (None, 0),
                    };
                    // Random states distinguish the writes of the hosts.
                    let mut write = increment(&position, revision, sum + 1);
                    write.item.state = fastrand::u64(..).to_be_bytes().to_vec();
                    if store.write_groups(&[write]).await.unwrap() == [WriteOutcome::Done] {
                        break;
                    }
                }
            }
        };
        let (a, b) = (count(tables.store(mode), position.clone()), count(tables.store(mode), position.clone()));
        tokio::join!(a, b);
        let found = load_one(&tables.uncached(mode), &position).await.unwrap();
        assert_eq!((found.revision, found.attribute("GSI")), (40, Some(&Attribute::Integer(40))));
    }
}

fn race(value: &str) -> PinKey {
    PinKey { race_type: "3".into(), value: value.into() }
}

fn pin(version: u64) -> Pin {
    Pin { rulebook: [version as u8; 32].into(), revision: version }
}

#[tokio::test]
async fn a_pin_expires_after_its_days() {
    let tables = Tables::new().await;
    let pin_of = |value: &str| PinKey { race_type: "3".to_owned(), value: value.to_owned() };
    let pin = Pin { rulebook: [9; 32].into(), revision: 4 };
    tables.store(WriteWith::Items).put_pins(&[(pin_of("131"), pin)]).await.unwrap();
    let for_ever = DynamoDbConfig { pin_days: 0, ..tables.config.clone() };
    DynamoDbStore::new(tables.client.clone(), &for_ever).put_pins(&[(pin_of("132"), pin)]).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expires = tables.raw(&key("@pin/3", "=131")).await.unwrap()["@expires"].as_n().unwrap().parse::<u64>().unwrap();
    assert!((now + 400 * 86_400 - 3600..=now + 400 * 86_400 + 60).contains(&expires), "{expires}");
    assert!(!tables.raw(&key("@pin/3", "=132")).await.unwrap().contains_key("@expires"));
}

#[tokio::test]
async fn the_first_pin_of_a_race_holds() {
    let tables = Tables::new().await;
    let (ours, theirs) = (tables.store(WriteWith::Statements), tables.store(WriteWith::Items));
    let long = "é".repeat(5000);
    let races = [race("1"), race(""), race(&long), race(&format!("{long}x"))];
    assert_eq!(ours.get_pins(&races).await.unwrap(), [None; 4]);
    assert_eq!(ours.get_pins(&[]).await.unwrap(), []);
    let pins: Vec<(PinKey, Pin)> = races.iter().cloned().zip(1..).map(|(race, version)| (race, pin(version))).collect();
    assert_eq!(ours.put_pins(&pins[..3]).await.unwrap(), [pin(1), pin(2), pin(3)]);
    let later: Vec<(PinKey, Pin)> = races.iter().map(|race| (race.clone(), pin(9))).chain([pins[0].clone()]).collect();
    assert_eq!(theirs.put_pins(&later).await.unwrap(), [pin(1), pin(2), pin(3), pin(9), pin(1)]);
    let requested: Vec<PinKey> = races.iter().rev().cloned().chain([race("2"), race("1")]).collect();
    let found = [Some(pin(9)), Some(pin(3)), Some(pin(2)), Some(pin(1)), None, Some(pin(1))];
    assert_eq!(theirs.get_pins(&requested).await.unwrap(), found);
    // More than fit into one request.
    let many: Vec<PinKey> = (0..150).map(|number| race(&format!("many-{number}"))).collect();
    let pins: Vec<(PinKey, Pin)> = many.iter().map(|race| (race.clone(), pin(5))).collect();
    assert_eq!(ours.put_pins(&pins).await.unwrap(), vec![pin(5); 150]);
    assert_eq!(theirs.get_pins(&many).await.unwrap(), vec![Some(pin(5)); 150]);
    assert_eq!(ours.list_groups().await.unwrap(), [], "pins are not items of groups");
    let listed = ours.list_pins("3", 1_000).await.unwrap();
    assert_eq!(listed.len(), 154);
    assert!(listed.contains(&(race("1"), pin(1))) && listed.contains(&(race("many-149"), pin(5))));
    assert_eq!(ours.list_pins("3", 7).await.unwrap(), listed[..7]);
    assert_eq!(ours.list_pins("4", 7).await.unwrap(), []);
}

#[tokio::test]
async fn each_shard_has_a_checkpoint() {
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let long = "/a/long/path".repeat(200);
    assert_eq!(store.get_checkpoint("shard-1").await.unwrap(), None);
    store.flush().await.unwrap();
    let first = Checkpoint { sequence: 7.into(), ..Checkpoint::default() };
    let sequence = "49590338271490256608559692538361571095921575989136588898".parse().unwrap();
    let second = Checkpoint { sequence, fingerprint: Some([3; 32]), arrival_ms: Some(1_620_240_660_250), ended: true };
    store.put_checkpoint("shard-1", &first).await.unwrap();
    assert_eq!(store.get_checkpoint("shard-1").await.unwrap(), Some(first.clone()));
    store.put_checkpoint("shard-1", &second).await.unwrap();
    store.put_checkpoint(&long, &first).await.unwrap();
    assert_eq!(tables.store(WriteWith::Items).get_checkpoint("shard-1").await.unwrap(), Some(second));
    assert_eq!(store.get_checkpoint(&long).await.unwrap(), Some(first));
    assert_eq!(store.list_groups().await.unwrap(), [], "checkpoints are not items of groups");
}

#[tokio::test]
async fn notices_are_kept_by_topic_and_name() {
    let tables = Tables::new().await;
    let (ours, theirs) = (tables.store(WriteWith::Statements), tables.store(WriteWith::Items));
    check_notices(&ours, &theirs).await;
    // More than a page of a query, which has 1 MB.
    for number in 0..5 {
        let body = format!("\"{}\"", "x".repeat(300_000));
        let notice = Notice { name: format!("n{number}"), body, version: 1, expires: None };
        assert!(ours.put_notice("large", &notice, Expected::Nothing).await.unwrap());
    }
    let names: Vec<String> =
        theirs.list_notices("large").await.unwrap().into_iter().map(|notice| notice.name).collect();
    assert_eq!(names, ["n0", "n1", "n2", "n3", "n4"]);
    assert_eq!(ours.list_groups().await.unwrap(), [], "notices are not items of groups");
    assert_eq!(ours.list_partition("@rules/hosts").await.unwrap(), []);

    tables.put_raw(&key("@rules/hosts", "by-hand"), &[]).await;
    let text = fatal(ours.list_notices("hosts").await);
    assert_contains(&text, &[&tables.config.table, "@rules/hosts", "by-hand", "Delete the item"]);
}

fn letter(number: u64) -> DeadLetter {
    let position = RecordPosition { sequence: number.into(), sub_sequence: number % 3 };
    DeadLetter {
        id: DeadLetter::id_of("shard-1", position),
        shard: "shard-1".into(),
        position,
        partition_key: Some("k".into()),
        arrival_ms: Some(1_620_566_842_971),
        payload: format!("{{\"cadence\":{number}}}").into_bytes(),
        cut_from: None,
        reason: Reason::new(Cause::Rejected, "cadence").at("/cadence").under(&rulebook()),
        redrive_sequence: None,
        folded: (0..number % 2).map(|at| key("race-1", &format!("racer-{at}"))).collect(),
        unsure: number.is_multiple_of(5),
    }
}

#[tokio::test]
async fn a_horizon_is_written_by_whoever_has_read_the_one_before() {
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    assert_eq!(store.get_horizon("shard-1").await.unwrap(), None);
    let first = Horizon { version: 1, letters: Some(letter(7).position), ..Horizon::default() };
    assert!(store.put_horizon("shard-1", &first).await.unwrap());
    assert!(!store.put_horizon("shard-1", &first).await.unwrap());
    assert_eq!(store.get_horizon("shard-1").await.unwrap(), Some(first.clone()));
    let rules = RulesRevision { vetoes: 2, ..RulesRevision::new("registry", 17) };
    let second = Horizon { version: 2, rules: Some(rules), since_ms: 1_600_000_000_000, ..first };
    assert!(!store.put_horizon("shard-1", &Horizon { version: 3, ..second.clone() }).await.unwrap());
    assert!(store.put_horizon("shard-1", &second).await.unwrap());
    assert_eq!(store.get_horizon("shard-1").await.unwrap(), Some(second));
    assert_eq!(store.get_horizon("shard-2").await.unwrap(), None);
    assert_eq!(store.list_groups().await.unwrap(), [], "horizons are not items of groups");
}

#[tokio::test]
async fn dead_letters_are_stored_once_and_deleted() {
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let mut letters: Vec<DeadLetter> = (0..60).map(letter).collect();
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    store.put_dead_letters(&[]).await.unwrap();
    store.put_dead_letters(&letters).await.unwrap();
    // Again, with another reason for one of them, which occurs twice.
    let before = letters[7].clone();
    letters[7].reason = Reason::new(Cause::BadScore, "NaN");
    store.put_dead_letters(&[&[before], &letters[..30], &letters[7..8]].concat()).await.unwrap();
    assert_eq!(store.list_dead_letters().await.unwrap(), letters);
    assert_eq!(store.get_dead_letter(&ids[7]).await.unwrap().as_ref(), Some(&letters[7]));
    assert_eq!(store.get_dead_letter("shard-1:999").await.unwrap(), None);
    assert_eq!(store.get_dead_letter("").await.unwrap(), None);
    store.delete_dead_letters(&[&ids[..40], &ids[..1]].concat()).await.unwrap();
    store.delete_dead_letters(&ids[..40]).await.unwrap();
    assert_eq!(store.list_dead_letters().await.unwrap(), letters[40..]);
}

#[tokio::test]
async fn a_dead_letter_that_is_too_large_is_cut_and_the_others_are_not() {
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let mut letters: Vec<DeadLetter> = (0..4).map(letter).collect();
    letters[1].payload = vec![b'x'; 3 << 20];
    letters[2].payload = vec![b'x'; 256 << 10];
    store.put_dead_letters(&letters).await.unwrap();
    let found = store.list_dead_letters().await.unwrap();
    assert_eq!((&found[0], &found[2], &found[3]), (&letters[0], &letters[2], &letters[3]));
    assert_eq!((found[1].cut_from, found[1].payload.len() > 400_000), (Some(3 << 20), true));
}

#[tokio::test]
async fn a_redrive_sequence_is_assigned_once_and_stays() {
    let tables = Tables::new().await;
    let store = tables.store(WriteWith::Statements);
    let letters: Vec<DeadLetter> = (0..5).map(letter).collect();
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    store.put_dead_letters(&letters).await.unwrap();
    let raw = async |id: &String| {
        let key = AttributeValue::S(id.clone());
        let answer = tables.client.get_item().table_name(tables.config.dead_letter_table()).key("id", key).send().await;
        answer.unwrap().item.unwrap()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expires: u64 = raw(&ids[0]).await["expires"].as_n().unwrap().parse().unwrap();
    assert!((now + 14 * 86_400 - 3600..=now + 14 * 86_400 + 60).contains(&expires), "{expires}");

    let redrive_sequences = |letters: &[DeadLetter]| -> Vec<(String, u64)> {
        letters.iter().map(|letter| (letter.id.clone(), letter.redrive_sequence.unwrap())).collect()
    };
    let pair = |at: usize, redrive_sequence: u64| (ids[at].clone(), redrive_sequence);
    let requested = [ids[3].clone(), ids[1].clone(), "shard-1:999".into(), ids[3].clone()];
    assert_eq!(redrive_sequences(&store.assign_redrive_sequences(&requested).await.unwrap()), [pair(3, 1), pair(1, 2)]);
    let other = tables.store(WriteWith::Items);
    assert_eq!(
        redrive_sequences(&other.assign_redrive_sequences(&ids).await.unwrap()),
        [(0, 3), (1, 2), (2, 4), (3, 1), (4, 5)].map(|(a, t)| pair(a, t))
    );
    assert_eq!(redrive_sequences(&store.assign_redrive_sequences(&ids[..2]).await.unwrap()), [pair(0, 3), pair(1, 2)]);
    assert_eq!(store.assign_redrive_sequences(&[]).await.unwrap(), []);
    let listed = store.list_dead_letters().await.unwrap();
    assert_eq!(
        redrive_sequences(&listed),
        [3, 2, 4, 1, 5].iter().enumerate().map(|(a, t)| pair(a, *t)).collect::<Vec<_>>()
    );

    // A letter that is stored again, or once more after it was deleted, is of the same record.
    store.put_dead_letters(&letters[3..4]).await.unwrap();
    assert_eq!(store.get_dead_letter(&ids[3]).await.unwrap().unwrap().redrive_sequence, Some(1));
    store.delete_dead_letters(&ids[3..]).await.unwrap();
    assert_eq!(store.assign_redrive_sequences(&ids[3..]).await.unwrap(), []);
    let known = store.known_dead_letters(&[&ids[2..], &["shard-1:999".to_owned()]].concat()).await.unwrap();
    assert_eq!(known, ids[2..].iter().cloned().collect());
    store.put_dead_letters(&letters[3..4]).await.unwrap();
    assert_eq!(redrive_sequences(&store.assign_redrive_sequences(&ids[3..4]).await.unwrap()), [pair(3, 1)]);
}

#[tokio::test]
async fn concurrent_hosts_never_assign_the_same_redrive_sequence() {
    let tables = Tables::new().await;
    let letters: Vec<DeadLetter> = (0..40).map(letter).collect();
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    let (a, b) = (tables.store(WriteWith::Statements), tables.store(WriteWith::Statements));
    a.put_dead_letters(&letters).await.unwrap();
    let (a, b) = tokio::join!(a.assign_redrive_sequences(&ids), b.assign_redrive_sequences(&ids));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a, b);
    let redrive_sequences: std::collections::BTreeSet<_> =
        a.iter().map(|letter| letter.redrive_sequence.unwrap()).collect();
    assert_eq!(redrive_sequences.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_need_one_request_for_25_items() {
    let tables = Tables::new().await;
    for mode in MODES {
        let store = tables.store(mode);
        let keys: Vec<Key> = (0..1000).map(|racer| key("race-1", &format!("{mode:?}-{racer}"))).collect();
        for round in 0..4_u64 {
            let expected = (round > 0).then_some(round);
            let writes: Vec<Write> = keys.iter().map(|key| increment(key, expected, round as i64)).collect();
            let before = store.usage();
            assert_eq!(store.write_groups(&writes).await.unwrap(), vec![WriteOutcome::Done; 1000]);
            let used = store.usage().since(before);
            assert_eq!(used.requests, if mode == WriteWith::Statements { 40 } else { 1000 });
        }
    }
}
