//! Aggregators whose states or columns can't be. The states here are one byte: how many rows their group has.

use paceline_engine::plugin::{Finished, Folded};
use paceline_engine::{Aggregator, ColumnBuf, Engine, Fault, PackedBuf};

use crate::{ENGINE, Efforts, UNFUELLED, all_rows, assert_panicked, assert_unharmed, deed, plugin};

const GROUPS: usize = 3;

fn aggregator(engine: &Engine, what: &str) -> Aggregator {
    plugin(engine, "evil-aggregator").aggregator(&deed(what)).unwrap()
}

fn states<const N: usize>(states: [&[u8]; N]) -> PackedBuf {
    states.into_iter().collect()
}

/// The states before a fold: the last group is a new one.
fn before() -> PackedBuf {
    states([&[10], &[20], &[]])
}

/// The states after a fold of this many rows but for one.
fn after(rows: usize, but: Option<usize>) -> PackedBuf {
    let mut counts = [10, 20, 0];
    (0..rows).filter(|&row| Some(row) != but).for_each(|row| counts[row % GROUPS] += 1);
    states([&[counts[0]], &[counts[1]], &[counts[2]]])
}

fn fold(engine: &Engine, what: &str, efforts: &Efforts) -> Folded {
    let groups: Vec<_> = (0..efforts.rows()).map(|row| (row % GROUPS) as u32).collect();
    let aggregator = aggregator(engine, what);
    aggregator.session().fold(&efforts.cadence(), &efforts.scores(), &groups, before().as_packed()).unwrap()
}

/// Asserts that a fold fails for every row, and leaves the states as they were.
#[track_caller]
fn assert_folds_nothing(what: &str, wrong: &str) {
    let expected = Folded { states: before(), failed: all_rows(6, &Fault::BadAnswer(wrong.to_owned())) };
    assert_eq!(fold(&ENGINE, what, &Efforts::new(6)), expected);
    assert_eq!(fold(&ENGINE, "nothing", &Efforts::new(6)), Folded { states: after(6, None), failed: vec![] });
    assert_unharmed(&ENGINE);
}

fn finish(what: &str) -> Finished {
    aggregator(&ENGINE, what).session().finish(states([&[1], &[2], &[]]).as_packed()).unwrap()
}

/// Asserts that a `finish` fails for every group, and that the columns stay aligned with the groups.
#[track_caller]
fn assert_finishes_nothing(what: &str, wrong: &str) {
    let fault = Fault::BadAnswer(wrong.to_owned());
    let expected = Finished { columns: vec![ColumnBuf::Integers(vec![0; 3])], failed: all_rows(3, &fault) };
    assert_eq!(finish(what), expected);
    let right = Finished { columns: vec![ColumnBuf::Integers(vec![1, 2, 0])], failed: vec![] };
    assert_eq!(finish("nothing"), right);
    assert_unharmed(&ENGINE);
}

#[test]
fn a_trap_fails_its_row_alone_and_the_others_are_folded() {
    for victim in [0, 17, 98] {
        let folded = fold(&ENGINE, "trap-on-row", &Efforts::with_victim(99, victim));
        assert_eq!(folded.states, after(99, Some(victim)));
        let [(row, fault)] = folded.failed.as_slice() else { panic!("{:?}", folded.failed) };
        assert_eq!(*row as usize, victim);
        assert_panicked(fault);
    }
    assert_unharmed(&ENGINE);
}

#[test]
fn around_a_row_that_traps_the_others_are_folded_in_order() {
    for victim in [0, 13, 29] {
        // Here a state is a list: the cadences of its group, each less 100.
        let folded = fold(&ENGINE, "list-and-trap-on-row", &Efforts::with_victim(30, victim));
        let mut lists = [vec![10], vec![20], vec![]];
        (0..30).filter(|&row| row != victim).for_each(|row| lists[row % GROUPS].push(row as u8));
        assert_eq!(folded.states, lists.iter().map(Vec::as_slice).collect());
        assert_eq!(folded.failed.iter().map(|(row, _)| *row as usize).collect::<Vec<_>>(), [victim]);
    }
}

#[test]
fn state_bytes_bound_violated_names_it_and_fails_that_row_alone() {
    let folded = fold(&UNFUELLED, "huge-state", &Efforts::with_victim(99, 64));
    let fault = Fault::BadAnswer("a state of 1048576 bytes, 262144 are allowed (bound `state-bytes`)".to_owned());
    assert_eq!(folded, Folded { states: after(99, Some(64)), failed: vec![(64, fault)] });
    assert_unharmed(&UNFUELLED);
}

#[test]
fn a_state_too_few_fails_the_rows_and_no_state_changes() {
    assert_folds_nothing("state-missing", "states with 2 values, not 3");
}

#[test]
fn states_whose_ends_decrease_are_not_taken_over() {
    assert_folds_nothing("ends-decrease", "states with ends that decrease");
}

#[test]
fn states_that_end_beyond_their_bytes_are_not_taken_over() {
    assert_folds_nothing("ends-beyond", "states with ends up to 4294967295 for 0 bytes");
}

#[test]
fn a_merge_that_gives_a_state_too_few_joins_none() {
    let (left, right) = (states([&[1], &[2]]), states([&[3], &[4]]));
    let joined = aggregator(&ENGINE, "merge-missing").session().merge(left.as_packed(), right.as_packed()).unwrap();
    assert_eq!(joined, Err(Fault::BadAnswer("states with 1 values, not 2".to_owned())));
    let joined = aggregator(&ENGINE, "nothing").session().merge(left.as_packed(), right.as_packed()).unwrap();
    assert_eq!(joined, Ok(states([&[4], &[6]])));
}

#[test]
fn a_merge_that_traps_joins_none_and_the_session_goes_on() {
    let aggregator = aggregator(&ENGINE, "merge-trap");
    let mut session = aggregator.session();
    let left = states([&[1], &[2]]);
    assert_panicked(&session.merge(left.as_packed(), left.as_packed()).unwrap().unwrap_err());
    assert_eq!(session.finish(left.as_packed()).unwrap().columns, [ColumnBuf::Integers(vec![1, 2])]);
}

#[test]
fn a_column_too_long_fails_every_group() {
    assert_finishes_nothing("finish-too-long", "for the output `count` 2 values, not 1");
}

#[test]
fn a_column_of_another_kind_fails_every_group() {
    assert_finishes_nothing("finish-another-kind", "for the output `count` a column of kind number, not integer");
}

#[test]
fn no_column_at_all_fails_every_group() {
    assert_finishes_nothing("finish-nothing", "0 columns for 1 outputs");
}
