//! The fault proxy between Amazon's client and DynamoDB Local: the client sees each fault as DynamoDB's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BatchStatementErrorCodeEnum, BatchStatementRequest, BillingMode,
    KeySchemaElement, KeyType, KeysAndAttributes, PutRequest, ReturnConsumedCapacity, ScalarAttributeType,
    ThrottlingReason, WriteRequest,
};
use paceline_testbed::dynamodb::{client, endpoint, unique};
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::require;
use tokio::sync::mpsc::{Receiver, channel};

type Item = HashMap<String, AttributeValue>;

/// A table behind a proxy.
struct ProxiedTable {
    table: String,
    proxy: FaultProxy,
    /// Without the proxy.
    direct: Client,
    /// Through the proxy.
    client: Client,
}

impl ProxiedTable {
    async fn new(faults: Faults) -> Self {
        let direct = client(&endpoint());
        let proxy = FaultProxy::start(&endpoint(), faults, 1);
        let client = client(&proxy.endpoint());
        let table = new_table(&direct).await;
        Self { table, proxy, direct, client }
    }

    async fn put(&self, id: &str) -> Result<(), SdkError<PutItemError>> {
        put(&self.client, &self.table, id).await
    }

    /// The ids of the table's items.
    async fn ids(&self) -> BTreeSet<String> {
        ids(&self.direct, &self.table).await
    }

    /// The operations of the first requests, as they arrive.
    fn arrivals(&self) -> Receiver<String> {
        let (sender, receiver) = channel(16);
        self.proxy.on_request(move |_, operation| {
            // The test may be over, or it waits for no more requests.
            let _ = sender.try_send(operation.to_owned());
        });
        receiver
    }
}

async fn new_table(direct: &Client) -> String {
    let table = unique("proxy");
    direct
        .create_table()
        .table_name(&table)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap())
        .attribute_definitions(
            AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build().unwrap(),
        )
        .send()
        .await
        .unwrap();
    table
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn key(id: &str) -> Item {
    HashMap::from([("id".to_owned(), text(id))])
}

fn id(item: &Item) -> String {
    item["id"].as_s().unwrap().clone()
}

fn names(range: std::ops::Range<usize>) -> BTreeSet<String> {
    range.map(|i| format!("{i:03}")).collect()
}

async fn put(client: &Client, table: &str, id: &str) -> Result<(), SdkError<PutItemError>> {
    client.put_item().table_name(table).set_item(Some(key(id))).send().await.map(drop)
}

async fn ids(client: &Client, table: &str) -> BTreeSet<String> {
    let answer = client.scan().table_name(table).consistent_read(true).send().await.unwrap();
    assert!(answer.last_evaluated_key().is_none(), "these tables are small");
    answer.items().iter().map(id).collect()
}

#[tokio::test]
async fn without_faults_every_request_is_forwarded() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults::default()).await;
    for id in names(0..30) {
        proxied.put(&id).await.unwrap();
    }
    assert_eq!(ids(&proxied.client, &proxied.table).await, names(0..30));
    // DynamoDB's own errors are forwarded, too.
    let refused = put(&proxied.client, "no-such-table", "1").await.unwrap_err();
    assert!(refused.as_service_error().unwrap().is_resource_not_found_exception(), "{refused:?}");

    let counts = proxied.proxy.counts();
    assert_eq!(counts.by_operation, BTreeMap::from([("PutItem".into(), 31), ("Scan".into(), 1)]));
    assert_eq!((counts.total(), counts.requests("PutItem"), counts.requests("GetItem")), (32, 31, 0));
    assert_eq!(counts.injected.total(), 0);
}

fn reason(reasons: &[ThrottlingReason]) -> String {
    let [reason] = reasons else { panic!("one reason: {reasons:?}") };
    format!("{} {}", reason.reason().unwrap(), reason.resource().unwrap().rsplit('/').next().unwrap())
}

