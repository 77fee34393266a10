//! Hosts that follow the log while the stream flows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use paceline_engine::Digest;
use paceline_pipeline::model::{Attribute, Batch, Cause, DeadLetter, Provenance, RulesRevision};
use paceline_pipeline::rules::operator::{Prepared, Request};
use paceline_pipeline::rules::{Change, Registry, RulesEvent};
use paceline_pipeline::store::{DeadLetterStore, GroupStore, Pin, PinKey, PinStore};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{PipelineError, Rulebooks};
use paceline_testbed::{require, rules};

use crate::hosts::{BY_CLASS, count, host_of, pin_key, poll, process, races, second, version_of, with_aggregator};
use crate::log::{Desk, text};
use crate::support::{FlakyStore, block_on, committed, host};

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
    let (race_type, race, pin) = ("3".to_owned(), "131".to_owned(), Pin { rulebook: one.digest, revision: 1 });
    desk.change(&[Request::Repin { race_type, race, pin, to: two.digest }]).unwrap();
    poll(&host);
    process(&host, &second("131", 4));
    process(&host, &second("132", 1));
    assert_eq!((version_of(&store, "131"), version_of(&store, "132")), (2, 1));
    let pins = block_on(store.store.get_pins(&[pin_key("131")])).unwrap();
    assert_eq!(pins, [Some(pin)]);
    // There is nothing before the first rulebook any more.
    let error = desk.change(&[Request::Rollback { race_type: "3".to_owned() }]).unwrap_err().to_string();
    assert!(error.contains("there is nothing to return to"), "{error}");
}

#[test]
fn races_of_a_retired_race_type_follow_a_change_now() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (one, two) = (desk.prepared(3, 1), desk.prepared(3, 2));
    desk.activate(3, &one);
    let host = host_of(&desk, &store);
    process(&host, &second("131", 1));
    desk.change(&[Request::Retire { race_type: "3".to_owned() }]).unwrap();
    let now =
        |prepared: &Prepared| Request::Activate { race_type: "3".to_owned(), rulebook: prepared.digest, now: true };
    let changed = desk.change(&[Request::Publish(&two), now(&two)]).unwrap();
    assert!(matches!(&changed.changes[1..], [Change::Activate { replaces: None, now: true, .. }]), "{changed:?}");
    poll(&host);
    process(&host, &second("131", 2));
    assert_eq!(version_of(&store, "131"), 2);
    // What it ran last, there is no race to move from.
    desk.change(&[Request::Retire { race_type: "3".to_owned() }]).unwrap();
    let changed = desk.change(&[now(&two)]).unwrap();
    assert!(matches!(&changed.changes[..], [Change::Activate { now: false, .. }]), "{changed:?}");
    assert_eq!(desk.tail().0.rules.reruled.len(), 1);
    poll(&host);
    process(&host, &second("131", 3));
    assert_eq!(version_of(&store, "131"), 2);
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

#[test]
fn a_host_that_lags_by_ten_revisions_reads_on_before_it_writes_an_item_of_later_rules() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (one, two, three) = (desk.prepared(3, 1), desk.prepared(3, 2), desk.prepared(3, 3));
    desk.activate(3, &one);
    let (ahead, behind) = (host_of(&desk, &store), host_of(&desk, &store));
    process(&behind, &second("131", 1));
    for prepared in [&two, &three, &one].into_iter().cycle().take(10) {
        let now = Request::Activate { race_type: "3".to_owned(), rulebook: prepared.digest, now: true };
        desk.change(&[Request::Publish(prepared), now]).unwrap();
    }
    poll(&ahead);
    process(&ahead, &second("131", 2));
    assert_eq!(version_of(&store, "131"), 2);
    // By its own knowledge it would go on with version 1.
    process(&behind, &second("131", 3));
    assert_eq!((version_of(&store, "131"), behind.rulebooks().catalog().revision()), (2, 11));
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
    assert_eq!((theirs.revision, ours.revision), (12, 11));
    assert_eq!(version_of(&store, "131"), 1);
    assert!(block_on(store.store.list_groups()).unwrap().iter().all(|(_, item)| item.reruled));
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
    let is_unresolved = |letter: &DeadLetter| letter.reason.cause == Cause::PinUnresolved && letter.unsure;
    assert!(letters.iter().all(is_unresolved), "{letters:?}");
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
