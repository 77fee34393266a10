//! `paceline simulate --stream`: every message of a race is in the stream, whichever errors the stream returns.

use paceline_testbed::require;
use std::collections::{BTreeMap, HashMap};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::fake_kinesis::{FakeKinesis, Reply};
use crate::support::{block_on, fail, lines, paceline, simulate, succeed};
use paceline_aws::kinesis::{KinesisConfig, Producer, ProducerConfig, Stream, StreamErrorKind};
use paceline_aws::kpl::unpack;
use paceline_pipeline::model::Batch;
use paceline_simulator::{Keys, PartitionKey, Race};
use paceline_testbed::kinesis::{TestStream, endpoint, hashes};
use serde_json::Value;

/// A user record in the stream: partition key and data.
type UserRecord = (String, Vec<u8>);

/// The command that puts a race into a stream.
fn command(race: &str, stream: &str, endpoint: &str, more: &str) -> Command {
    let mut command = paceline(&["simulate", "--stream", stream, "--endpoint", endpoint, "--json"]);
    command.args(race.split(' ')).args(more.split_whitespace());
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "us-east-1");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// Puts a race into a stream and returns the summary.
fn put(race: &str, stream: &TestStream, more: &str) -> Value {
    serde_json::from_str(&succeed(&mut command(race, stream.name(), &endpoint(), more))).unwrap()
}

/// Puts a race into a new stream. On a machine so slow that the simulator gets no response to a request, it sends the
/// messages again, and the stream has them twice: then another stream is made.
async fn put_once(race: &str, shards: i32, more: &str) -> (TestStream, Value) {
    for _ in 0..5 {
        let stream = TestStream::new("put", shards).await;
        let summary = put(race, &stream, more);
        if summary["retriedAmbiguous"] == 0 {
            return (stream, summary);
        }
    }
    panic!("five times the simulator got no response to a request");
}

/// The messages of a race with their keys.
fn expected(race: &str, key: PartitionKey, seed: u32) -> Vec<UserRecord> {
    let mut keys =
        Keys::new(&Race { racers: 1, seconds: 1, class: 1, race: 1, seed, key, errors: 0.0, duplicates: 0.0 });
    simulate(race).into_iter().map(|line| (keys.next(&line), line)).collect()
}

/// The user records of each shard in order, and how many user records of aggregates were dropped because they belong to
/// another shard.
async fn read(stream: &TestStream) -> (Vec<Vec<UserRecord>>, usize) {
    let (mut shards, mut misplaced) = (Vec::new(), 0);
    for shard in stream.shards().await {
        let mut batch = Batch::new("test".into());
        for (at, record) in (0u64..).zip(stream.read(shard.shard_id()).await) {
            batch.push(record.data().as_ref(), at.into());
            let key = batch.push_bytes(record.partition_key().unwrap().as_bytes());
            batch.records.last_mut().unwrap().partition_key = Some(key);
        }
        misplaced += unpack(&mut batch, Some(hashes(&shard)));
        assert!(batch.undecodable.is_empty());
        let user_record = |record: &paceline_pipeline::model::Record| {
            let key = batch.slice(record.partition_key.unwrap()).to_vec();
            (String::from_utf8(key).unwrap(), batch.slice(record.payload).to_vec())
        };
        shards.push(batch.records.iter().map(user_record).collect());
    }
    (shards, misplaced)
}

fn sorted(records: impl IntoIterator<Item = UserRecord>) -> Vec<UserRecord> {
    let mut records: Vec<_> = records.into_iter().collect();
    records.sort();
    records
}

/// The data of each key, in order.
fn by_key(records: impl IntoIterator<Item = UserRecord>) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
    records.into_iter().for_each(|(key, data)| keys.entry(key).or_default().push(data));
    keys
}

/// The number of records beyond the expected ones. Each expected record must be present.
fn count_copies(records: impl IntoIterator<Item = UserRecord>, expected: &[UserRecord]) -> usize {
    let mut times: HashMap<UserRecord, i64> = HashMap::new();
    records.into_iter().for_each(|record| *times.entry(record).or_default() += 1);
    for record in expected {
        *times.get_mut(record).unwrap_or_else(|| panic!("{record:?} is lost")) -= 1;
    }
    assert!(times.values().all(|left| *left >= 0), "a record is present less often than it was put");
    times.values().sum::<i64>() as usize
}

