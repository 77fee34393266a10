//! Two readers under one fan-out name take the subscription from each other: both are told, and nothing is lost.

use paceline_simulator::PartitionKey;
use paceline_testbed::outcome::DedupMode;
use paceline_testbed::proxy::{FaultProxy, Faults, KinesisFaults};
use paceline_testbed::{dynamodb, kinesis, require};
use std::time::Duration;

use crate::stream::deployment::Deployment;
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
