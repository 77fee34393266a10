//! What may follow what: a change is compared with everything that has written the groups of a race type, and who changes
//! the rules knows beforehand what can't be taken back.

use paceline_engine::Digest;
use paceline_pipeline::model::Key;
use paceline_pipeline::rules::operator::{Prepared, Request};
use paceline_pipeline::rules::{Routing, TrialLimits, TrialMode};
use paceline_pipeline::store::{DeadLetterStore, GroupStore, Pin};
use paceline_testbed::require;

use crate::hosts::{BY_CLASS, BY_RACE, ORDINAL, host_of, poll, process, second, with_aggregator};
use crate::log::{Desk, activate};
use crate::support::{FlakyStore, block_on, rulebook};

const SEQUENCE: &str = r#""sequence""#;
/// Another key for what [`BY_CLASS`] and [`BY_RACE`] have.
const ELSEWHERE: &str = r#"{ PK = "elsewhere-{/classId}", SK = "racer-{/racerId}" }"#;

fn race_type() -> String {
    "3".to_owned()
}

/// Why these requests are refused.
fn refused(desk: &Desk, requests: &[Request<'_>]) -> String {
    desk.change(requests).expect_err("it is refused").to_string()
}

fn routing(desk: &Desk) -> Routing {
    desk.tail().0.rules.routing["3"].clone()
}

fn prepared(desk: &Desk, version: u64, plugin: &str, key: &str, dedup: &str) -> Prepared {
    desk.prepare(&with_aggregator(version, plugin, key, dedup))
}

#[test]
fn groups_keep_dedup_condition_packs_and_format_although_they_had_another_key_in_between() {
    require!(Plugins);
    let desk = Desk::new();
    desk.activate(3, &prepared(&desk, 1, "best-output", BY_CLASS, ORDINAL));
    desk.activate(3, &prepared(&desk, 2, "best-output", ELSEWHERE, ORDINAL));
    let again = with_aggregator(3, "best-output", BY_CLASS, ORDINAL);
    let differing = [
        (with_aggregator(3, "best-output", BY_CLASS, SEQUENCE), "has another dedup for the groups"),
        (format!("{again}where = {{ \"/event\" = \"final\" }}\n"), "has another `where` for the groups"),
        (format!("{again}pack = {{ into = 8 }}\n"), "has another `pack.into` for the groups"),
        (
            with_aggregator(3, "last-output", BY_CLASS, ORDINAL),
            "does not take the states of the format `last-output/2` that this one would write",
        ),
    ];
    let are_refused = || {
        for (text, why) in &differing {
            let next = desk.prepare(text);
            let error = refused(&desk, &[Request::Publish(&next), activate(3, &next)]);
            assert!(error.contains("class-3@1, whose groups are in the store,") && error.contains(why), "{error}");
            assert!(error.to_lowercase().contains("give the groups another key"), "{error}");
        }
    };
    are_refused();
    desk.change(&[Request::Retire { race_type: race_type() }]).unwrap();
    are_refused();
    // A race that can't be resolved is moved to nothing that does not fit.
    let lost = Pin { rulebook: Digest::of(b"a rulebook of a registry that is gone"), revision: 1 };
    for (text, why) in &differing {
        let next = desk.prepare(text);
        let repin = Request::Repin { race_type: race_type(), race: "131".to_owned(), pin: lost, to: next.digest };
        let error = refused(&desk, &[Request::Publish(&next), repin]);
        assert!(error.contains(why), "{error}");
    }
    // What fits comes back, and the groups in between are remembered now.
    desk.activate(3, &desk.prepare(&again));
    let other = prepared(&desk, 4, "best-output", ELSEWHERE, SEQUENCE);
    let error = refused(&desk, &[Request::Publish(&other), activate(3, &other)]);
    assert!(error.contains("class-3@2, whose groups are in the store, has another dedup"), "{error}");
}

#[test]
fn new_races_have_groups_of_their_own_whatever_earlier_races_had() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &prepared(&desk, 1, "evil-aggregator", BY_RACE, ORDINAL));
    let host = host_of(&desk, &store);
    process(&host, &second("131", 1));
    desk.activate(3, &prepared(&desk, 2, "evil-aggregator", ELSEWHERE, ORDINAL));
    desk.activate(3, &prepared(&desk, 3, "evil-aggregator", BY_RACE, SEQUENCE));
    poll(&host);
    process(&host, &second("131", 2));
    process(&host, &second("132", 1));
    let items = block_on(store.store.list_groups()).unwrap();
    let of_race = |race: &str| -> Vec<u64> {
        let is_of_race = |key: &Key| key.partition == format!("race-3-{race}");
        items.iter().filter(|(key, _)| is_of_race(key)).map(|(_, item)| item.provenance.rulebook.version).collect()
    };
    assert_eq!((of_race("131"), of_race("132")), (vec![1; 3], vec![3; 3]));
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
}

