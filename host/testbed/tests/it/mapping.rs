//! The event source mapping, with closures in place of functions.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use paceline_testbed::lambda::Invocation;
use paceline_testbed::mapping::{FailureRecord, Mapping, Report};
use paceline_testbed::stream::Stream;
use serde_json::{Value, json};

/// A stream of one shard with records 0, 1, 2, …, one a second.
pub(crate) fn numbered(records: usize) -> Stream {
    let mut stream = Stream::new("race", 1);
    for record in 0..records {
        stream.put(format!("racer-{}", record % 10), record.to_string(), record as i64 * 1_000);
    }
    stream
}

/// A parsed event.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    shard: String,
    keys: Vec<String>,
    sequences: Vec<String>,
    data: Vec<String>,
    json: Value,
}

impl Event {
    fn read(event: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(event).unwrap();
        let records = json["Records"].as_array().unwrap();
        let field = |name: &str| -> Vec<String> {
            records.iter().map(|record| record["kinesis"][name].as_str().unwrap().to_owned()).collect()
        };
        let decode = |data: &String| String::from_utf8(base64_simd::STANDARD.decode_to_vec(data).unwrap()).unwrap();
        let shard = records
            .first()
            .map_or(String::new(), |record| record["eventID"].as_str().unwrap().split_once(':').unwrap().0.to_owned());
        let data = field("data").iter().map(decode).collect();
        Self { shard, keys: field("partitionKey"), sequences: field("sequenceNumber"), data, json }
    }

    fn numbers(&self) -> Vec<usize> {
        self.data.iter().map(|data| data.parse().unwrap()).collect()
    }

    fn fail_at(&self, record: usize) -> Value {
        json!({"batchItemFailures": [{"itemIdentifier": self.sequences[record]}]})
    }
}

/// Runs a mapping with a function that responds to each event; the events, in order.
fn run(
    mapping: Mapping<impl Fn(Vec<u8>, Duration) -> Invocation + Sync>,
    stream: &Stream,
    function: impl Fn(&Event) -> Invocation + Sync,
) -> (Report, Vec<Event>) {
    let events = Mutex::new(Vec::new());
    let answer = |event: Vec<u8>, _: Duration| {
        let event = Event::read(&event);
        events.lock().unwrap().push(event.clone());
        function(&event)
    };
    let report = with_function_of(mapping, &answer).run(stream, &answer);
    (report, events.into_inner().unwrap())
}

/// The same settings for another function.
fn with_function_of<A, B>(mapping: Mapping<A>, _: &B) -> Mapping<B> {
    Mapping {
        batch_size: mapping.batch_size,
        payload_limit: mapping.payload_limit,
        parallelization_factor: mapping.parallelization_factor,
        tumbling_window: mapping.tumbling_window,
        bisect: mapping.bisect,
        max_retries: mapping.max_retries,
        report_batch_item_failures: mapping.report_batch_item_failures,
        live: None,
        timeout: mapping.timeout,
        max_concurrency: mapping.max_concurrency,
        seed: mapping.seed,
        deliver_twice: mapping.deliver_twice,
        chaos: None,
        max_failures_in_a_row: mapping.max_failures_in_a_row,
    }
}

/// Settings for [`run`], which replaces the function.
type Settings = Mapping<fn(Vec<u8>, Duration) -> Invocation>;

fn done() -> Invocation {
    Invocation::Ok(Value::Null)
}

fn failed() -> Invocation {
    Invocation::FunctionError(json!({"errorMessage": "on purpose"}))
}

#[test]
fn every_record_is_delivered_once_and_in_order() {
    let (report, events) = run(Settings { batch_size: 10, ..Mapping::default() }, &numbered(95), |_| done());
    let numbers: Vec<_> = events.iter().flat_map(Event::numbers).collect();
    assert_eq!(numbers, (0..95).collect::<Vec<_>>());
    assert_eq!(report, Report { batches: 10, invocations: 10, ..Report::default() });
    let no_window = ["window", "state", "shardId", "isFinalInvokeForWindow"];
    assert!(no_window.iter().all(|name| events[0].json.get(name).is_none()), "{}", events[0].json);
}

