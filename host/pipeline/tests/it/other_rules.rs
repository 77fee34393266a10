//! Records that are delivered again, or to two hosts, under other rules: each is in its groups once, or a dead letter, never
//! both. Dedup is by sequence, which does not recognize a redriven record.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use paceline_pipeline::model::{Attribute, Batch, BatchLimits, Cause, DeadLetter};
use paceline_pipeline::receive::{Redrive, Source};
use paceline_pipeline::rules::operator::{Prepared, Request};
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_pipeline::{Pipeline, ProcessOutcome, RetryPolicy};
use paceline_testbed::require;

use crate::hosts::{BY_RACE, follow, host_of, poll, process, with_aggregator};
use crate::log::{Desk, activate};
use crate::support::{FlakyStore, block_on, committed};

const OF_CLASS: &str = r#"{ PK = "class-{/classId}", SK = "of-{/racerId}" }"#;

/// A rulebook that pins no races and accepts cadences up to `most`, with groups by race and by class.
fn rulebook(desk: &Desk, version: u64, most: u64) -> Prepared {
    let by_race = with_aggregator(version, "evil-aggregator", BY_RACE, r#""sequence""#);
    let settings = format!("plugin = \"telemetry\"\nsettings = {{ max-cadence = {most} }}\n");
    let by_race = by_race.replace("pin = \"/raceId\"\n", "").replace("plugin = \"telemetry\"\n", &settings);
    desk.prepare(&format!(
        "{by_race}[[aggregate]]\nplugin = \"evil-aggregator\"\nkey = {OF_CLASS}\ndedup = \"sequence\"\n"
    ))
}

/// A host that does not know yet by which rules another one has folded two messages.
fn host_that_lags(desk: &Desk, store: &FlakyStore) -> Pipeline<FlakyStore> {
    desk.activate(4, &desk.prepared(4, 1));
    let lagging = host_of(desk, store);
    let rulebook = rulebook(desk, 1, 300);
    desk.change(&[Request::Publish(&rulebook), activate(3, &rulebook)]).unwrap();
    process(&host_of(desk, store), &messages(1, &[60, 61]));
    lagging
}

/// Messages of racer 1 with these cadences, one a second from this one on.
fn messages(from: u64, cadences: &[u64]) -> Batch {
    let mut batch = Batch::new("shard".into());
    for (second, cadence) in (from..).zip(cadences) {
        let message = format!(
            r#"{{"event":"update","deviceTimestamp":{second}000,"second":{second},"raceId":131,"racerId":1,"classId":3,"cadence":{cadence},"resistance":50}}"#
        );
        batch.push(message.as_bytes(), second.into());
    }
    batch
}

/// The rows that each group has counted, by partition.
fn counts(store: &FlakyStore) -> Vec<(String, i64)> {
    let items = block_on(store.store.list_groups()).unwrap().into_iter();
    let count = |(key, item): (paceline_pipeline::model::Key, paceline_pipeline::model::Item)| {
        let Some(Attribute::Integer(count)) = item.attribute("count") else { panic!("{item:?}") };
        (key.partition.into(), *count)
    };
    items.map(count).collect()
}

fn counted(class: i64, race: i64) -> Vec<(String, i64)> {
    vec![("class-3".to_owned(), class), ("race-3-131".to_owned(), race)]
}

fn letters(store: &FlakyStore) -> Vec<DeadLetter> {
    block_on(store.store.list_dead_letters()).unwrap()
}

fn redrive(host: &Pipeline<FlakyStore>, store: &FlakyStore) -> Summary {
    let ids: Vec<String> = letters(store).into_iter().map(|letter| letter.id).collect();
    let letters = block_on(store.store.assign_redrive_sequences(&ids)).unwrap();
    let batch = Redrive::new(letters).next(&BatchLimits::default()).unwrap().unwrap();
    let mut summary = Summary::default();
    committed(host.process(&batch, None, &mut summary));
    summary
}

#[test]
fn a_record_that_its_groups_hold_is_a_duplicate_under_rules_that_reject_it() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &rulebook(&desk, 1, 300));
    let host = host_of(&desk, &store);
    process(&host, &messages(1, &[60, 90]));
    desk.activate(3, &rulebook(&desk, 2, 80));
    poll(&host);
    let mut summary = Summary::default();
    committed(host.process(&messages(1, &[60, 90, 91]), None, &mut summary));
    // The third message is new. Another host may have folded it by the rules before, at this very moment.
    let found: Vec<_> = letters(&store).into_iter().map(|letter| (letter.id, letter.unsure)).collect();
    assert_eq!(found, [("shard:3".to_owned(), true)]);
    assert_eq!((summary.duplicates, counts(&store)), (4, counted(2, 2)));
}