#[test]
fn each_message_is_put_once_and_in_order_per_racer() {
    require!(KinesisLocal);
    let race = "--racers 40 --seconds 25 --class 3 --race 131 --seed 5 --errors 3 --duplicates 3";
    let expected = expected(race, PartitionKey::Racer, 5);
    block_on(async {
        let (stream, summary) = put_once(race, 4, "").await;
        assert_eq!((&summary["messages"], &summary["streamRecords"]), (&expected.len().into(), &expected.len().into()));
        for none in ["throttled", "retried", "resentByResharding"] {
            assert_eq!(summary[none], 0, "{summary}");
        }
        let (shards, _) = read(&stream).await;
        assert!(shards.iter().all(|shard| !shard.is_empty()));
        // Each key's messages are in one shard: exactly those that were put, in order.
        assert!(by_key(shards.concat()) == by_key(expected), "other messages than those that were put: {summary}");
    });
}

#[test]
fn random_keys_are_determined_by_the_seed_and_spread_over_the_shards() {
    require!(KinesisLocal);
    let race = "--racers 40 --seconds 25 --class 3 --race 131 --seed 6 --key random";
    let expected = expected(race, PartitionKey::Random, 6);
    block_on(async {
        let (stream, summary) = put_once(race, 3, "").await;
        assert_eq!(summary["messages"], expected.len());
        let (shards, _) = read(&stream).await;
        assert!(shards.iter().all(|shard| shard.len() > 200));
        assert!(sorted(shards.concat()) == sorted(expected), "other messages than those that were put: {summary}");
    });
}

#[test]
fn every_user_record_of_an_aggregate_is_in_the_shard_that_owns_its_hash_key() {
    require!(KinesisLocal);
    for (key, name) in [(PartitionKey::Racer, "racer"), (PartitionKey::Random, "random")] {
        let race =
            format!("--racers 200 --seconds 30 --class 3 --race 131 --seed 7 --errors 1 --duplicates 1 --key {name}");
        let expected = expected(&race, key, 7);
        block_on(async {
            let (stream, summary) = put_once(&race, 4, "--aggregate").await;
            assert_eq!(summary["messages"], expected.len());
            // 51,200 bytes are about 300 messages.
            assert!(summary["streamRecords"].as_u64().unwrap() < 60, "{summary}");
            let (shards, misplaced) = read(&stream).await;
            assert_eq!(misplaced, 0);
            let is_equal = match key {
                PartitionKey::Racer => by_key(shards.concat()) == by_key(expected),
                PartitionKey::Random => sorted(shards.concat()) == sorted(expected),
            };
            assert!(is_equal, "other messages than those that were put: {summary}");
        });
    }
}

/// Waits until a shard has records. Kinesis has no event for that.
async fn wait_for_records(stream: &TestStream, shard: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while stream.read(shard).await.is_empty() {
        assert!(Instant::now() < deadline, "{shard} received no records");
    }
}

#[test]
fn splits_and_merges_during_an_aggregated_race_lose_no_record() {
    require!(KinesisLocal);
    let race = "--racers 100 --seconds 80 --class 3 --race 131 --seed 8";
    let expected = expected(race, PartitionKey::Racer, 8);
    block_on(async {
        let stream = TestStream::new("put-resharded", 1).await;
        let mut command = command(race, stream.name(), &endpoint(), "--aggregate --speed 10x");
        let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let first = stream.shards().await[0].shard_id().to_owned();
        wait_for_records(&stream, &first).await;
        let [low, high] = stream.split(&first).await;
        wait_for_records(&stream, &low).await;
        let merged = stream.merge(&low, &high).await;
        wait_for_records(&stream, &merged).await;
        let [.., high] = stream.split(&merged).await;
        wait_for_records(&stream, &high).await;

        let Output { status, stdout, stderr } = running.wait_with_output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        let summary: Value = serde_json::from_slice(&stdout).unwrap();
        let (shards, misplaced) = read(&stream).await;
        let resent = summary["resentByResharding"].as_u64().unwrap();
        assert_eq!(summary["messages"], expected.len());
        assert_eq!(summary["retriedAmbiguous"], 0);
        // A split misplaces aggregates: one child gets user records that belong to the other.
        assert!(resent > 0 && misplaced > 0, "{summary}, {misplaced} misplaced");
        // Each message that was sent again is present twice, unless its first copy was dropped as misrouted.
        assert_eq!(count_copies(shards.concat(), &expected) + misplaced, resent as usize);
        // A racer's messages are in order, apart from copies. Parent shards are listed before their children.
        for (key, received) in by_key(shards.concat()) {
            let mut first: Vec<Vec<u8>> = Vec::new();
            received.into_iter().for_each(|data| {
                if !first.contains(&data) {
                    first.push(data);
                }
            });
            assert_eq!(first, by_key(expected.clone())[&key], "{key}");
        }
    });
}

