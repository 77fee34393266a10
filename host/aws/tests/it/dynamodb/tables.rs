//! Tables, clients and what fails before a request is answered.

use super::letters::letter;
use super::notes::{pin, race};
use super::*;

#[tokio::test]
async fn tables_are_created_once_and_are_compatible() {
    require!(DynamoDbLocal);
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
    require!(DynamoDbLocal);
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
    assert_eq!(found.len(), 3);
    assert_contains(&found[0].text, &["GSI_Index", "10 write units", "the table 20"]);
    assert_contains(&found[1].text, &["GSI_PK_Index", "10 GB"]);
    assert_contains(&found[2].text, &["time to live is off", "pins", "`@expires`"]);

    let store = DynamoDbStore::new(client, &config);
    let position = key("race-1", "racer-1");
    assert_eq!(store.write_groups(&[increment(&position, None, 1)]).await.unwrap(), [WriteOutcome::Done]);
}

#[tokio::test]
async fn a_table_with_other_keys_is_incompatible() {
    require!(DynamoDbLocal);
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
    let (errors, warnings): (Vec<_>, Vec<_>) = found.iter().partition(|difference| difference.is_incompatible());
    assert!(errors.len() > 3, "{text}");
    assert_eq!(warnings.len(), 1, "the table's time to live: {text}");

    let store = DynamoDbStore::new(client, &config);
    let position = key("race-1", "racer-1");
    let assert_names_table = |text: &str| assert_contains(text, &[&config.table, "eu-west-1", "paceline table check"]);
    assert_names_table(&fatal(store.load_groups(std::slice::from_ref(&position)).await));
    assert_names_table(&fatal(store.write_groups(&[increment(&position, None, 1)]).await));
}

#[tokio::test]
async fn a_missing_table_is_fatal_and_the_error_names_the_remedy() {
    require!(DynamoDbLocal);
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
    require!(DynamoDbLocal);
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
    require!(DynamoDbLocal);
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
    require!(DynamoDbLocal);
    let store = DynamoDbStore::connect(&config()).await.unwrap();
    assert_eq!(store.usage(), dynamodb::Usage::default());
    let nameless = DynamoDbConfig { table: String::new(), ..config() };
    assert_contains(&fatal(DynamoDbStore::connect(&nameless).await), &["`table`"]);
    let same = DynamoDbConfig { table: "races".into(), dead_letters: Some("races".into()), ..config() };
    assert_contains(&fatal(DynamoDbStore::connect(&same).await), &["`dead-letters`"]);
}
