//! The event source mapping and the Lambda service are tested themselves: with functions that closures play, and with a
//! small program that speaks the runtime API.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paceline_testbed::lambda::{Configuration, Function, Invocation};
use paceline_testbed::mapping::{FailureRecord, Mapping, Report};
use paceline_testbed::stream::Stream;
use serde_json::{Value, json};

/// Time enough for anything that is not meant to time out.
const LONG: Duration = Duration::from_secs(60);

/// A stream of one shard with records 0, 1, 2, … one a second.
fn numbered(records: usize) -> Stream {
    let mut stream = Stream::new("race", 1);
    for record in 0..records {
        stream.put(format!("racer-{}", record % 10), record.to_string(), record as i64 * 1_000);
    }
    stream
}

/// An event, read.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    shard: String,
    keys: Vec<String>,
    sequences: Vec<String>,
    data: Vec<String>,
    whole: Value,
}

impl Event {
    fn read(event: &[u8]) -> Self {
        let whole: Value = serde_json::from_slice(event).unwrap();
        let records = whole["Records"].as_array().unwrap();
        let field = |name: &str| -> Vec<String> {
            records.iter().map(|record| record["kinesis"][name].as_str().unwrap().to_owned()).collect()
        };
        let decode = |data: &String| String::from_utf8(base64_simd::STANDARD.decode_to_vec(data).unwrap()).unwrap();
        let shard = records
            .first()
            .map_or(String::new(), |record| record["eventID"].as_str().unwrap().split_once(':').unwrap().0.to_owned());
        let data = field("data").iter().map(decode).collect();
        Self { shard, keys: field("partitionKey"), sequences: field("sequenceNumber"), data, whole }
    }

    fn numbers(&self) -> Vec<usize> {
        self.data.iter().map(|data| data.parse().unwrap()).collect()
    }

    fn fail_at(&self, record: usize) -> Value {
        json!({"batchItemFailures": [{"itemIdentifier": self.sequences[record]}]})
    }
}

/// Runs a mapping with a function that answers each event; what it was invoked with, in order.
fn drive(
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
        timeout: mapping.timeout,
        max_concurrency: mapping.max_concurrency,
        seed: mapping.seed,
        deliver_twice: mapping.deliver_twice,
        chaos: None,
        max_failures_in_a_row: mapping.max_failures_in_a_row,
    }
}

/// Settings for [`drive`], which has a function of its own.
type Settings = Mapping<fn(Vec<u8>, Duration) -> Invocation>;

fn done() -> Invocation {
    Invocation::Ok(Value::Null)
}

fn failed() -> Invocation {
    Invocation::FunctionError(json!({"errorMessage": "on purpose"}))
}

#[test]
fn every_record_is_delivered_once_and_in_order() {
    let (report, events) = drive(Settings { batch_size: 10, ..Mapping::default() }, &numbered(95), |_| done());
    let numbers: Vec<_> = events.iter().flat_map(Event::numbers).collect();
    assert_eq!(numbers, (0..95).collect::<Vec<_>>());
    assert_eq!(report, Report { batches: 10, invocations: 10, ..Report::default() });
    let no_window = ["window", "state", "shardId", "isFinalInvokeForWindow"];
    assert!(no_window.iter().all(|name| events[0].whole.get(name).is_none()), "{}", events[0].whole);
}

