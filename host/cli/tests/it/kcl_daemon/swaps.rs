//! The rules change while races flow through two workers.

use std::collections::BTreeSet;

use paceline_aws::DynamoDbStore;
use paceline_simulator::PartitionKey;
use paceline_testbed::kinesis::{TestStream, endpoint};
use paceline_testbed::outcome::block_on;
use paceline_testbed::{dynamodb, require};

use super::daemon::{Daemon, end_of, owners, wait_until};
use crate::dynamo::{Deployment, counting_rulebook, local_outcome};
use crate::ruled::{self, CHANGES, Operator, active};

const RACERS: u32 = 30;

/// The shares of two workers of four shards. The leader gives all leases to the first worker that it knows of, and
/// leases without records are never balanced afterwards.
const SHARE: &[&str] = &["maxLeasesForWorker=2"];

#[test]
fn activations_and_roll_backs_under_two_workers_lose_and_double_no_record() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, KclJars, Java, UtilLinux);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let deployment = Deployment::new();
    let stream = runtime.block_on(TestStream::new("races", 4));
    let (dynamodb, kinesis) = (dynamodb::endpoint(), endpoint());
    deployment.configure_with(
        &format!("endpoint = {dynamodb:?}"),
        &format!("stream = {:?}\nregion = \"us-east-1\"\nendpoint = {kinesis:?}\nidle-ms = 200", stream.name()),
        "[batch]\nmax-records = 100\n",
    );
    let application = format!("paceline-{}", stream.name());
    let client = dynamodb::client(&dynamodb);
    let parts = ruled::parts(RACERS, PartitionKey::Random);

    let mut workers = ["first", "second"].map(|name| Daemon::start_with(&deployment, name, SHARE));
    let [first, second] = &mut workers;
    let logs = [first.log.clone(), second.log.clone()];
    wait_until("a share for each worker", &mut [first, second], || {
        let owners = owners(&runtime, &client, &application);
        let workers: BTreeSet<&str> = owners.values().map(String::as_str).collect();
        if owners.len() == 4 && workers.len() == 2 { Ok(()) } else { Err(format!("{owners:?}")) }
    });

    let config = deployment.workspace.path("paceline.toml");
    let operator = Operator::publish(config, &counting_rulebook(), &deployment.workspace.path(""));
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let keyed = part.iter().map(|message| (message.key.as_str(), message.payload.as_slice()));
        runtime.block_on(stream.put(keyed));
        messages.extend(part.iter().map(|message| message.payload.clone()));
        // The rules change while the part's records are processed.
        let change = CHANGES.get(at).map(|(arguments, version)| active(*version, operator.change(arguments)));
        let expected = ruled::without_rules(local_outcome(&messages));
        wait_until("the part's records and the change", &mut [first, second], || {
            let found = deployment.outcome();
            let is_active =
                |log| change.as_ref().is_none_or(|line| std::fs::read_to_string(log).unwrap().contains(line));
            if found.reaches(&expected) && logs.iter().all(is_active) {
                return Ok(());
            }
            Err(format!("{} of {} records, {change:?}", found.tallied(), expected.tallied()))
        });
    }
    let expected = ruled::without_rules(local_outcome(&messages));
    let ended = workers.map(Daemon::stop);
    ruled::without_rules(deployment.outcome()).must_be(&expected, "with swaps");
    let store = block_on(DynamoDbStore::connect(&deployment.table)).unwrap();
    ruled::check(&store, &deployment.workspace.registry());
    for log in ended {
        assert!(!log.contains("panicked"), "{}", end_of(&log));
    }
}
