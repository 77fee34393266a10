//! Faulty streams and settings: each has a clear error or the documented behaviour, and no record is lost silently.

use paceline_testbed::require;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use paceline_aws::kpl::Aggregator;
use paceline_pipeline::model::Checkpoint;
use paceline_pipeline::store::{CheckpointStore, EmbeddedStore};
use paceline_testbed::outcome::{DedupMode, Message, block_on};
use paceline_testbed::scripted::Scripted;
use paceline_testbed::{dynamodb, kinesis};
use serde_json::{Value, json};

use crate::stream::deployment::{Deployment, signal};
use crate::support::{Process, Workspace};

/// An error response of Kinesis.
fn service_error(code: &str, message: &str) -> (u16, Value) {
    (400, json!({ "__type": code, "message": message }))
}

/// The response to `DescribeStreamSummary`.
fn summary(status: &str) -> (u16, Value) {
    (
        200,
        json!({ "StreamDescriptionSummary": {
            "StreamName": "alleycat", "StreamARN": "arn:aws:kinesis:us-east-1:1:stream/alleycat", "StreamStatus": status,
            "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_620_566_842.5, "OpenShardCount": 1,
            "EnhancedMonitoring": [],
        }}),
    )
}

/// A shard in the response to `ListShards`.
fn shard(id: u32, parent: Option<u32>) -> Value {
    let name = |id: u32| format!("shardId-{id:012}");
    let range = json!({ "StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string() });
    let mut shard = json!({
        "ShardId": name(id), "HashKeyRange": range, "SequenceNumberRange": { "StartingSequenceNumber": "49" },
    });
    if let Some(parent) = parent {
        shard["ParentShardId"] = name(parent).into();
    }
    shard
}

/// The response of a stream that has these shards and no records.
fn empty_stream(operation: &str, shards: &Value) -> (u16, Value) {
    match operation {
        "DescribeStreamSummary" => summary("ACTIVE"),
        "ListShards" => (200, json!({ "Shards": shards })),
        "GetShardIterator" => (200, json!({ "ShardIterator": "AAA" })),
        "GetRecords" => (200, json!({ "Records": [], "NextShardIterator": "AAA", "MillisBehindLatest": 0 })),
        other => panic!("{other} is not in the script"),
    }
}

/// A workspace with an embedded store whose source is a stream.
fn workspace(more: &str) -> Workspace {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure(&format!("[source.kinesis]\nstream = \"alleycat\"\nidle-ms = 200\n{more}\n"), "");
    workspace
}

/// Starts the program with this Kinesis endpoint.
fn start(workspace: &Workspace, endpoint: &str) -> Process {
    let mut command = workspace.command(&["run"]);
    command.env("AWS_ENDPOINT_URL_KINESIS", endpoint).env("NO_COLOR", "1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "us-east-1");
    Process::start(command)
}

fn stop(process: Process) {
    signal(&process.child, "TERM");
    process.finish();
}

/// Runs the program until it exits with an error, and returns the last line of its standard error.
fn run_to_failure(workspace: &Workspace, endpoint: &str) -> String {
    let mut process = start(workspace, endpoint);
    let status = process.child.wait().unwrap();
    let stderr: Vec<String> = process.stderr_lines.iter().collect();
    assert_eq!(status.code(), Some(1), "{stderr:?}");
    stderr.last().unwrap().clone()
}

#[test]
fn a_missing_stream_is_reported_with_a_remedy() {
    require!(Plugins, KinesisLocal);
    let error = run_to_failure(&workspace(""), &kinesis::endpoint());
    for part in ["`alleycat` in us-east-1", "there is no such stream", "PACELINE_STREAM"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_access_error_reports_the_operation_and_the_remedy() {
    require!(Plugins);
    for (operation, code, parts) in [
        (
            "DescribeStreamSummary",
            "AccessDeniedException",
            ["describing the stream is not allowed", "docs/operations/permissions.md"],
        ),
        ("GetRecords", "KMSAccessDeniedException", ["the key that the stream is encrypted with", "kms:Decrypt"]),
        ("GetRecords", "KMSDisabledException", ["KMSDisabledException", "has to be enabled"]),
        ("ListShards", "ExpiredTokenException", ["the credentials are not accepted", "clock"]),
    ] {
        let service = Scripted::start(None, move |requested, _| match requested == operation {
            true => service_error(code, "no"),
            false => empty_stream(requested, &json!([shard(0, None)])),
        });
        let error = run_to_failure(&workspace(""), service.endpoint());
        for part in parts {
            assert!(error.contains(part), "{code}: {error}");
        }
    }
}

#[test]
fn the_consumer_waits_for_a_stream_being_created_but_not_for_one_being_deleted() {
    require!(Plugins);
    let requests = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&requests);
    let service = Scripted::start(None, move |operation, _| {
        match operation == "DescribeStreamSummary" && counted.fetch_add(1, Ordering::SeqCst) < 2 {
            true => summary("CREATING"),
            false => empty_stream(operation, &json!([shard(0, None)])),
        }
    });
    let workspace = workspace("");
    let process = start(&workspace, service.endpoint());
    process.wait_for("which is being created");
    process.wait_for("from its oldest record");
    stop(process);

    let service = Scripted::start(None, |_, _| summary("DELETING"));
    let error = run_to_failure(&workspace, service.endpoint());
    assert!(error.contains("it is being deleted"), "{error}");
}

#[test]
fn deleting_the_stream_during_a_run_ends_the_program() {
    require!(Plugins);
    let requests = Arc::new(AtomicU32::new(0));
    let service = Scripted::start(None, move |operation, _| match requests.fetch_add(1, Ordering::SeqCst) {
        0..8 => empty_stream(operation, &json!([shard(0, None)])),
        _ => service_error("ResourceNotFoundException", "Stream alleycat under account 1 not found."),
    });
    let error = run_to_failure(&workspace(""), service.endpoint());
    assert!(error.contains("`alleycat`") && error.contains("there is no such stream"), "{error}");
}

#[test]
fn a_shard_that_is_not_found_once_and_is_still_listed_is_read_again() {
    require!(Plugins);
    let reads = Arc::new(AtomicU32::new(0));
    let service = Scripted::start(None, move |operation, _| match operation {
        "GetRecords" if reads.fetch_add(1, Ordering::SeqCst) == 2 => {
            service_error("ResourceNotFoundException", "Shard shardId-000000000000 not found")
        }
        other => empty_stream(other, &json!([shard(0, None)])),
    });
    let workspace = workspace("discover-every-ms = 100");
    let process = start(&workspace, service.endpoint());
    process.wait_for("from its oldest record");
    let mut lines = process.stderr_lines.iter().take_while(|line| !line.contains("from its oldest record"));
    let line = lines.next().unwrap();
    assert!(line.contains("The stream lists it, so that it is read again"), "{line}");
    let others: Vec<_> = lines.collect();
    assert!(others.is_empty(), "no record is lost: {others:?}");
    stop(process);
}

#[test]
fn a_stream_that_is_created_again_while_it_is_read_ends_the_program() {
    require!(Plugins);
    let described = Arc::new(AtomicU32::new(0));
    let service = Scripted::start(None, move |operation, _| {
        let (status, mut body) = empty_stream(operation, &json!([shard(0, None)]));
        if operation == "DescribeStreamSummary" && described.fetch_add(1, Ordering::SeqCst) >= 3 {
            body["StreamDescriptionSummary"]["StreamCreationTimestamp"] = json!(1_620_666_842.5);
        }
        (status, body)
    });
    let error = run_to_failure(&workspace("discover-every-ms = 100"), service.endpoint());
    assert!(error.contains("deleted, and created again at") && error.contains("`name` in [source]"), "{error}");
}

#[test]
fn what_expired_before_the_first_start_is_not_missing_at_the_second() {
    require!(Plugins);
    let workspace = workspace("");
    for _ in 0..2 {
        let service = Scripted::start(None, |operation, _| empty_stream(operation, &json!([shard(1, Some(0))])));
        let process = start(&workspace, service.endpoint());
        let before = process.stderr_lines.iter().take_while(|line| !line.contains("from its oldest record"));
        let lost: Vec<_> = before.filter(|line| line.contains("RECORDS ARE LOST")).collect();
        assert!(lost.is_empty(), "{lost:?}");
        stop(process);
    }
}

#[test]
fn clock_skew_is_reported() {
    require!(Plugins);
    let empty_stream = |operation: &str, _: &Value| empty_stream(operation, &json!([shard(0, None)]));
    let service = Scripted::start(Some("Wed, 05 May 2021 18:51:00 GMT"), empty_stream);
    let workspace = workspace("");
    let process = start(&workspace, service.endpoint());
    let line = process.wait_for("this machine's clock");
    assert!(line.contains("ahead of the service's") && line.contains("set it right"), "{line}");
    stop(process);
}

#[test]
fn a_start_in_the_future_of_the_services_clock_is_rejected() {
    require!(Plugins);
    let empty_stream = |operation: &str, _: &Value| empty_stream(operation, &json!([shard(0, None)]));
    let service = Scripted::start(Some("Wed, 05 May 2021 18:51:00 GMT"), empty_stream);
    let error = run_to_failure(&workspace("start = \"2021-05-05T19:00:00Z\""), service.endpoint());
    assert!(
        error.contains(
            "`start` is 2021-05-05T19:00:00Z, which is in the future: the service's clock is at 2021-05-05T18:51:0"
        ),
        "{error}"
    );
    // An invalid `start` is an error of the configuration.
    let workspace = workspace("start = \"yesterday\"");
    let error = workspace.fails(&["run"]);
    assert!(error.contains("yesterday") && error.contains("TRIM_HORIZON"), "{error}");
}

#[test]
fn a_shard_that_expired_unread_is_reported_with_the_lost_hours() {
    require!(Plugins);
    let workspace = workspace("");
    let first = Scripted::start(None, |operation, _| empty_stream(operation, &json!([shard(0, None)])));
    let process = start(&workspace, first.endpoint());
    process.wait_for("from its oldest record");
    stop(process);
    // The last read record arrived 30 hours ago. The stream retains 24 hours.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let checkpoint =
        Checkpoint { sequence: 49.into(), arrival_ms: Some(now - 30 * 3_600_000), ..Checkpoint::default() };
    write_checkpoint(&workspace, "alleycat/shardId-000000000000", &checkpoint);
    let second =
        Scripted::start(None, |operation, _| empty_stream(operation, &json!([shard(1, Some(0)), shard(3, Some(2))])));
    let process = start(&workspace, second.endpoint());
    let lost = process.wait_for("RECORDS ARE LOST");
    assert!(lost.contains("shardId-000000000000") && lost.contains("up to 6.0"), "{lost}");
    // The other expired shard is known only as a parent.
    let lost = process.wait_for("RECORDS ARE LOST");
    assert!(lost.contains("shardId-000000000002") && lost.contains("nothing of it was read"), "{lost}");
    process.wait_for("from its oldest record");
    stop(process);
}

#[test]
fn records_that_expired_during_downtime_are_reported_with_the_lost_hours() {
    require!(Plugins);
    let workspace = workspace("");
    let first = Scripted::start(None, |operation, _| empty_stream(operation, &json!([shard(0, None)])));
    let process = start(&workspace, first.endpoint());
    process.wait_for("from its oldest record");
    stop(process);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let checkpoint =
        Checkpoint { sequence: 49.into(), arrival_ms: Some(now - 26 * 3_600_000), ..Checkpoint::default() };
    write_checkpoint(&workspace, "alleycat/shardId-000000000000", &checkpoint);
    let second = Scripted::start(None, |operation, _| empty_stream(operation, &json!([shard(0, None)])));
    let process = start(&workspace, second.endpoint());
    let lost = process.wait_for("RECORDS ARE LOST");
    assert!(lost.contains("2.00 hours are missing") && lost.contains("keeps records for 24 hours"), "{lost}");
    stop(process);
}

/// Writes a checkpoint into the embedded store.
fn write_checkpoint(workspace: &Workspace, shard: &str, checkpoint: &Checkpoint) {
    let store = EmbeddedStore::open(&workspace.path("store.redb")).unwrap();
    block_on(store.put_checkpoint(shard, checkpoint)).unwrap();
}

#[test]
fn a_recreated_stream_requires_another_source_name() {
    require!(Plugins);
    let workspace = workspace("");
    let empty_stream = |operation: &str| empty_stream(operation, &json!([shard(0, None)]));
    let first = Scripted::start(None, move |operation, _| empty_stream(operation));
    let process = start(&workspace, first.endpoint());
    process.wait_for("from its oldest record");
    stop(process);
    let second = Scripted::start(None, move |operation, _| {
        let (status, mut body) = empty_stream(operation);
        if operation == "DescribeStreamSummary" {
            body["StreamDescriptionSummary"]["StreamCreationTimestamp"] = json!(1_620_666_842.5);
        }
        (status, body)
    });
    let error = run_to_failure(&workspace, second.endpoint());
    assert!(error.contains("belong to another stream") && error.contains("`name` in [source]"), "{error}");
    let source = "[source]\nname = \"alleycat-2\"\n[source.kinesis]\nstream = \"alleycat\"\nidle-ms = 200\n";
    workspace.configure(source, "");
    let process = start(&workspace, second.endpoint());
    process.wait_for("from its oldest record");
    stop(process);
}

#[test]
fn latest_is_resolved_once_at_the_first_start() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    deployment.configure("start = \"LATEST\"", "");
    let message = |racer: u32| Message {
        payload: json!({
            "event": "update", "deviceTimestamp": 1_620_566_842_000_u64, "second": 1, "raceId": 131, "name": "Hubert",
            "racerId": racer, "classId": 3, "cadence": 62, "resistance": 68.6,
        })
        .to_string()
        .into_bytes(),
        key: racer.to_string(),
        sent_ms: 0,
    };
    let mut running = deployment.start_without_proxies();
    running.wait_until_ready();
    running.process.kill();
    deployment.put(&[message(1)]);
    let running = deployment.start_without_proxies();
    deployment.wait_until_done();
    running.stop();
    let initial = deployment.checkpoint("@initial-position").unwrap();
    assert!(initial.arrival_ms.is_some(), "{initial:?}");
    deployment.outcome().must_be(&deployment.local(&[message(1)]), "records put between the two runs");
}

#[test]
fn a_malformed_aggregate_is_a_dead_letter_and_the_others_are_processed() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let message = |second: u32| {
        json!({
            "event": "update", "deviceTimestamp": 1_620_566_842_000_u64, "second": second, "raceId": 131,
            "name": "Hubert", "racerId": 7, "classId": 3, "cadence": 62, "resistance": 68.6,
        })
        .to_string()
        .into_bytes()
    };
    let aggregate = |seconds: std::ops::Range<u32>| {
        let mut aggregator = Aggregator::default();
        for second in seconds {
            assert_eq!(aggregator.add("7", None, &message(second)), None);
        }
        aggregator.finish().unwrap().data
    };
    let mut bad_digest = aggregate(10..13);
    *bad_digest.last_mut().unwrap() ^= 1;
    let cut = aggregate(20..23)[..200].to_vec();
    // The third record's partition key index is 9, in a table of one key.
    let mut out_of_range = aggregate(30..33);
    let at = out_of_range.windows(2).rposition(|bytes| bytes == [0x08, 0x00]).unwrap();
    out_of_range[at + 1] = 9;
    let message_bytes = out_of_range[4..out_of_range.len() - 16].to_vec();
    let digest = md5(&message_bytes);
    let end = out_of_range.len() - 16;
    out_of_range[end..].copy_from_slice(&digest);

    let records = [aggregate(1..4), bad_digest, cut, out_of_range, message(40)];
    block_on(deployment.stream.put(records.into_iter().map(|data| ("a", data))));
    let running = deployment.start_without_proxies();
    deployment.wait_until_done();
    running.stop();

    let outcome = deployment.outcome();
    let reasons: Vec<&str> = outcome.dead_letters.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "undecodable").count(), 1, "{reasons:?}");
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    let valid: Vec<Message> = (1..4)
        .chain(30..32)
        .chain([40])
        .map(|second| Message { payload: message(second), key: String::new(), sent_ms: 0 })
        .collect();
    let local = deployment.local(&valid);
    assert_eq!(outcome.items, local.items);
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(bytes).into()
}