#[test]
fn a_long_history_of_equal_groups_takes_no_room_in_the_log() {
    require!(Plugins);
    let desk = Desk::new();
    for version in 1..=30 {
        desk.activate(3, &prepared(&desk, version, "best-output", BY_CLASS, ORDINAL));
    }
    assert_eq!(routing(&desk).past, []);
    let thirtieth = routing(&desk).current.unwrap();
    desk.activate(3, &prepared(&desk, 31, "best-output", ELSEWHERE, ORDINAL));
    desk.activate(3, &prepared(&desk, 32, "best-output", ELSEWHERE, ORDINAL));
    assert_eq!(routing(&desk).past, [thirtieth], "one of them stands for all");
    desk.activate(3, &prepared(&desk, 33, "best-output", BY_CLASS, ORDINAL));
    assert_eq!(routing(&desk).past.len(), 1);
}

#[test]
fn the_groups_that_another_race_type_had_before_are_still_its_own() {
    require!(Plugins);
    let desk = Desk::new();
    let of = |class: u32, version: u64, partition: &str| {
        let text = rulebook(class, partition, ORDINAL);
        desk.prepare(&text.replace("version = 1", &format!("version = {version}")))
    };
    desk.activate(3, &of(3, 1, "race-{/raceId}"));
    desk.activate(3, &of(3, 2, "race-{/classId}-{/raceId}"));
    let same = of(5, 1, "race-{/raceId}");
    let error = refused(&desk, &[Request::Publish(&same), activate(5, &same)]);
    assert!(error.contains("of race type 5 are also those of race type 3 under class-3@1"), "{error}");
    desk.activate(5, &of(5, 2, "race-{/classId}-{/raceId}"));
}

#[test]
fn that_there_is_no_way_back_is_said_when_a_rulebook_becomes_active() {
    require!(Plugins);
    let desk = Desk::new();
    let one = prepared(&desk, 1, "best-output", BY_RACE, ORDINAL);
    desk.activate(3, &one);
    let two = prepared(&desk, 2, "evil-migration", BY_RACE, ORDINAL);
    let changed = desk.change(&[Request::Publish(&two), activate(3, &two)]).unwrap();
    let [no_way_back] = &changed.one_way[..] else { panic!("{changed:?}") };
    assert_eq!((&*no_way_back.race_type, no_way_back.fallback), ("3", one.digest));
    assert!(no_way_back.why.contains("writes states of the format `evil-migration/1`"), "{}", no_way_back.why);
    assert_eq!((routing(&desk).fallback, routing(&desk).way_back()), (Some(one.digest), None));
    let error = refused(&desk, &[Request::Rollback { race_type: race_type() }]);
    assert!(error.contains("can't return to class-3@1; activate a corrected version instead"), "{error}");

    // A version that can be taken back says nothing.
    let three = prepared(&desk, 3, "evil-migration", BY_RACE, ORDINAL);
    let changed = desk.change(&[Request::Publish(&three), activate(3, &three)]).unwrap();
    assert_eq!((changed.one_way, routing(&desk).way_back()), (vec![], Some(two.digest)));

    // Other groups can't be taken back either, and a promotion is no other than an activation.
    let four = prepared(&desk, 4, "evil-migration", ELSEWHERE, ORDINAL);
    let (rulebook, mode, limits) = (four.digest, TrialMode::Shadow, TrialLimits::default());
    desk.change(&[Request::Publish(&four), Request::Try { race_type: race_type(), rulebook, mode, limits }]).unwrap();
    let changed = desk.change(&[Request::Promote { race_type: race_type() }]).unwrap();
    assert!(changed.one_way[0].why.contains("has other groups"), "{changed:?}");
    assert_eq!(routing(&desk).way_back(), None);
}
