//! Two readers under one fan-out name take the subscription from each other: both report it, and nothing is lost.

use paceline_simulator::PartitionKey;
use paceline_testbed::outcome::DedupMode;
use paceline_testbed::proxy::{FaultProxy, Faults, KinesisFaults};
use paceline_testbed::{dynamodb, kinesis, require};
use std::time::{Duration, Instant};

use crate::stream::deployment::{Deployment, TIME_LIMIT};
use crate::stream::race::messages;

#[test]
fn two_readers_under_one_fan_out_name_are_reported_and_lose_nothing() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    deployment.configure("consumer = \"fan-out\"\nconsumer-name = \"shared\"", "");
    // As Kinesis does, but every second.
    let kinesis_faults = KinesisFaults { hand_over: Some(Duration::from_secs(1)), ..KinesisFaults::default() };
    let proxy = FaultProxy::start(&kinesis::endpoint(), Faults { kinesis: kinesis_faults, ..Faults::default() }, 1);
    let start = || deployment.start(&proxy.endpoint(), &dynamodb::endpoint());
    let mut first = start();
    first.wait_until_ready();
    let second = start();
    let messages = messages(PartitionKey::Racer, 5);
    let (now, later) = messages.split_at(messages.len() / 2);
    deployment.put(now);
    let line = first.process.wait_for("in use by another reader");
    for part in ["`shared`", "`consumer-name`", "Nothing is lost", "ERROR"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(first.metric("paceline_subscription_conflicts_total") >= 2.0);
    assert!(proxy.counts().injected.taken_subscriptions >= 2);
    deployment.put(later);
    deployment.wait_until_done();
    first.stop();
    second.stop();
    deployment.outcome().must_be(&deployment.local(&messages), "two readers");
}

#[test]
fn a_reader_whose_subscription_breaks_off_is_no_other_reader() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    deployment.configure("consumer = \"fan-out\"\nconsumer-name = \"alone\"", "");
    // Kinesis refuses another subscription within five seconds, whoever asks.
    let hand_over = Some(Duration::from_secs(5));
    let kinesis_faults = KinesisFaults { hand_over, cut_after: Some(1), ..KinesisFaults::default() };
    let proxy = FaultProxy::start(&kinesis::endpoint(), Faults { kinesis: kinesis_faults, ..Faults::default() }, 1);
    let messages = messages(PartitionKey::Racer, 6);
    deployment.put(&messages);
    let mut running = deployment.start(&proxy.endpoint(), &dynamodb::endpoint());
    let deadline = Instant::now() + TIME_LIMIT;
    while proxy.counts().injected.cut_subscriptions < 2 {
        assert!(Instant::now() < deadline, "{:?}", proxy.counts());
        paceline_testbed::poll::pause(Duration::from_millis(20));
    }
    assert_eq!(running.metric("paceline_subscription_conflicts_total"), 0.0);
    running.stop();
}
