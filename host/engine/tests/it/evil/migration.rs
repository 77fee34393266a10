//! Migrations of states: of a plugin that the SDK made, and of aggregators that fail or return invalid states.
//!
//! The states of `evil-aggregator/1` are decimal digits; those of its present format are one byte.

use paceline_engine::{Aggregator, Column, ColumnBuf, Engine, Fault, Migrated, PackedBuf, Settings};

use super::{ENGINE, UNFUELLED, all_rows, assert_panicked, assert_unharmed, deed, plugin};
use crate::plugins::require_plugins;

const OLD: &str = "evil-aggregator/1";

fn aggregator(engine: &Engine, what: &str) -> Aggregator {
    plugin(engine, "evil-aggregator").aggregator(&deed(what)).unwrap()
}

fn states<const N: usize>(states: [&[u8]; N]) -> PackedBuf {
    states.into_iter().collect()
}

fn migrate_on(engine: &Engine, what: &str, from: &str, states: &PackedBuf) -> Migrated {
    aggregator(engine, what).session().migrate(from, states.as_packed()).unwrap()
}

fn migrate(what: &str, states: &PackedBuf) -> Migrated {
    migrate_on(&ENGINE, what, OLD, states)
}

/// Asserts that a migration fails for every state and leaves the states unchanged.
#[track_caller]
fn assert_migrates_nothing(what: &str, wrong: &str) {
    let old = states([b"1", b"20"]);
    let expected = Migrated { states: old.clone(), failed: all_rows(2, &Fault::InvalidResult(wrong.to_owned())) };
    assert_eq!(migrate(what, &old), expected);
    assert_unharmed(&ENGINE);
}

/// The states of `best-output` for one final message in each race, and for a racer without any.
fn best_output(races: &[i64]) -> PackedBuf {
    let best_output = plugin(&ENGINE, "best-output").aggregator(&Settings::new()).unwrap();
    let event: PackedBuf = races.iter().map(|_| &b"final"[..]).collect();
    let columns = [Column::Texts(event.as_packed()), Column::Integers(races), Column::Integers(races)];
    let scores: Vec<_> = races.iter().map(|&race| race as f64).collect();
    let groups: Vec<_> = (0..races.len() as u32).collect();
    let before: PackedBuf = (0..=races.len()).map(|_| &b""[..]).collect();
    let folded = best_output.session().fold(&columns, &scores, &groups, before.as_packed()).unwrap();
    assert_eq!(folded.failed, []);
    folded.states
}

#[test]
fn an_aggregator_names_its_state_format_and_those_that_it_migrates_from() {
    require_plugins!();
    let settings = Settings::new();
    let best_output = plugin(&ENGINE, "best-output").aggregator(&settings).unwrap();
    assert_eq!((best_output.state_format(), best_output.migrates_from()), ("best-output/1", &[][..]));
    assert!(best_output.takes("best-output/1") && !best_output.takes("evil-migration/1"));
    let successor = plugin(&ENGINE, "evil-migration").aggregator(&settings).unwrap();
    assert_eq!(
        (successor.state_format(), successor.migrates_from()),
        ("evil-migration/1", &["best-output/1".to_owned()][..])
    );
    assert!(
        successor.takes("best-output/1") && successor.takes("evil-migration/1") && !successor.takes("best-output/2")
    );
}

#[test]
fn an_aggregator_goes_on_with_the_migrated_states_of_another_one() {
    require_plugins!();
    let successor = plugin(&ENGINE, "evil-migration").aggregator(&Settings::new()).unwrap();
    let mut session = successor.session();
    let Migrated { states, failed } = session.migrate("best-output/1", best_output(&[7, 8]).as_packed()).unwrap();
    assert_eq!(failed, []);
    let event: PackedBuf = [&b"final"[..]; 3].into_iter().collect();
    let columns = [Column::Texts(event.as_packed()), Column::Integers(&[1, 2, 3])];
    let folded = session.fold(&columns, &[100.0, 1.0, 3.0], &[0, 1, 2], states.as_packed()).unwrap();
    assert_eq!(folded.failed, []);
    let finished = session.finish(folded.states.as_packed()).unwrap();
    let [ColumnBuf::Numbers(outputs), ColumnBuf::Integers(races), ColumnBuf::Integers(finals)] = &finished.columns[..]
    else {
        panic!("{finished:?}");
    };
    assert_eq!((&outputs[..], &races[..], &finals[..]), (&[100.0, 8.0, 3.0][..], &[1, 8, 3][..], &[2, 2, 1][..]));
}

