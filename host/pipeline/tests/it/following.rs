//! Hosts that follow the log while the stream flows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use paceline_engine::Digest;
use paceline_pipeline::model::{Attribute, Batch, Cause, Item, Key, Provenance, RulesRevision};
use paceline_pipeline::rules::operator::Request;
use paceline_pipeline::rules::{Registry, RulesEvent};
use paceline_pipeline::store::{DeadLetterStore, GroupStore, Pin, PinKey, PinStore};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, PipelineError, Rulebooks};
use paceline_testbed::{require, rules};

use crate::log::{Desk, activate, text};
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
fn races(store: &FlakyStore) -> BTreeMap<String, (BTreeSet<u64>, Vec<Attribute>)> {
    let mut races: BTreeMap<String, (BTreeSet<u64>, Vec<Attribute>)> = BTreeMap::new();
    for (Key { partition, .. }, item) in block_on(store.store.list_groups()).unwrap() {
        let race = races.entry(partition.into()).or_default();
        race.0.insert(item.provenance.rulebook.version);
        race.1.extend(count(&item));
    }
    races
}

/// How many rows the aggregator has counted.
fn count(item: &Item) -> Option<Attribute> {
    item.attribute("count").cloned()
}

fn version_of(store: &FlakyStore, race: &str) -> u64 {
    let races = races(store);
    let (versions, counts) = &races[&format!("race-3-{race}")];
    assert_eq!(versions.len(), 1, "{races:?}");
    assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{races:?}");
    *versions.first().unwrap()
}

#[test]
fn races_keep_the_rulebook_that_they_began_with_on_every_host_whatever_the_host_knows() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let (ahead, behind) = (host_of(&desk, &store), host_of(&desk, &store));
    process(&ahead, &second("131", 1));
    desk.activate(3, &desk.prepared(3, 2));
    assert!(matches!(&poll(&ahead)[..], [RulesEvent::Activated { revision: 2, .. }]));
    // A race that began before goes on as it began; a new one begins with the new rulebook.
    process(&ahead, &second("131", 2));
    process(&ahead, &second("132", 1));
    // The other host never polled: the pin names a rulebook that it has to fetch.
    process(&behind, &second("132", 2));
    process(&behind, &second("131", 3));
    assert_eq!((version_of(&store, "131"), version_of(&store, "132")), (1, 2));
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
}

#[test]
fn races_in_progress_follow_a_change_now_a_roll_back_and_a_repin_and_their_pins_stay() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (one, two) = (desk.prepared(3, 1), desk.prepared(3, 2));
    desk.activate(3, &one);
    let host = host_of(&desk, &store);
    process(&host, &second("131", 1));
    let now = Request::Activate { race_type: "3".to_owned(), rulebook: two.digest, now: true };
    desk.change(&[Request::Publish(&two), now]).unwrap();
    poll(&host);
    process(&host, &second("131", 2));
    assert_eq!(version_of(&store, "131"), 2);
    desk.change(&[Request::Rollback { race_type: "3".to_owned() }]).unwrap();
    poll(&host);
    process(&host, &second("131", 3));
    assert_eq!(version_of(&store, "131"), 1);
    let (race_type, race) = ("3".to_owned(), "131".to_owned());
    desk.change(&[Request::Repin { race_type, race, from: one.digest, to: two.digest }]).unwrap();
    poll(&host);
    process(&host, &second("131", 4));
    process(&host, &second("132", 1));
    assert_eq!((version_of(&store, "131"), version_of(&store, "132")), (2, 1));
    let pins = block_on(store.store.get_pins(&[pin_key("131")])).unwrap();
    assert_eq!(pins, [Some(Pin { rulebook: one.digest, revision: 1 })]);
    // There is nothing before the first rulebook any more.
    let error = desk.change(&[Request::Rollback { race_type: "3".to_owned() }]).unwrap_err().to_string();
    assert!(error.contains("there is nothing to return to"), "{error}");
}

#[test]
fn races_of_a_retired_race_type_wait_if_its_last_rulebook_is_missing_when_a_host_starts() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let one = desk.prepared(3, 1);
    desk.activate(3, &one);
    process(&host_of(&desk, &store), &second("131", 1));
    desk.change(&[Request::Retire { race_type: "3".to_owned() }]).unwrap();
    desk.lose_rulebook(one.digest);
    let host = host_of(&desk, &store);
    let outcome = block_on(host.process(&second("131", 2), None, &mut Summary::default())).unwrap();
    let (first, why) = outcome.first_uncommitted.unwrap();
    assert!(first == 0 && matches!(why, PipelineError::Rulebook { .. }), "{first}: {why}");
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
}