#[test]
fn a_consumer_name_in_use_is_reported_and_retried() {
    require!(Plugins);
    let service = Scripted::start(None, |operation, _| match operation {
        "DescribeStreamConsumer" => {
            let arn = "arn:aws:kinesis:us-east-1:1:stream/alleycat/consumer/shared:1";
            let consumer = json!({
                "ConsumerName": "shared", "ConsumerARN": arn, "ConsumerStatus": "ACTIVE",
                "ConsumerCreationTimestamp": 1_620_566_842, "StreamARN": "arn:aws:kinesis:us-east-1:1:stream/alleycat",
            });
            (200, json!({ "ConsumerDescription": consumer }))
        }
        "SubscribeToShard" => {
            service_error("ResourceInUseException", "Another active subscription exists for this consumer")
        }
        other => empty_stream(other, &json!([shard(0, None)])),
    });
    let workspace = workspace("consumer = \"fan-out\"\nconsumer-name = \"shared\"");
    let process = start(&workspace, service.endpoint());
    let line = process.wait_for("in use by another reader");
    assert!(
        line.contains("`shared`") && line.contains("`consumer-name`") && line.contains("Nothing is lost"),
        "{line}"
    );
    stop(process);
}

#[test]
fn a_deregistered_fan_out_consumer_ends_the_process_and_no_shard() {
    require!(Plugins);
    let arn = "arn:aws:kinesis:us-east-1:1:stream/alleycat/consumer/mine:";
    // Afterwards it is missing, or another one has its name.
    for registered_again in [false, true] {
        let subscribed = Arc::new(AtomicU32::new(0));
        let service = Scripted::start(None, move |operation, _| match operation {
            "DescribeStreamConsumer" => {
                let again = subscribed.load(Ordering::SeqCst);
                if again > 0 && !registered_again {
                    return service_error("ResourceNotFoundException", "Consumer mine not found");
                }
                let consumer = json!({
                    "ConsumerName": "mine", "ConsumerARN": format!("{arn}{again}"), "ConsumerStatus": "ACTIVE",
                    "ConsumerCreationTimestamp": 1_620_566_842,
                    "StreamARN": "arn:aws:kinesis:us-east-1:1:stream/alleycat",
                });
                (200, json!({ "ConsumerDescription": consumer }))
            }
            "SubscribeToShard" => {
                subscribed.store(1, Ordering::SeqCst);
                service_error("ResourceNotFoundException", &format!("Consumer {arn}0 not found"))
            }
            other => empty_stream(other, &json!([shard(0, None), shard(1, None)])),
        });
        let workspace = workspace("consumer = \"fan-out\"\nconsumer-name = \"mine\"");
        let error = run_to_failure(&workspace, service.endpoint());
        for part in ["the fan-out consumer `mine` was deregistered", "Start this process again"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn a_stop_signal_ends_the_process_in_time_while_the_store_hangs() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    use paceline_testbed::proxy::{FaultProxy, Faults};
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    deployment.configure("stop-ms = 300", "");
    let proxy = FaultProxy::start(&dynamodb::endpoint(), Faults::default(), 0);
    let mut running = deployment.start(&kinesis::endpoint(), &proxy.endpoint());
    running.wait_until_ready();
    // From now on every request to the store fails.
    let hanging = Arc::new(AtomicU32::new(0));
    let requests = Arc::clone(&hanging);
    let (sender, hangs) = std::sync::mpsc::sync_channel(1);
    proxy.set_faults(Faults { reset_before: 1.0, ..Faults::default() });
    proxy.on_request(move |_, _| {
        if requests.fetch_add(1, Ordering::SeqCst) == 0 {
            let _ = sender.send(());
        }
    });
    let messages = crate::stream::race::messages(paceline_simulator::PartitionKey::Racer, 9);
    deployment.put(&messages[..100]);
    hangs.recv().unwrap();
    let summary = running.stop();
    assert_eq!(summary["records"], 0);
    // No record is lost.
    let running = deployment.start_without_proxies();
    deployment.wait_until_done();
    running.stop();
    deployment.outcome().must_be(&deployment.local(&messages[..100]), "after the stop");
}