#[test]
fn queues_keep_the_order_of_each_key_and_run_concurrently() {
    let mut stream = Stream::new("race", 2);
    for record in 0..2_000 {
        stream.put(format!("racer-{}", record % 50), record.to_string(), 0);
    }
    // Eight invocations must be in flight at once, or the first eight never end.
    let (together, started) = (Barrier::new(8), AtomicUsize::new(0));
    let settings = Settings { batch_size: 7, parallelization_factor: 4, max_concurrency: 8, ..Mapping::default() };
    let (_, events) = run(settings, &stream, |_| {
        if started.fetch_add(1, Ordering::Relaxed) < 8 {
            together.wait();
        }
        done()
    });
    let mut by_key = BTreeMap::<_, Vec<usize>>::new();
    for event in &events {
        for (key, number) in event.keys.iter().zip(event.numbers()) {
            by_key.entry(key.clone()).or_default().push(number);
        }
    }
    assert_eq!(by_key.len(), 50);
    for numbers in by_key.values() {
        assert_eq!(numbers.len(), 40);
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[test]
fn a_partial_failure_is_retried_from_the_lowest_reported_number() {
    let first = AtomicUsize::new(0);
    let settings = Settings { batch_size: 10, report_batch_item_failures: true, ..Mapping::default() };
    let (report, events) = run(settings, &numbered(20), |event| match first.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let mut answer = event.fail_at(8);
            answer["batchItemFailures"].as_array_mut().unwrap().push(json!({"itemIdentifier": event.sequences[4]}));
            Invocation::Ok(answer)
        }
        _ => done(),
    });
    let numbers: Vec<_> = events.iter().map(Event::numbers).collect();
    assert_eq!(numbers, [(0..10).collect::<Vec<_>>(), (4..10).collect(), (10..20).collect()]);
    assert_eq!((report.partial_failures, report.retries, report.batches), (1, 1, 2));
}

#[test]
fn an_unknown_item_identifier_fails_the_whole_batch() {
    for id in [json!(""), json!(null), json!("49")] {
        let first = AtomicUsize::new(0);
        let settings = Settings { report_batch_item_failures: true, ..Mapping::default() };
        let (report, events) = run(settings, &numbered(5), |_| match first.fetch_add(1, Ordering::Relaxed) {
            0 => Invocation::Ok(json!({"batchItemFailures": [{"itemIdentifier": id}]})),
            _ => done(),
        });
        assert_eq!(events[0], events[1]);
        assert_eq!((report.invocations, report.failing_answers), (2, 1));
    }
}

#[test]
fn errors_timeouts_and_deaths_retry_the_whole_batch() {
    let outcomes = Mutex::new(vec![done(), failed(), Invocation::TimedOut, Invocation::Died]);
    let (report, events) = run(Settings::default(), &numbered(5), |_| outcomes.lock().unwrap().pop().unwrap());
    assert!(events.iter().all(|event| event.numbers() == [0, 1, 2, 3, 4]));
    let expected = Report {
        batches: 1,
        invocations: 4,
        retries: 3,
        function_errors: 1,
        timeouts: 1,
        deaths: 1,
        ..Report::default()
    };
    assert_eq!(report, expected);
}

#[test]
fn bisecting_isolates_one_bad_record() {
    let settings = Settings { batch_size: 64, bisect: true, max_retries: Some(2), ..Mapping::default() };
    let good = Mutex::new(Vec::new());
    let stream = numbered(64);
    let (report, _) = run(settings, &stream, |event| {
        if event.numbers().contains(&37) {
            return failed();
        }
        good.lock().unwrap().extend(event.numbers());
        done()
    });
    assert_eq!(good.into_inner().unwrap(), (0..64).filter(|number| *number != 37).collect::<Vec<_>>());
    assert_eq!(report.splits, 6);
    let bad = &stream.shards[0].records[37].sequence;
    let expected = FailureRecord {
        shard_id: "shardId-000000000000".to_owned(),
        start_sequence_number: Some(bad.clone()),
        end_sequence_number: Some(bad.clone()),
        batch_size: 1,
        // Six times with other records, then once and two retries alone: a split uses up no retry.
        approximate_invoke_count: 9,
        condition: "RetryAttemptsExhausted",
    };
    assert_eq!(report.failures, [expected]);
}

#[test]
fn bisecting_splits_a_partial_failure_at_the_returned_number() {
    let first = AtomicUsize::new(0);
    let settings =
        Settings { bisect: true, max_retries: Some(0), report_batch_item_failures: true, ..Mapping::default() };
    let (report, events) = run(settings, &numbered(10), |event| match first.fetch_add(1, Ordering::Relaxed) {
        0 => Invocation::Ok(event.fail_at(7)),
        _ => done(),
    });
    assert_eq!(events.iter().map(Event::numbers).collect::<Vec<_>>(), [(0..10).collect::<Vec<_>>(), vec![7, 8, 9]]);
    assert!(report.failures.is_empty());
}