pub(crate) fn pin_key(race: &str) -> PinKey {
    PinKey { race_type: "3".to_owned(), value: race.to_owned() }
}

#[test]
fn a_host_that_lags_reads_on_before_it_writes_an_item_of_later_rules() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (one, two) = (desk.prepared(3, 1), desk.prepared(3, 2));
    desk.activate(3, &one);
    let (ahead, behind) = (host_of(&desk, &store), host_of(&desk, &store));
    process(&behind, &second("131", 1));
    for prepared in [&two, &one, &two] {
        let now = Request::Activate { race_type: "3".to_owned(), rulebook: prepared.digest, now: true };
        desk.change(&[Request::Publish(prepared), now]).unwrap();
    }
    poll(&ahead);
    process(&ahead, &second("131", 2));
    assert_eq!(version_of(&store, "131"), 2);
    // By its own knowledge it would go on with version 1.
    process(&behind, &second("131", 3));
    assert_eq!((version_of(&store, "131"), behind.rulebooks().catalog().revision()), (2, 4));
    // Out of reach of the registry it waits.
    let alone = host_of(&desk, &store);
    desk.change(&[Request::Rollback { race_type: "3".to_owned() }]).unwrap();
    poll(&ahead);
    process(&ahead, &second("131", 4));
    desk.objects.is_down.store(true, Ordering::Relaxed);
    let outcome = block_on(alone.process(&second("131", 5), None, &mut Summary::default()));
    let error = outcome.err().unwrap();
    assert!(error.is_transient());
    let PipelineError::Behind { theirs, ours, .. } = error else { panic!("{error}") };
    assert_eq!((theirs.revision, ours.revision), (5, 4));
    assert_eq!(version_of(&store, "131"), 1);
}

#[test]
fn a_rulebook_that_can_not_be_had_holds_its_records_and_then_makes_them_dead_letters() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let lost = Pin { rulebook: Digest::of(b"a rulebook of a registry that is gone"), revision: 7 };
    block_on(store.store.put_pins(&[(pin_key("131"), lost)])).unwrap();
    let mixed = || {
        let mut batch = second("130", 1);
        let messages = second("131", 2);
        for record in 0..3 {
            batch.push(messages.payload(record), (20 + record as u64).into());
        }
        batch
    };
    let patient = host_of(&desk, &store);
    let outcome = block_on(patient.process(&mixed(), None, &mut Summary::default())).unwrap();
    let (first, why) = outcome.first_uncommitted.unwrap();
    assert_eq!(first, 3);
    let error = paceline_pipeline::ErrorChain(&why).to_string();
    assert!(why.is_transient() && why.waits_for_rules(), "{error}");
    assert!(error.contains("records of race type 3, race `131`, wait for the rulebook sha256:"), "{error}");
    assert!(error.contains("the log of the rules names no rulebook"), "{error}");
    // The neighbours are committed.
    assert_eq!(version_of(&store, "130"), 1);
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);

    let impatient = host_of(&desk, &store).with_hold(Duration::ZERO);
    process(&impatient, &mixed());
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().all(|letter| letter.reason.cause == Cause::PinUnresolved), "{letters:?}");
}

#[test]
fn a_registry_that_is_down_never_makes_dead_letters() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let behind = host_of(&desk, &store).with_hold(Duration::ZERO);
    desk.activate(3, &desk.prepared(3, 2));
    process(&host_of(&desk, &store), &second("131", 1));
    desk.objects.is_down.store(true, Ordering::Relaxed);
    block_on(behind.rulebooks().poll()).unwrap_err();
    // What it knows goes on; what it has to fetch waits.
    process(&behind, &second("132", 1));
    let outcome = block_on(behind.process(&second("131", 2), None, &mut Summary::default())).unwrap();
    assert_eq!(outcome.first_uncommitted.unwrap().0, 0);
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
    desk.objects.is_down.store(false, Ordering::Relaxed);
    process(&behind, &second("131", 2));
    assert_eq!((version_of(&store, "131"), version_of(&store, "132")), (2, 1));
}