#[test]
fn throttled_failed_and_reset_requests_lose_no_record_and_keep_the_order_per_racer() {
    let race = "--racers 20 --seconds 20 --class 3 --race 131 --seed 9";
    let expected = expected(race, PartitionKey::Racer, 9);
    let kinesis = FakeKinesis::start(
        |_| "ACTIVE",
        |nth| match nth % 10 {
            0 => Reply::ThrottleEvery(3),
            2 => Reply::ResetAfter,
            4 => Reply::Fail(500, "InternalFailure"),
            6 => Reply::Fail(400, "ProvisionedThroughputExceededException"),
            8 => Reply::ResetBefore,
            _ => Reply::Accept,
        },
    );
    let summary: Value = serde_json::from_str(&succeed(&mut command(race, "fake", &kinesis.endpoint, ""))).unwrap();
    let log = kinesis.log();
    assert_eq!(summary["messages"], expected.len());
    assert_eq!(summary["requests"], log.puts);
    // Entries of requests that were throttled as a whole count as well.
    assert!(summary["throttled"].as_u64().unwrap() > log.throttled && log.throttled > 0, "{summary}");
    // Only entries that were accepted without a reply have copies.
    assert_eq!(count_copies(log.accepted.clone(), &expected), log.accepted_unanswered);
    assert!(
        summary["retriedAmbiguous"].as_u64().unwrap() as usize >= log.accepted_unanswered
            && log.accepted_unanswered > 0
    );
    let expected = by_key(expected);
    for (key, mut data) in by_key(log.accepted.clone()) {
        // An entry that was accepted without a reply is sent again before newer entries.
        data.dedup();
        assert_eq!(data, expected[&key], "{key}");
    }
}

#[test]
fn a_fatal_error_reports_how_many_messages_were_not_accepted() {
    let race = "--racers 20 --seconds 20 --class 3 --race 131 --seed 9";
    for (code, remedy) in [
        ("AccessDeniedException", "docs/operations/permissions.md has the policy of each command"),
        ("KMSDisabledException", "the key that the stream is encrypted with"),
        ("ResourceNotFoundException", "there is no such stream"),
    ] {
        let script: fn(usize) -> Reply = match code {
            "AccessDeniedException" => {
                |nth| if nth < 3 { Reply::Accept } else { Reply::Fail(400, "AccessDeniedException") }
            }
            "KMSDisabledException" => {
                |nth| if nth < 3 { Reply::Accept } else { Reply::Fail(400, "KMSDisabledException") }
            }
            _ => |nth| if nth < 3 { Reply::Accept } else { Reply::Fail(400, "ResourceNotFoundException") },
        };
        let kinesis = FakeKinesis::start(|_| "ACTIVE", script);
        let output = command(race, "fake", &kinesis.endpoint, "").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(remedy) && error.contains("`fake`"), "{error}");
        assert!(error.contains("of the records that were put, ") && error.contains("not known to be in"), "{error}");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["messages"], kinesis.log().accepted.len());
        assert!(kinesis.log().accepted.len() < 400);
    }
}

#[test]
fn the_producer_gives_up_when_no_record_is_accepted_in_time() {
    let race = "--racers 5 --seconds 2 --class 3 --race 131 --seed 9";
    let kinesis = FakeKinesis::start(|_| "ACTIVE", |_| Reply::ThrottleEvery(1));
    let error = fail(&mut command(race, "fake", &kinesis.endpoint, "--give-up-after 1"));
    assert!(error.contains("no records were accepted for 1 s") && error.contains("Rate exceeded for shard"), "{error}");
    assert!(error.contains("10 are not known to be in the stream"), "{error}");
}

#[test]
fn the_producer_waits_for_a_stream_being_created_but_not_for_one_being_deleted() {
    let race = "--racers 5 --seconds 2 --class 3 --race 131 --seed 9";
    let kinesis = FakeKinesis::start(|nth| if nth < 2 { "CREATING" } else { "ACTIVE" }, |_| Reply::Accept);
    let Output { status, stderr, .. } = command(race, "fake", &kinesis.endpoint, "").output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(
        status.success() && stderr.contains("is being created") && stderr.contains("waiting for up to 60 s"),
        "{stderr}"
    );
    assert_eq!(kinesis.log().describes, 3);
    assert_eq!(kinesis.log().accepted.len(), 10);

    let kinesis = FakeKinesis::start(|_| "CREATING", |_| Reply::Accept);
    let error = fail(&mut command(race, "fake", &kinesis.endpoint, "--give-up-after 1"));
    assert!(error.contains("`fake`") && error.contains("not active yet"), "{error}");

    let kinesis = FakeKinesis::start(|_| "DELETING", |_| Reply::Accept);
    let error = fail(&mut command(race, "fake", &kinesis.endpoint, ""));
    assert!(error.contains("`fake`") && error.contains("is being deleted"), "{error}");
}

