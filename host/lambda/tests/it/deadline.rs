//! The function responds before Lambda's deadline; and if it is killed, groups that were written are not written again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use paceline_pipeline::model::Key;
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::{Function, Invocation};
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::require;
use serde_json::Value;

use crate::support::{
    DedupMode, Deployment, all_committed, beat, block_on, event, event_of, messages, record, response, retry_from,
    rulebook, sequence,
};

/// Longer than any invocation takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The requests that write groups.
const WRITE: &str = "BatchExecuteStatement";

/// One message of each racer.
fn lap(racers: u32, second: u32) -> Vec<Vec<u8>> {
    (0..racers).map(|racer| beat(racer, second, 30 + racer % 60).to_string().into_bytes()).collect()
}

fn event_with(payloads: &[Vec<u8>]) -> Vec<u8> {
    event_of(payloads.iter().map(Vec::as_slice))
}

fn revisions(deployment: &Deployment) -> BTreeMap<Key, u64> {
    let items = block_on(deployment.store().list_groups()).unwrap();
    items.into_iter().map(|(key, item)| (key, item.revision)).collect()
}

/// Whether the racer's item is in the table.
fn is_written(written: &BTreeMap<Key, u64>, racer: usize) -> bool {
    written.contains_key(&Key::new("race-131", format!("racer-{racer}")))
}

/// A deployment with one write in flight at a time, so that a commit can be interrupted between writes.
fn one_at_a_time() -> Deployment {
    let deployment = Deployment::new(DedupMode::Ordinal);
    deployment.configure("concurrency = 1\n\n[retry]\nfirst-wait-ms = 2\nlongest-wait-ms = 100\n");
    deployment
}

/// A warm function: it has started, loaded the plugins and connected, which Lambda does not count.
fn warm(deployment: &Deployment, proxy: &FaultProxy, first: &[Vec<u8>]) -> Function {
    let function = deployment.function(&proxy.endpoint());
    assert_eq!(response(function.invoke(event_with(first), TIMEOUT)), all_committed());
    function
}

#[test]
fn with_writes_throttled_until_the_deadline_the_response_is_in_time() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = one_at_a_time();
    let proxy = Arc::new(FaultProxy::start(&endpoint(), Faults::default(), 1));
    let before = [beat(1_000, 1, 60).to_string().into_bytes()];
    let function = warm(&deployment, &proxy, &before);
    // One request of 25 groups succeeds; all further ones are throttled.
    let (weak, writes) = (Arc::downgrade(&proxy), AtomicU64::new(0));
    proxy.on_request(move |_, operation| {
        if operation == WRITE && writes.fetch_add(1, Ordering::SeqCst) == 1 {
            let proxy = weak.upgrade().expect("the proxy runs its own hook");
            proxy.set_faults(Faults { throttle: 1.0, only: Some(vec![WRITE.to_owned()]), ..Faults::default() });
        }
    });
    let payloads = lap(60, 1);
    let (timeout, begun) = (Duration::from_secs(3), Instant::now());
    let in_time = response(function.invoke(event_with(&payloads), timeout));
    assert!(begun.elapsed() < timeout, "{:?}", begun.elapsed());
    // It did not give up at the first throttled request.
    assert!(begun.elapsed() > timeout / 2, "{:?}", begun.elapsed());

    let written = revisions(&deployment);
    let first_missing = (0..60).find(|racer| !is_written(&written, *racer)).expect("35 groups are not written");
    assert_eq!(in_time, retry_from(&sequence(first_missing)));
    assert_eq!(written.len(), 1 + 25, "the committed groups are written");

    proxy.on_request(|_, _| ());
    proxy.set_faults(Faults::default());
    assert_eq!(response(function.invoke(event_with(&payloads), TIMEOUT)), all_committed());
    let all = messages(before.iter().chain(&payloads).map(Vec::as_slice));
    deployment.outcome().must_be(&deployment.local(&all), "delivered again");
    assert!(revisions(&deployment).values().all(|revision| *revision == 1), "each group was written once");
}