#[test]
fn hostile_races_leave_no_pins() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let host = host_of(&desk, &store);
    let mut batch = Batch::new("shard".into());
    for number in 0..1_000 {
        // Every other one is sound but for the length of its race's name.
        let (race, cadence) = match number % 2 {
            0 => (format!("{number:0300}"), "60"),
            _ => (number.to_string(), "6000"),
        };
        let message = format!(
            r#"{{"event":"update","deviceTimestamp":1000,"second":1,"raceId":"{race}","racerId":1,"classId":3,"cadence":{cadence},"resistance":50}}"#
        );
        batch.push(message.as_bytes(), number.into());
    }
    process(&host, &batch);
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    let count = |cause| letters.iter().filter(|letter| letter.reason.cause == cause).count();
    assert_eq!((count(Cause::BadPin), count(Cause::Rejected), letters.len()), (500, 500, 1_000));
    let keys: Vec<PinKey> = (0..1_000).map(|number| pin_key(&number.to_string())).collect();
    assert_eq!(block_on(store.store.get_pins(&keys)).unwrap(), vec![None; 1_000]);
}

#[test]
fn a_retired_race_type_finishes_its_races_and_begins_none() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let host = host_of(&desk, &store);
    process(&host, &second("131", 1));
    desk.change(&[Request::Retire { race_type: "3".to_owned() }]).unwrap();
    assert!(matches!(&poll(&host)[..], [RulesEvent::Retired { race_type }] if race_type == "3"));
    process(&host, &second("131", 2));
    process(&host, &second("132", 1));
    // A host that starts now does the same.
    let late = host_of(&desk, &store);
    process(&late, &second("131", 3));
    assert_eq!(races(&store).keys().collect::<Vec<_>>(), ["race-3-131"]);
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().all(|letter| letter.reason.cause == Cause::NoRulebook), "{letters:?}");
    assert!(letters[0].reason.text.contains("race type `3` is retired, and race `132` did not begin before"));
}

#[test]
fn a_rulebook_that_a_host_refuses_leaves_what_was_and_a_host_that_has_nothing_waits() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let before = host_of(&desk, &store);
    desk.activate(3, &desk.prepared(3, 2));
    // Its sandbox has less memory than the plugins need.
    let limits = paceline_engine::Limits { memory_bytes: 65_536, ..paceline_engine::Limits::default() };
    let engine = paceline_engine::Engine::new(limits).unwrap();
    let small = Arc::new(Rulebooks::new(engine, desk.registry.clone(), rules::route()));
    let events = block_on(small.poll()).unwrap();
    assert!(matches!(&events[..], [RulesEvent::Refused { .. }]), "{events:?}");
    assert!(block_on(small.poll()).unwrap().is_empty(), "a refusal is reported once");
    let small = host(store.clone(), &small);
    let outcome = block_on(small.process(&second("131", 1), None, &mut Summary::default())).unwrap();
    assert_eq!(outcome.first_uncommitted.unwrap().0, 0);
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
    process(&before, &second("131", 1));
    assert_eq!(version_of(&store, "131"), 1);
}

#[test]
fn a_host_that_starts_and_lacks_the_newest_rulebook_goes_on_with_the_races_that_began_before() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    process(&host_of(&desk, &store), &second("131", 1));
    let two = desk.prepare(&text(3, 2).replace("\"output\"", &desk.built_again("output")));
    desk.activate(3, &two);
    desk.lose_rulebook(two.digest);
    let late = host_of(&desk, &store).with_hold(Duration::ZERO);
    process(&late, &second("131", 2));
    assert_eq!(version_of(&store, "131"), 1);
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
    let patient = host_of(&desk, &store);
    let outcome = block_on(patient.process(&second("132", 1), None, &mut Summary::default())).unwrap();
    assert!(outcome.first_uncommitted.unwrap().1.waits_for_rules());
}

#[test]
fn a_hundred_swaps_lose_and_double_nothing_and_free_what_they_replaced() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let hosts: Vec<_> = (0..3).map(|_| host_of(&desk, &store)).collect();
    for swap in 0..100 {
        let race = (200 + swap).to_string();
        // Every race goes over all hosts, which poll at different times.
        for at in 0..3 {
            if (swap + at) % 3 == 0 {
                poll(&hosts[at as usize]);
            }
            process(&hosts[at as usize], &second(&race, at + 1));
        }
        desk.activate(3, &desk.prepared(3, swap + 2));
    }
    let races = races(&store);
    assert_eq!(races.len(), 100);
    for (race, (versions, counts)) in &races {
        assert_eq!(versions.len(), 1, "{race}");
        assert!(
            counts.iter().all(|count| matches!(count, Attribute::Number(3.0) | Attribute::Integer(3))),
            "{counts:?}"
        );
    }
    let used: BTreeSet<u64> = races.values().flat_map(|(versions, _)| versions.iter().copied()).collect();
    assert!(used.len() > 30, "{used:?}");
    names_its_rules(&desk, &store);
    for host in &hosts {
        poll(host);
        assert!(host.rulebooks().loaded() <= 20, "{}", host.rulebooks().loaded());
    }
}

