//! The store's head item: hosts never work by a log that is behind it or off its chain. And what hosts acknowledge.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use paceline_engine::{Engine, Limits};
use paceline_pipeline::rules::operator::{Author, Request};
use paceline_pipeline::rules::{
    Acknowledgement, HostIdentity, RegistryError, RulesEvent, SigningKey, Tail, acknowledgements, adopt_head, read_head,
};
use paceline_pipeline::{ErrorChain, Pipeline, Rulebooks};
use paceline_testbed::{require, rules};

use crate::log::{Desk, activate, change_as};
use crate::support::{FlakyStore, block_on, host};

/// A host that has not read the log yet.
fn host_of(desk: &Desk, store: &FlakyStore) -> Pipeline<FlakyStore> {
    let rulebooks = Rulebooks::new(rules::engine(), desk.registry.clone(), rules::route());
    host(store.clone(), &Arc::new(rulebooks))
}

fn start(host: &Pipeline<FlakyStore>) -> Result<Vec<RulesEvent>, RegistryError> {
    block_on(host.start_following())
}

/// A host whose registry is out of reach at its start, so that it follows another desk's log as its seed.
fn host_with_seed(desk: &Desk, seed: &Desk, store: &FlakyStore) -> Pipeline<FlakyStore> {
    desk.objects.is_down.store(true, Ordering::Relaxed);
    let rulebooks = Rulebooks::new(rules::engine(), desk.registry.clone(), rules::route());
    let host = host(store.clone(), &Arc::new(rulebooks.with_seed(seed.registry.clone())));
    start(&host).unwrap();
    desk.objects.is_down.store(false, Ordering::Relaxed);
    host
}

fn copy_of(desk: &Desk) -> Desk {
    let copy = Desk::new();
    block_on(desk.registry.copy_to(&copy.registry)).unwrap();
    copy
}

fn adopt(desk: &Desk, store: &FlakyStore) {
    let author = Author { by: "ann".into(), why: Some("RULES-9".into()), ..Author::default() };
    block_on(adopt_head(store, &desk.tail().0, &author)).unwrap();
}

/// The head's revision, and whether a person set it.
fn head(store: &FlakyStore) -> Option<(u64, bool)> {
    block_on(read_head(store)).unwrap().map(|head| (head.position.revision, head.by.is_some()))
}

/// A desk's log is refused at a start and while a host runs by another one, until it is adopted.
fn assert_refused_until_adopted(refused: &Desk, followed: &Desk, store: &FlakyStore, parts: &[&str]) {
    let before = head(store);
    let running = host_with_seed(refused, followed, store);
    let (revision, started) = (running.rulebooks().catalog().revision(), host_of(refused, store));
    for refusal in [start(&started), block_on(running.follow()), block_on(running.follow())] {
        let error = refusal.unwrap_err();
        assert!(!error.is_transient());
        let text = ErrorChain(&error).to_string();
        for part in parts.iter().chain(&["paceline rules adopt"]) {
            assert!(text.contains(part), "`{part}` is not in: {text}");
        }
    }
    assert_eq!((started.rulebooks().catalog().revision(), running.rulebooks().catalog().revision()), (0, revision));
    assert_eq!(head(store), before);
    adopt(refused, store);
    start(&started).unwrap();
    block_on(running.follow()).unwrap();
    let newest = refused.tail().0.revision;
    assert_eq!((started.rulebooks().catalog().revision(), running.rulebooks().catalog().revision()), (newest, newest));
    assert_eq!(head(store), Some((newest, true)));
}

#[test]
fn the_head_moves_on_with_the_hosts() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let (one, two) = (host_of(&desk, &store), host_of(&desk, &store));
    start(&one).unwrap();
    assert_eq!(head(&store), Some((1, false)));
    for version in 2..5 {
        desk.activate(3, &desk.prepared(3, version));
    }
    // A host that starts reads from the head on; one that runs reads on.
    start(&two).unwrap();
    assert_eq!(head(&store), Some((4, false)));
    assert_eq!(block_on(one.follow()).unwrap().len(), 1);
    assert_eq!(one.rulebooks().catalog().revision(), 4);
}

#[test]
fn an_older_copy_of_the_log_is_refused() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let older = copy_of(&desk);
    desk.activate(3, &desk.prepared(3, 2));
    start(&host_of(&desk, &store)).unwrap();
    assert_refused_until_adopted(&older, &desk, &store, &["end at revision 1", "to revision 2"]);
}

#[test]
fn a_forked_log_is_refused_at_the_heads_revision_and_beyond_it() {
    require!(Plugins);
    for more in [0, 1] {
        let (desk, store) = (Desk::new(), FlakyStore::default());
        desk.activate(3, &desk.prepared(3, 1));
        let fork = copy_of(&desk);
        desk.activate(3, &desk.prepared(3, 2));
        for version in 3..=3 + more {
            fork.activate(3, &fork.prepared(3, version));
        }
        start(&host_of(&desk, &store)).unwrap();
        assert_refused_until_adopted(&fork, &desk, &store, &["entry 2 of the rules in memory", "forked"]);
    }
}

