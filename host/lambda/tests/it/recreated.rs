//! A stream that was deleted and created again under its name, with lower sequence numbers: sequence dedup would take its
//! records for duplicates.

use std::time::Duration;

use paceline_pipeline::model::{Cause, DeadLetter, Key};
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_testbed::require;
use serde_json::{Value, json};

use crate::support::{DedupMode, Deployment, all_committed, beat, block_on, event, proxy, record, response};

const TIMEOUT: Duration = Duration::from_secs(60);

/// When the first stream's records arrived, and those of the second one, in seconds since 1970.
const FIRST: f64 = 1_620_566_842.971;
const SECOND: f64 = FIRST + 60.0;

/// One second of some racers, from this sequence number on, with this arrival.
fn records(racers: &[u32], second: u32, first: usize, arrival: f64) -> Vec<Value> {
    let record = |(at, racer): (usize, &u32)| {
        let mut record = record(at, beat(*racer, second, 60).to_string().as_bytes());
        record["kinesis"]["approximateArrivalTimestamp"] = json!(arrival);
        record
    };
    (first..).zip(racers).map(record).collect()
}

fn letters(deployment: &Deployment) -> Vec<DeadLetter> {
    block_on(deployment.store().list_dead_letters()).unwrap()
}

fn is_written(deployment: &Deployment, racer: u32) -> bool {
    let key = Key::new("race-131", format!("racer-{racer}"));
    block_on(deployment.store().load_groups(&[key])).unwrap()[0].is_some()
}

#[test]
fn its_records_are_dead_letters_where_their_groups_hold_later_positions_and_the_others_are_committed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Sequence);
    let proxy = proxy();
    let function = deployment.function(&proxy.endpoint());
    let old = event(&records(&[1, 2, 3], 1, 5_000, FIRST));
    // Delivered again, the records of a stream are duplicates.
    for _ in 0..2 {
        assert_eq!(response(function.invoke(old.clone(), TIMEOUT)), all_committed());
    }
    assert_eq!(letters(&deployment), []);

    let new = event(&records(&[1, 2, 9], 2, 7, SECOND));
    for _ in 0..2 {
        assert_eq!(response(function.invoke(new.clone(), TIMEOUT)), all_committed());
    }
    let letters = letters(&deployment);
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters.iter().all(|letter| letter.reason.cause == Cause::OtherStream && letter.unsure), "{letters:?}");
    assert!(is_written(&deployment, 9));
    let logs = function.logs();
    assert!(logs.contains("other-stream") && logs.contains("created again"), "{logs}");
}

#[test]
fn in_a_window_too() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Sequence);
    let proxy = proxy();
    let function = deployment.function(&proxy.endpoint());
    let old = event(&records(&[1, 2, 3], 1, 5_000, FIRST));
    assert_eq!(response(function.invoke(old, TIMEOUT)), all_committed());

    let new = [records(&[1, 2, 9], 2, 7, SECOND), records(&[1], 3, 5_003, SECOND)].concat();
    let event = json!({
        "Records": new,
        "window": { "start": "2021-05-09T13:28:15Z", "end": "2021-05-09T13:28:30Z" },
        "state": {},
        "isFinalInvokeForWindow": true,
        "isWindowTerminatedEarly": false,
    });
    response(function.invoke(event.to_string().into_bytes(), TIMEOUT));
    let letters = letters(&deployment);
    assert_eq!(letters.len(), 2, "one for each group: {letters:?}");
    for letter in &letters {
        assert!(letter.is_of_window() && letter.unsure && letter.reason.cause == Cause::OtherStream, "{letter:?}");
        let payload: Value = serde_json::from_slice(&letter.payload).unwrap();
        assert_eq!(payload["window"]["records"].as_array().unwrap().len(), 1, "{payload}");
    }
    assert!(is_written(&deployment, 9));
    let logs = function.logs();
    assert!(logs.contains("other-stream") && logs.contains("created again"), "{logs}");
}