/// Asserts that every item names the rulebook of its race's pin, the plugins of that rulebook, and a revision at which the
/// race had begun.
fn names_its_rules(desk: &Desk, store: &FlakyStore) {
    let (tail, _) = desk.tail();
    let log = RulesRevision::new(tail.registry.as_deref().unwrap(), tail.revision);
    for (key, item) in block_on(store.store.list_groups()).unwrap() {
        let Provenance { rulebook, rules, plugins, .. } = &*item.provenance;
        let race = key.partition.rsplit('-').next().unwrap();
        let pin = block_on(store.store.get_pins(&[pin_key(race)])).unwrap()[0].unwrap();
        assert_eq!((rulebook.digest, tail.rules.id(pin.rulebook).as_ref()), (pin.rulebook, Some(rulebook)), "{key}");
        let named: BTreeSet<Digest> = plugins.iter().copied().collect();
        assert_eq!(named, tail.rules.rulebooks[&rulebook.digest].plugins, "{key}");
        assert_eq!(rules.registry, log.registry, "{key}");
        assert!((pin.revision..=log.revision).contains(&rules.revision), "{key}: {rules:?}, pinned at {pin:?}");
    }
}

#[test]
fn a_seed_serves_until_the_registry_has_rules() {
    require!(Plugins);
    let (seed, desk, store) = (Desk::new(), Desk::new(), FlakyStore::default());
    seed.activate(3, &seed.prepared(3, 1));
    desk.objects.is_down.store(true, Ordering::Relaxed);
    let rulebooks = Rulebooks::new(rules::engine(), desk.registry.clone(), rules::route());
    let rulebooks = Arc::new(rulebooks.with_seed(seed.registry.clone()));
    assert!(matches!(&block_on(rulebooks.poll()).unwrap()[..], [RulesEvent::Activated { .. }]));
    let host = host(store.clone(), &rulebooks);
    process(&host, &second("131", 1));
    desk.objects.is_down.store(false, Ordering::Relaxed);
    assert!(block_on(rulebooks.poll()).unwrap().is_empty(), "an empty registry does not replace the seed");
    // The registry continues the seed, as `rules bundle --onto` and a copy make it.
    block_on(seed.registry.copy_to(&desk.registry)).unwrap();
    desk.activate(3, &desk.prepared(3, 2));
    assert!(matches!(&block_on(rulebooks.poll()).unwrap()[..], [RulesEvent::Activated { revision: 2, .. }]));
    process(&host, &second("131", 2));
    process(&host, &second("132", 1));
    assert_eq!((version_of(&store, "131"), version_of(&store, "132")), (1, 2));
}

#[test]
fn a_package_whose_plugins_were_built_again_takes_over_the_table_of_the_one_before() {
    require!(Plugins);
    let store = FlakyStore::default();
    let before = Desk::new();
    let text = |plugin: &str| text(3, 1).replace("\"output\"", plugin);
    before.activate(3, &before.prepare(&text("\"output\"")));
    process(&host_of(&before, &store), &second("131", 1));
    // The next package: the same rulebook's version, one plugin built again, the log of the package before.
    let after = Desk::new();
    block_on(before.registry.copy_to(&after.registry)).unwrap();
    let rebuilt = text(&after.built_again("output")).replace("version = 1", "version = 2");
    after.activate(3, &after.prepare(&rebuilt));
    let host = host_of(&after, &store);
    process(&host, &second("131", 2));
    process(&host, &second("132", 1));
    assert_eq!((version_of(&store, "131"), version_of(&store, "132")), (1, 2));
    // The old package still runs beside it: it waits for what only the new one knows.
    let old = host_of(&before, &store);
    for race in ["131", "132"] {
        let outcome = block_on(old.process(&second(race, 3), None, &mut Summary::default()));
        let why = outcome.map(|outcome| outcome.first_uncommitted.unwrap().1).unwrap_or_else(|error| error);
        assert!(why.is_transient() && why.waits_for_rules(), "{why}");
    }
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
}