#[test]
fn another_registry_is_refused_also_if_the_same_key_has_signed_it() {
    require!(Plugins);
    let store = FlakyStore::default();
    let pkcs8 = SigningKey::generate().unwrap();
    let [ours, theirs] = [1, 2].map(|version| {
        let mut desk = Desk::new();
        let key = SigningKey::from_pkcs8(&pkcs8).unwrap();
        desk.registry = desk.registry.clone().trusting(&[key.public()]);
        let prepared = desk.prepared(3, version);
        let author = Author { by: "ann".into(), key: Some(key), ..Author::default() };
        change_as(&desk.registry, author, &[Request::Publish(&prepared), activate(3, &prepared)]).unwrap();
        desk
    });
    start(&host_of(&ours, &store)).unwrap();
    let id = ours.tail().0.registry.unwrap();
    assert_refused_until_adopted(&theirs, &ours, &store, &["the registry memory has the id", &id]);
}

#[test]
fn an_entry_off_the_chain_is_skipped_by_a_host_that_starts_as_by_one_that_runs() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let fork = copy_of(&desk);
    desk.activate(3, &desk.prepared(3, 2));
    let running = host_of(&desk, &store);
    start(&running).unwrap();
    fork.activate(3, &fork.prepared(3, 3));
    fork.activate(3, &fork.prepared(3, 4));
    desk.put(3, &fork.entry(3));
    let started = host_of(&desk, &store);
    for events in [block_on(running.follow()).unwrap(), start(&started).unwrap()] {
        assert!(events.iter().any(|event| matches!(event, RulesEvent::Skipped { revision: 3, .. })), "{events:?}");
    }
    let rules = |host: &Pipeline<FlakyStore>| host.rulebooks().catalog().rules().clone();
    assert_eq!(rules(&running), rules(&started));
    assert_eq!(rules(&started).routing["3"].since, 2);
    assert_eq!(head(&store), Some((2, false)));
}

#[test]
fn nothing_new_is_taken_over_while_the_store_is_out_of_reach() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let healthy = host_of(&desk, &store);
    start(&healthy).unwrap();
    desk.activate(3, &desk.prepared(3, 2));
    let down = FlakyStore { transient_every: 1, ..store.clone() };
    let cut_off = host(down, healthy.rulebooks());
    let error = block_on(cut_off.follow()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!((healthy.rulebooks().catalog().revision(), head(&store)), (1, Some((1, false))));
    block_on(healthy.follow()).unwrap();
    assert_eq!((healthy.rulebooks().catalog().revision(), head(&store)), (2, Some((2, false))));
}

#[test]
fn a_registry_without_rules_is_refused_by_a_store_that_had_some() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    start(&host_of(&desk, &store)).unwrap();
    let empty = Desk::new();
    let host = host_of(&empty, &store);
    start(&host).unwrap();
    assert!(host.rulebooks().catalog().rules().routing.is_empty(), "it has nothing to work by");
    assert_eq!(head(&store), Some((1, false)));
}

fn identified(host: Pipeline<FlakyStore>, id: &str) -> Pipeline<FlakyStore> {
    host.with_identity(HostIdentity { id: id.to_owned(), kind: "run" })
}

fn hosts(store: &FlakyStore) -> Vec<Acknowledgement> {
    block_on(acknowledgements(store)).unwrap()
}

#[test]
fn hosts_acknowledge_the_revision_that_they_follow_and_what_they_refuse() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let one = identified(host_of(&desk, &store), "one");
    start(&one).unwrap();
    // Its sandbox has less memory than the plugins need.
    let engine = Engine::new(Limits { memory_bytes: 65_536, ..Limits::default() }).unwrap();
    let small = Rulebooks::new(engine, desk.registry.clone(), rules::route());
    let small = identified(host(store.clone(), &Arc::new(small)), "small");
    start(&small).unwrap();
    let found = hosts(&store);
    let registry = desk.tail().0.registry;
    let seen: Vec<_> = found.iter().map(|host| (&*host.host, &*host.kind, host.revision, &host.registry)).collect();
    assert_eq!(seen, [("one", "run", 1, &registry), ("small", "run", 1, &registry)]);
    assert!(found[0].refusals.is_empty());
    let refusal = &found[1].refusals[0];
    assert_eq!((refusal.race_type.as_deref(), &*refusal.name), (Some("3"), "class-3@1"));
    assert!(refusal.to_string().contains("race type 3: class-3@1 is refused: "), "{refusal}");
    block_on(one.sign_off());
    assert_eq!(hosts(&store).len(), 1);
}

#[test]
fn what_is_published_is_loaded_ahead_and_a_refusal_is_known_before_it_is_activated() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let one = host_of(&desk, &store);
    start(&one).unwrap();
    let published = desk.prepared(3, 2);
    desk.change(&[Request::Publish(&published)]).unwrap();
    assert!(block_on(one.follow()).unwrap().is_empty());
    // It needs nothing more from the registry than the entry.
    desk.change(&[activate(3, &published)]).unwrap();
    desk.lose_rulebook(published.digest);
    assert!(matches!(&block_on(one.follow()).unwrap()[..], [RulesEvent::Activated { revision: 3, .. }]));

    let lost = desk.prepared(3, 3);
    desk.change(&[Request::Publish(&lost)]).unwrap();
    desk.lose_rulebook(lost.digest);
    let late = identified(host(store.clone(), one.rulebooks()), "late");
    let events = block_on(late.follow()).unwrap();
    assert!(matches!(&events[..], [RulesEvent::RefusedAhead { .. }]), "{events:?}");
    assert!(events[0].to_string().contains("class-3@3 was published and would be refused"), "{}", events[0]);
    let refusal = &hosts(&store)[0].refusals[0];
    assert_eq!((refusal.race_type.as_deref(), refusal.rulebook), (None, lost.digest));
    let (tail, _) = block_on(Tail::open(&desk.registry)).unwrap();
    assert_eq!(hosts(&store)[0].revision, tail.revision);
}