#[test]
fn used_up_retries_discard_the_batch_and_the_queue_continues() {
    let settings = Settings { batch_size: 5, max_retries: Some(3), ..Mapping::default() };
    let stream = numbered(15);
    let (report, events) = run(settings, &stream, |event| if event.numbers().contains(&7) { failed() } else { done() });
    assert_eq!(events.last().unwrap().numbers(), [10, 11, 12, 13, 14]);
    let records = &stream.shards[0].records;
    let [failure] = &report.failures[..] else { panic!("{report:?}") };
    assert_eq!(failure.start_sequence_number.as_ref(), Some(&records[5].sequence));
    assert_eq!(failure.end_sequence_number.as_ref(), Some(&records[9].sequence));
    assert_eq!((failure.batch_size, failure.approximate_invoke_count), (5, 4));
    assert_eq!((report.retries, report.invocations), (3, 6));
}

#[test]
fn a_stuck_queue_ends_the_run_and_the_message_names_its_record() {
    let settings = Settings { max_failures_in_a_row: 5, ..Mapping::default() };
    let stream = numbered(3);
    let stuck = catch_unwind(AssertUnwindSafe(|| run(settings, &stream, |_| failed()))).unwrap_err();
    let message = stuck.downcast::<String>().unwrap();
    assert!(message.contains("6 invocations have failed in a row"), "{message}");
    assert!(message.contains(&stream.shards[0].records[0].sequence), "{message}");
    assert!(message.contains("on purpose"), "{message}");
}

#[test]
fn children_start_after_all_their_parents() {
    let mut stream = Stream::new("race", 3);
    let put = |stream: &mut Stream| {
        for record in 0..100 {
            stream.put(format!("racer-{record}"), "0", 0);
        }
    };
    put(&mut stream);
    let [_, right] = stream.split(0);
    put(&mut stream);
    stream.merge(right, 1);
    put(&mut stream);
    for seed in 0..20 {
        let settings =
            Settings { batch_size: 3, parallelization_factor: 3, max_concurrency: 4, seed, ..Mapping::default() };
        let ended = Mutex::new(BTreeMap::<String, usize>::new());
        run(settings, &stream, |event| {
            let mut ended = ended.lock().unwrap();
            let shard = stream.shards.iter().find(|shard| shard.id == event.shard).unwrap();
            for parent in &shard.parents {
                let parent = stream.shards.iter().find(|shard| shard.id == *parent).unwrap();
                assert_eq!(ended[&parent.id], parent.records.len(), "{} before {}", shard.id, parent.id);
            }
            *ended.entry(event.shard.clone()).or_default() += event.data.len();
            done()
        });
        let ended = ended.into_inner().unwrap();
        assert!(stream.shards.iter().all(|shard| ended[&shard.id] == shard.records.len()));
    }
}

#[test]
fn a_batch_closes_at_6_megabytes() {
    let mut stream = Stream::new("race", 1);
    for _ in 0..20 {
        stream.put("key", vec![b'x'; 1 << 20], 0);
    }
    let sizes = Mutex::new(Vec::new());
    let function = |event: Vec<u8>, _: Duration| {
        sizes.lock().unwrap().push((event.len(), Event::read(&event).data.len()));
        done()
    };
    Mapping::default().run(&stream, &function);
    let sizes = sizes.into_inner().unwrap();
    // A record of 1 MiB is 1.33 MiB in Base64: four fit.
    assert!(sizes.iter().all(|(bytes, records)| *bytes <= 6 << 20 && *records == 4), "{sizes:?}");
    assert_eq!(sizes.len(), 5);
}

#[test]
fn a_record_that_fits_into_no_event_is_discarded() {
    let mut stream = numbered(2);
    stream.put("key", vec![b'x'; 5 << 20], 2_000);
    stream.put("key", "3", 3_000);
    let (report, events) = run(Settings::default(), &stream, |_| done());
    assert_eq!(events.iter().map(Event::numbers).collect::<Vec<_>>(), [vec![0, 1], vec![3]]);
    assert_eq!((report.failures.len(), report.failures[0].condition), (1, "PayloadTooLarge"));
}

