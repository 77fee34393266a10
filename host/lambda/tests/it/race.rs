//! A race through the compiled function into DynamoDB has the outcome of a local run.

use std::time::Duration;

use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::mapping::Mapping;
use paceline_testbed::require;

use crate::support::{DedupMode, Deployment, proxy, race, stream};

#[test]
fn a_race_of_1000_racers_has_the_outcome_of_the_local_run() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let messages = race(&Race {
        racers: 1_000,
        seconds: 300,
        class: 3,
        race: 5_403_307,
        seed: 1,
        key: PartitionKey::Random,
        errors: 0.1,
        duplicates: 0.1,
    });
    let deployment = Deployment::new(DedupMode::Ordinal);
    let proxy = proxy();
    let function = deployment.function(&proxy.endpoint());
    let mapping = Mapping { batch_size: 10_000, report_batch_item_failures: true, ..Mapping::default() };
    let report = mapping.run(&stream(&messages, 1), &function);
    assert_eq!((report.retries, report.function_errors), (0, 0), "{}", function.logs());
    assert!(report.failures.is_empty());
    deployment.outcome().must_be(&deployment.local(&messages), "1,000 racers");
    // One write for each group and batch, 25 in a request. Cached groups are not read again.
    let counts = proxy.counts();
    let writes = counts.requests("BatchExecuteStatement");
    assert!(writes <= report.invocations * 42 + 42, "{writes} requests for {} batches", report.invocations);
    // A batch reads the horizon of its shard, once more after dead letters, and the groups that are new.
    assert!(counts.requests("BatchGetItem") <= 3 * report.invocations, "{counts:?}");
}

#[test]
fn windows_write_a_group_once_for_all_their_batches() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let messages = race(&Race {
        racers: 20,
        seconds: 45,
        class: 3,
        race: 131,
        seed: 2,
        key: PartitionKey::Racer,
        errors: 1.0,
        duplicates: 0.0,
    });
    for dedup in [DedupMode::Sequence, DedupMode::Ordinal] {
        let deployment = Deployment::new(dedup).tallied(dedup);
        deployment.configure("");
        let proxy = proxy();
        let function = deployment.function(&proxy.endpoint());
        let mapping = Mapping {
            batch_size: 20,
            tumbling_window: Some(15),
            timeout: Duration::from_secs(60),
            ..Mapping::default()
        };
        let report = mapping.run(&stream(&messages, 1), &function);
        assert_eq!(report.function_errors, 0, "{}", function.logs());
        deployment.outcome().must_be(&deployment.local(&messages), "windows");
        // 45 seconds overlap four aligned windows. The finals have 20 more items.
        assert!(report.invocations > 45 && report.final_invocations <= 4, "{report:?}");
        let statements = proxy.counts().requests("BatchExecuteStatement");
        assert!(statements <= 10, "{statements} requests, each of up to 25 groups");
    }
}

#[test]
fn a_window_whose_state_grows_too_large_is_committed_before_its_end() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let messages = race(&Race {
        racers: 1_000,
        seconds: 60,
        class: 3,
        race: 5_403_307,
        seed: 3,
        key: PartitionKey::Random,
        errors: 0.0,
        duplicates: 0.0,
    });
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let mapping = Mapping { batch_size: 7_000, tumbling_window: Some(900), ..Mapping::default() };
    let report = mapping.run(&stream(&messages, 1), &function);
    // No state exceeded Lambda's limit, so that it ended no window early.
    assert_eq!((report.function_errors, report.early_ends, report.retries), (0, 0, 0), "{}", function.logs());
    let warning = "the window is committed before its end";
    assert!(function.wait_for_log(warning, Duration::from_secs(60)), "{}", function.logs());
    let early = function.logs().lines().filter(|line| line.contains(warning)).count();
    assert!((1..=4).contains(&early), "{early} times");
    deployment.outcome().must_be(&deployment.local(&messages), "committed early");
}
