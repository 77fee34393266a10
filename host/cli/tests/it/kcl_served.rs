//! The endpoints of `paceline kcl`: one address for all processes of a daemon.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::poll::pause;
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::{http, require};
use serde_json::json;
use tempfile::TempDir;

use crate::dynamo::Deployment;
use crate::support::Process;

const TIME_LIMIT: Duration = Duration::from_secs(60);

const PAYLOAD: &str = r#"{"event":"update","deviceTimestamp":1620566842000,"second":1,"raceId":131,"name":"Hubert","racerId":1,
        "classId":3,"cadence":60,"resistance":65}"#;

/// A message of the daemon with one record.
fn records() -> serde_json::Value {
    let record = json!({
        "action": "record", "data": paceline_aws::base64::encode(PAYLOAD.as_bytes()), "partitionKey": "key",
        "sequenceNumber": format!("49{:054}", 7), "subSequenceNumber": 0,
        "approximateArrivalTimestamp": 1_620_566_842_971_i64,
    });
    json!({ "action": "processRecords", "records": [record], "millisBehindLatest": 0 })
}

/// An address that nobody listens at.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Starts a process as the daemon does.
fn start(deployment: &Deployment, address: &str, sockets: &Path) -> Process {
    start_at(&endpoint(), deployment, address, sockets)
}

/// Starts a process that reaches DynamoDB at this endpoint.
fn start_at(dynamodb: &str, deployment: &Deployment, address: &str, sockets: &Path) -> Process {
    let mut command = deployment.command(&["kcl"], dynamodb);
    command.env("PACELINE_LISTEN", address).env("XDG_RUNTIME_DIR", sockets);
    Process::start(command)
}

fn initialize(process: &mut Process, shard: &str) {
    let from = "TRIM_HORIZON";
    let message = json!({ "action": "initialize", "shardId": shard, "sequenceNumber": from, "subSequenceNumber": 0 });
    process.write_stdin(format!("{message}\n").as_bytes());
    process.wait_for("ready");
}

/// Asks until the answer is right: the processes follow each other's start and end within a second.
#[track_caller]
fn ask_until(address: &str, path: &str, is_right: impl Fn(u16, &str) -> bool) -> String {
    let deadline = Instant::now() + TIME_LIMIT;
    loop {
        let answer = http::get(address, path).map(|(status, body)| (status, String::from_utf8(body).unwrap()));
        match answer {
            Ok((status, text)) if is_right(status, &text) => return text,
            answer => assert!(Instant::now() < deadline, "{path}: {answer:?}"),
        }
        pause(Duration::from_millis(50));
    }
}

