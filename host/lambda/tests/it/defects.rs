//! Defects of the sample application: each test is named for one and shows its absence in the compiled function.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use paceline_pipeline::model::{Attribute, Cause, DeadLetter, Item, Key};
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::{Function, Invocation};
use paceline_testbed::mapping::Mapping;
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::require;
use serde_json::{Value, json};

use crate::support::{
    DedupMode, Deployment, Message, all_committed, beat, block_on, dynamodb, event, event_of, messages, race, record,
    response, retry_from, sequence, stream,
};

/// Longer than any invocation takes.
const TIMEOUT: Duration = Duration::from_secs(60);

fn letters(deployment: &Deployment) -> Vec<DeadLetter> {
    block_on(deployment.store().list_dead_letters()).unwrap()
}

/// The item of a racer in race 131.
fn racer_item(deployment: &Deployment, racer: u32) -> Item {
    let key = Key::new("race-131", format!("racer-{racer}"));
    block_on(deployment.store().load_groups(&[key])).unwrap().pop().unwrap().expect("the racer has an item")
}

fn number(item: &Item, attribute: &str) -> f64 {
    match item.attribute(attribute) {
        Some(Attribute::Number(number)) => *number,
        Some(Attribute::Integer(integer)) => *integer as f64,
        other => panic!("{attribute} is {other:?}"),
    }
}

fn text(message: &Value) -> Vec<u8> {
    message.to_string().into_bytes()
}

/// A race without invalid messages.
fn valid_race(racers: u32, seconds: u32, key: PartitionKey) -> Vec<Message> {
    race(&Race { racers, seconds, class: 3, race: 131, seed: 7, key, errors: 0.0, duplicates: 0.0 })
}

/// The requests that write groups; dead letters and pins are written by others.
fn writes() -> Option<Vec<String>> {
    Some(vec!["BatchExecuteStatement".to_owned()])
}

#[test]
fn bad_records_do_not_block_their_shard() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let changed = |field: &str, value: Value| {
        let mut message = beat(7, 2, 60);
        message[field] = value;
        text(&message)
    };
    let bad: [(Vec<u8>, Cause); 9] = [
        (br#"{"event":"update","second":"#.to_vec(), Cause::NotJson),
        (b"[1,2,3]".to_vec(), Cause::NotJson),
        (b"\xff\xfe{}".to_vec(), Cause::NotUtf8),
        (Vec::new(), Cause::Empty),
        (changed("classId", json!(9)), Cause::NoRulebook),
        (changed("second", json!("two")), Cause::WrongType),
        (changed("cadence", json!(1_000)), Cause::Rejected),
        (changed("racerId", Value::Null), Cause::MissingField),
        (changed("event", json!("start")), Cause::Rejected),
    ];
    let valid = valid_race(20, 3, PartitionKey::Racer);
    // One after every fifth message, so that each batch has some.
    let mut messages = valid.clone();
    for (at, (payload, _)) in bad.iter().enumerate() {
        messages.insert(at * 6 + 5, Message { payload: payload.clone(), key: "17".into(), sent_ms: 1_620_566_843_500 });
    }
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let mapping = Mapping { batch_size: 23, report_batch_item_failures: true, ..Mapping::default() };
    let stream = stream(&messages, 1);
    let report = mapping.run(&stream, &function);
    assert_eq!((report.batches, report.invocations, report.retries), (3, 3, 0), "{report:?}");
    assert_eq!((report.function_errors, report.partial_failures), (0, 0), "{report:?}");

    let outcome = deployment.outcome();
    outcome.must_be(&deployment.local(&messages), "with bad records");
    assert_eq!(outcome.items, deployment.local(&valid).items, "their neighbours have the outcome that they have alone");

    let letters = letters(&deployment);
    assert_eq!(letters.len(), bad.len());
    for (at, (payload, cause)) in bad.iter().enumerate() {
        let what = format!("{cause}: {}", String::from_utf8_lossy(payload));
        let sent = &stream.shards[0].records[at * 6 + 5];
        let letter = &letters[at];
        assert_eq!((&letter.payload, letter.cut_from), (payload, None), "{what}");
        assert_eq!(letter.shard, "alleycat/shardId-000000000000", "{what}");
        assert_eq!(
            (letter.position.sequence.to_string(), letter.position.sub_sequence),
            (sent.sequence.clone(), 0),
            "{what}"
        );
        assert_eq!((letter.partition_key.as_deref(), letter.arrival_ms), (Some("17"), Some(sent.arrival_ms)), "{what}");
        assert_eq!(letter.reason.cause, *cause, "{what}");
        assert!(!letter.reason.text.is_empty(), "{what}");
    }
}

