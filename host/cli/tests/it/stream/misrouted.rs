//! Aggregates by libraries that put keys of several shards into one record and send none again.

use paceline_aws::kpl::{Aggregator, hash_key};
use paceline_pipeline::model::{Cause, DeadLetter};
use paceline_pipeline::store::DeadLetterStore;
use paceline_testbed::kinesis::hashes;
use paceline_testbed::outcome::{DedupMode, Message, block_on};
use paceline_testbed::require;
use serde_json::json;

use crate::stream::deployment::{Deployment, Running};

/// Messages of four racers and five seconds, with keys of both shards.
fn messages() -> Vec<Message> {
    let message = |number: u64| {
        let payload = json!({
            "event": "update", "deviceTimestamp": 1_620_566_842_000_u64 + number, "second": 1 + number / 4,
            "raceId": 131, "name": "Ada", "racerId": number % 4, "classId": 3, "cadence": 61 + number % 4,
            "resistance": 51,
        });
        Message { payload: payload.to_string().into_bytes(), key: format!("key-{number}"), sent_ms: 0 }
    };
    (0..20).map(message).collect()
}

/// The messages in one record of a stream with two shards, and those whose keys are of the record's shard.
fn aggregate(deployment: &Deployment) -> (Vec<Message>, Vec<Message>) {
    let messages = messages();
    let mut aggregator = Aggregator::default();
    for Message { payload, key, .. } in &messages {
        assert_eq!(aggregator.add(key, None, payload), None);
    }
    let data = aggregator.finish().unwrap().data;
    block_on(deployment.stream.put([("a", data)]));
    let shards = block_on(deployment.stream.shards());
    let holds = |shard: &_, key: &str| {
        let (first, last) = hashes(shard);
        (first..=last).contains(&hash_key(key))
    };
    let shard = shards.iter().find(|shard| holds(shard, "a")).unwrap();
    let own: Vec<Message> = messages.iter().filter(|message| holds(shard, &message.key)).cloned().collect();
    assert!(!own.is_empty() && own.len() < messages.len(), "{} of {}", own.len(), messages.len());
    (messages, own)
}

/// Starts the program with this setting, and waits until the stream is processed. The log has a warning with this text.
fn run(deployment: &Deployment, setting: &str, warning: &str) -> Running {
    deployment.configure(setting, "");
    let mut running = deployment.start_without_proxies();
    deployment.wait_until_done();
    assert!(running.metric("paceline_misrouted_records_total") > 0.0);
    let line = running.process.wait_for("have records whose keys are of other shards");
    assert!(line.contains(warning), "{line}");
    running
}

fn letters(deployment: &Deployment) -> Vec<DeadLetter> {
    block_on(deployment.store().list_dead_letters()).unwrap()
}

#[test]
fn misrouted_records_are_folded_where_dedup_absorbs_repetitions() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 2);
    let (all, _) = aggregate(&deployment);
    let summary = run(&deployment, "", "are processed").stop();
    assert_eq!(summary["records"], 20, "{summary}");
    deployment.outcome().must_be(&deployment.local(&all), "with keys of both shards");
}

/// Asserts that the misrouted records, and no others, are unsure dead letters.
fn are_dead_letters(deployment: &Deployment, all: &[Message], own: &[Message]) {
    assert_eq!(deployment.outcome().items, deployment.local(own).items);
    let letters = letters(deployment);
    let mut payloads: Vec<&[u8]> = letters.iter().map(|letter| &*letter.payload).collect();
    let is_own = |message: &Message| own.iter().any(|own| own.payload == message.payload);
    let mut expected: Vec<&[u8]> =
        all.iter().filter(|message| !is_own(message)).map(|message| &*message.payload).collect();
    payloads.sort_unstable();
    expected.sort_unstable();
    assert_eq!(payloads, expected);
    assert!(letters.iter().all(|letter| letter.reason.cause == Cause::Misrouted && letter.unsure), "{letters:?}");
}

#[test]
fn misrouted_records_become_dead_letters_where_dedup_does_not_absorb_repetitions() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Sequence, 2);
    let (all, own) = aggregate(&deployment);
    run(&deployment, "", "the others become dead letters").stop();
    are_dead_letters(&deployment, &all, &own);
    let text = &letters(&deployment)[0].reason.text;
    assert!(text.contains("dedup by sequence would fold it a second time"), "{text}");
}

#[test]
fn misrouted_records_become_dead_letters_by_setting() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 2);
    let (all, own) = aggregate(&deployment);
    run(&deployment, "misrouted = \"dead-letter\"", "they become dead letters").stop();
    are_dead_letters(&deployment, &all, &own);
}

#[test]
fn misrouted_records_are_dropped_only_by_setting() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    let deployment = Deployment::new(DedupMode::Ordinal, 2);
    let (_, own) = aggregate(&deployment);
    run(&deployment, "misrouted = \"drop\"", "they are dropped, and lost unless their producer sends them again")
        .stop();
    deployment.outcome().must_be(&deployment.local(&own), "without those of the other shard");
}
