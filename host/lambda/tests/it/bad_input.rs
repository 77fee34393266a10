//! Invalid events: each error states what happened, where and what to do, and no record is lost.

use std::sync::Mutex;
use std::time::Duration;

use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, client};
use paceline_pipeline::model::{Cause, DeadLetter};
use paceline_pipeline::store::DeadLetterStore;
use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::assertions::assert_contains;
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::{Function, Invocation};
use paceline_testbed::mapping::Mapping;
use paceline_testbed::require;
use serde_json::{Value, json};

use crate::support::{
    DedupMode, Deployment, all_committed, beat, block_on, error_message, event, event_of, messages, race, record,
    response, sequence, stream,
};

/// Longer than any invocation takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn letters(deployment: &Deployment) -> Vec<DeadLetter> {
    block_on(deployment.store().list_dead_letters()).unwrap()
}

/// Three valid messages.
pub(crate) fn valid() -> Vec<Vec<u8>> {
    (1..=3).map(|racer| beat(racer, 1, 60).to_string().into_bytes()).collect()
}

pub(crate) fn event_with(payloads: &[Vec<u8>]) -> Vec<u8> {
    event_of(payloads.iter().map(Vec::as_slice))
}

/// Asserts that an event fails, with a message that contains all these parts.
#[track_caller]
pub(crate) fn fails(function: &Function, event: Vec<u8>, parts: &[&str]) {
    let message = error_message(function.invoke(event, TIMEOUT));
    assert_contains(&message, parts);
    // The log has it as well. The message is escaped there, but its first words have no special characters.
    let first = message.split(['"', '\\', '\n']).next().unwrap_or_default();
    assert!(function.wait_for_log(first, TIMEOUT), "`{first}` is not in the log:\n{}", function.logs());
}

/// Asserts that these payloads are committed with the outcome of the local run.
pub(crate) fn completes(deployment: &Deployment, function: &Function, payloads: &[Vec<u8>]) {
    assert_eq!(response(function.invoke(event_with(payloads), TIMEOUT)), all_committed());
    deployment.outcome().must_be(&deployment.local(&messages(payloads.iter().map(Vec::as_slice))), "delivered again");
}

pub(crate) fn create_tables(config: &DynamoDbConfig) {
    block_on(async {
        let client = client(config).await.unwrap();
        create(&client, config, Billing::OnDemand).await.unwrap();
    });
}

#[test]
fn an_event_of_another_service_is_rejected_and_the_next_batch_is_committed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let sqs = json!({ "Records": [{
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d", "receiptHandle": "AQEB", "body": "{}",
        "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue", "awsRegion": "us-east-1",
    }]});
    let s3 = json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "alleycat" }, "object": { "key": "class-1.gz" } },
    }]});
    let sns = json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0", "Sns": { "Message": "{}" } }] });
    let stream_of_table = json!({ "Records": [{
        "eventID": "1", "eventName": "INSERT", "eventSource": "aws:dynamodb", "dynamodb": { "Keys": {} },
    }]});
    let no_records = "This function processes batches of a Kinesis stream: check that an event source mapping";
    let cases: [(Value, &[&str]); 10] = [
        (sqs, &["Records[0].eventSource is aws:sqs, not aws:kinesis", "check its event source mappings"]),
        (s3, &["Records[0].eventSource is aws:s3, not aws:kinesis", "check its event source mappings"]),
        (sns, &["Records[0].eventSource is aws:sns, not aws:kinesis", "check its event source mappings"]),
        (stream_of_table, &["Records[0].eventSource is aws:dynamodb", "check its event source mappings"]),
        (json!({}), &["no `Records`", "an empty object", no_records]),
        (json!({ "key1": "value1", "key2": "value2" }), &["an object with the keys `key1`, `key2`", no_records]),
        (json!([1, 2]), &["no `Records`", "it is an array", no_records]),
        (json!(17), &["no `Records`", "it is a number", no_records]),
        (json!("hello"), &["no `Records`", "it is a string", no_records]),
        (Value::Null, &["no `Records`", "it is null", no_records]),
    ];
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    for (event, parts) in cases {
        fails(&function, event.to_string().into_bytes(), parts);
    }
    completes(&deployment, &function, &valid());
    assert_eq!(function.started(), 1, "no event ended an instance");
}

#[test]
fn data_that_is_not_base64_is_a_dead_letter_and_its_neighbours_are_committed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let payloads = valid();
    let mut records: Vec<Value> = payloads.iter().enumerate().map(|(at, payload)| record(at, payload)).collect();
    records[1]["kinesis"]["data"] = json!("{\"naïve\": *}");
    assert_eq!(response(function.invoke(event(&records), TIMEOUT)), all_committed());
    let letters = letters(&deployment);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(letter.reason.cause, Cause::Undecodable);
    assert_eq!(String::from_utf8_lossy(&letter.payload), "{\"naïve\": *}");
    assert_eq!(letter.position.sequence.to_string(), sequence(1));
    assert!(letter.reason.text.contains("the data is not base64: unexpected '{' at byte 0"), "{}", letter.reason.text);
    let neighbours = messages([&payloads[0], &payloads[2]].map(Vec::as_slice));
    assert_eq!(deployment.outcome().items, deployment.local(&neighbours).items);
}