#[test]
fn a_late_batch_does_not_overwrite_a_newer_one() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    // Each is a batch, out of order. The outputs do not rise with the seconds, so that a maximum would be wrong, too.
    let beats = [beat(7, 3, 90), beat(7, 1, 80), beat(7, 5, 40), beat(7, 2, 70), beat(7, 4, 60)];
    let mut last = beat(7, 6, 50);
    last["event"] = json!("final");
    let batches: Vec<Vec<u8>> = beats.iter().chain([&last]).map(text).collect();
    let deliver = |number: usize| {
        let event = event(&[record(number, &batches[number])]);
        assert_eq!(response(function.invoke(event, TIMEOUT)), all_committed());
    };
    let holds = |second: f64, output: f64| {
        let item = racer_item(&deployment, 7);
        assert_eq!((number(&item, "second"), number(&item, "output")), (second, output));
        item.revision
    };
    (0..5).for_each(&deliver);
    holds(5.0, 97.5);
    deliver(5);
    let revision = holds(6.0, 110.5);
    // Old batches are delivered again: to an instance with the item in its cache, and to a new one.
    (0..6).for_each(&deliver);
    assert!(function.kill_all());
    (0..6).rev().for_each(&deliver);
    assert_eq!(holds(6.0, 110.5), revision, "nothing was written again");
    assert_eq!(function.started(), 2);
    deployment.outcome().must_be(&deployment.local(&messages(batches.iter().map(Vec::as_slice))), "six batches");
}

#[test]
fn updates_of_one_race_are_not_lost_under_parallelization() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let messages = valid_race(150, 8, PartitionKey::Random);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let stream = stream(&messages, 3);
    // Two functions at once, as after a faulty deployment. Each gets all records, in up to three instances.
    let functions = [deployment.function(&endpoint()), deployment.function(&endpoint())];
    std::thread::scope(|scope| {
        for (seed, function) in functions.iter().enumerate() {
            let mapping = Mapping {
                batch_size: 40,
                parallelization_factor: 10,
                max_concurrency: 3,
                report_batch_item_failures: true,
                seed: seed as u64,
                ..Mapping::default()
            };
            let stream = &stream;
            scope.spawn(move || {
                let report = mapping.run(stream, function);
                assert_eq!((report.function_errors, report.timeouts), (0, 0), "{report:?}\n{}", function.logs());
            });
        }
    });
    deployment.outcome().must_be(&deployment.local(&messages), "two functions at once");
    // Without conflicts the test would show nothing.
    let conflicts = functions.iter().map(|function| counted(function, "Conflicts")).sum::<f64>();
    assert!(conflicts > 0.0, "no write met a conflict");
}

/// The sum of a counter over all of a function's output.
fn counted(function: &Function, metric: &str) -> f64 {
    // Output from before a response may arrive after it.
    function.wait_for_log(&format!("\"{metric}\":"), TIMEOUT);
    let lines = function.logs();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    // Without those that are counted once more by their cause.
    let totals = lines.filter(|line| line.get("_aws").is_some() && line.get("cause").is_none());
    totals.filter_map(|line| line[metric].as_f64()).sum()
}

#[test]
fn a_throttled_write_is_retried_until_it_succeeds() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    const THROTTLED: u64 = 7;
    let messages = valid_race(40, 2, PartitionKey::Racer);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let throttled = Faults { throttle: 1.0, only: writes(), ..Faults::default() };
    let proxy = Arc::new(FaultProxy::start(&endpoint(), throttled, 1));
    // Weak, because the proxy owns the hook.
    let (weak, requests) = (Arc::downgrade(&proxy), std::sync::atomic::AtomicU64::new(0));
    proxy.on_request(move |_, operation| {
        if operation == "BatchExecuteStatement"
            && requests.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == THROTTLED
        {
            let proxy = weak.upgrade().expect("the proxy runs its own hook");
            proxy.set_faults(Faults::default());
        }
    });
    let function = deployment.function(&proxy.endpoint());
    let mapping = Mapping { report_batch_item_failures: true, ..Mapping::default() };
    let report = mapping.run(&stream(&messages, 1), &function);
    assert_eq!((report.invocations, report.retries, report.function_errors), (1, 0, 0), "{report:?}");
    assert_eq!(proxy.counts().injected.throttles, THROTTLED);
    deployment.outcome().must_be(&deployment.local(&messages), "throttled at first");
    assert_eq!(counted(&function, "Throttles"), THROTTLED as f64, "the metric counts them");
}

