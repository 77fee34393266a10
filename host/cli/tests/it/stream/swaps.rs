//! The rules change while races flow from a stream into a table.

use paceline_pipeline::rules::Registry;
use paceline_simulator::PartitionKey;
use paceline_testbed::outcome::{Message, rulebook, tally};
use paceline_testbed::require;

use crate::ruled::{self, CHANGES, Operator, active};
use crate::stream::deployment::Deployment;

/// Racers of each race. Three races are in progress at once.
const RACERS: u32 = 60;
const SHARDS: i32 = 3;

fn run(key: PartitionKey) {
    let dedup = ruled::dedup_of(key);
    let deployment = Deployment::new(dedup, SHARDS);
    let first = format!("{}{}", rulebook(dedup), tally(dedup));
    let operator = Operator::publish(deployment.path("paceline.toml"), &first, &deployment.path(""));
    let mut running = deployment.start_without_proxies();
    running.wait_until_ready();

    let parts = ruled::parts(RACERS, key);
    for (part, (arguments, version)) in parts.iter().zip(CHANGES) {
        std::thread::scope(|scope| {
            let putting = scope.spawn(|| deployment.put(part));
            let revision = operator.change(arguments);
            running.process.wait_for(&active(version, revision));
            putting.join().unwrap();
        });
        deployment.wait_until_done();
    }
    parts[CHANGES.len()..].iter().for_each(|part| deployment.put(part));
    deployment.wait_until_done();

    let messages: Vec<Message> = parts.concat();
    let expected = deployment.local(&messages);
    ruled::without_rules(deployment.outcome()).must_be(&ruled::without_rules(expected), "with swaps");
    ruled::check(&deployment.store(), &Registry::create_folder(&deployment.path("registry")).unwrap());
    let summary = running.stop();
    assert_eq!(summary["records"], messages.len());
}

#[test]
fn activations_and_roll_backs_lose_and_double_no_record_with_random_keys() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    run(PartitionKey::Random);
}

#[test]
fn activations_and_roll_backs_lose_and_double_no_record_with_keys_by_racer() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    run(PartitionKey::Racer);
}