/// Responds with the sum of the state and the batch's records.
fn sum(event: &Event) -> Invocation {
    let before = event.json["state"]["sum"].as_u64().unwrap_or(0);
    Invocation::Ok(json!({"state": {"sum": before + event.numbers().iter().sum::<usize>() as u64}}))
}

#[test]
fn windows_pass_states_on_and_end_with_a_final_invocation() {
    let settings = Settings { batch_size: 4, tumbling_window: Some(10), ..Mapping::default() };
    let (report, events) = run(settings, &numbered(25), sum);
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            let json = &event.json;
            (event.numbers().len(), json["state"].clone(), json["isFinalInvokeForWindow"].as_bool().unwrap())
        })
        .collect();
    let of = |sum: u64| json!({ "sum": sum });
    let expected = [
        (4, json!({}), false),
        (4, of(6), false),
        (2, of(28), false),
        (0, of(45), true),
        (4, json!({}), false),
        (4, of(46), false),
        (2, of(108), false),
        (0, of(145), true),
        (4, json!({}), false),
        (1, of(86), false),
        (0, of(110), true),
    ];
    assert_eq!(seen, expected);
    assert_eq!(events[4].json["window"], json!({"start": "1970-01-01T00:00:10Z", "end": "1970-01-01T00:00:20Z"}));
    assert_eq!(events[3].json["shardId"], "shardId-000000000000");
    assert_eq!((report.batches, report.final_invocations), (8, 3));
}

#[test]
fn with_windows_a_response_without_a_state_is_a_failure() {
    for answer in [json!(null), json!({}), json!({"batchItemFailures": []}), json!({"state": null})] {
        let first = AtomicUsize::new(0);
        let settings = Settings { tumbling_window: Some(10), report_batch_item_failures: true, ..Mapping::default() };
        let (report, events) = run(settings, &numbered(3), |event| match first.fetch_add(1, Ordering::Relaxed) {
            0 => Invocation::Ok(answer.clone()),
            _ => sum(event),
        });
        assert_eq!(events[0], events[1], "{answer}");
        assert_eq!((report.failing_answers, report.retries, report.invocations), (1, 1, 3), "{answer}");
    }
}

#[test]
fn a_final_invocation_that_fails_is_retried_with_its_state() {
    let finals = AtomicUsize::new(0);
    let settings = Settings { tumbling_window: Some(10), ..Mapping::default() };
    let (report, events) = run(settings, &numbered(3), |event| {
        let fails = event.data.is_empty() && finals.fetch_add(1, Ordering::Relaxed) == 0;
        if fails { Invocation::Died } else { sum(event) }
    });
    assert_eq!(events[1], events[2]);
    assert_eq!(events[2].json["state"], json!({"sum": 3}));
    assert_eq!((report.final_invocations, report.deaths), (2, 1));
}

#[test]
fn a_state_over_1_megabyte_terminates_the_window_early() {
    let settings = Settings { batch_size: 2, tumbling_window: Some(10), ..Mapping::default() };
    let (report, events) = run(settings, &numbered(6), |event| match event.numbers()[..] {
        [0, _] => Invocation::Ok(json!({"state": {"much": "x".repeat(1 << 20)}})),
        _ => sum(event),
    });
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.json["state"].clone(), event.json["isWindowTerminatedEarly"].as_bool().unwrap()))
        .collect();
    let expected = [(json!({}), false), (json!({}), true), (json!({"sum": 5}), false), (json!({"sum": 14}), false)];
    assert_eq!(seen, expected);
    assert!(events.iter().all(|event| event.json["window"]["start"] == "1970-01-01T00:00:00Z"));
    assert_eq!(report.early_ends, 1);
}

#[test]
fn a_batch_delivered_twice_has_the_same_state() {
    let settings = Settings { batch_size: 2, tumbling_window: Some(10), deliver_twice: 1.0, ..Mapping::default() };
    let (report, events) = run(settings, &numbered(4), sum);
    // Two batches and the final invocation.
    assert_eq!(events.len(), 6);
    assert!(events.chunks(2).all(|twice| twice[0] == twice[1]));
    assert_eq!(events[5].json["state"], json!({"sum": 6}));
    assert_eq!((report.duplicates, report.retries), (3, 0));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let mut stream = Stream::new("race", 3);
    for record in 0..300 {
        stream.put(format!("racer-{record}"), record.to_string(), 0);
    }
    let run = |seed| {
        let settings = Settings { batch_size: 5, deliver_twice: 0.3, max_concurrency: 1, seed, ..Mapping::default() };
        run(settings, &stream, |_| done()).1
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
