//! Pins expire long after their races. What is left of a race are its items.

use paceline_pipeline::store::{GroupStore, PinStore, Write};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_testbed::require;

use crate::hosts::{BY_RACE, ORDINAL, host_of, pin_key, process, second, with_aggregator};
use crate::log::Desk;
use crate::support::{FlakyStore, block_on};

/// A race that began under the first version of its rulebook, in a store whose pins have expired. By now the second version
/// is active.
fn without_its_pin() -> (Desk, FlakyStore) {
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let of_version = |version| desk.prepare(&with_aggregator(version, "evil-aggregator", BY_RACE, ORDINAL));
    desk.activate(3, &of_version(1));
    process(&host_of(&desk, &store), &second("131", 1));
    desk.activate(3, &of_version(2));
    let later = FlakyStore::default();
    for (key, item) in block_on(store.store.list_groups()).unwrap() {
        let write = Write { key, expected: None, item };
        block_on(later.store.write_groups(&[write])).unwrap();
    }
    (desk, later)
}

/// The version by which each racer's item was written last, by partition, and whether it is marked.
fn versions(store: &FlakyStore) -> Vec<(String, u64, bool)> {
    let items = block_on(store.store.list_groups()).unwrap().into_iter();
    let mut versions: Vec<_> =
        items.map(|(key, item)| (key.partition.into(), item.provenance.rulebook.version, item.reruled)).collect();
    versions.dedup();
    versions
}

#[test]
fn a_race_whose_pin_has_expired_goes_on_by_the_rulebook_that_its_items_name() {
    require!(Plugins);
    let (desk, store) = without_its_pin();
    let host = host_of(&desk, &store);
    let mut both = second("131", 2);
    let other = second("132", 3);
    for record in 0..other.records.len() {
        both.push(other.payload(record), other.records[record].position.sequence);
    }
    process(&host, &both);
    let expected = [("race-3-131".to_owned(), 1, false), ("race-3-132".to_owned(), 2, false)];
    assert_eq!(versions(&store), expected);
    // It is pinned again.
    let pins = block_on(store.store.get_pins(&[pin_key("131"), pin_key("132")])).unwrap();
    let items = block_on(store.store.list_partition("race-3-131")).unwrap();
    assert_eq!(pins[0].unwrap().rulebook, items[0].1.provenance.rulebook.digest);
    assert_ne!(pins[0].unwrap().rulebook, pins[1].unwrap().rulebook);
}

#[test]
fn a_window_takes_the_rulebook_of_a_race_from_its_items_as_well() {
    require!(Plugins);
    let (desk, store) = without_its_pin();
    let host = host_of(&desk, &store);
    let (mut window, mut summary) = (Window::new("shard".into()), Summary::default());
    block_on(host.accumulate(&second("131", 2), &mut window, None, &mut summary)).unwrap();
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    assert_eq!(versions(&store), [("race-3-131".to_owned(), 1, false)]);
}