#[test]
fn a_sequence_number_that_is_not_a_number_fails_the_event_and_names_the_record() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let payloads = valid();
    for (wrong, shown) in [
        (json!("forty-nine"), "`forty-nine` is not a sequence number"),
        (json!("-1"), "`-1` is not a sequence number"),
        (json!(""), "`` is not a sequence number"),
        (json!("9".repeat(60)), "a decimal of at most 192 bits"),
    ] {
        let mut records: Vec<Value> = payloads.iter().enumerate().map(|(at, payload)| record(at, payload)).collect();
        records[2]["kinesis"]["sequenceNumber"] = wrong;
        // It would be taken instead.
        records[2]["eventID"] = json!("shardId-000000000000:of-a-kit");
        fails(&function, event(&records), &["Records[2].kinesis.sequenceNumber", shown]);
    }
    assert!(deployment.outcome().items.is_empty(), "none of its records is processed");
    completes(&deployment, &function, &payloads);
}

#[test]
fn an_empty_batch_succeeds_with_an_empty_list() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    assert_eq!(response(function.invoke(event(&[]), TIMEOUT)), all_committed());
    completes(&deployment, &function, &valid());
}

#[test]
fn a_batch_of_6_megabytes_is_committed_in_one_invocation() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    // More messages than fit in an event.
    let messages = race(&Race {
        racers: 900,
        seconds: 10,
        class: 3,
        race: 131,
        seed: 3,
        key: PartitionKey::Random,
        errors: 0.0,
        duplicates: 0.0,
    });
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let sizes = Mutex::new(Vec::new());
    let measured = |event: Vec<u8>, timeout: Duration| -> Invocation {
        sizes.lock().unwrap().push(event.len());
        function.invoke(event, timeout)
    };
    let mapping = Mapping { batch_size: 10_000, report_batch_item_failures: true, ..Mapping::default() };
    let report = mapping.run(&stream(&messages, 1), &measured);
    let sizes = sizes.into_inner().unwrap();
    assert!(sizes[0] > (6 << 20) - 2_000 && sizes.len() == 2, "{sizes:?}");
    assert_eq!((report.retries, report.function_errors, report.timeouts), (0, 0, 0), "{}", function.logs());
    deployment.outcome().must_be(&deployment.local(&messages), "6 MB");
}

#[test]
fn a_payload_of_300_kibibytes_is_a_dead_letter_with_all_its_bytes() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let mut long = beat(9, 1, 60);
    long["name"] = json!("x".repeat(300 << 10));
    let long = long.to_string().into_bytes();
    let mut payloads = valid();
    payloads.insert(1, long.clone());
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    completes(&deployment, &function, &payloads);
    let letters = letters(&deployment);
    let [letter] = &letters[..] else { panic!("{} dead letters", letters.len()) };
    assert_eq!((letter.reason.cause, letter.cut_from), (Cause::TooLarge, None));
    assert!(letter.payload == long, "{} bytes of {}", letter.payload.len(), long.len());
    assert!(letter.reason.text.contains(&long.len().to_string()), "{}", letter.reason.text);
}

#[test]
fn a_window_state_of_another_writer_fails_the_event_with_a_remedy() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let payloads = valid();
    let window = |state: Value, is_final: bool| {
        let mut event: Value = serde_json::from_slice(&event_with(if is_final { &[] } else { &payloads })).unwrap();
        event["window"] = json!({ "start": "2021-05-05T18:51:00Z", "end": "2021-05-05T18:51:15Z" });
        event["state"] = state;
        event["shardId"] = json!("shardId-000000000000");
        event["eventSourceARN"] = json!("arn:aws:kinesis:us-east-1:123456789012:stream/alleycat");
        event["isFinalInvokeForWindow"] = json!(is_final);
        event["isWindowTerminatedEarly"] = json!(false);
        event.to_string().into_bytes()
    };
    for state in [json!({ "paceline": 282 }), json!({ "paceline": "*" }), json!({ "paceline": "AAAA" }), json!(7)] {
        fails(
            &function,
            window(state, false),
            &[
                "this window state was not written by this function",
                "delete the event source mapping and create it again",
            ],
        );
    }
    assert!(deployment.outcome().items.is_empty());
    // The new mapping begins without a state.
    let accumulated = response(function.invoke(window(json!({}), false), TIMEOUT));
    assert_eq!(response(function.invoke(window(accumulated["state"].clone(), true), TIMEOUT))["state"], json!({}));
    deployment.outcome().must_be(&deployment.local(&messages(payloads.iter().map(Vec::as_slice))), "after the repair");
}
