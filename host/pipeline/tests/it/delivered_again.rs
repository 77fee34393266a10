//! Batches that are delivered again after a part of them was stored: each record ends in its groups or as a dead letter.

use std::sync::atomic::Ordering;

use paceline_pipeline::dedup::MAX_RUNS;
use paceline_pipeline::model::{Attribute, Batch, BatchLimits, Cause, DeadLetter};
use paceline_pipeline::receive::{Redrive, Source};
use paceline_pipeline::rules::operator::Request;
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_pipeline::{Pipeline, RetryPolicy};
use paceline_testbed::require;

use crate::hosts::{BY_CLASS, BY_RACE, follow, poll, second, with_aggregator};
use crate::log::{Desk, activate};
use crate::support::{FlakyStore, block_on, committed, host};

const SEQUENCE: &str = r#""sequence""#;

/// The cadence of the rows on which the aggregator of a race fails.
const VICTIM: u64 = 66;

/// A rulebook with an aggregate by race that fails on some rows, and one by class that does not.
fn failing(version: u64) -> String {
    let by_race = with_aggregator(version, "evil-aggregator", BY_RACE, SEQUENCE);
    let by_class = r#"
[[aggregate]]
plugin = "evil-aggregator"
key = { PK = "class-{/classId}", SK = "of-{/racerId}" }
dedup = "sequence"
"#;
    format!("{by_race}settings = {{ deed = \"trap-on-row\" }}\n{by_class}")
}

/// Messages of racer 1 with these cadences, one a second.
fn messages(cadences: &[u64]) -> Batch {
    let mut batch = Batch::new("shard".into());
    for (second, cadence) in (1_u64..).zip(cadences) {
        let message = format!(
            r#"{{"event":"update","deviceTimestamp":{second}000,"second":{second},"raceId":131,"racerId":1,"classId":3,"cadence":{cadence},"resistance":50}}"#
        );
        batch.push(message.as_bytes(), second.into());
    }
    batch
}

/// A host that soon gives up a store that fails.
fn impatient(desk: &Desk, store: &FlakyStore) -> Pipeline<FlakyStore> {
    let retry = RetryPolicy { deadline_ms: 20, first_wait_ms: 1, longest_wait_ms: 2, ..RetryPolicy::default() };
    let rulebooks = follow(desk);
    Pipeline::new(store.clone(), rulebooks, BatchLimits::default(), retry)
}

fn deliver(host: &Pipeline<FlakyStore>, batch: &Batch) {
    committed(host.process(batch, None, &mut Summary::default()));
}

/// Delivers a batch of which something can't be stored.
fn deliver_in_part(host: &Pipeline<FlakyStore>, batch: &Batch) {
    let outcome = block_on(host.process(batch, None, &mut Summary::default())).unwrap();
    assert!(outcome.first_uncommitted.unwrap().1.is_transient());
}

/// The rows that each group has counted, by sort key.
type Counts = Vec<(String, i64)>;

/// The ids of dead letters, and why they are.
type Letters = Vec<(String, Cause)>;

/// The rows that each group has counted, and the dead letters.
fn outcome(store: &FlakyStore) -> (Counts, Letters) {
    let count = |item: &paceline_pipeline::model::Item| match item.attribute("count") {
        Some(Attribute::Integer(count)) => *count,
        other => panic!("{other:?}"),
    };
    let items = block_on(store.store.list_groups()).unwrap();
    (items.iter().map(|(key, item)| (key.sort.to_string(), count(item))).collect(), letters(store))
}

fn letters(store: &FlakyStore) -> Letters {
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    letters.into_iter().map(|letter| (letter.id, letter.reason.cause)).collect()
}

fn counts(of: &[(&str, i64)]) -> Counts {
    of.iter().map(|(sort, count)| ((*sort).to_owned(), *count)).collect()
}

fn failed_at(ids: &[&str]) -> Letters {
    ids.iter().map(|id| ((*id).to_owned(), Cause::PluginFailed)).collect()
}

/// Redrives these letters, in this order.
fn redrive(host: &Pipeline<FlakyStore>, letters: Vec<DeadLetter>) -> Summary {
    let mut summary = Summary::default();
    let batch = Redrive::new(letters).next(&BatchLimits::default()).unwrap().unwrap();
    committed(host.process(&batch, None, &mut summary));
    summary
}

/// A store with letters of the first two seconds of a race whose race type has no rulebook yet, and a host on which it has
/// one by now.
fn without_a_rulebook(desk: &Desk, store: &FlakyStore) -> (Vec<String>, Pipeline<FlakyStore>) {
    desk.activate(4, &desk.prepared(4, 1));
    let host = impatient(desk, store);
    deliver(&host, &messages(&[60, 61]));
    let ids: Vec<String> = letters(store).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["shard:1", "shard:2"]);
    let rulebook = desk.prepare(&with_aggregator(1, "evil-aggregator", BY_RACE, SEQUENCE));
    desk.change(&[Request::Publish(&rulebook), activate(3, &rulebook)]).unwrap();
    poll(&host);
    (ids, host)
}

