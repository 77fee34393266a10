//! A consumer keeps up with a race in real time. After its store was slow for a while, it catches up without using more
//! memory.

use paceline_testbed::require;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::outcome::{DedupMode, race};
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::{dynamodb, kinesis};

use crate::stream::deployment::{Deployment, Running, TIME_LIMIT};
use crate::stream::race::producer;

/// The interval between two polls of the metrics.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The greatest iterator age, in seconds, of a consumer that keeps up.
const MAX_AGE_SECONDS: f64 = 2.0;

/// The resident set size of the process, in MB.
fn memory(running: &Running) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.process.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// Polls age and memory until a condition on the age holds, and returns the greatest value of each.
fn watch(running: &mut Running, mut until: impl FnMut(f64) -> bool) -> (f64, f64) {
    let (mut age, mut most) = (0.0_f64, 0.0_f64);
    let deadline = Instant::now() + TIME_LIMIT;
    loop {
        let now = running.metric("paceline_iterator_age_seconds");
        (age, most) = (age.max(now), most.max(memory(running)));
        if until(now) {
            return (age, most);
        }
        assert!(Instant::now() < deadline, "timed out: the age is {now} s, and was {age} s at most");
        paceline_testbed::poll::pause(POLL_INTERVAL);
    }
}

/// Starts the simulator, which puts a race into the stream at this speed.
fn produce(deployment: &Deployment, race: &Race, speed: &str) -> Child {
    let mut command = producer(deployment, &kinesis::endpoint(), race);
    command.args(["--speed", speed, "--aggregate"]).stdout(Stdio::null()).spawn().unwrap()
}

fn race_of(racers: u32, seconds: u32) -> Race {
    Race { racers, seconds, class: 3, race: 131, seed: 4, key: PartitionKey::Racer, errors: 0.0, duplicates: 0.0 }
}

/// The article's load: 1,000 racers with one message a second each, and one shard. The store is the embedded one,
/// because each message is a write and DynamoDB Local takes about 700 writes a second.
#[test]
fn the_consumer_keeps_up_with_a_thousand_racers() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let config = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    let table = format!("[store.dynamodb]\ntable = \"{}\"\n", deployment.table.table);
    assert!(config.contains(&table));
    deployment.write("paceline.toml", &config.replace(&table, "[store]\npath = \"store.redb\"\n"));
    let mut running = deployment.start_without_proxies();
    running.wait_until_ready();
    let race = race_of(1_000, 20);
    let mut producing = produce(&deployment, &race, "1x");
    let (age, _) = watch(&mut running, |_| producing.try_wait().unwrap().is_some());
    assert!(producing.wait().unwrap().success());
    assert!(age < MAX_AGE_SECONDS, "the oldest record was {age} s old");
    wait_for_records(&mut running, 20_000.0);
    let summary = running.stop();
    assert_eq!(summary["records"], 20_000);
}

/// Waits until this many records are processed.
fn wait_for_records(running: &mut Running, records: f64) {
    let deadline = Instant::now() + TIME_LIMIT;
    while running.metric("paceline_records_total") < records {
        assert!(Instant::now() < deadline, "{} records are processed", running.metric("paceline_records_total"));
        paceline_testbed::poll::pause(POLL_INTERVAL);
    }
}

/// A thousand messages a second are stored in DynamoDB, which is slow for a while.
#[test]
fn the_consumer_catches_up_after_a_slow_store_in_constant_memory() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    deployment.configure("read-ahead-bytes = 1048576", "");
    let store = FaultProxy::start(&dynamodb::endpoint(), Faults::default(), 0);
    let mut running = deployment.start(&kinesis::endpoint(), &store.endpoint());
    running.wait_until_ready();
    let race_of = race_of(100, 300);
    let mut producing = produce(&deployment, &race_of, "10x");
    wait_for_records(&mut running, 3_000.0);
    let (_, calm) = watch(&mut running, |age| age > 0.0 && age < MAX_AGE_SECONDS);

    store.set_faults(Faults { delay: 1.0, delay_ms: (2_500, 2_500), ..Faults::default() });
    let (_, slow) = watch(&mut running, |age| age > 6.0);
    store.set_faults(Faults::default());
    let (_, catching_up) = watch(&mut running, |age| age < MAX_AGE_SECONDS);

    assert!(producing.wait().unwrap().success());
    deployment.wait_until_done();
    let (_, end) = watch(&mut running, |age| age < MAX_AGE_SECONDS);
    let most = calm.max(slow).max(catching_up).max(end);
    assert!(most < calm + 40.0, "{calm} MB, {slow} MB while slow, {catching_up} MB after, {end} MB at the end");
    running.stop();
    deployment.outcome().must_be(&deployment.local(&race(&race_of)), "the race");
}

/// The age of an idle shard stays at 0, however long the pauses between its polls are.
#[test]
fn an_idle_stream_has_no_age() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let config = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    deployment.write("paceline.toml", &config.replace("idle-ms = 200", "idle-ms = 3000"));
    let stream = FaultProxy::start(&kinesis::endpoint(), Faults::default(), 0);
    let mut running = deployment.start(&stream.endpoint(), &dynamodb::endpoint());
    running.wait_until_ready();
    deployment.put(&race(&race_of(1, 1)));
    wait_for_records(&mut running, 1.0);
    let polls = || stream.counts().by_operation.get("GetRecords").copied().unwrap_or_default();
    let enough = polls() + 4;
    let (age, _) = watch(&mut running, |_| polls() >= enough);
    assert!(age < 0.5, "the age of an idle shard was {age} s");
    running.stop();
}