#[test]
fn records_throttled_to_the_deadline_are_named_and_a_retry_commits_them() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let mut payloads: Vec<Vec<u8>> = vec![b"no JSON".to_vec(), b"nor this".to_vec()];
    payloads.extend((0..30).map(|racer| text(&beat(racer, 1, 60))));
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let deployment = Deployment::new(DedupMode::Ordinal);
    let proxy = FaultProxy::start(&endpoint(), Faults { throttle: 1.0, only: writes(), ..Faults::default() }, 1);
    let function = deployment.function(&proxy.endpoint());
    // The two invalid ones are stored as dead letters, so the retry begins with the third.
    let partial = response(function.invoke(event_of(payloads.iter().copied()), Duration::from_secs(5)));
    assert_eq!(partial, retry_from(&sequence(2)));
    assert_eq!(letters(&deployment).len(), 2);
    assert!(function.wait_for_log("is throttled", TIMEOUT), "the log has no reason:\n{}", function.logs());
    assert!(deployment.outcome().items.is_empty());

    proxy.set_faults(Faults::default());
    let rest: Vec<Value> = (2..payloads.len()).map(|number| record(number, payloads[number])).collect();
    assert_eq!(response(function.invoke(event(&rest), TIMEOUT)), all_committed());
    deployment.outcome().must_be(&deployment.local(&messages(payloads)), "delivered again");
}

/// All items of a table in DynamoDB's JSON, by key. Left out are the notices of hosts, which name the host and the time; when
/// items expire; and dedup states by sequence, which name the arrival of each shard's last record.
fn raw(table: &str) -> BTreeMap<String, Value> {
    let response = dynamodb("Scan", &json!({ "TableName": table, "ConsistentRead": true }));
    assert!(response.get("LastEvaluatedKey").is_none(), "more than one page");
    let items = response["Items"].as_array().unwrap().iter();
    let items = items.filter(|item| !item["PK"]["S"].as_str().unwrap().starts_with("@rules/"));
    let without_times = |item: &Value| {
        let mut item = item.clone();
        let members = item.as_object_mut().unwrap();
        members.remove("@expires");
        if members.get("@dedup-rule") == Some(&json!({ "S": "sequence" })) {
            members.remove("@dedup");
        }
        item
    };
    items.map(|item| (format!("{} {}", item["PK"], item["SK"]), without_times(item))).collect()
}

#[test]
fn the_outcome_does_not_depend_on_the_time() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    for dedup in [DedupMode::Ordinal, DedupMode::Sequence] {
        let run = |later_ms: i64| {
            let mut messages = valid_race(15, 6, PartitionKey::Racer);
            messages.iter_mut().for_each(|message| message.sent_ms += later_ms);
            let deployment = Deployment::new(dedup);
            let function = deployment.function(&endpoint());
            let mapping = Mapping { batch_size: 25, ..Mapping::default() };
            let report = mapping.run(&stream(&messages, 1), &function);
            assert_eq!((report.batches, report.function_errors), (4, 0), "{report:?}");
            raw(&deployment.table.table)
        };
        let table = run(0);
        assert_eq!(
            table.values().filter(|item| item.get("@state").is_some()).count(),
            30,
            "15 of the race and of the class"
        );
        // The second run is later, and its records arrive a year later. Revision, state, attributes and provenance of groups
        // are the same, and everything else in the table, pins included.
        assert_eq!(run(31_536_000_000), table, "{dedup:?}");
    }
}

#[test]
fn a_race_has_its_class_if_a_new_instance_flushes_the_window() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let messages = valid_race(6, 20, PartitionKey::Racer);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    // No invocation finds anything in memory from an earlier one.
    let in_new_instance = |event: Vec<u8>, timeout: Duration| -> Invocation {
        function.kill_all();
        function.invoke(event, timeout)
    };
    let mapping = Mapping { batch_size: 40, tumbling_window: Some(15), max_concurrency: 1, ..Mapping::default() };
    let report = mapping.run(&stream(&messages, 1), &in_new_instance);
    assert_eq!((report.function_errors, report.failing_answers), (0, 0), "{report:?}\n{}", function.logs());
    assert_eq!(report.final_invocations, 2, "{report:?}");
    assert_eq!(function.started() as u64, report.invocations);
    deployment.outcome().must_be(&deployment.local(&messages), "windows in new instances");
    let race: Vec<_> =
        raw(&deployment.table.table).into_values().filter(|item| item["PK"]["S"] == "race-131").collect();
    assert_eq!(race.len(), 6);
    // The sample's items lack this attribute then, and its index does not show the race.
    assert!(race.iter().all(|item| item["classId"] == json!({ "N": "3" })), "{race:?}");
}
