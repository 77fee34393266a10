//! A race from the simulator through a stream has the same outcome as a local run.

use paceline_testbed::require;
use std::process::Command;

use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::kinesis;
use paceline_testbed::outcome::{DedupMode, Message, race};
use paceline_testbed::proxy::{FaultProxy, Faults, KinesisFaults, KinesisLimits};

use crate::stream::deployment::Deployment;
use crate::support::paceline;

/// A race of 40 racers and 50 seconds, with some invalid messages. With random keys some are sent twice.
fn race_of(key: PartitionKey, seed: u32) -> Race {
    let duplicates = if key == PartitionKey::Random { 3.0 } else { 0.0 };
    Race { racers: 40, seconds: 50, class: 3, race: 131, seed, key, errors: 2.0, duplicates }
}

/// The messages of `race_of`.
pub(crate) fn messages(key: PartitionKey, seed: u32) -> Vec<Message> {
    race(&race_of(key, seed))
}

/// The simulator, which puts this race into the stream.
pub(crate) fn producer(deployment: &Deployment, endpoint: &str, race: &Race) -> Command {
    let mut command = paceline(&["simulate", "--json", "--class", "3", "--region", "us-east-1"]);
    let key = if race.key == PartitionKey::Random { "random" } else { "racer" };
    for (name, value) in [
        ("--stream", deployment.stream.name().to_owned()),
        ("--endpoint", endpoint.to_owned()),
        ("--racers", race.racers.to_string()),
        ("--seconds", race.seconds.to_string()),
        ("--race", race.race.to_string()),
        ("--seed", race.seed.to_string()),
        ("--key", key.to_owned()),
        ("--errors", race.errors.to_string()),
        ("--duplicates", race.duplicates.to_string()),
    ] {
        command.args([name, &value]);
    }
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command
}

/// Runs one race from the simulator to the table, through a stream with the limits of real shards. Subscriptions use
/// TLS and HTTP/2, as on AWS.
fn run(consumer: &str, shards: i32, aggregate: bool, key: PartitionKey, dedup: DedupMode) {
    let each_is_there_once = (0..5).any(|_| try_run(consumer, shards, aggregate, key, dedup));
    assert!(each_is_there_once, "the simulator got no response to a request in each of five runs");
}

/// Returns false if the machine was so slow that the simulator got no response to a request and sent its messages again: the
/// stream has them twice then, and the outcome is another one.
fn try_run(consumer: &str, shards: i32, aggregate: bool, key: PartitionKey, dedup: DedupMode) -> bool {
    let deployment = Deployment::new(dedup, shards);
    deployment.configure(&format!("consumer = \"{consumer}\""), "");
    let limits = KinesisFaults { limits: Some(KinesisLimits::default()), ..KinesisFaults::default() };
    let stream = FaultProxy::start_tls(
        &kinesis::endpoint(),
        Faults { kinesis: KinesisFaults { end_with_shard: true, ..limits }, ..Faults::default() },
        0,
    );
    let certificate = stream.certificate_file().display().to_string();
    let variables = [("SSL_CERT_FILE", certificate.as_str())];
    let running = deployment.start_with(&stream.endpoint(), &paceline_testbed::dynamodb::endpoint(), &variables);

    let race = race_of(key, shards as u32);
    let mut command = producer(&deployment, &stream.endpoint(), &race);
    command.envs(variables).args(aggregate.then_some("--aggregate"));
    let sent: serde_json::Value = serde_json::from_str(&crate::support::succeed(&mut command)).unwrap();
    let messages = messages(key, shards as u32);
    assert_eq!(sent["messages"], messages.len(), "{sent}");
    if sent["retriedAmbiguous"] != 0 {
        return false;
    }
    deployment.wait_until_done();
    deployment.outcome().must_be(&deployment.local(&messages), consumer);
    let summary = running.stop();
    assert_eq!(summary["records"], messages.len());
    let counts = stream.counts();
    let reads = counts.requests(if consumer == "poll" { "GetRecords" } else { "SubscribeToShard" });
    assert!(reads >= shards as u64, "{counts:?}");
    assert!(counts.by_version["HTTP/2.0"] > 0, "{:?}", counts.by_version);
    true
}

macro_rules! races {
    ($($name:ident: $consumer:literal, $shards:literal, $aggregate:literal, $key:ident, $dedup:ident;)*) => {
        $(#[test]
        fn $name() {
            require!(Plugins, DynamoDbLocal, KinesisLocal);
            run($consumer, $shards, $aggregate, PartitionKey::$key, DedupMode::$dedup);
        })*
    };
}

races! {
    polling_1_shard_plain_keyed: "poll", 1, false, Racer, Sequence;
    polling_1_shard_plain_random: "poll", 1, false, Random, Ordinal;
    polling_1_shard_aggregated_keyed: "poll", 1, true, Racer, Sequence;
    polling_1_shard_aggregated_random: "poll", 1, true, Random, Ordinal;
    polling_4_shards_plain_keyed: "poll", 4, false, Racer, Sequence;
    polling_4_shards_plain_random: "poll", 4, false, Random, Ordinal;
    polling_4_shards_aggregated_keyed: "poll", 4, true, Racer, Sequence;
    polling_4_shards_aggregated_random: "poll", 4, true, Random, Ordinal;
    fan_out_1_shard_plain_keyed: "fan-out", 1, false, Racer, Sequence;
    fan_out_1_shard_plain_random: "fan-out", 1, false, Random, Ordinal;
    fan_out_1_shard_aggregated_keyed: "fan-out", 1, true, Racer, Sequence;
    fan_out_1_shard_aggregated_random: "fan-out", 1, true, Random, Ordinal;
    fan_out_4_shards_plain_keyed: "fan-out", 4, false, Racer, Sequence;
    fan_out_4_shards_plain_random: "fan-out", 4, false, Random, Ordinal;
    fan_out_4_shards_aggregated_keyed: "fan-out", 4, true, Racer, Sequence;
    fan_out_4_shards_aggregated_random: "fan-out", 4, true, Random, Ordinal;
}