#[tokio::test]
async fn a_throttled_request_has_one_of_three_errors_with_a_reason() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults { throttle: 1.0, ..Faults::default() }).await;
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        let error = proxied.put("1").await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);
        assert!(error.as_service_error().unwrap().message().is_some());
        seen.insert(match error.into_service_error() {
            PutItemError::ProvisionedThroughputExceededException(error) => reason(error.throttling_reasons()),
            PutItemError::ThrottlingException(error) => reason(error.throttling_reasons()),
            PutItemError::RequestLimitExceeded(error) => reason(error.throttling_reasons()),
            other => panic!("{other:?}"),
        });
    }
    let reasons = [
        "TableWriteAccountLimitExceeded",
        "TableWriteKeyRangeThroughputExceeded",
        "TableWriteProvisionedThroughputExceeded",
    ];
    assert_eq!(seen, reasons.into_iter().map(|reason| format!("{reason} {}", proxied.table)).collect());

    let error = proxied.client.get_item().table_name(&proxied.table).set_key(Some(key("1"))).send().await.unwrap_err();
    assert!(String::from_utf8_lossy(error.raw_response().unwrap().body().bytes().unwrap()).contains(r#""TableRead"#));

    assert_eq!(proxied.proxy.counts().injected.throttles, 61);
    assert_eq!(proxied.ids().await, BTreeSet::new());
}

#[tokio::test]
async fn a_server_error_may_hide_that_the_request_took_effect() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults { server_error: 1.0, ..Faults::default() }).await;
    for id in names(0..40) {
        let error = proxied.put(&id).await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
        assert!(error.as_service_error().unwrap().is_internal_server_error(), "{error:?}");
    }
    let injected = proxied.proxy.counts().injected;
    assert_eq!(injected.errors_before + injected.errors_after, 40);
    assert!(injected.errors_before > 0 && injected.errors_after > 0, "{injected:?}");
    assert_eq!(proxied.ids().await.len() as u64, injected.errors_after);
}

fn assert_reset(error: SdkError<PutItemError>) {
    let SdkError::DispatchFailure(failure) = &error else { panic!("{error:?}") };
    assert!(failure.is_io(), "{error:?}");
}

#[tokio::test]
async fn a_reset_before_forwarding_leaves_no_item() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults { reset_before: 1.0, ..Faults::default() }).await;
    assert_reset(proxied.put("1").await.unwrap_err());
    assert_eq!(proxied.ids().await, BTreeSet::new());
    assert_eq!(proxied.proxy.counts().injected.resets_before, 1);

    // The client opens another connection.
    proxied.proxy.set_faults(Faults::default());
    proxied.put("1").await.unwrap();
}

#[tokio::test]
async fn a_reset_after_forwarding_leaves_the_item() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults { reset_after: 1.0, ..Faults::default() }).await;
    assert_reset(proxied.put("1").await.unwrap_err());
    assert_eq!(proxied.ids().await, BTreeSet::from(["1".to_owned()]));
    assert_eq!(proxied.proxy.counts().injected.resets_after, 1);
}

#[test]
fn a_reset_connection_does_not_end_normally() {
    let proxy = FaultProxy::start("http://127.0.0.1:9", Faults { reset_before: 1.0, ..Faults::default() }, 1);
    let mut stream = TcpStream::connect(proxy.endpoint().strip_prefix("http://").unwrap()).unwrap();
    stream
        .write_all(
            b"POST / HTTP/1.1\r\nhost: dynamodb\r\nx-amz-target: DynamoDB_20120810.GetItem\r\n\
              content-length: 2\r\n\r\n{}",
        )
        .unwrap();
    let mut answer = Vec::new();
    assert_eq!(stream.read_to_end(&mut answer).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(answer, b"");
    assert_eq!(proxy.counts().requests("GetItem"), 1);
}

#[tokio::test]
async fn unprocessed_keys_are_returned_with_their_settings() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults { partial: 1.0, ..Faults::default() }).await;
    for id in names(0..100) {
        put(&proxied.direct, &proxied.table, &id).await.unwrap();
    }
    let all = KeysAndAttributes::builder()
        .set_keys(Some(names(0..100).iter().map(|id| key(id)).collect()))
        .consistent_read(true)
        .projection_expression("#i")
        .expression_attribute_names("#i", "id")
        .build()
        .unwrap();
    let mut requested = HashMap::from([(proxied.table.clone(), all)]);
    let mut found = BTreeSet::new();
    let mut held_back = 0;
    while !requested.is_empty() {
        let before = requested[&proxied.table].keys().len();
        let answer = proxied.client.batch_get_item().set_request_items(Some(requested)).send().await.unwrap();
        let items = &answer.responses().unwrap()[&proxied.table];
        requested = answer.unprocessed_keys().cloned().unwrap_or_default();
        let left = requested.get(&proxied.table).map_or(0, |left| left.keys().len());
        assert_eq!(items.len() + left, before);
        if let Some(left) = requested.get(&proxied.table) {
            assert_eq!(left.consistent_read(), Some(true));
            assert_eq!(left.projection_expression(), Some("#i"));
            assert_eq!(left.expression_attribute_names().unwrap()["#i"], "id");
        }
        assert!(before == 1 || (left > 0 && left < before), "{left} of {before} left");
        held_back += left as u64;
        found.extend(items.iter().map(id));
    }
    assert_eq!(found, names(0..100));
    assert_eq!(proxied.proxy.counts().injected.held_back, held_back);
    assert!(proxied.proxy.counts().injected.partials > 1);
}

