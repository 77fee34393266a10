//! Groups whose items have another dedup rule than the rulebook: nothing is dropped or folded on trust.

use std::time::Duration;

use paceline_pipeline::model::{Item, Key};
use paceline_pipeline::rules::operator::Request;
use paceline_pipeline::store::{DeadLetterStore, GroupStore, Pin, PinStore, Write};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_testbed::require;

use crate::hosts::{BY_CLASS, BY_RACE, ORDINAL, host_of, pin_key, process, second, with_aggregator};
use crate::log::Desk;
use crate::support::{FlakyStore, block_on};

const SEQUENCE: &str = r#""sequence""#;
/// What this ordinal of the first racer's second record is, the ordinal `/second` of her first one was.
const OTHER_ORDINAL: &str = r#"{ ordinal = "/racerId" }"#;

/// A store in which the item of one racer was written under this dedup, and the item.
fn store_under(dedup: &str) -> (FlakyStore, (Key, Item)) {
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&with_aggregator(1, "evil-aggregator", BY_RACE, dedup)));
    let mut alone = second("131", 1);
    alone.records.truncate(1);
    process(&host_of(&desk, &store), &alone);
    let item = block_on(store.store.list_groups()).unwrap().remove(0);
    // The race's pin belongs to the other registry.
    let fresh = FlakyStore::default();
    let write = Write { key: item.0.clone(), expected: None, item: item.1.clone() };
    block_on(fresh.store.write_groups(&[write])).unwrap();
    (fresh, item)
}

fn causes(store: &FlakyStore) -> Vec<&'static str> {
    block_on(store.store.list_dead_letters()).unwrap().iter().map(|letter| letter.reason.cause.as_str()).collect()
}

#[test]
fn an_item_with_another_dedup_rule_takes_no_record_and_drops_none() {
    require!(Plugins);
    for (theirs, ours) in [(ORDINAL, OTHER_ORDINAL), (ORDINAL, SEQUENCE), (SEQUENCE, ORDINAL)] {
        let (store, foreign) = store_under(theirs);
        let desk = Desk::new();
        desk.activate(3, &desk.prepare(&with_aggregator(7, "evil-aggregator", BY_RACE, ours)));
        let host = host_of(&desk, &store);
        let mut summary = Summary::default();
        let outcome = block_on(host.process(&second("131", 2), None, &mut summary)).unwrap();
        let (first, why) = outcome.first_uncommitted.expect("the first racer's record waits");
        assert_eq!((first, summary.duplicates), (0, 0), "{theirs} {ours}");
        assert!(why.waits_for_rules() && why.is_transient());
        let text = why.to_string();
        assert!(text.contains("race-3-131 / racer-1") && text.contains("the rulebook class-3@7 has `"), "{text}");
        // The group is as it was, and its neighbours are written.
        let items = block_on(store.store.list_groups()).unwrap();
        assert_eq!(items.len(), 3);
        assert!(items.contains(&foreign));

        let impatient = host_of(&desk, &store).with_hold(Duration::ZERO);
        process(&impatient, &second("131", 2));
        assert_eq!(causes(&store), ["dedup"]);
        let letter = block_on(store.store.list_dead_letters()).unwrap().remove(0);
        assert_eq!(letter.folded, [], "nobody knows what the item holds");
        assert!(block_on(store.store.list_groups()).unwrap().contains(&foreign));
    }
}

#[test]
fn a_window_is_not_merged_into_an_item_with_another_dedup_rule() {
    require!(Plugins);
    let (store, foreign) = store_under(ORDINAL);
    let desk = Desk::new();
    desk.activate(3, &desk.prepare(&with_aggregator(7, "evil-aggregator", BY_RACE, OTHER_ORDINAL)));
    let host = host_of(&desk, &store);
    let (mut window, mut summary) = (Window::new("shard".into()), Summary::default());
    block_on(host.accumulate(&second("131", 2), &mut window, None, &mut summary)).unwrap();
    let why = block_on(host.flush_window(&window, None, &mut summary)).unwrap_err();
    assert!(why.waits_for_rules() && why.to_string().contains("has the dedup `ordinal /second`"), "{why}");
    assert_eq!(causes(&store), [""; 0]);

    let impatient = host_of(&desk, &store).with_hold(Duration::ZERO);
    block_on(impatient.flush_window(&window, None, &mut summary)).unwrap();
    assert_eq!((causes(&store), summary.duplicates), (vec!["dedup"], 0));
    let items = block_on(store.store.list_groups()).unwrap();
    assert_eq!(items.len(), 3);
    assert!(items.contains(&foreign));
}

#[test]
fn a_new_group_that_two_rulebooks_would_fold_under_two_dedup_rules_waits() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&with_aggregator(1, "evil-aggregator", BY_CLASS, ORDINAL)));
    // Nobody can activate it beside the first one, but a pin of another hand can name it.
    let other = desk.prepare(&with_aggregator(2, "evil-aggregator", BY_CLASS, OTHER_ORDINAL));
    desk.change(&[Request::Publish(&other)]).unwrap();
    let pin = Pin { rulebook: other.digest, revision: 1 };
    block_on(store.store.put_pins(&[(pin_key("131"), pin)])).unwrap();
    let mut batch = second("130", 1);
    let more = second("131", 1);
    for record in 0..3 {
        batch.push(more.payload(record), (20 + record as u64).into());
    }
    let host = host_of(&desk, &store);
    let outcome = block_on(host.process(&batch, None, &mut Summary::default())).unwrap();
    let (first, why) = outcome.first_uncommitted.unwrap();
    assert_eq!(first, 0);
    assert!(why.to_string().contains("has the dedup `ordinal /second`, and the rulebook class-3@2 has"), "{why}");
    assert_eq!(block_on(store.store.list_groups()).unwrap(), []);
    let mut summary = Summary::default();
    let impatient = host_of(&desk, &store).with_hold(Duration::ZERO);
    let outcome = block_on(impatient.process(&batch, None, &mut summary)).unwrap();
    assert!(outcome.first_uncommitted.is_none());
    assert_eq!((causes(&store), summary.duplicates), (vec!["dedup"; 6], 0));
}