#[test]
fn a_state_that_cannot_be_migrated_fails_alone_and_stays_as_it_was() {
    require_plugins!();
    let successor =
        plugin(&ENGINE, "evil-migration").aggregator(&[("victim".to_owned(), "9".to_owned())].into()).unwrap();
    let old = best_output(&[7, 8, 9, 10]);
    let migrated = successor.session().migrate("best-output/1", old.as_packed()).unwrap();
    assert_eq!(migrated.failed, [(2, Fault::Failed("race 9 is the victim".to_owned()))]);
    assert_eq!(migrated.states.as_packed().get(2), old.as_packed().get(2));
    let left: Vec<_> = migrated.failed.iter().map(|(state, _)| *state).collect();
    let finished = successor.session().finish(migrated.states.as_packed()).unwrap();
    assert_eq!(finished.failed.iter().map(|(state, _)| *state).collect::<Vec<_>>(), left);
}

#[test]
fn a_state_of_another_format_is_refused_by_the_plugin_too() {
    require_plugins!();
    let successor = plugin(&ENGINE, "evil-migration").aggregator(&Settings::new()).unwrap();
    let old = best_output(&[7]);
    let finished = successor.session().finish(old.as_packed()).unwrap();
    let wrong =
        format!("a state of {} bytes is not of the state format `evil-migration/1`", old.as_packed().get(0).len());
    assert_eq!(finished.failed[0], (0, Fault::Failed(wrong)));
}

#[test]
fn states_of_its_own_format_are_returned_as_they_are() {
    require_plugins!();
    let own = states([&[1], &[66], &[]]);
    let migrated = migrate_on(&ENGINE, "migrate-trap", "evil-aggregator/2", &own);
    assert_eq!(migrated, Migrated { states: own, failed: vec![] });
}

#[test]
fn states_of_a_format_that_it_does_not_take_all_fail_without_a_call() {
    require_plugins!();
    let foreign = states([b"1", b"2"]);
    let migrated = migrate_on(&ENGINE, "migrate-trap", "evil-aggregator/3", &foreign);
    let fault = Fault::StateFormat("evil-aggregator/3".to_owned());
    assert_eq!(fault.to_string(), "the plugin can't read states of the format `evil-aggregator/3`");
    assert_eq!(migrated, Migrated { states: foreign, failed: all_rows(2, &fault) });
}

#[test]
fn no_states_are_migrated_without_a_call() {
    require_plugins!();
    assert_eq!(migrate("migrate-trap", &PackedBuf::default()), Migrated::default());
}

#[test]
fn a_migration_that_traps_fails_its_state_alone_and_the_others_are_migrated() {
    require_plugins!();
    for victim in [0, 17, 98] {
        let old: PackedBuf = (0..99).map(|state| if state == victim { &b"66"[..] } else { b"12" }).collect();
        let migrated = migrate("migrate-trap-on-state", &old);
        assert_eq!(migrated.states, (0..99).map(|state| if state == victim { &b"66"[..] } else { &[12] }).collect());
        let [(state, fault)] = migrated.failed.as_slice() else { panic!("{:?}", migrated.failed) };
        assert_eq!(*state, victim);
        assert_panicked(fault);
    }
    assert_unharmed(&ENGINE);
}

#[test]
fn an_error_of_a_migration_fails_its_state_alone_with_its_text() {
    require_plugins!();
    let old = states([b"1", b"one", b"", b"3"]);
    let migrated = migrate("nothing", &old);
    let fault = Fault::Failed("the state is `one`: invalid digit found in string".to_owned());
    assert_eq!(migrated, Migrated { states: states([&[1], b"one", &[], &[3]]), failed: vec![(1, fault)] });
}

#[test]
fn state_bytes_limit_holds_for_migrated_states_too() {
    require_plugins!();
    let migrated = migrate_on(&UNFUELLED, "migrate-huge-state", OLD, &states([b"1", b"66", b"2"]));
    let fault = Fault::InvalidResult("a state of 1048576 bytes; 262144 are allowed (limit `state-bytes`)".to_owned());
    assert_eq!(migrated, Migrated { states: states([&[1], b"66", &[2]]), failed: vec![(1, fault)] });
}

#[test]
fn a_missing_migrated_state_fails_every_state() {
    require_plugins!();
    assert_migrates_nothing("migrate-missing", "states with 0 values, not 1");
}

#[test]
fn migrated_states_that_end_beyond_tsuccessor_bytes_fail_every_state() {
    require_plugins!();
    assert_migrates_nothing("migrate-ends-beyond", "states with ends up to 4294967295 for 0 bytes");
}
