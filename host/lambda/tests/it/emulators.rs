//! Events of test kits and emulators: what is there is taken, with one warning, and no metadata fails a batch.

use std::time::Duration;

use paceline_pipeline::model::{Cause, DeadLetter};
use paceline_pipeline::store::DeadLetterStore;
use paceline_testbed::assertions::assert_contains;
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::{Deadline, Function};
use paceline_testbed::require;
use serde_json::{Value, json};

use crate::support::{
    DedupMode, Deployment, all_committed, beat, block_on, error_message, event, messages, record, response, sequence,
};

/// Longer than any invocation takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the line of remarks begins with.
const NOT_AS_LAMBDA: &str = "the invocation is not as Lambda makes it for a Kinesis stream";

fn letters(deployment: &Deployment) -> Vec<DeadLetter> {
    block_on(deployment.store().list_dead_letters()).unwrap()
}

fn payload(racer: u32) -> Vec<u8> {
    beat(racer, 1, 60).to_string().into_bytes()
}

/// The log's lines of this level, after the invocations so far. The metrics are an invocation's last lines.
fn lines(function: &Function, level: &str) -> Vec<Value> {
    let lines = function.logs();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["level"] == level).collect()
}

/// Invokes with two records, of which `change` changes the second, and asserts that both are committed and that there is
/// one warning with this text.
#[track_caller]
fn both_are_committed(change: impl FnOnce(&mut Value), warning: &str) {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let mut records = [record(1, &payload(1)), record(2, &payload(2))];
    change(&mut records[1]);
    assert_eq!(response(function.invoke(event(&records), TIMEOUT)), all_committed(), "{warning}");
    let expected = deployment.local(&messages([&payload(1), &payload(2)].map(|payload| &payload[..])));
    deployment.outcome().must_be(&expected, warning);
    assert!(function.wait_for_log("\"_aws\"", TIMEOUT), "{}", function.logs());
    let warnings = lines(&function, "WARN");
    let [line] = &warnings[..] else { panic!("{warnings:?}") };
    assert_contains(&line["message"].as_str().unwrap(), &[NOT_AS_LAMBDA, warning]);
}

#[test]
fn the_test_event_of_the_console_is_processed_with_one_warning() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let event = include_bytes!("../fixtures/test-event.json").to_vec();
    assert_eq!(response(function.invoke(event, TIMEOUT)), all_committed());
    assert_eq!((deployment.outcome().items.len(), letters(&deployment).len()), (1, 0));
    assert!(function.wait_for_log("\"_aws\"", TIMEOUT), "{}", function.logs());
    let warnings = lines(&function, "WARN");
    let [line] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(line["shard"], "EXAMPLE/shardId-000000000000");
    assert_contains(&line["message"].as_str().unwrap(), &[NOT_AS_LAMBDA, "`arn:aws:kinesis:EXAMPLE`"]);
}

#[test]
fn an_arrival_time_that_is_no_number_is_unknown() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    both_are_committed(
        |record| record["kinesis"]["approximateArrivalTimestamp"] = json!("1620566844.017"),
        "Records[1].kinesis.approximateArrivalTimestamp is `\"1620566844.017\"`, not a number of seconds",
    );
}

#[test]
fn an_arrival_time_in_milliseconds_is_taken_as_that() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    both_are_committed(
        |record| record["kinesis"]["approximateArrivalTimestamp"] = json!(1_620_566_844_017_u64),
        "it is taken as milliseconds",
    );
}

#[test]
fn an_arn_without_the_word_stream_is_of_the_same_stream() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    both_are_committed(
        |record| record["eventSourceARN"] = json!("arn:aws:kinesis:us-east-1:000000000000:alleycat"),
        "Records[1].eventSourceARN is `arn:aws:kinesis:us-east-1:000000000000:alleycat`",
    );
}

#[test]
fn an_id_and_a_key_of_other_types_are_ignored() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    both_are_committed(|record| record["eventID"] = json!(17), "Records[1].eventID is a number");
    both_are_committed(
        |record| record["kinesis"]["partitionKey"] = json!({ "of": "a kit" }),
        "Records[1].kinesis.partitionKey is an object, not a text",
    );
}

