//! A race through a stream gives the table that a run on one machine gives.

use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::outcome::{Fences, Message, race};

use crate::deployment::Deployment;

/// A race of 40 racers and 50 seconds, with some broken messages; with random keys some are sent twice.
pub(crate) fn messages(key: PartitionKey, seed: u32) -> Vec<Message> {
    let duplicates = if key == PartitionKey::Random { 3.0 } else { 0.0 };
    race(&Race { racers: 40, seconds: 50, class: 3, race: 131, seed, key, errors: 2.0, duplicates })
}

#[test]
fn a_race_by_polling() {
    let deployment = Deployment::new(Fences::Ordinal, 4);
    let messages = messages(PartitionKey::Random, 1);
    let mut running = deployment.start_plainly();
    running.until_ready();
    deployment.put(&messages);
    deployment.until_done();
    deployment.outcome().must_be(&deployment.local(&messages), "polling");
    let summary = running.stop();
    assert_eq!(summary["records"], messages.len());
}

#[test]
fn a_race_by_fan_out() {
    let deployment = Deployment::new(Fences::Sequence, 2);
    deployment.configure("consumer = \"fan-out\"\nconsumer-name = \"test\"", "");
    let messages = messages(PartitionKey::Racer, 2);
    deployment.put(&messages[..500]);
    let mut running = deployment.start_plainly();
    running.until_ready();
    deployment.put(&messages[500..]);
    deployment.until_done();
    deployment.outcome().must_be(&deployment.local(&messages), "fan-out");
    let summary = running.stop();
    assert_eq!(summary["records"], messages.len());
}
