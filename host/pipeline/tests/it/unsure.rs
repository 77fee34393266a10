//! Dead letters of a race type that is retired, or whose rulebook is lost, while a batch is written: those whose records may be
//! in their groups already are unsure.

use std::time::{Duration, Instant};

use paceline_pipeline::model::{Batch, BatchLimits, Cause, DeadLetter};
use paceline_pipeline::receive::{Redrive, Source};
use paceline_pipeline::rules::operator::Request;
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, ProcessOutcome};
use paceline_testbed::require;

use crate::hosts::{BY_RACE, ORDINAL, host_of, poll, process, second, with_aggregator};
use crate::log::{Desk, activate};
use crate::support::{FlakyStore, block_on};

const SEQUENCE: &str = r#""sequence""#;

/// A rulebook without a pin.
fn unpinned(dedup: &str) -> String {
    with_aggregator(1, "evil-aggregator", BY_RACE, dedup).replace("pin = \"/raceId\"\n", "")
}

/// Writes a batch in part: the group of the second racer is throttled.
fn write_in_part(desk: &Desk, store: &FlakyStore) {
    let partly = host_of(desk, &FlakyStore { throttled: Some("racer-2"), ..store.clone() });
    let deadline = Some(Instant::now() + Duration::from_millis(50));
    let ProcessOutcome { first_uncommitted } =
        block_on(partly.process(&second("131", 1), deadline, &mut Summary::default())).unwrap();
    assert_eq!(first_uncommitted.unwrap().0, 1);
    assert_eq!(block_on(store.store.list_groups()).unwrap().len(), 2, "the first and the third racer are written");
}

/// Writes a batch in part. What is left of it is delivered again after the race type was retired. Returns the dead letters,
/// and the host once the race type is active again.
fn retired_in_between(text: &str, again: &Batch) -> (Vec<DeadLetter>, FlakyStore, Pipeline<FlakyStore>) {
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let rulebook = desk.prepare(text);
    desk.activate(3, &rulebook);
    write_in_part(&desk, &store);

    desk.change(&[Request::Retire { race_type: "3".to_owned() }]).unwrap();
    let host = host_of(&desk, &store);
    process(&host, again);
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    assert!(letters.iter().all(|letter| letter.reason.cause == Cause::NoRulebook), "{letters:?}");
    desk.change(&[activate(3, &rulebook)]).unwrap();
    poll(&host);
    (letters, store, host)
}

/// What is left of the batch that was written in part.
fn rest() -> Batch {
    let mut batch = second("131", 1);
    batch.skip(1);
    batch
}

/// Redrives dead letters, and returns how many rows each group has counted.
fn redrive(letters: &[DeadLetter], store: &FlakyStore, host: &Pipeline<FlakyStore>) -> Vec<f64> {
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    let letters = block_on(store.store.assign_redrive_sequences(&ids)).unwrap();
    let batch = Redrive::new(letters).next(&BatchLimits::default()).unwrap().unwrap();
    process(host, &batch);
    let items = block_on(store.store.list_groups()).unwrap();
    let count = |attribute: &paceline_pipeline::model::Attribute| match attribute {
        paceline_pipeline::model::Attribute::Number(count) => *count,
        paceline_pipeline::model::Attribute::Integer(count) => *count as f64,
        other => panic!("{other:?}"),
    };
    items.iter().map(|(_, item)| count(item.attribute("count").unwrap())).collect()
}

#[test]
fn under_dedup_by_sequence_they_are_unsure_and_a_redrive_would_count_them_twice() {
    require!(Plugins);
    let (letters, store, host) = retired_in_between(&unpinned(SEQUENCE), &rest());
    assert_eq!(letters.iter().map(|letter| letter.unsure).collect::<Vec<_>>(), [true, true]);
    assert_eq!(redrive(&letters, &store, &host), [1.0, 1.0, 2.0]);
}

#[test]
fn under_dedup_by_ordinals_they_are_not_and_a_redrive_counts_each_once() {
    require!(Plugins);
    let (letters, store, host) = retired_in_between(&unpinned(ORDINAL), &rest());
    assert_eq!(letters.iter().map(|letter| letter.unsure).collect::<Vec<_>>(), [false, false]);
    assert_eq!(redrive(&letters, &store, &host), [1.0, 1.0, 1.0]);
}

#[test]
fn a_pinned_race_goes_on_and_a_new_one_was_never_folded() {
    require!(Plugins);
    let pinned = with_aggregator(1, "evil-aggregator", BY_RACE, SEQUENCE);
    let mut again = rest();
    let other = second("132", 1);
    again.push(other.payload(0), 20.into());
    let (letters, store, _) = retired_in_between(&pinned, &again);
    assert_eq!(letters.iter().map(|letter| letter.unsure).collect::<Vec<_>>(), [false]);
    assert_eq!(block_on(store.store.list_groups()).unwrap().len(), 3);
}

#[test]
fn those_of_a_race_whose_rulebook_is_lost_are_unsure() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let of_version = |version| desk.prepare(&with_aggregator(version, "evil-aggregator", BY_RACE, SEQUENCE));
    let one = of_version(1);
    desk.activate(3, &one);
    write_in_part(&desk, &store);
    desk.activate(3, &of_version(2));
    desk.lose_rulebook(one.digest);
    process(&host_of(&desk, &store).with_hold(Duration::ZERO), &rest());
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    let found: Vec<_> = letters.iter().map(|letter| (letter.reason.cause, letter.unsure)).collect();
    // The third racer's is in its group.
    assert_eq!(found, [(Cause::PinUnresolved, true); 2]);
}

#[test]
fn a_race_type_that_never_ran_was_never_folded() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(4, &desk.prepare(&unpinned(SEQUENCE)));
    process(&host_of(&desk, &store), &second("131", 1));
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    assert_eq!(letters.iter().map(|letter| letter.unsure).collect::<Vec<_>>(), [false; 3]);
}

#[test]
fn a_letter_that_is_unsure_stays_so_when_it_fails_again() {
    require!(Plugins);
    let (mut letters, store, host) = retired_in_between(&unpinned(SEQUENCE), &rest());
    letters.iter_mut().for_each(|letter| letter.payload = b"broken".to_vec());
    block_on(store.store.put_dead_letters(&letters)).unwrap();
    redrive(&letters, &store, &host);
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    assert!(letters.iter().all(|letter| letter.unsure && letter.reason.cause == Cause::NotJson), "{letters:?}");
}
