//! States of another format: refused, migrated, and never decoded on trust.

use std::collections::BTreeSet;
use std::time::Duration;

use paceline_pipeline::model::Cause;
use paceline_pipeline::rules::operator::Request;
use paceline_pipeline::store::{DeadLetterStore, GroupStore, Pin, PinStore};
use paceline_pipeline::summary::Summary;
use paceline_testbed::require;

use crate::hosts::{BY_CLASS, BY_RACE, ORDINAL, host_of, pin_key, poll, process, second, with_aggregator};
use crate::log::{Desk, activate};
use crate::support::{FlakyStore, block_on};

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
