//! Hosts that follow a registry, on a store that they share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use paceline_pipeline::model::{Attribute, Batch, Item, Key};
use paceline_pipeline::rules::RulesEvent;
use paceline_pipeline::store::{GroupStore, PinKey};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, Rulebooks};
use paceline_testbed::rules;

use crate::log::Desk;
use crate::support::{FlakyStore, block_on, committed, host};

/// A host that shares the registry and the store with others.
pub(crate) fn host_of(desk: &Desk, store: &FlakyStore) -> Pipeline<FlakyStore> {
    host(store.clone(), &follow(desk))
}

pub(crate) fn follow(desk: &Desk) -> Arc<Rulebooks> {
    let rulebooks = Arc::new(Rulebooks::new(rules::engine(), desk.registry.clone(), rules::route()));
    block_on(rulebooks.poll()).unwrap();
    rulebooks
}

pub(crate) fn poll(host: &Pipeline<FlakyStore>) -> Vec<RulesEvent> {
    block_on(host.rulebooks().poll()).unwrap()
}

/// One second of a race of three racers.
pub(crate) fn second(race: &str, second: u64) -> Batch {
    let mut batch = Batch::new("shard".into());
    for racer in 1..=3 {
        let message = format!(
            r#"{{"event":"update","deviceTimestamp":{second}000,"second":{second},"raceId":{race},"racerId":{racer},"classId":3,"cadence":60,"resistance":50}}"#
        );
        batch.push(message.as_bytes(), (second * 10 + racer).into());
    }
    batch
}

pub(crate) fn process(host: &Pipeline<FlakyStore>, batch: &Batch) {
    committed(host.process(batch, None, &mut Summary::default()));
}

/// The versions by which the items of each race were last written, and the rows that they hold.
pub(crate) fn races(store: &FlakyStore) -> BTreeMap<String, (BTreeSet<u64>, Vec<Attribute>)> {
    let mut races: BTreeMap<String, (BTreeSet<u64>, Vec<Attribute>)> = BTreeMap::new();
    for (Key { partition, .. }, item) in block_on(store.store.list_groups()).unwrap() {
        let race = races.entry(partition.into()).or_default();
        race.0.insert(item.provenance.rulebook.version);
        race.1.extend(count(&item));
    }
    races
}

/// How many rows the aggregator has counted.
pub(crate) fn count(item: &Item) -> Option<Attribute> {
    item.attribute("count").cloned()
}

pub(crate) fn version_of(store: &FlakyStore, race: &str) -> u64 {
    let races = races(store);
    let (versions, counts) = &races[&format!("race-3-{race}")];
    assert_eq!(versions.len(), 1, "{races:?}");
    assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{races:?}");
    *versions.first().unwrap()
}

pub(crate) fn pin_key(race: &str) -> PinKey {
    PinKey { race_type: "3".to_owned(), value: race.to_owned() }
}

/// A rulebook of class 3 with another aggregator and dedup for its groups.
pub(crate) fn with_aggregator(version: u64, plugin: &str, key: &str, dedup: &str) -> String {
    format!(
        r#"
name = "class-3"
version = {version}
pin = "/raceId"
[[validate]]
plugin = "telemetry"
[score]
plugin = "output"
[[aggregate]]
plugin = "{plugin}"
key = {key}
dedup = {dedup}
"#
    )
}

pub(crate) const BY_RACE: &str = r#"{ PK = "race-{/classId}-{/raceId}", SK = "racer-{/racerId}" }"#;
pub(crate) const BY_CLASS: &str = r#"{ PK = "class-{/classId}", SK = "racer-{/racerId}" }"#;
pub(crate) const ORDINAL: &str = r#"{ ordinal = "/second" }"#;