#[test]
fn the_processes_of_a_daemon_share_an_address() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, sockets, address) = (Deployment::new(), TempDir::new().unwrap(), free_address());
    let mut first = start(&deployment, &address, sockets.path());
    first.wait_for("of all shards of the daemon");
    let mut second = start(&deployment, &address, sockets.path());
    ask_until(&address, "/readyz", |status, text| {
        status == 503 && text.matches("has not named the shard").count() == 2
    });
    initialize(&mut first, "shardId-000000000000");
    initialize(&mut second, "shardId-000000000001");
    ask_until(&address, "/readyz", |status, text| (status, text) == (200, "ready\n"));
    ask_until(&address, "/healthz", |status, text| (status, text) == (200, "alive\n"));

    second.write_stdin(format!("{}\n", records()).as_bytes());
    let committed = "paceline_records_total{shard=\"shardId-000000000001\"} 1\n";
    let text = ask_until(&address, "/metrics", |status, text| status == 200 && text.contains(committed));
    for series in [
        "paceline_shard_state{shard=\"shardId-000000000000\",state=\"reading\"} 1\n",
        "paceline_shard_state{shard=\"shardId-000000000001\",state=\"reading\"} 1\n",
        "paceline_groups_total{shard=\"shardId-000000000001\"} ",
        "paceline_rules_behind{shard=\"shardId-000000000000\"} 0\n",
        "paceline_rules_behind{shard=\"shardId-000000000001\"} 0\n",
    ] {
        assert!(text.contains(series), "{series}: {text}");
    }
    assert_eq!(text.matches("# TYPE paceline_shard_state gauge\n").count(), 1, "{text}");
    // The daemon reads the stream: what only it knows is not 0.
    for metric in ["stream_throttles", "stream_retries", "subscription_conflicts", "misrouted_records", "expired_hours"]
    {
        assert!(!text.contains(&format!("\npaceline_{metric}")), "{metric}: {text}");
    }
    let bytes = format!("paceline_stream_bytes_total{{shard=\"shardId-000000000001\"}} {}\n", PAYLOAD.len());
    assert!(text.contains(&bytes), "{bytes}: {text}");

    // The one that listens ends: the other one takes over, and the series of the first end.
    drop(first.stdin.take());
    first.finish();
    let text = ask_until(&address, "/metrics", |status, text| status == 200 && text.contains(committed));
    assert!(!text.contains("shardId-000000000000"), "{text}");

    // One that is killed leaves its socket, and nothing else.
    let mut third = start(&deployment, &address, sockets.path());
    initialize(&mut third, "shardId-000000000002");
    ask_until(&address, "/metrics", |_, text| text.contains("shardId-000000000002"));
    third.kill();
    ask_until(&address, "/metrics", |status, text| status == 200 && !text.contains("shardId-000000000002"));
    ask_until(&address, "/healthz", |status, text| (status, text) == (200, "alive\n"));
    drop(second.stdin.take());
    second.finish();
}

#[test]
fn a_shard_whose_batch_waits_for_a_throttled_table_is_failing_and_its_process_is_alive() {
    require!(Plugins, DynamoDbLocal);
    let (deployment, sockets, address) = (Deployment::new(), TempDir::new().unwrap(), free_address());
    deployment.configure("stream = \"alleycat\"", "[retry]\ndeadline-ms = 200\n");
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 23);
    let mut process = start_at(&proxy.endpoint(), &deployment, &address, sockets.path());
    initialize(&mut process, "shardId-000000000000");
    ask_until(&address, "/readyz", |status, text| (status, text) == (200, "ready\n"));
    // Reads succeed, so that the store can be reached.
    let writes = ["PutItem", "BatchExecuteStatement", "TransactWriteItems", "BatchWriteItem"].map(str::to_owned);
    proxy.set_faults(Faults { throttle: 1.0, only: Some(writes.to_vec()), ..Faults::default() });
    process.write_stdin(format!("{}\n", records()).as_bytes());
    let state = |state: &str, value: u8| {
        format!("paceline_shard_state{{shard=\"shardId-000000000000\",state=\"{state}\"}} {value}\n")
    };
    ask_until(&address, "/metrics", |status, text| {
        status == 200 && text.contains(&state("failing", 1)) && text.contains(&state("reading", 0))
    });
    let text = ask_until(&address, "/readyz", |status, _| status == 503);
    assert!(text.contains("the batch of shardId-000000000000 has not been committed for "), "{text}");
    assert!(text.contains("throttle"), "the store's reason: {text}");
    ask_until(&address, "/healthz", |status, text| (status, text) == (200, "alive\n"));
    proxy.set_faults(Faults::default());
    ask_until(&address, "/readyz", |status, text| (status, text) == (200, "ready\n"));
    ask_until(&address, "/metrics", |status, text| {
        let committed = "paceline_records_total{shard=\"shardId-000000000000\"} 1\n";
        status == 200 && text.contains(&state("reading", 1)) && text.contains(committed)
    });
    drop(process.stdin.take());
    process.finish();
}

#[test]
fn a_folder_that_others_can_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    require!(Plugins, DynamoDbLocal);
    let (deployment, sockets) = (Deployment::new(), TempDir::new().unwrap());
    let folder = sockets.path().join("paceline");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut process = start(&deployment, &free_address(), sockets.path());
    process.wait_for("only this user can enter");
    assert_eq!(process.child.wait().unwrap().code(), Some(1));
}
