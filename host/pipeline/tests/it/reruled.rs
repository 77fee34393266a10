//! Items of races that were moved to another rulebook while they were in progress are marked.

use std::collections::BTreeMap;

use paceline_pipeline::rules::operator::Request;
use paceline_pipeline::store::GroupStore;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_testbed::require;

use crate::hosts::{BY_CLASS, ORDINAL, host_of, poll, process, second, with_aggregator};
use crate::log::Desk;
use crate::support::{FlakyStore, block_on};

/// Whether the items of each partition are marked.
fn marks(store: &FlakyStore) -> BTreeMap<String, Vec<bool>> {
    let mut marks: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for (key, item) in block_on(store.store.list_groups()).unwrap() {
        marks.entry(key.partition.into()).or_default().push(item.reruled);
    }
    marks
}

fn marks_of(entries: &[(&str, [bool; 3])]) -> BTreeMap<String, Vec<bool>> {
    entries.iter().map(|(partition, marks)| ((*partition).to_owned(), marks.to_vec())).collect()
}

#[test]
fn a_race_that_is_moved_is_marked_for_good_and_others_are_not() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (one, two) = (desk.prepared(3, 1), desk.prepared(3, 2));
    desk.activate(3, &one);
    let host = host_of(&desk, &store);
    process(&host, &second("130", 1));
    desk.activate(3, &two);
    poll(&host);
    process(&host, &second("131", 1));
    process(&host, &second("130", 2));
    desk.change(&[Request::Rollback { race_type: "3".to_owned() }]).unwrap();
    poll(&host);
    // Nothing was evaluated by the other rulebook yet.
    assert_eq!(marks(&store), marks_of(&[("race-3-130", [false; 3]), ("race-3-131", [false; 3])]));
    for race in ["130", "131", "132"] {
        process(&host, &second(race, 3));
    }
    let expected = marks_of(&[("race-3-130", [false; 3]), ("race-3-131", [true; 3]), ("race-3-132", [false; 3])]);
    assert_eq!(marks(&store), expected);
    process(&host, &second("131", 4));
    assert_eq!(marks(&store), expected, "the mark stays");
}

#[test]
fn groups_that_races_of_several_rulebooks_share_are_not_marked() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let of_version = |version| desk.prepare(&with_aggregator(version, "evil-aggregator", BY_CLASS, ORDINAL));
    desk.activate(3, &of_version(1));
    let host = host_of(&desk, &store);
    process(&host, &second("131", 1));
    desk.activate(3, &of_version(2));
    poll(&host);
    process(&host, &second("132", 2));
    let items = block_on(store.store.list_groups()).unwrap();
    assert!(items.iter().all(|(_, item)| item.provenance.rulebook.version == 2), "{items:?}");
    assert_eq!(marks(&store), marks_of(&[("class-3", [false; 3])]));
}

#[test]
fn a_race_that_is_moved_within_a_window_is_marked() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let two = desk.prepared(3, 2);
    let host = host_of(&desk, &store);
    let (mut window, mut summary) = (Window::new("shard".into()), Summary::default());
    block_on(host.accumulate(&second("131", 1), &mut window, None, &mut summary)).unwrap();
    let now = Request::Activate { race_type: "3".to_owned(), rulebook: two.digest, now: true };
    desk.change(&[Request::Publish(&two), now]).unwrap();
    poll(&host);
    block_on(host.accumulate(&second("131", 2), &mut window, None, &mut summary)).unwrap();
    block_on(host.accumulate(&second("132", 2), &mut window, None, &mut summary)).unwrap();
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    assert_eq!(marks(&store), marks_of(&[("race-3-131", [true; 3]), ("race-3-132", [false; 3])]));
}