#[test]
fn with_writes_without_a_response_the_response_is_in_time() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = one_at_a_time();
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 1);
    let before = [beat(1_000, 1, 60).to_string().into_bytes()];
    let function = warm(&deployment, &proxy, &before);
    // Longer than the function's timeout; the writes take effect afterwards, when nothing waits for them.
    let late = Faults { delay: 1.0, delay_ms: (4_000, 4_000), only: Some(vec![WRITE.to_owned()]), ..Faults::default() };
    proxy.set_faults(late);
    let payloads = lap(60, 1);
    let (timeout, begun) = (Duration::from_secs(3), Instant::now());
    let outcome = function.invoke(event_with(&payloads), timeout);
    assert!(begun.elapsed() < timeout, "{:?}", begun.elapsed());
    assert_ne!(outcome, Invocation::TimedOut);
    assert_eq!(response(outcome), retry_from(&sequence(0)));

    // The outcome does not depend on whether the late writes take effect before the redelivery.
    proxy.set_faults(Faults::default());
    assert_eq!(response(function.invoke(event_with(&payloads), TIMEOUT)), all_committed());
    let all = messages(before.iter().chain(&payloads).map(Vec::as_slice));
    deployment.outcome().must_be(&deployment.local(&all), "delivered again");
    assert_eq!(function.started(), 1, "no instance was killed");
}

#[test]
fn with_reads_without_a_response_the_response_is_in_time() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 1);
    let before = [beat(1_000, 1, 60).to_string().into_bytes()];
    let function = warm(&deployment, &proxy, &before);
    let late = Faults { delay: 1.0, delay_ms: (20_000, 20_000), ..Faults::default() };
    proxy.set_faults(late);
    // Another race, whose pin is read first.
    let other: Vec<Vec<u8>> = [1, 2]
        .map(|racer| {
            let mut message = beat(racer, 1, 60);
            message["raceId"] = Value::from(132);
            message.to_string().into_bytes()
        })
        .to_vec();
    for payloads in [&lap(5, 1), &other] {
        let (timeout, begun) = (Duration::from_secs(2), Instant::now());
        assert_eq!(response(function.invoke(event_with(payloads), timeout)), retry_from(&sequence(0)));
        assert!(begun.elapsed() < timeout, "{:?}", begun.elapsed());
    }
    proxy.set_faults(Faults::default());
    let all: Vec<Vec<u8>> = [lap(5, 1), other].concat();
    assert_eq!(response(function.invoke(event_with(&all), TIMEOUT)), all_committed());
    let all = messages(before.iter().chain(&all).map(Vec::as_slice));
    deployment.outcome().must_be(&deployment.local(&all), "delivered again");
}

#[test]
fn groups_written_before_a_kill_are_not_written_again() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = one_at_a_time();
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 1);
    let function = Arc::new(deployment.function(&proxy.endpoint()));
    // At the third of a batch's four requests: that one still reaches the table, the fourth does not.
    let (left, victim) = (Arc::new(AtomicU64::new(0)), Arc::clone(&function));
    let fuse = Arc::clone(&left);
    proxy.on_request(move |_, operation| {
        if operation == WRITE && fuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) == Ok(1) {
            victim.kill_busy();
        }
    });
    let mut all = Vec::new();
    for second in 1..=3 {
        let payloads = lap(100, second);
        left.store(3, Ordering::SeqCst);
        assert_eq!(function.invoke(event_with(&payloads), TIMEOUT), Invocation::Died);
        let after_the_kill = revisions(&deployment);
        let of_this_lap = after_the_kill.values().filter(|revision| **revision == u64::from(second)).count();
        assert!((50..=75).contains(&of_this_lap), "{of_this_lap} of 100 groups were written before the kill");

        left.store(0, Ordering::SeqCst);
        assert_eq!(response(function.invoke(event_with(&payloads), TIMEOUT)), all_committed());
        let now = revisions(&deployment);
        assert_eq!(now.len(), 100);
        let wrong: Vec<_> = now.iter().filter(|(_, revision)| **revision != u64::from(second)).collect();
        assert!(wrong.is_empty(), "after {second} batches, each delivered twice: {wrong:?}");
        all.extend(payloads);
    }
    deployment.outcome().must_be(&deployment.local(&messages(all.iter().map(Vec::as_slice))), "killed three times");
    // The hook owns the function, which must not be dropped on the proxy's thread.
    proxy.on_request(|_, _| ());
}