#[test]
fn a_missing_stream_and_an_unreachable_endpoint_are_reported() {
    require!(KinesisLocal);
    let race = "--racers 5 --seconds 2 --class 3 --race 131 --seed 9";
    let error = fail(&mut command(race, "no-such-stream", &endpoint(), ""));
    assert!(error.contains("`no-such-stream`") && error.contains("there is no such stream"), "{error}");

    // A free port.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = fail(&mut command(race, "races", &format!("http://127.0.0.1:{port}"), "--give-up-after 1"));
    assert!(error.contains("could not reach the service") && error.contains(&port.to_string()), "{error}");

    let folder = tempfile::TempDir::new().unwrap();
    let mut without = command(race, "races", &endpoint(), "");
    without.env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION").env("HOME", folder.path());
    without.env("AWS_CONFIG_FILE", folder.path().join("config"));
    assert!(fail(&mut without).contains("no AWS region"));

    let both = command(race, "races", &endpoint(), "--out file").output().unwrap();
    assert_eq!(both.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&both.stderr).contains("cannot be used with"));
    // What is for a stream has no meaning for a file.
    let file = folder.path().join("messages");
    for option in ["--json", "--aggregate", "--region=eu-west-1", "--endpoint=http://localhost", "--give-up-after=0"] {
        let mut command = paceline(&["simulate", "--out", file.to_str().unwrap(), option]);
        assert_eq!(command.args(race.split(' ')).output().unwrap().status.code(), Some(2), "{option}");
    }
}

#[test]
fn an_interrupted_race_leaves_a_prefix_of_the_race_in_the_stream() {
    require!(KinesisLocal);
    let race = "--racers 30 --seconds 3000 --class 3 --race 131 --seed 10";
    block_on(async {
        let stream = TestStream::new("put-interrupted", 1).await;
        let mut command = command(race, stream.name(), &endpoint(), "--aggregate --speed 1x");
        let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_records(&stream, stream.shards().await[0].shard_id()).await;
        let killed = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let Output { status, stdout, stderr } = running.wait_with_output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("stopped by a signal"), "{stderr}");
        let summary: Value = serde_json::from_slice(&stdout).unwrap();
        let (shards, _) = read(&stream).await;
        let received = shards.concat().len();
        assert_eq!(summary["messages"], received);
        let race = race.replace("3000", &(received / 30 + 1).to_string());
        // The values depend on the race's length, so only racers and seconds are compared.
        let position = |line: &[u8]| {
            let line: Value = serde_json::from_slice(line).unwrap();
            (line["second"].as_u64(), line["racerId"].as_u64())
        };
        let all: Vec<_> = lines(&simulate(&race).join(&b'\n')).iter().map(|line| position(line)).collect();
        let received: Vec<_> = shards.concat().iter().map(|(_, line)| position(line)).collect();
        assert_eq!(received, all[..received.len()]);
    });
}

#[test]
fn invalid_records_are_rejected_by_put() {
    require!(KinesisLocal);
    block_on(async {
        let stream = TestStream::new("put-refused", 1).await;
        let config = KinesisConfig {
            stream: stream.name().to_owned(),
            region: Some("us-east-1".to_owned()),
            endpoint: Some(endpoint()),
            ..KinesisConfig::default()
        };
        let connected = Stream::connect(&config).await.unwrap();
        // The buffer holds hardly one record: the others wait for it.
        let config =
            ProducerConfig { buffer_bytes: 0, shard_bytes_per_second: 100_000_000, ..ProducerConfig::default() };
        let producer = Producer::start(&connected, config).await.unwrap();
        let largest = || vec![b'x'; (1 << 20) - 3];
        for (key, data) in [("", vec![]), (&*"é".repeat(257), vec![]), ("four", largest())] {
            let error = producer.put(key, data).await.unwrap_err();
            assert!(error.kind == StreamErrorKind::Invalid && error.to_string().contains(stream.name()), "{error}");
        }
        producer.put("é".repeat(256), "").await.unwrap();
        for _ in 0..3 {
            producer.put("key", largest()).await.unwrap();
        }
        let sent = producer.finish().await.unwrap();
        assert_eq!((sent.records, sent.bytes), (4, 512 + 3 * (1 << 20)));
        let lengths: Vec<_> = stream
            .read(stream.shards().await[0].shard_id())
            .await
            .iter()
            .map(|record| record.data().as_ref().len())
            .collect();
        assert_eq!(lengths, [0, largest().len(), largest().len(), largest().len()]);
    });
}