#[test]
fn dead_letters_stand_before_a_group_moves_past_them() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&failing(1)));
    let host = impatient(&desk, &store);
    // The aggregator fails on the first record; the second one is of the same group.
    let batch = messages(&[VICTIM, 60]);
    store.letters_are_down.store(true, Ordering::Relaxed);
    deliver_in_part(&host, &batch);
    assert_eq!(outcome(&store), (vec![], vec![]));
    store.letters_are_down.store(false, Ordering::Relaxed);
    deliver(&impatient(&desk, &store), &batch);
    assert_eq!(outcome(&store), (counts(&[("of-1", 1), ("racer-1", 1)]), failed_at(&["shard:1"])));
}

#[test]
fn a_record_with_a_dead_letter_is_folded_into_no_group_when_its_batch_comes_again() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&failing(1)));
    // The group of the class is not written at first: it would take the record, which the group of the race can't.
    let batch = messages(&[VICTIM, 60]);
    deliver_in_part(&impatient(&desk, &FlakyStore { throttled: Some("of-1"), ..store.clone() }), &batch);
    assert_eq!(outcome(&store), (counts(&[("racer-1", 1)]), failed_at(&["shard:1"])));
    let mut summary = Summary::default();
    committed(impatient(&desk, &store).process(&batch, None, &mut summary));
    assert_eq!(outcome(&store), (counts(&[("of-1", 1), ("racer-1", 1)]), failed_at(&["shard:1"])));
    assert_eq!((summary.dead_letter_count(), summary.duplicates), (0, 2));
    let letter = block_on(store.store.get_dead_letter("shard:1")).unwrap().unwrap();
    assert_eq!(letter.folded, []);
}

#[test]
fn a_dead_letter_stays_one_when_the_rules_change_before_its_batch_comes_again() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (ids, host) = without_a_rulebook(&desk, &store);
    let batch = messages(&[60, 61, 62]);
    deliver(&host, &batch);
    assert_eq!(outcome(&store).0, counts(&[("racer-1", 1)]));
    assert_eq!(letters(&store).len(), 2);
    let redriven = block_on(store.store.assign_redrive_sequences(&ids)).unwrap();
    assert_eq!(redrive(&host, redriven).redriven, 2);
    // Once more, as if its acknowledgement was lost.
    deliver(&host, &batch);
    assert_eq!(outcome(&store), (counts(&[("racer-1", 3)]), vec![]));
}

#[test]
fn a_window_leaves_records_that_have_a_dead_letter_alone() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (_, host) = without_a_rulebook(&desk, &store);
    let (mut window, mut summary) = (Window::new("shard".into()), Summary::default());
    block_on(host.accumulate(&messages(&[60, 61, 62]), &mut window, None, &mut summary)).unwrap();
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    assert_eq!(outcome(&store).0, counts(&[("racer-1", 1)]));
    assert_eq!(letters(&store).len(), 2);
}

#[test]
fn redrives_that_overtake_each_other_lose_no_record() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (ids, host) = without_a_rulebook(&desk, &store);
    // One redrive assigned both sequences and was killed. The next one takes the second letter only.
    let letters = block_on(store.store.assign_redrive_sequences(&ids)).unwrap();
    let [first, second] = <[DeadLetter; 2]>::try_from(letters).unwrap();
    assert_eq!(redrive(&host, vec![second.clone()]).redriven, 1);
    assert_eq!(redrive(&host, vec![first]).redriven, 1);
    // A third one read the letter before it was deleted.
    assert_eq!(redrive(&host, vec![second]).duplicates, 1);
    assert_eq!(outcome(&store), (counts(&[("racer-1", 2)]), vec![]));
}

#[test]
fn a_letter_that_is_stored_again_while_it_is_redriven_counts_once() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (ids, host) = without_a_rulebook(&desk, &store);
    let letters = block_on(store.store.assign_redrive_sequences(&ids)).unwrap();
    redrive(&host, letters.clone());
    // A host that does not know the rulebook yet is delivered the batch again.
    block_on(store.store.put_dead_letters(&letters)).unwrap();
    let again = block_on(store.store.assign_redrive_sequences(&ids)).unwrap();
    let summary = redrive(&host, again);
    assert_eq!((summary.duplicates, summary.redriven), (2, 2));
    assert_eq!(outcome(&store), (counts(&[("racer-1", 2)]), vec![]));
}

#[test]
fn a_record_that_fails_again_is_one_dead_letter_and_none_that_was_redriven() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&failing(1)));
    let host = host(store.clone(), &follow(&desk));
    deliver(&host, &messages(&[VICTIM]));
    for _ in 0..2 {
        let letter = block_on(store.store.assign_redrive_sequences(&["shard:1".to_owned()])).unwrap();
        let summary = redrive(&host, letter);
        assert_eq!((summary.redriven, summary.dead_letter_count()), (0, 1));
        assert_eq!(letters(&store), failed_at(&["shard:1"]));
    }
}