/// A deployment whose scorer spins if it gets a record with a cadence of 66, by limits under which fuel ends it late.
fn spinning(deed: &str, fuel_per_call: u64) -> Deployment {
    let deployment = one_at_a_time();
    let spinning = format!(
        "plugin = \"evil-scorer\"\nsettings = {{ deed = \"{deed}\" }}\nlimits = {{ fuel-per-call = {fuel_per_call}, \
         fuel-per-row = 1000000, call-ms = 10000 }}"
    );
    deployment.rulebook(&rulebook(DedupMode::Ordinal).replace("plugin = \"output\"", &spinning));
    deployment
}

/// The dead letters' sequence numbers, and their reasons.
fn dead_letters(deployment: &Deployment) -> BTreeMap<String, String> {
    let letters = block_on(deployment.store().list_dead_letters()).unwrap();
    letters.into_iter().map(|letter| (letter.position.sequence.to_string(), letter.reason.text)).collect()
}

#[test]
fn a_record_on_which_a_plugin_spins_is_a_dead_letter_after_a_few_deliveries_and_its_neighbours_are_committed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = spinning("spin-on-row", 1_000_000_000);
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 1);
    let function = warm(&deployment, &proxy, &[beat(1_000, 1, 60).to_string().into_bytes()]);
    let (racers, victim) = (20, 7);
    let payloads: Vec<Vec<u8>> = (0..racers)
        .map(|racer| beat(racer, 1, if racer == victim { 66 } else { 60 }).to_string().into_bytes())
        .collect();
    let records: Vec<Value> = payloads.iter().enumerate().map(|(at, payload)| record(at, payload)).collect();
    let timeout = Duration::from_secs(3);
    let (mut first, mut deliveries) = (0, 0);
    while first < records.len() {
        deliveries += 1;
        assert!(deliveries <= 5, "from record {first} on nothing is committed: {}", function.logs());
        let begun = Instant::now();
        let done = response(function.invoke(event(&records[first..]), timeout));
        assert!(begun.elapsed() < timeout, "{:?}", begun.elapsed());
        // Lambda delivers the rest again.
        let failures = done["batchItemFailures"].as_array().unwrap();
        let next = failures.first().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned());
        first = next.map_or(records.len(), |next| (0..records.len()).find(|at| sequence(*at) == next).unwrap());
    }
    let letters = dead_letters(&deployment);
    assert_eq!(letters.keys().collect::<Vec<_>>(), [&sequence(victim as usize)], "{letters:?}");
    let written = revisions(&deployment);
    assert!((0..racers).all(|racer| is_written(&written, racer as usize) == (racer != victim)), "{written:?}");
}

#[test]
fn in_a_window_records_on_which_a_plugin_spins_are_dead_letters_in_time() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    // A call for all of them uses its fuel up in time; the calls for their halves would not.
    let deployment = spinning("spin", 2_000_000);
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 1);
    let function = deployment.function(&proxy.endpoint());
    let window = |payloads: &[Vec<u8>]| {
        let mut event: Value = serde_json::from_slice(&event_with(payloads)).unwrap();
        event["window"] = serde_json::json!({ "start": "2021-05-05T18:51:00Z", "end": "2021-05-05T18:51:15Z" });
        event["state"] = serde_json::json!({});
        event["isFinalInvokeForWindow"] = false.into();
        event["isWindowTerminatedEarly"] = false.into();
        event.to_string().into_bytes()
    };
    response(function.invoke(window(&[]), TIMEOUT));
    let payloads = lap(400, 1);
    let (timeout, begun) = (Duration::from_secs(6), Instant::now());
    response(function.invoke(window(&payloads), timeout));
    assert!(begun.elapsed() < timeout, "{:?}", begun.elapsed());
    let letters = dead_letters(&deployment);
    assert_eq!(letters.len(), 400);
    assert!(letters.values().all(|text| text.contains("the plugin")), "{letters:?}");
}