#[test]
fn two_registries_are_told_apart() {
    require!(Plugins);
    let registry = |folder: &std::path::Path| {
        let registry = Registry::create_folder(folder).unwrap();
        rules::apply(&paceline_testbed::environment::checkout().join("examples/alleycat/rulebooks"), &registry)
            .unwrap();
        registry
    };
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| registry(&folder.path().join(name)));
    let id =
        |registry: &Registry| block_on(paceline_pipeline::rules::Tail::open(registry)).unwrap().0.registry.unwrap();
    assert_eq!(id(&one).len(), 32);
    assert_eq!(id(&one), id(&two), "they begin alike");
    block_on(one.copy_to(&two)).unwrap();
    let desk = Desk::new();
    desk.activate(3, &desk.prepared(3, 1));
    assert_ne!(id(&desk.registry), id(&one));
    let error = block_on(one.copy_to(&desk.registry)).unwrap_err().to_string();
    assert!(error.contains("the two registries are different ones"), "{error}");
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

#[test]
fn a_state_of_another_aggregator_is_never_decoded_on_trust() {
    require!(Plugins);
    let store = FlakyStore::default();
    // A table in which one group of a race has a state of another program's aggregator.
    let other = Desk::new();
    other.activate(3, &other.prepare(&with_aggregator(1, "best-output", BY_RACE, ORDINAL)));
    let mut alone = second("131", 1);
    alone.records.truncate(1);
    process(&host_of(&other, &store), &alone);
    let foreign = block_on(store.store.list_groups()).unwrap();
    assert_eq!(foreign[0].1.provenance.state_format, "best-output/1");

    let desk = Desk::new();
    desk.activate(3, &desk.prepare(&with_aggregator(7, "last-output", BY_RACE, ORDINAL)));
    let pin = Pin { rulebook: desk.tail().0.rules.routing["3"].current.unwrap(), revision: 1 };
    let fresh = FlakyStore::default();
    block_on(fresh.store.put_pins(&[(pin_key("131"), pin)])).unwrap();
    for (key, item) in &foreign {
        let write = paceline_pipeline::store::Write { key: key.clone(), expected: None, item: item.clone() };
        block_on(fresh.store.write_groups(&[write])).unwrap();
    }
    let host = host_of(&desk, &fresh);
    let outcome = block_on(host.process(&second("131", 2), None, &mut Summary::default())).unwrap();
    let (first, why) = outcome.first_uncommitted.unwrap();
    assert_eq!(first, 0);
    assert!(why.waits_for_rules() && why.is_transient());
    assert!(
        why.to_string().contains(
            "has the format `best-output/1`, and the aggregator of the rulebook class-3@7 takes `last-output/2`"
        ),
        "{why}"
    );
    // The group is as it was, and its neighbours are written.
    let items = block_on(fresh.store.list_groups()).unwrap();
    assert_eq!(items.len(), 3);
    assert!(items.contains(&foreign[0]));
    let impatient = host_of(&desk, &fresh).with_hold(Duration::ZERO);
    process(&impatient, &second("131", 2));
    let letters = block_on(fresh.store.list_dead_letters()).unwrap();
    assert_eq!(letters.iter().map(|letter| letter.reason.cause).collect::<Vec<_>>(), [Cause::StateFormat]);
    assert!(block_on(fresh.store.list_groups()).unwrap().contains(&foreign[0]));
}

#[test]
fn a_state_is_migrated_by_an_aggregator_that_takes_its_format() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (best, migrating) = ("best-output", "evil-migration");
    desk.activate(3, &desk.prepare(&with_aggregator(1, best, BY_RACE, ORDINAL)));
    let host = host_of(&desk, &store);
    process(&host, &second("131", 1));
    let next = desk.prepare(&with_aggregator(2, migrating, BY_RACE, ORDINAL));
    desk.activate(3, &next);
    // Both ways it is refused: the old aggregator does not take the new format.
    let now = Request::Activate { race_type: "3".to_owned(), rulebook: next.digest, now: true };
    let error = desk.change(&[now]).unwrap_err().to_string();
    assert!(error.contains("evil-migration/1"), "{error}");
    poll(&host);
    process(&host, &second("132", 1));
    let formats: BTreeSet<String> = block_on(store.store.list_groups())
        .unwrap()
        .into_iter()
        .map(|(_, item)| item.provenance.state_format.clone())
        .collect();
    assert_eq!(formats.into_iter().collect::<Vec<_>>(), ["best-output/1", "evil-migration/1"]);
    // Somebody moves the race by hand: its states are migrated as its records come.
    let mut items = block_on(store.store.list_groups()).unwrap();
    items.retain(|(key, _)| key.partition == "race-3-131");
    let moved = FlakyStore::default();
    let pin = Pin { rulebook: next.digest, revision: 2 };
    block_on(moved.store.put_pins(&[(pin_key("131"), pin)])).unwrap();
    for (key, item) in items {
        let write = paceline_pipeline::store::Write { key, expected: None, item };
        block_on(moved.store.write_groups(&[write])).unwrap();
    }
    process(&host_of(&desk, &moved), &second("131", 2));
    for (key, item) in block_on(moved.store.list_groups()).unwrap() {
        assert_eq!((item.revision, &*item.provenance.state_format), (2, "evil-migration/1"), "{key}");
    }
    assert_eq!(block_on(moved.store.list_dead_letters()).unwrap(), []);
}