#[test]
fn a_record_that_one_of_its_groups_holds_is_redriven_into_the_others() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let lax = rulebook(&desk, 1, 300);
    desk.activate(3, &lax);
    let partly = host_of(&desk, &FlakyStore { throttled: Some("of-1"), ..store.clone() });
    let deadline = Some(Instant::now() + Duration::from_millis(50));
    let ProcessOutcome { first_uncommitted } =
        block_on(partly.process(&messages(1, &[90]), deadline, &mut Summary::default())).unwrap();
    assert_eq!(first_uncommitted.unwrap().0, 0);
    desk.activate(3, &rulebook(&desk, 2, 80));
    let host = host_of(&desk, &store);
    process(&host, &messages(1, &[90]));
    let [letter] = &letters(&store)[..] else { panic!("{:?}", letters(&store)) };
    assert_eq!((letter.reason.cause, letter.folded.len()), (Cause::Rejected, 1));
    assert_eq!(letter.folded[0].partition, "race-3-131");
    desk.change(&[Request::Activate { race_type: "3".to_owned(), rulebook: lax.digest, now: false }]).unwrap();
    poll(&host);
    assert_eq!(redrive(&host, &store).redriven, 1);
    assert_eq!((counts(&store), letters(&store)), (counted(1, 1), vec![]));
}

#[test]
fn a_record_that_a_window_or_its_groups_hold_is_a_duplicate_under_rules_that_reject_it() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &rulebook(&desk, 1, 300));
    let host = host_of(&desk, &store);
    let (mut window, mut summary) = (Window::new("shard".into()), Summary::default());
    block_on(host.accumulate(&messages(1, &[60, 90]), &mut window, None, &mut summary)).unwrap();
    desk.activate(3, &rulebook(&desk, 2, 80));
    poll(&host);
    // It comes again while its rows are in the window, and once more when they are in the table.
    block_on(host.accumulate(&messages(1, &[60, 90]), &mut window, None, &mut summary)).unwrap();
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    let mut next = Window::new("shard".into());
    block_on(host.accumulate(&messages(1, &[60, 90]), &mut next, None, &mut summary)).unwrap();
    block_on(host.flush_window(&next, None, &mut summary)).unwrap();
    assert_eq!((letters(&store), counts(&store)), (vec![], counted(2, 2)));
    // A new one may be folded by another host, by the rules before, at this very moment.
    block_on(host.accumulate(&messages(3, &[92]), &mut next, None, &mut summary)).unwrap();
    let found: Vec<_> = letters(&store).into_iter().map(|letter| (letter.id, letter.unsure)).collect();
    assert_eq!(found, [("shard:3".to_owned(), true)]);
}

#[test]
fn a_record_whose_letter_is_not_stored_is_not_committed_although_a_letter_after_it_becomes_unsure() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &rulebook(&desk, 1, 80));
    process(&host_of(&desk, &store), &messages(2, &[90, 60]));
    desk.activate(3, &rulebook(&desk, 2, 300));
    // These rules accept the second record, which has a letter, and its groups have come past it. The first one is new.
    let (mut batch, known) = (Batch::new("shard".into()), messages(2, &[90, 60]));
    for (sequence, payload) in [(1_u64, &b"broken"[..]), (2, known.payload(0)), (3, known.payload(1))] {
        batch.push(payload, sequence.into());
    }
    let retry = RetryPolicy { deadline_ms: 20, first_wait_ms: 1, longest_wait_ms: 2, ..RetryPolicy::default() };
    let host = Pipeline::new(store.clone(), follow(&desk), BatchLimits::default(), retry);
    store.letters_are_down.store(true, Ordering::Relaxed);
    let outcome = block_on(host.process(&batch, None, &mut Summary::default())).unwrap();
    assert_eq!(outcome.first_uncommitted.unwrap().0, 0);
    store.letters_are_down.store(false, Ordering::Relaxed);
    process(&host, &batch);
    let found: Vec<_> = letters(&store).into_iter().map(|letter| (letter.id, letter.unsure)).collect();
    assert_eq!(found, [("shard:1".to_owned(), false), ("shard:2".to_owned(), true)]);
}

#[test]
fn a_host_that_lags_makes_no_dead_letters_of_what_another_one_has_folded() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let lagging = host_that_lags(&desk, &store);
    // It knows no rulebook for the race type.
    process(&lagging, &messages(1, &[60, 61]));
    assert_eq!((letters(&store), counts(&store)), (vec![], counted(2, 2)));
}

#[test]
fn a_window_on_a_host_that_lags_takes_a_batch_by_the_rules_that_the_shard_has_by_now() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let lagging = host_that_lags(&desk, &store);
    let (mut window, mut summary) = (Window::new("shard".into()), Summary::default());
    block_on(lagging.accumulate(&messages(1, &[60, 61, 62]), &mut window, None, &mut summary)).unwrap();
    block_on(lagging.flush_window(&window, None, &mut summary)).unwrap();
    assert_eq!((letters(&store), counts(&store)), (vec![], counted(3, 3)));
}

#[test]
fn a_host_that_follows_folds_nothing_of_which_one_that_lags_made_dead_letters() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(4, &desk.prepared(4, 1));
    process(&host_of(&desk, &store), &messages(1, &[60, 61]));
    assert_eq!(letters(&store).len(), 2);
    let rulebook = rulebook(&desk, 1, 300);
    desk.change(&[Request::Publish(&rulebook), activate(3, &rulebook)]).unwrap();
    let host = host_of(&desk, &store);
    process(&host, &messages(1, &[60, 61]));
    assert_eq!((letters(&store).len(), counts(&store)), (2, vec![]));
    assert_eq!(redrive(&host, &store).redriven, 2);
    assert_eq!((letters(&store), counts(&store)), (vec![], counted(2, 2)));
}