#[tokio::test]
async fn unprocessed_writes_are_returned_and_have_no_effect() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults { partial: 1.0, ..Faults::default() }).await;
    let other = new_table(&proxied.direct).await;
    let write = |id: &String| {
        let put = PutRequest::builder().set_item(Some(key(id))).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    let unprocessed = |left: &HashMap<String, Vec<WriteRequest>>, table: &String| -> BTreeSet<String> {
        left.get(table).into_iter().flatten().map(|write| id(write.put_request().unwrap().item())).collect()
    };
    let mut left = HashMap::from([
        (proxied.table.clone(), names(0..12).iter().map(write).collect::<Vec<_>>()),
        (other.clone(), names(12..25).iter().map(write).collect()),
    ]);
    let mut rounds = 0;
    while !left.is_empty() {
        let answer = proxied.client.batch_write_item().set_request_items(Some(left)).send().await.unwrap();
        left = answer.unprocessed_items().cloned().unwrap_or_default();
        for (table, all) in [(&proxied.table, names(0..12)), (&other, names(12..25))] {
            assert_eq!(ids(&proxied.direct, table).await, &all - &unprocessed(&left, table));
        }
        rounds += 1;
    }
    assert!(rounds > 1);
    assert_eq!(proxied.proxy.counts().requests("BatchWriteItem"), rounds);
}

fn statements(sql: &str, ids: &BTreeSet<String>) -> Vec<BatchStatementRequest> {
    let statement = |id: &String| BatchStatementRequest::builder().statement(sql).parameters(text(id)).build().unwrap();
    ids.iter().map(statement).collect()
}

#[tokio::test]
async fn some_statements_fail_and_each_response_is_in_its_place() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults { partial: 1.0, ..Faults::default() }).await;
    let insert = format!(r#"INSERT INTO "{}" VALUE {{'id': ?}}"#, proxied.table);
    let select = format!(r#"SELECT * FROM "{}" WHERE id = ?"#, proxied.table);
    let mut by_code = BTreeMap::<String, BTreeSet<String>>::new();
    let mut done = BTreeSet::new();
    let mut failed = 0;
    for batch in 0..12 {
        let range = names(batch * 25..(batch + 1) * 25);
        let request = proxied.client.batch_execute_statement().set_statements(Some(statements(&insert, &range)));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.responses().len(), 25);
        for (id, response) in range.into_iter().zip(answer.responses()) {
            match response.error() {
                None => {
                    done.insert(id);
                }
                Some(error) => {
                    assert!(error.message().is_some());
                    failed += 1;
                    by_code.entry(error.code().unwrap().as_str().to_owned()).or_default().insert(id);
                }
            }
        }
    }
    assert_eq!(proxied.proxy.counts().injected.held_back, failed);
    assert_eq!(proxied.proxy.counts().injected.partials, 12);
    let stored = proxied.ids().await;
    assert!(done.is_subset(&stored) && !done.is_empty());
    let refused = ["ProvisionedThroughputExceeded", "RequestLimitExceeded", "ThrottlingError"];
    for code in refused {
        assert!(by_code[code].is_disjoint(&stored), "{code}: {by_code:?}");
        assert!(BatchStatementErrorCodeEnum::values().contains(&code), "{code} is not a code of DynamoDB");
    }
    // The client can't know the effect of these.
    let ambiguous = &by_code["InternalServerError"];
    assert!(!ambiguous.is_disjoint(&stored) && !ambiguous.is_subset(&stored));
    assert_eq!(by_code.len(), 4);

    let selected: BTreeSet<String> = stored.iter().take(25).cloned().collect();
    let request = proxied.client.batch_execute_statement().set_statements(Some(statements(&select, &selected)));
    let answer = request.send().await.unwrap();
    let succeeded = answer.responses().iter().filter(|response| response.error().is_none()).count();
    assert!(succeeded > 0 && succeeded < 25, "{succeeded} succeeded");
    for (id, response) in selected.iter().zip(answer.responses()) {
        assert_eq!(response.error().is_none(), response.item().is_some_and(|item| self::id(item) == *id));
    }
}