#[test]
fn groups_that_races_of_both_rulebooks_share_need_a_format_that_both_take() {
    require!(Plugins);
    let desk = Desk::new();
    desk.activate(3, &desk.prepare(&with_aggregator(1, "best-output", BY_CLASS, ORDINAL)));
    let next = desk.prepare(&with_aggregator(2, "evil-migration", BY_CLASS, ORDINAL));
    let error = desk.change(&[Request::Publish(&next), activate(3, &next)]).unwrap_err().to_string();
    assert!(error.contains("does not take the states of the format `evil-migration/1`"), "{error}");
    assert!(error.contains("which races of both share"), "{error}");
}

#[test]
fn records_that_wait_are_not_overtaken_in_groups_whose_dedup_goes_by_sequence() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let one = desk.prepare(&with_aggregator(1, "evil-aggregator", BY_CLASS, r#""sequence""#));
    desk.activate(3, &one);
    let behind = host_of(&desk, &store);
    // A race begins on another host under a rulebook that this one can't fetch yet.
    let two = desk.prepare(&with_aggregator(2, "evil-aggregator", BY_CLASS, r#""sequence""#));
    desk.activate(3, &two);
    let pin = Pin { rulebook: two.digest, revision: 2 };
    block_on(store.store.put_pins(&[(pin_key("131"), pin)])).unwrap();
    let mut batch = second("130", 1);
    for (at, race) in [(2, "131"), (3, "130"), (4, "131")] {
        let more = second(race, at);
        for record in 0..3 {
            batch.push(more.payload(record), (at * 10 + 1 + record as u64).into());
        }
    }
    desk.objects.is_down.store(true, Ordering::Relaxed);
    let outcome = block_on(behind.process(&batch, None, &mut Summary::default())).unwrap();
    assert_eq!(outcome.first_uncommitted.unwrap().0, 3);
    desk.objects.is_down.store(false, Ordering::Relaxed);
    batch.skip(3);
    let mut summary = Summary::default();
    committed(behind.process(&batch, None, &mut summary));
    assert_eq!(summary.duplicates, 0);
    for (key, item) in block_on(store.store.list_groups()).unwrap() {
        assert!(matches!(count(&item), Some(Attribute::Number(4.0) | Attribute::Integer(4))), "{key}: {item:?}");
    }
}

#[test]
fn a_rulebook_that_was_rolled_back_can_become_active_again() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (one, two) = (desk.prepared(3, 1), desk.prepared(3, 2));
    desk.activate(3, &one);
    desk.activate(3, &two);
    let host = host_of(&desk, &store);
    process(&host, &second("131", 1));
    desk.change(&[Request::Rollback { race_type: "3".to_owned() }]).unwrap();
    desk.activate(3, &two);
    poll(&host);
    process(&host, &second("131", 2));
    process(&host, &second("132", 1));
    // The race that began before the roll-back was taken back; the new one runs what is active.
    assert_eq!((version_of(&store, "131"), version_of(&store, "132")), (1, 2));
    // Races in progress can be moved to what is active already.
    let now = Request::Activate { race_type: "3".to_owned(), rulebook: two.digest, now: true };
    assert_eq!(desk.change(std::slice::from_ref(&now)).unwrap().changes.len(), 1);
    assert_eq!(desk.change(&[now]).unwrap().changes.len(), 0);
    poll(&host);
    process(&host, &second("131", 3));
    assert_eq!(version_of(&store, "131"), 2);
}
