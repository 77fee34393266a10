//! The fault proxy between Amazon's client and DynamoDB Local: each fault is seen as the real one would be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

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
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

type Item = HashMap<String, AttributeValue>;

/// A table behind a proxy.
struct Bed {
    table: String,
    proxy: FaultProxy,
    /// Past the proxy.
    direct: Client,
    /// Through the proxy.
    client: Client,
}

impl Bed {
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

    /// The items that stand.
    async fn ids(&self) -> BTreeSet<String> {
        ids(&self.direct, &self.table).await
    }

    /// The operations of requests as they come in.
    fn arrivals(&self) -> UnboundedReceiver<String> {
        let (sender, receiver) = unbounded_channel();
        self.proxy.on_request(move |_, operation| {
            // The test may be over.
            let _ = sender.send(operation.to_owned());
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
async fn without_faults_everything_goes_through() {
    let bed = Bed::new(Faults::default()).await;
    for id in names(0..30) {
        bed.put(&id).await.unwrap();
    }
    assert_eq!(ids(&bed.client, &bed.table).await, names(0..30));
    // An error of DynamoDB's own, too.
    let refused = put(&bed.client, "no-such-table", "1").await.unwrap_err();
    assert!(refused.as_service_error().unwrap().is_resource_not_found_exception(), "{refused:?}");

    let counts = bed.proxy.counts();
    assert_eq!(counts.by_operation, BTreeMap::from([("PutItem".into(), 31), ("Scan".into(), 1)]));
    assert_eq!((counts.total(), counts.requests("PutItem"), counts.requests("GetItem")), (32, 31, 0));
    assert_eq!(counts.injected.total(), 0);
}

fn reason(reasons: &[ThrottlingReason]) -> String {
    let [reason] = reasons else { panic!("one reason: {reasons:?}") };
    format!("{} {}", reason.reason().unwrap(), reason.resource().unwrap().rsplit('/').next().unwrap())
}

#[tokio::test]
async fn a_throttled_request_has_one_of_three_errors_and_says_why() {
    let bed = Bed::new(Faults { throttle: 1.0, ..Faults::default() }).await;
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        let error = bed.put("1").await.unwrap_err();
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
    assert_eq!(seen, reasons.into_iter().map(|reason| format!("{reason} {}", bed.table)).collect());

    let error = bed.client.get_item().table_name(&bed.table).set_key(Some(key("1"))).send().await.unwrap_err();
    assert!(String::from_utf8_lossy(error.raw_response().unwrap().body().bytes().unwrap()).contains(r#""TableRead"#));

    assert_eq!(bed.proxy.counts().injected.throttles, 61);
    assert_eq!(bed.ids().await, BTreeSet::new());
}

#[tokio::test]
async fn a_server_error_may_hide_that_the_request_took_effect() {
    let bed = Bed::new(Faults { server_error: 1.0, ..Faults::default() }).await;
    for id in names(0..40) {
        let error = bed.put(&id).await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
        assert!(error.as_service_error().unwrap().is_internal_server_error(), "{error:?}");
    }
    let injected = bed.proxy.counts().injected;
    assert_eq!(injected.errors_before + injected.errors_after, 40);
    assert!(injected.errors_before > 0 && injected.errors_after > 0, "{injected:?}");
    assert_eq!(bed.ids().await.len() as u64, injected.errors_after);
}

fn assert_reset(error: SdkError<PutItemError>) {
    let SdkError::DispatchFailure(failure) = &error else { panic!("{error:?}") };
    assert!(failure.is_io(), "{error:?}");
}

#[tokio::test]
async fn a_reset_before_leaves_no_item() {
    let bed = Bed::new(Faults { reset_before: 1.0, ..Faults::default() }).await;
    assert_reset(bed.put("1").await.unwrap_err());
    assert_eq!(bed.ids().await, BTreeSet::new());
    assert_eq!(bed.proxy.counts().injected.resets_before, 1);

    // The client comes back on another connection.
    bed.proxy.set_faults(Faults::default());
    bed.put("1").await.unwrap();
}

#[tokio::test]
async fn a_reset_after_leaves_the_item() {
    let bed = Bed::new(Faults { reset_after: 1.0, ..Faults::default() }).await;
    assert_reset(bed.put("1").await.unwrap_err());
    assert_eq!(bed.ids().await, BTreeSet::from(["1".to_owned()]));
    assert_eq!(bed.proxy.counts().injected.resets_after, 1);
}

#[test]
fn a_reset_is_one_and_no_orderly_end() {
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
async fn keys_left_out_come_back_as_they_were_asked_for() {
    let bed = Bed::new(Faults { partial: 1.0, ..Faults::default() }).await;
    for id in names(0..100) {
        put(&bed.direct, &bed.table, &id).await.unwrap();
    }
    let all = KeysAndAttributes::builder()
        .set_keys(Some(names(0..100).iter().map(|id| key(id)).collect()))
        .consistent_read(true)
        .projection_expression("#i")
        .expression_attribute_names("#i", "id")
        .build()
        .unwrap();
    let mut wanted = HashMap::from([(bed.table.clone(), all)]);
    let mut found = BTreeSet::new();
    let mut held_back = 0;
    while !wanted.is_empty() {
        let before = wanted[&bed.table].keys().len();
        let answer = bed.client.batch_get_item().set_request_items(Some(wanted)).send().await.unwrap();
        let items = &answer.responses().unwrap()[&bed.table];
        wanted = answer.unprocessed_keys().cloned().unwrap_or_default();
        let left = wanted.get(&bed.table).map_or(0, |left| left.keys().len());
        assert_eq!(items.len() + left, before);
        if let Some(left) = wanted.get(&bed.table) {
            assert_eq!(left.consistent_read(), Some(true));
            assert_eq!(left.projection_expression(), Some("#i"));
            assert_eq!(left.expression_attribute_names().unwrap()["#i"], "id");
        }
        assert!(before == 1 || (left > 0 && left < before), "{left} of {before} left");
        held_back += left as u64;
        found.extend(items.iter().map(id));
    }
    assert_eq!(found, names(0..100));
    assert_eq!(bed.proxy.counts().injected.held_back, held_back);
    assert!(bed.proxy.counts().injected.partials > 1);
}

#[tokio::test]
async fn writes_left_out_come_back_and_are_not_done() {
    let bed = Bed::new(Faults { partial: 1.0, ..Faults::default() }).await;
    let other = new_table(&bed.direct).await;
    let write = |id: &String| {
        let put = PutRequest::builder().set_item(Some(key(id))).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    let unprocessed = |left: &HashMap<String, Vec<WriteRequest>>, table: &String| -> BTreeSet<String> {
        left.get(table).into_iter().flatten().map(|write| id(write.put_request().unwrap().item())).collect()
    };
    let mut left = HashMap::from([
        (bed.table.clone(), names(0..12).iter().map(write).collect::<Vec<_>>()),
        (other.clone(), names(12..25).iter().map(write).collect()),
    ]);
    let mut rounds = 0;
    while !left.is_empty() {
        let answer = bed.client.batch_write_item().set_request_items(Some(left)).send().await.unwrap();
        left = answer.unprocessed_items().cloned().unwrap_or_default();
        for (table, all) in [(&bed.table, names(0..12)), (&other, names(12..25))] {
            assert_eq!(ids(&bed.direct, table).await, &all - &unprocessed(&left, table));
        }
        rounds += 1;
    }
    assert!(rounds > 1);
    assert_eq!(bed.proxy.counts().requests("BatchWriteItem"), rounds);
}

fn statements(sql: &str, ids: &BTreeSet<String>) -> Vec<BatchStatementRequest> {
    let statement = |id: &String| BatchStatementRequest::builder().statement(sql).parameters(text(id)).build().unwrap();
    ids.iter().map(statement).collect()
}

#[tokio::test]
async fn some_statements_fail_and_each_answer_is_in_its_place() {
    let bed = Bed::new(Faults { partial: 1.0, ..Faults::default() }).await;
    let insert = format!(r#"INSERT INTO "{}" VALUE {{'id': ?}}"#, bed.table);
    let select = format!(r#"SELECT * FROM "{}" WHERE id = ?"#, bed.table);
    let mut by_code = BTreeMap::<String, BTreeSet<String>>::new();
    let mut done = BTreeSet::new();
    let mut failed = 0;
    for batch in 0..12 {
        let range = names(batch * 25..(batch + 1) * 25);
        let request = bed.client.batch_execute_statement().set_statements(Some(statements(&insert, &range)));
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
    assert_eq!(bed.proxy.counts().injected.held_back, failed);
    assert_eq!(bed.proxy.counts().injected.partials, 12);
    let standing = bed.ids().await;
    assert!(done.is_subset(&standing) && !done.is_empty());
    let refused = ["ProvisionedThroughputExceeded", "RequestLimitExceeded", "ThrottlingError"];
    for code in refused {
        assert!(by_code[code].is_disjoint(&standing), "{code}: {by_code:?}");
        assert!(BatchStatementErrorCodeEnum::values().contains(&code), "{code} is none of DynamoDB's");
    }
    // Nobody knows about these.
    let lost = &by_code["InternalServerError"];
    assert!(!lost.is_disjoint(&standing) && !lost.is_subset(&standing));
    assert_eq!(by_code.len(), 4);

    let asked: BTreeSet<String> = standing.iter().take(25).cloned().collect();
    let request = bed.client.batch_execute_statement().set_statements(Some(statements(&select, &asked)));
    let answer = request.send().await.unwrap();
    let told = answer.responses().iter().filter(|response| response.error().is_none()).count();
    assert!(told > 0 && told < 25, "{told} answers");
    for (id, response) in asked.iter().zip(answer.responses()) {
        assert_eq!(response.error().is_none(), response.item().is_some_and(|item| self::id(item) == *id));
    }
}

#[tokio::test]
async fn a_delayed_request_is_overtaken_by_the_next() {
    let hour = 3_600_000;
    let only = Some(vec!["PutItem".to_owned()]);
    let bed = Bed::new(Faults { delay: 1.0, delay_ms: (hour, hour), only, ..Faults::default() }).await;
    let mut arrivals = bed.arrivals();
    let (client, table) = (bed.client.clone(), bed.table.clone());
    let slow = tokio::spawn(async move { put(&client, &table, "slow").await });
    assert_eq!(arrivals.recv().await.unwrap(), "PutItem");

    bed.client.update_item().table_name(&bed.table).set_key(Some(key("quick"))).send().await.unwrap();
    assert_eq!(arrivals.recv().await.unwrap(), "UpdateItem");
    assert_eq!(bed.ids().await, BTreeSet::from(["quick".to_owned()]));
    assert!(!slow.is_finished());
    assert_eq!(bed.proxy.counts().injected.delays, 1);

    // A proxy that ends cuts the connections that it still has.
    drop(bed.proxy);
    assert!(matches!(slow.await.unwrap(), Err(SdkError::DispatchFailure(_))));
    assert_eq!(ids(&bed.direct, &bed.table).await, BTreeSet::from(["quick".to_owned()]));
}

#[tokio::test]
async fn a_request_that_came_in_takes_effect_though_its_sender_is_gone() {
    let bed = Bed::new(Faults { delay: 1.0, delay_ms: (1, 20), ..Faults::default() }).await;
    let mut arrivals = bed.arrivals();
    let (client, table) = (bed.client.clone(), bed.table.clone());
    let sender = tokio::spawn(async move { put(&client, &table, "1").await });
    arrivals.recv().await.unwrap();
    sender.abort();
    // If it did not, the time limit of tests would end this.
    while bed.ids().await.is_empty() {}
}

#[tokio::test]
async fn a_hook_sees_every_request_and_may_choose_what_it_meets() {
    let bed = Bed::new(Faults::default()).await;
    let proxy = Arc::new(bed.proxy);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (weak, seeing) = (Arc::downgrade(&proxy), seen.clone());
    proxy.on_request(move |number, operation| {
        seeing.lock().unwrap().push((number, operation.to_owned()));
        if let Some(proxy) = weak.upgrade() {
            proxy.set_faults(Faults { reset_after: if number == 2 { 1.0 } else { 0.0 }, ..Faults::default() });
        }
    });
    put(&bed.client, &bed.table, "1").await.unwrap();
    assert_reset(put(&bed.client, &bed.table, "2").await.unwrap_err());
    assert_eq!(ids(&bed.client, &bed.table).await, BTreeSet::from(["1".to_owned(), "2".to_owned()]));
    let expected = [(1, "PutItem"), (2, "PutItem"), (3, "Scan")];
    assert_eq!(*seen.lock().unwrap(), expected.map(|(number, operation)| (number, operation.to_owned())));
}

#[tokio::test]
async fn operations_that_are_not_listed_are_spared() {
    let only = Some(vec!["GetItem".to_owned(), "BatchGetItem".to_owned()]);
    let bed = Bed::new(Faults { throttle: 1.0, only, ..Faults::default() }).await;
    bed.put("1").await.unwrap();
    bed.client.get_item().table_name(&bed.table).set_key(Some(key("1"))).send().await.unwrap_err();
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
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
async fn capacity_is_summed_up_where_it_is_asked_for() {
    let bed = Bed::new(Faults::default()).await;
    let units = || {
        let counts = bed.proxy.counts();
        (counts.write_units, counts.read_units)
    };
    let total = ReturnConsumedCapacity::Total;
    // A unit of writing is 1 KB, of reading 4 KB, of which an item may be a little less by its names.
    let big = |id: &str| {
        let mut item = key(id);
        item.insert("text".into(), text("x".repeat(2_500)));
        item
    };

    bed.client.put_item().table_name(&bed.table).set_item(Some(big("1"))).send().await.unwrap();
    assert_eq!(units(), (0.0, 0.0), "nobody asked");

    let put = || bed.client.put_item().table_name(&bed.table).return_consumed_capacity(total.clone());
    put().set_item(Some(big("1"))).send().await.unwrap();
    assert_eq!(units(), (3.0, 0.0));

    let get = || bed.client.get_item().table_name(&bed.table).set_key(Some(key("1")));
    get().return_consumed_capacity(total.clone()).consistent_read(true).send().await.unwrap();
    assert_eq!(units(), (3.0, 1.0));
    get().return_consumed_capacity(total.clone()).send().await.unwrap();
    assert_eq!(units(), (3.0, 1.5));

    // A list, by tables. DynamoDB Local says nothing of what statements took.
    let write = |id: &String| {
        let put = PutRequest::builder().set_item(Some(big(id))).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    let other = new_table(&bed.direct).await;
    let writes = |range| names(range).iter().map(write).collect::<Vec<_>>();
    let batch = bed.client.batch_write_item().return_consumed_capacity(total.clone());
    batch.request_items(&bed.table, writes(0..2)).request_items(&other, writes(2..5)).send().await.unwrap();
    assert_eq!(units(), (18.0, 1.5));

    // What is kept from the caller was taken all the same.
    bed.proxy.set_faults(Faults { reset_after: 1.0, ..Faults::default() });
    put().set_item(Some(big("1"))).send().await.unwrap_err();
    assert_eq!(units(), (21.0, 1.5));
}

#[tokio::test]
async fn a_dynamodb_out_of_reach_is_told_as_such() {
    // The port was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let proxy = FaultProxy::start(&format!("http://127.0.0.1:{port}/"), Faults::default(), 1);
    let error = put(&client(&proxy.endpoint()), "table", "1").await.unwrap_err();
    let answer = error.raw_response().unwrap();
    assert_eq!(answer.status().as_u16(), 502);
    let text = String::from_utf8_lossy(answer.body().bytes().unwrap());
    assert!(text.contains(&format!("no answer from 127.0.0.1:{port}")), "{text}");
}

#[test]
fn a_proxy_dropped_listens_no_more() {
    let proxy = FaultProxy::start("http://127.0.0.1:9", Faults::default(), 1);
    let address = proxy.endpoint().strip_prefix("http://").unwrap().to_owned();
    TcpStream::connect(&address).unwrap();
    drop(proxy);
    assert_eq!(TcpStream::connect(&address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
