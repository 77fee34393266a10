//! The package after the one whose function began a window: a plugin was built again, the table has races, windows and
//! dead letters of the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::receive::Redrive;
use paceline_pipeline::rules::Registry;
use paceline_pipeline::run::run;
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks};
use paceline_testbed::dynamodb::{endpoint, unique};
use paceline_testbed::lambda::Function;
use paceline_testbed::outcome::{Outcome, tally};
use paceline_testbed::{plugins, require, rules, s3};
use serde_json::{Value, json};

use crate::support::{DedupMode, Deployment, beat, block_on, event, messages, record, registry_in, response, rulebook};

const TIMEOUT: Duration = Duration::from_secs(60);
const RACERS: u32 = 8;

/// One second of a race, and a record that nobody can read.
fn second(race: u64, second: u32) -> Vec<Vec<u8>> {
    let message = |racer| {
        let mut message = beat(racer, second, 60);
        message["raceId"] = race.into();
        message.to_string().into_bytes()
    };
    let broken = format!("broken in race {race}, second {second}").into_bytes();
    (1..=RACERS).map(message).chain([broken]).collect()
}

/// A function's answer in a window: its next state, and nothing to deliver again.
fn in_window(function: &Function, first: usize, payloads: &[Vec<u8>], (state, is_final): (Value, bool)) -> Value {
    let records: Vec<Value> = (first..).zip(payloads).map(|(number, payload)| record(number, payload)).collect();
    let mut event: Value = serde_json::from_slice(&event(&records)).unwrap();
    event["window"] = json!({ "start": "2021-05-05T18:51:00Z", "end": "2021-05-05T18:51:15Z" });
    event["state"] = state;
    event["shardId"] = json!("shardId-000000000000");
    event["eventSourceARN"] = json!("arn:aws:kinesis:us-east-1:123456789012:stream/alleycat");
    event["isFinalInvokeForWindow"] = json!(is_final);
    event["isWindowTerminatedEarly"] = json!(false);
    let answer = response(function.invoke(event.to_string().into_bytes(), TIMEOUT));
    assert_eq!(answer["batchItemFailures"], json!([]), "{answer}\n{}", function.logs());
    answer["state"].clone()
}

/// Makes the next version of the rulebook the rules of a registry. Its scorer was built again: other bytes, same effect.
fn rebuild(deployment: &Deployment, text: &str, registry: &Registry) {
    let mut bytes = plugins::bytes("output");
    // A custom section with the name `x`.
    bytes.extend([0, 2, 1, b'x']);
    std::fs::write(deployment.path("rulebooks/again.wasm"), bytes).unwrap();
    let next = text.replace("version = 1\n", "version = 2\n").replace("\"output\"", "\"./again.wasm\"");
    assert!(next.contains("version = 2") && next.contains("again.wasm"), "{next}");
    deployment.write("rulebooks/class-3.toml", &next);
    rules::map(&deployment.path("rulebooks"));
    rules::apply(&deployment.path("rulebooks"), registry).unwrap();
}

fn redrive(deployment: &Deployment, registry: &Registry) {
    let rulebooks = Arc::new(Rulebooks::new(rules::engine(), registry.clone(), rules::route()));
    let limits = BatchLimits::default();
    let pipeline = Pipeline::new(deployment.store(), rulebooks, limits.clone(), RetryPolicy::default());
    block_on(async {
        pipeline.start_following().await.unwrap();
        let letters = pipeline.store().list_dead_letters().await.unwrap();
        let ids: Vec<String> = letters.into_iter().map(|letter| letter.id).collect();
        let letters = pipeline.store().assign_redrive_sequences(&ids).await.unwrap();
        run(Redrive::new(letters), &pipeline, limits, std::future::pending(), |_, _| {}).await.unwrap();
    });
}

/// A window that one package's function begins and the next one's ends. Without a bucket the registry is in the package.
fn upgrade(bucket: Option<&str>) {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let text = format!("{}{}", rulebook(DedupMode::Ordinal), tally(DedupMode::Ordinal));
    let package = |name: &str| match bucket {
        Some(bucket) => registry_in(bucket),
        None => Registry::create_folder(&deployment.path(name)).unwrap(),
    };
    deployment.rulebook(&text);
    if bucket.is_some() {
        rules::apply(&deployment.path("rulebooks"), &package("registry")).unwrap();
    }
    let parts = [second(131, 1), [second(131, 2), second(132, 1)].concat(), second(132, 2)];
    let all = parts.concat();
    let local = deployment.local(&messages(all.iter().map(Vec::as_slice)));
    let function = || {
        let configuration = deployment.configuration(&endpoint());
        Function::new(match bucket {
            Some(bucket) => configuration.env("PACELINE_RULES", bucket),
            None => configuration,
        })
        .unwrap()
    };

    let before = function();
    let state = in_window(&before, 0, &parts[0], (json!({}), false));
    assert!(before.kill_all());
    drop(before);
    assert!(deployment.outcome().items.is_empty(), "the window is open");

    // As `rules bundle --onto` does: the log of the package before, continued.
    let next = package("next");
    if bucket.is_none() {
        block_on(package("registry").copy_to(&next)).unwrap();
        let configuration = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
        deployment.write("paceline.toml", &configuration.replace("registry = \"registry\"", "registry = \"next\""));
    }
    rebuild(&deployment, &text, &next);
    let after = function();
    let state = in_window(&after, 100, &parts[1], (state, false));
    assert_eq!(in_window(&after, 200, &[], (state, true)), json!({}));
    let state = in_window(&after, 300, &parts[2], (json!({}), false));
    in_window(&after, 400, &[], (state, true));
    redrive(&deployment, &next);

    let mut versions: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for (key, item) in block_on(deployment.store().list_groups()).unwrap() {
        if let Some(race) = key.partition.strip_prefix("race-") {
            versions.entry(race.to_owned()).or_default().insert(item.provenance.rulebook.version);
        }
    }
    assert_eq!(versions, [("131".to_owned(), [1].into()), ("132".to_owned(), [2].into())].into());
    let results = |outcome: Outcome| {
        let items: Vec<_> = outcome.items.into_iter().map(|(key, item)| (key, item.attributes, item.dedup)).collect();
        (items, outcome.dead_letters)
    };
    let outcome = deployment.outcome();
    assert_eq!((outcome.tallied(), outcome.dead_letters.len()), (4 * u64::from(RACERS), 4));
    assert_eq!(results(outcome), results(local));
}

#[test]
fn the_function_of_the_next_package_ends_the_window_of_the_one_before() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    upgrade(None);
}

#[test]
fn a_function_that_follows_a_bucket_ends_the_window_of_the_package_before() {
    require!(Plugins, DynamoDbLocal, S3Local, UtilLinux);
    upgrade(Some(&format!("s3://{}/{}", s3::BUCKET, unique("rules"))));
}