#[test]
fn lanes_keep_the_order_of_each_key_and_run_side_by_side() {
    let mut stream = Stream::new("race", 2);
    for record in 0..2_000 {
        stream.put(format!("racer-{}", record % 50), record.to_string(), 0);
    }
    // Eight invocations must be in flight together, or the first eight never end.
    let (together, begun) = (Barrier::new(8), AtomicUsize::new(0));
    let settings = Settings { batch_size: 7, parallelization_factor: 4, max_concurrency: 8, ..Mapping::default() };
    let (_, events) = drive(settings, &stream, |_| {
        if begun.fetch_add(1, Ordering::Relaxed) < 8 {
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
    let (report, events) = drive(settings, &numbered(20), |event| match first.fetch_add(1, Ordering::Relaxed) {
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
fn what_names_no_record_fails_the_whole_batch() {
    for id in [json!(""), json!(null), json!("49")] {
        let first = AtomicUsize::new(0);
        let settings = Settings { report_batch_item_failures: true, ..Mapping::default() };
        let (report, events) = drive(settings, &numbered(5), |_| match first.fetch_add(1, Ordering::Relaxed) {
            0 => Invocation::Ok(json!({"batchItemFailures": [{"itemIdentifier": id}]})),
            _ => done(),
        });
        assert_eq!(events[0], events[1]);
        assert_eq!((report.invocations, report.failing_answers), (2, 1));
    }
}

#[test]
fn errors_timeouts_and_deaths_repeat_the_whole_batch() {
    let outcomes = Mutex::new(vec![done(), failed(), Invocation::TimedOut, Invocation::Died]);
    let (report, events) = drive(Settings::default(), &numbered(5), |_| outcomes.lock().unwrap().pop().unwrap());
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
    let (report, _) = drive(settings, &stream, |event| {
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
        // Six times with others, then once and two retries alone: splitting uses up none.
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
    let (report, events) = drive(settings, &numbered(10), |event| match first.fetch_add(1, Ordering::Relaxed) {
        0 => Invocation::Ok(event.fail_at(7)),
        _ => done(),
    });
    assert_eq!(events.iter().map(Event::numbers).collect::<Vec<_>>(), [(0..10).collect::<Vec<_>>(), vec![7, 8, 9]]);
    assert!(report.failures.is_empty());
}

#[test]
fn used_up_retries_give_the_batch_up_and_the_lane_goes_on() {
    let settings = Settings { batch_size: 5, max_retries: Some(3), ..Mapping::default() };
    let stream = numbered(15);
    let (report, events) =
        drive(settings, &stream, |event| if event.numbers().contains(&7) { failed() } else { done() });
    assert_eq!(events.last().unwrap().numbers(), [10, 11, 12, 13, 14]);
    let records = &stream.shards[0].records;
    let [failure] = &report.failures[..] else { panic!("{report:?}") };
    assert_eq!(failure.start_sequence_number.as_ref(), Some(&records[5].sequence));
    assert_eq!(failure.end_sequence_number.as_ref(), Some(&records[9].sequence));
    assert_eq!((failure.batch_size, failure.approximate_invoke_count), (5, 4));
    assert_eq!((report.retries, report.invocations), (3, 6));
}

#[test]
fn a_stuck_lane_ends_the_run_and_says_where() {
    let settings = Settings { max_failures_in_a_row: 5, ..Mapping::default() };
    let stream = numbered(3);
    let stuck = catch_unwind(AssertUnwindSafe(|| drive(settings, &stream, |_| failed()))).unwrap_err();
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
        drive(settings, &stream, |event| {
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
    // A record of 1 MiB is 1.33 MiB in base64: four fit.
    assert!(sizes.iter().all(|(bytes, records)| *bytes <= 6 << 20 && *records == 4), "{sizes:?}");
    assert_eq!(sizes.len(), 5);
}

#[test]
fn a_record_that_fits_into_no_event_is_given_up() {
    let mut stream = numbered(2);
    stream.put("key", vec![b'x'; 5 << 20], 2_000);
    stream.put("key", "3", 3_000);
    let (report, events) = drive(Settings::default(), &stream, |_| done());
    assert_eq!(events.iter().map(Event::numbers).collect::<Vec<_>>(), [vec![0, 1], vec![3]]);
    assert_eq!((report.failures.len(), report.failures[0].condition), (1, "PayloadTooLarge"));
}

/// Answers with the sum of the state and the batch's records.
fn sum(event: &Event) -> Invocation {
    let before = event.whole["state"]["sum"].as_u64().unwrap_or(0);
    Invocation::Ok(json!({"state": {"sum": before + event.numbers().iter().sum::<usize>() as u64}}))
}

#[test]
fn windows_hand_states_on_and_end_with_a_final_invocation() {
    let settings = Settings { batch_size: 4, tumbling_window: Some(10), ..Mapping::default() };
    let (report, events) = drive(settings, &numbered(25), sum);
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            let whole = &event.whole;
            (event.numbers().len(), whole["state"].clone(), whole["isFinalInvokeForWindow"].as_bool().unwrap())
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
    assert_eq!(events[4].whole["window"], json!({"start": "1970-01-01T00:00:10Z", "end": "1970-01-01T00:00:20Z"}));
    assert_eq!(events[3].whole["shardId"], "shardId-000000000000");
    assert_eq!((report.batches, report.final_invocations), (8, 3));
}

#[test]
fn in_windows_an_answer_without_a_state_is_a_failure() {
    for answer in [json!(null), json!({}), json!({"batchItemFailures": []}), json!({"state": null})] {
        let first = AtomicUsize::new(0);
        let settings = Settings { tumbling_window: Some(10), report_batch_item_failures: true, ..Mapping::default() };
        let (report, events) = drive(settings, &numbered(3), |event| match first.fetch_add(1, Ordering::Relaxed) {
            0 => Invocation::Ok(answer.clone()),
            _ => sum(event),
        });
        assert_eq!(events[0], events[1], "{answer}");
        assert_eq!((report.failing_answers, report.retries, report.invocations), (1, 1, 3), "{answer}");
    }
}

#[test]
fn a_final_invocation_that_fails_is_repeated_with_its_state() {
    let finals = AtomicUsize::new(0);
    let settings = Settings { tumbling_window: Some(10), ..Mapping::default() };
    let (report, events) = drive(settings, &numbered(3), |event| {
        let fails = event.data.is_empty() && finals.fetch_add(1, Ordering::Relaxed) == 0;
        if fails { Invocation::Died } else { sum(event) }
    });
    assert_eq!(events[1], events[2]);
    assert_eq!(events[2].whole["state"], json!({"sum": 3}));
    assert_eq!((report.final_invocations, report.deaths), (2, 1));
}

#[test]
fn a_state_over_1_megabyte_ends_the_window_early() {
    let settings = Settings { batch_size: 2, tumbling_window: Some(10), ..Mapping::default() };
    let (report, events) = drive(settings, &numbered(6), |event| match event.numbers()[..] {
        [0, _] => Invocation::Ok(json!({"state": {"much": "x".repeat(1 << 20)}})),
        _ => sum(event),
    });
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.whole["state"].clone(), event.whole["isWindowTerminatedEarly"].as_bool().unwrap()))
        .collect();
    let expected = [(json!({}), false), (json!({}), true), (json!({"sum": 5}), false), (json!({"sum": 14}), false)];
    assert_eq!(seen, expected);
    assert!(events.iter().all(|event| event.whole["window"]["start"] == "1970-01-01T00:00:00Z"));
    assert_eq!(report.early_ends, 1);
}

#[test]
fn a_batch_delivered_twice_comes_with_the_state_it_had() {
    let settings = Settings { batch_size: 2, tumbling_window: Some(10), deliver_twice: 1.0, ..Mapping::default() };
    let (report, events) = drive(settings, &numbered(4), sum);
    // Two batches and the final invocation.
    assert_eq!(events.len(), 6);
    assert!(events.chunks(2).all(|twice| twice[0] == twice[1]));
    assert_eq!(events[5].whole["state"], json!({"sum": 6}));
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
        drive(settings, &stream, |_| done()).1
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// A function in Python that does what its events say.
const BOOTSTRAP: &str = r#"#!/usr/bin/env python3
import base64, json, os, signal, sys, urllib.error, urllib.request

API = "http://%s/2018-06-01/runtime/" % os.environ["AWS_LAMBDA_RUNTIME_API"]

def post(path, body):
    try:
        urllib.request.urlopen(urllib.request.Request(API + path, body, method="POST")).read()
    except urllib.error.HTTPError as error:
        print("refused with", error.code, flush=True)

def numbers(event):
    return [base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]

if os.environ.get("FAIL_INIT"):
    post("init/error", json.dumps({"errorMessage": "no settings", "errorType": "Init"}).encode())
    signal.pause()
while True:
    with urllib.request.urlopen(API + "invocation/next") as response:
        headers, event = response.headers, json.load(response)
    invocation = "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
    if "Records" in event:
        for number in numbers(event):
            print("<%s>" % number, flush=True)
        post(invocation + "/response", b"{}")
    elif event["do"] == "answer":
        print("to stdout", flush=True)
        print("to stderr", file=sys.stderr, flush=True)
        post(invocation + "/response", json.dumps({
            "cwd": os.getcwd(),
            "pid": os.getpid(),
            "environment": dict(os.environ),
            "deadline": int(headers["Lambda-Runtime-Deadline-Ms"]),
            "arn": headers["Lambda-Runtime-Invoked-Function-Arn"],
        }).encode())
    elif event["do"] == "fail":
        post(invocation + "/error", json.dumps({"errorMessage": "on purpose"}).encode())
    elif event["do"] == "hang":
        print("hangs", flush=True)
        signal.pause()
    elif event["do"] == "die":
        sys.exit(1)
    elif event["do"] == "much":
        post(invocation + "/response", b'"' + b"x" * 6291556 + b'"')
    elif event["do"] == "babble":
        post(invocation + "/response", b"no JSON")
"#;

/// The function in a folder of its own, which must be kept.
fn function(configure: impl FnOnce(Configuration) -> Configuration) -> (Function, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = folder.path().join("bootstrap");
    fs::write(&bootstrap, BOOTSTRAP).unwrap();
    fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).unwrap();
    (Function::new(configure(Configuration::new(bootstrap))).unwrap(), folder)
}

fn invoke(function: &Function, action: &str, timeout: Duration) -> Invocation {
    function.invoke(json!({"do": action}).to_string().into(), timeout)
}

#[test]
fn a_function_answers_fails_hangs_and_dies() {
    let (function, folder) = function(|configuration| configuration.env("RACE", "5403307"));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let before = now();
    let Invocation::Ok(answer) = invoke(&function, "answer", LONG) else { panic!("{}", function.logs()) };
    let deadline = answer["deadline"].as_u64().unwrap();
    assert!((before + 60_000..=now() + 60_000).contains(&deadline), "{deadline}");
    assert_eq!(answer["arn"], "arn:aws:lambda:us-east-1:123456789012:function:paceline");
    let root = fs::canonicalize(folder.path()).unwrap().to_str().unwrap().to_owned();
    assert_eq!(answer["cwd"], *root);
    let names: BTreeSet<_> = answer["environment"].as_object().unwrap().keys().map(String::as_str).collect();
    for name in ["AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_LOG_STREAM_NAME", "PATH"] {
        assert!(names.contains(name), "{name}");
    }
    assert!(!names.contains("CARGO_MANIFEST_DIR"));
    assert_eq!(answer["environment"]["RACE"], "5403307");
    assert_eq!(answer["environment"]["LAMBDA_TASK_ROOT"], *root);

    assert_eq!(invoke(&function, "fail", LONG), Invocation::FunctionError(json!({"errorMessage": "on purpose"})));
    let Invocation::FunctionError(much) = invoke(&function, "much", LONG) else { panic!("{}", function.logs()) };
    assert_eq!(much["errorType"], "Function.ResponseSizeTooLarge");
    let Invocation::FunctionError(babble) = invoke(&function, "babble", LONG) else { panic!("{}", function.logs()) };
    assert_eq!(babble["errorType"], "Runtime.InvalidResponse");
    // One process did all that.
    let Invocation::Ok(again) = invoke(&function, "answer", LONG) else { panic!("{}", function.logs()) };
    assert_eq!((&again["pid"], function.started()), (&answer["pid"], 1));

    assert_eq!(invoke(&function, "hang", Duration::from_millis(100)), Invocation::TimedOut);
    assert_eq!(invoke(&function, "die", LONG), Invocation::Died);
    let Invocation::Ok(again) = invoke(&function, "answer", LONG) else { panic!("{}", function.logs()) };
    assert_ne!(again["pid"], answer["pid"]);
    assert_eq!(function.started(), 3);
    for line in ["to stdout", "to stderr", "hangs", "refused with 413"] {
        assert!(function.wait_for_log(line, LONG), "{line} is not in\n{}", function.logs());
    }
}

#[test]
fn a_busy_instance_is_killed_from_another_thread() {
    let (function, _folder) = function(|configuration| configuration);
    assert!(!function.kill_busy());
    let killed = AtomicUsize::new(0);
    let event = json!({"do": "hang"}).to_string().into_bytes();
    let outcome = function.invoke_with(event, LONG, &mut || {
        killed.fetch_add(usize::from(function.kill_busy()), Ordering::Relaxed);
    });
    assert_eq!((outcome, killed.into_inner()), (Invocation::Died, 1));
}

#[test]
fn a_failed_start_is_the_error_of_its_invocation() {
    let (function, _folder) = function(|configuration| configuration.env("FAIL_INIT", "1"));
    let Invocation::FunctionError(error) = invoke(&function, "answer", LONG) else { panic!("{}", function.logs()) };
    assert_eq!(error["errorMessage"], "no settings");
    assert!(Function::new(Configuration::new("/nowhere/bootstrap")).unwrap_err().to_string().contains("/nowhere"));
}

#[test]
fn instances_work_side_by_side_up_to_their_number() {
    let (function, _folder) = function(|configuration| Configuration { max_instances: 2, ..configuration });
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| invoke(&function, "hang", LONG));
        assert!(function.wait_for_log("hangs", LONG));
        // The other instance serves all of these, one after the other.
        let others: Vec<_> = (0..6).map(|_| scope.spawn(|| invoke(&function, "answer", LONG))).collect();
        assert!(others.into_iter().all(|other| matches!(other.join().unwrap(), Invocation::Ok(_))));
        assert_eq!(function.started(), 2);
        assert!(function.kill_all());
        assert_eq!(hanging.join().unwrap(), Invocation::Died);
    });
}

#[test]
fn a_mapping_feeds_a_function_that_is_killed_now_and_then() {
    let (function, _folder) = function(|configuration| Configuration { max_instances: 2, ..configuration });
    let stream = numbered(60);
    let mapping = Mapping {
        batch_size: 5,
        parallelization_factor: 2,
        max_concurrency: 2,
        seed: 7,
        chaos: Some(Arc::new(|function: &Function, rng: &mut fastrand::Rng| {
            if rng.u8(..5) == 0 {
                function.kill_busy();
            }
        })),
        ..Mapping::default()
    };
    let report = mapping.run(&stream, &function);
    assert_eq!(report.invocations, report.batches + report.deaths);
    assert!(report.deaths > 0, "{report:?}");
    for record in 0..60 {
        assert!(function.wait_for_log(&format!("<{record}>"), LONG), "{record} is not in\n{}", function.logs());
    }
}