#[tokio::test]
async fn a_delayed_request_is_overtaken_by_the_next_one() {
    require!(DynamoDbLocal);
    let hour = 3_600_000;
    let only = Some(vec!["PutItem".to_owned()]);
    let proxied = ProxiedTable::new(Faults { delay: 1.0, delay_ms: (hour, hour), only, ..Faults::default() }).await;
    let mut arrivals = proxied.arrivals();
    let (client, table) = (proxied.client.clone(), proxied.table.clone());
    let slow = tokio::spawn(async move { put(&client, &table, "slow").await });
    assert_eq!(arrivals.recv().await.unwrap(), "PutItem");

    proxied.client.update_item().table_name(&proxied.table).set_key(Some(key("quick"))).send().await.unwrap();
    assert_eq!(arrivals.recv().await.unwrap(), "UpdateItem");
    assert_eq!(proxied.ids().await, BTreeSet::from(["quick".to_owned()]));
    assert!(!slow.is_finished());
    assert_eq!(proxied.proxy.counts().injected.delays, 1);

    // A dropped proxy closes its connections.
    drop(proxied.proxy);
    assert!(matches!(slow.await.unwrap(), Err(SdkError::DispatchFailure(_))));
    assert_eq!(ids(&proxied.direct, &proxied.table).await, BTreeSet::from(["quick".to_owned()]));
}

#[tokio::test]
async fn no_request_is_answered_before_its_latency_and_several_wait_side_by_side() {
    require!(DynamoDbLocal);
    let latency = Duration::from_millis(300);
    let proxied = ProxiedTable::new(Faults { latency: Some(latency), ..Faults::default() }).await;
    let began = Instant::now();
    let puts = (0..20).map(|id| {
        let (client, table) = (proxied.client.clone(), proxied.table.clone());
        tokio::spawn(async move { put(&client, &table, &id.to_string()).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap().unwrap();
        assert!(began.elapsed() >= latency);
    }
    assert!(began.elapsed() < 20 * latency, "one after another");
}

#[tokio::test]
async fn a_complete_request_takes_effect_even_if_its_sender_is_gone() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults { delay: 1.0, delay_ms: (1, 20), ..Faults::default() }).await;
    let mut arrivals = proxied.arrivals();
    let (client, table) = (proxied.client.clone(), proxied.table.clone());
    let sender = tokio::spawn(async move { put(&client, &table, "1").await });
    arrivals.recv().await.unwrap();
    sender.abort();
    // Without the effect, the test would exceed its time limit.
    while proxied.ids().await.is_empty() {}
}

#[tokio::test]
async fn a_hook_is_called_for_every_request_and_may_set_its_faults() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults::default()).await;
    let proxy = Arc::new(proxied.proxy);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (weak, seeing) = (Arc::downgrade(&proxy), seen.clone());
    proxy.on_request(move |number, operation| {
        seeing.lock().unwrap().push((number, operation.to_owned()));
        if let Some(proxy) = weak.upgrade() {
            proxy.set_faults(Faults { reset_after: if number == 2 { 1.0 } else { 0.0 }, ..Faults::default() });
        }
    });
    put(&proxied.client, &proxied.table, "1").await.unwrap();
    assert_reset(put(&proxied.client, &proxied.table, "2").await.unwrap_err());
    assert_eq!(ids(&proxied.client, &proxied.table).await, BTreeSet::from(["1".to_owned(), "2".to_owned()]));
    let expected = [(1, "PutItem"), (2, "PutItem"), (3, "Scan")];
    assert_eq!(*seen.lock().unwrap(), expected.map(|(number, operation)| (number, operation.to_owned())));
}