#[test]
fn rows_of_a_group_that_two_rulebooks_evaluated_in_turn_are_all_in_their_window() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let of_version = |version| desk.prepare(&with_aggregator(version, "evil-aggregator", BY_CLASS, SEQUENCE));
    desk.activate(3, &of_version(1));
    let host = host(store.clone(), &follow(&desk));
    let (mut window, mut summary) = (Window::new("shard".into()), Summary::default());
    // Races keep the rulebook that they began with. Both are of one class.
    let mut accumulate = |race, at| {
        block_on(host.accumulate(&second(race, at), &mut window, None, &mut summary)).unwrap();
    };
    accumulate("131", 1);
    desk.activate(3, &of_version(2));
    poll(&host);
    accumulate("132", 2);
    accumulate("131", 3);
    accumulate("132", 4);
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    let racers = counts(&[("racer-1", 4), ("racer-2", 4), ("racer-3", 4)]);
    assert_eq!(outcome(&store), (racers.clone(), vec![]));
    assert_eq!((summary.groups, summary.duplicates), (3, 0));
    // The same window once more, as after a lost answer.
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    assert_eq!((outcome(&store).0, summary.duplicates), (racers, 12));
}

#[test]
fn a_group_whose_ordinals_are_never_adjacent_stays_small_and_rejects_what_it_can_not_know() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let ordinal = r#"{ ordinal = "/deviceTimestamp" }"#;
    desk.activate(3, &desk.prepare(&with_aggregator(1, "evil-aggregator", BY_CLASS, ordinal)));
    let host = host(store.clone(), &follow(&desk));
    let at = |ms: u64, sequence: u64| {
        let mut batch = Batch::new("shard".into());
        let message = format!(
            r#"{{"event":"update","deviceTimestamp":{ms},"second":1,"raceId":131,"racerId":1,"classId":3,"cadence":60,"resistance":50}}"#
        );
        batch.push(message.as_bytes(), sequence.into());
        batch
    };
    let mut all = Batch::new("shard".into());
    for nth in 0..MAX_RUNS as u64 + 3 {
        let one = at(2 * nth, 0);
        all.push(one.payload(0), nth.into());
    }
    deliver(&host, &all);
    assert_eq!(letters(&store), []);
    // One of the lowest again, one that the group holds again, and a new one.
    for (ms, sequence) in [(2, 100_001), (8_000, 100_002), (8_001, 100_003)] {
        deliver(&host, &at(ms, sequence));
    }
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.reason.cause, letter.unsure, &*letter.id), (Cause::TooOld, true, "shard:100001"));
    // The count is a byte.
    let counted = (MAX_RUNS as i64 + 3 + 1) % 256;
    assert_eq!(outcome(&store).0, counts(&[("racer-1", counted)]));
}

#[test]
fn a_rejected_record_is_not_committed_while_the_store_can_not_be_read() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(4, &desk.prepared(4, 1));
    // Its records have no rulebook, so that it has no group.
    let batch = messages(&[60]);
    let host = impatient(&desk, &FlakyStore { transient_every: 1, ..store.clone() });
    let error = block_on(host.process(&batch, None, &mut Summary::default())).unwrap_err();
    assert!(error.is_transient(), "{error}");
    deliver(&impatient(&desk, &store), &batch);
    assert_eq!(letters(&store).len(), 1);
}

#[test]
fn a_dead_letter_counts_once_however_often_its_batch_comes() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&failing(1)));
    // Its record comes after the first one that is not committed.
    let (batch, mut summary) = (messages(&[60, VICTIM]), Summary::default());
    let throttled = impatient(&desk, &FlakyStore { throttled: Some("of-1"), ..store.clone() });
    let outcome = block_on(throttled.process(&batch, None, &mut summary)).unwrap();
    assert_eq!(outcome.first_uncommitted.unwrap().0, 0);
    committed(impatient(&desk, &store).process(&batch, None, &mut summary));
    assert_eq!((letters(&store), summary.dead_letter_count()), (failed_at(&["shard:2"]), 1));
}

#[test]
fn a_record_that_no_group_can_take_counts_as_one_dead_letter_however_many_aggregates_there_are() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&failing(1)));
    // The sort key would be too long, by race and by class.
    let racer = "x".repeat(2_000);
    let message = String::from_utf8(messages(&[60]).payload(0).to_vec()).unwrap();
    let mut batch = Batch::new("shard".into());
    batch.push(message.replace(r#""racerId":1,"#, &format!(r#""racerId":"{racer}","#)).as_bytes(), 1.into());
    let mut summary = Summary::default();
    committed(impatient(&desk, &store).process(&batch, None, &mut summary));
    assert_eq!(outcome(&store), (vec![], vec![("shard:1".to_owned(), Cause::BadGroup)]));
    assert_eq!(summary.dead_letter_count(), 1);
}