#[test]
fn data_that_is_null_is_a_dead_letter_at_its_place_and_its_neighbours_are_committed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let mut records: Vec<Value> = (1..=3).map(|racer| record(racer as usize, &payload(racer))).collect();
    records[1]["kinesis"]["data"] = Value::Null;
    assert_eq!(response(function.invoke(event(&records), TIMEOUT)), all_committed());
    let letters = letters(&deployment);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.reason.cause, &*letter.reason.text), (Cause::Undecodable, "the record has no `kinesis.data`"));
    assert_eq!(letter.id, format!("alleycat/shardId-000000000000:{}", sequence(2)));
    let neighbours = deployment.local(&messages([&payload(1), &payload(3)].map(|payload| &payload[..])));
    assert_eq!(deployment.outcome().items, neighbours.items);

    assert!(function.wait_for_log("\"_aws\"", TIMEOUT), "{}", function.logs());
    let warnings = lines(&function, "WARN");
    let [line] = &warnings[..] else { panic!("an event with dead letters has one line: {warnings:?}") };
    assert_eq!(line["message"], "records of the batch are dead letters: 1 undecodable");
    assert_eq!((&line["dead_letters"], &line["records"]), (&json!(1), &json!(3)));
}

#[test]
fn an_event_that_is_refused_logs_one_error() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    error_message(function.invoke(br#"{"Records":[{"eventSource":"aws:sqs"}]}"#.to_vec(), TIMEOUT));
    assert_eq!(response(function.invoke(event(&[record(1, &payload(1))]), TIMEOUT)), all_committed());
    assert!(function.wait_for_log("\"_aws\"", TIMEOUT), "{}", function.logs());
    let errors = lines(&function, "ERROR");
    let [line] = &errors[..] else { panic!("{errors:?}") };
    assert_contains(&line["message"].as_str().unwrap(), &["the invocation failed", "eventSource is aws:sqs"]);
    assert_eq!(lines(&function, "WARN"), [] as [Value; 0]);
}

#[test]
fn a_deadline_that_is_none_neither_ends_the_process_nor_fails_the_event() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let text = |text: &str| Deadline::Text(text.to_owned());
    for (deadline, shown) in [
        (Deadline::Missing, "the deadline, 0,"),
        (text("1620566844000"), "the deadline, 1620566844000,"),
        (text("1620566844"), "the deadline, 1620566844,"),
        // In 2072.
        (text("3249590400000"), "the deadline, 3249590400000,"),
        (text("soon"), "the deadline, 0,"),
        (text("18446744073709551615"), "the deadline, 18446744073709551615,"),
    ] {
        let deployment = Deployment::new(DedupMode::Ordinal);
        let configuration = deployment.configuration(&endpoint());
        let function = Function::new(paceline_testbed::lambda::Configuration { deadline, ..configuration }).unwrap();
        for racer in [1, 2] {
            let event = event(&[record(racer as usize, &payload(racer))]);
            assert_eq!(response(function.invoke(event, TIMEOUT)), all_committed(), "{shown}");
        }
        assert_eq!((function.started(), deployment.outcome().items.len()), (1, 2), "{shown}");
        assert!(function.wait_for_log("\"_aws\"", TIMEOUT), "{}", function.logs());
        let warnings = lines(&function, "WARN");
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert_contains(&warnings[0]["message"].as_str().unwrap(), &[NOT_AS_LAMBDA, shown, "`retry.deadline-ms`"]);
    }
}

/// Kinesis delivers the records of a shard in their order. An emulator, or a person who writes an event, may not.
#[test]
fn records_that_are_out_of_order_or_come_twice_count_once() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Sequence);
    let function = deployment.function(&endpoint());
    let beats: Vec<Vec<u8>> = (1..=3).map(|second| beat(1, second, 60).to_string().into_bytes()).collect();
    let records = [(3, 2), (1, 0), (2, 1), (1, 0)].map(|(number, beat)| record(number, &beats[beat]));
    assert_eq!(response(function.invoke(event(&records), TIMEOUT)), all_committed());
    let expected = deployment.local(&messages([&beats[0], &beats[1], &beats[2]].map(|payload| &payload[..])));
    deployment.outcome().must_be(&expected, "in order");
    assert!(function.wait_for_log("\"_aws\"", TIMEOUT), "{}", function.logs());
    let warnings = lines(&function, "WARN");
    let [line] = &warnings[..] else { panic!("{warnings:?}") };
    assert_contains(&line["message"].as_str().unwrap(), &[NOT_AS_LAMBDA, "not in the order", "1 of them come twice"]);
}