#[tokio::test]
async fn operations_that_are_not_listed_meet_no_fault() {
    require!(DynamoDbLocal);
    let only = Some(vec!["GetItem".to_owned(), "BatchGetItem".to_owned()]);
    let proxied = ProxiedTable::new(Faults { throttle: 1.0, only, ..Faults::default() }).await;
    proxied.put("1").await.unwrap();
    proxied.client.get_item().table_name(&proxied.table).set_key(Some(key("1"))).send().await.unwrap_err();
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    require!(DynamoDbLocal);
    let faults = Faults { throttle: 0.3, server_error: 0.2, reset_before: 0.1, reset_after: 0.1, ..Faults::default() };
    let table = new_table(&client(&endpoint())).await;
    let run = async |seed| {
        let proxy = FaultProxy::start(&endpoint(), faults.clone(), seed);
        let client = client(&proxy.endpoint());
        let mut codes = Vec::new();
        for _ in 0..60 {
            let result = put(&client, &table, "1").await;
            codes.push(result.map_err(|error| error.code().unwrap_or("reset").to_owned()));
        }
        (codes, proxy.counts().injected)
    };
    let first = run(5).await;
    assert_eq!(first, run(5).await);
    assert_ne!(first, run(6).await);
}

#[tokio::test]
async fn consumed_capacity_is_summed_if_requests_ask_for_it() {
    require!(DynamoDbLocal);
    let proxied = ProxiedTable::new(Faults::default()).await;
    let units = || {
        let counts = proxied.proxy.counts();
        (counts.write_units, counts.read_units)
    };
    let total = ReturnConsumedCapacity::Total;
    // A write unit is 1 KB, a read unit 4 KB; an item's attribute names count, too.
    let big = |id: &str| {
        let mut item = key(id);
        item.insert("text".into(), text("x".repeat(2_500)));
        item
    };

    proxied.client.put_item().table_name(&proxied.table).set_item(Some(big("1"))).send().await.unwrap();
    assert_eq!(units(), (0.0, 0.0), "no request asked for it");

    let put = || proxied.client.put_item().table_name(&proxied.table).return_consumed_capacity(total.clone());
    put().set_item(Some(big("1"))).send().await.unwrap();
    assert_eq!(units(), (3.0, 0.0));

    let get = || proxied.client.get_item().table_name(&proxied.table).set_key(Some(key("1")));
    get().return_consumed_capacity(total.clone()).consistent_read(true).send().await.unwrap();
    assert_eq!(units(), (3.0, 1.0));
    get().return_consumed_capacity(total.clone()).send().await.unwrap();
    assert_eq!(units(), (3.0, 1.5));

    // A batch has one entry for each table. DynamoDB Local does not report the capacity of statements.
    let write = |id: &String| {
        let put = PutRequest::builder().set_item(Some(big(id))).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    let other = new_table(&proxied.direct).await;
    let writes = |range| names(range).iter().map(write).collect::<Vec<_>>();
    let batch = proxied.client.batch_write_item().return_consumed_capacity(total.clone());
    batch.request_items(&proxied.table, writes(0..2)).request_items(&other, writes(2..5)).send().await.unwrap();
    assert_eq!(units(), (18.0, 1.5));

    // Capacity is consumed even if the caller gets no response.
    proxied.proxy.set_faults(Faults { reset_after: 1.0, ..Faults::default() });
    put().set_item(Some(big("1"))).send().await.unwrap_err();
    assert_eq!(units(), (21.0, 1.5));
}

#[tokio::test]
async fn an_unreachable_service_is_a_bad_gateway() {
    // The port was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let proxy = FaultProxy::start(&format!("http://127.0.0.1:{port}/"), Faults::default(), 1);
    let error = put(&client(&proxy.endpoint()), "table", "1").await.unwrap_err();
    let answer = error.raw_response().unwrap();
    assert_eq!(answer.status().as_u16(), 502);
    let text = String::from_utf8_lossy(answer.body().bytes().unwrap());
    assert!(text.contains(&format!("no response from 127.0.0.1:{port}")), "{text}");
}

#[test]
fn a_dropped_proxy_does_not_listen() {
    let proxy = FaultProxy::start("http://127.0.0.1:9", Faults::default(), 1);
    let address = proxy.endpoint().strip_prefix("http://").unwrap().to_owned();
    TcpStream::connect(&address).unwrap();
    drop(proxy);
    assert_eq!(TcpStream::connect(&address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
