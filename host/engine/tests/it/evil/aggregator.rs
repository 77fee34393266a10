//! Aggregators that return invalid states or columns. Here a state is one byte: the number of rows in its group.

use paceline_engine::{Aggregator, ColumnBuf, Engine, Fault, Finished, Folded, Merged, PackedBuf, limits};

use super::{ENGINE, Efforts, UNFUELLED, all_rows, assert_panicked, assert_unharmed, deed, plugin};
use crate::plugins::require_plugins;

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

/// The states after a fold of this many rows, except for one.
fn after(rows: usize, except: Option<usize>) -> PackedBuf {
    let mut counts = [10, 20, 0];
    (0..rows).filter(|&row| Some(row) != except).for_each(|row| counts[row % GROUPS] += 1);
    states([&[counts[0]], &[counts[1]], &[counts[2]]])
}

fn fold(engine: &Engine, what: &str, efforts: &Efforts) -> Folded {
    let groups: Vec<_> = (0..efforts.rows()).map(|row| (row % GROUPS) as u32).collect();
    let aggregator = aggregator(engine, what);
    aggregator.session().fold(&efforts.cadence(), &efforts.scores(), &groups, before().as_packed()).unwrap()
}

/// Asserts that a fold fails for every row and leaves the states unchanged.
#[track_caller]
fn assert_folds_nothing(what: &str, wrong: &str) {
    let expected = Folded { states: before(), failed: all_rows(6, &Fault::InvalidResult(wrong.to_owned())) };
    assert_eq!(fold(&ENGINE, what, &Efforts::new(6)), expected);
    assert_eq!(fold(&ENGINE, "nothing", &Efforts::new(6)), Folded { states: after(6, None), failed: vec![] });
    assert_unharmed(&ENGINE);
}

fn merge_on(engine: &Engine, what: &str, left: &PackedBuf, right: &PackedBuf) -> Merged {
    aggregator(engine, what).session().merge(left.as_packed(), right.as_packed()).unwrap()
}

fn merge(what: &str, left: &PackedBuf, right: &PackedBuf) -> Merged {
    merge_on(&ENGINE, what, left, right)
}

fn finish(what: &str) -> Finished {
    aggregator(&ENGINE, what).session().finish(states([&[1], &[2], &[]]).as_packed()).unwrap()
}

/// Asserts that `finish` fails for every group, and that the columns stay aligned with the groups.
#[track_caller]
fn assert_finishes_nothing(what: &str, wrong: &str) {
    let fault = Fault::InvalidResult(wrong.to_owned());
    let expected = Finished { columns: vec![ColumnBuf::Integers(vec![0; 3])], failed: all_rows(3, &fault) };
    assert_eq!(finish(what), expected);
    let right = Finished { columns: vec![ColumnBuf::Integers(vec![1, 2, 0])], failed: vec![] };
    assert_eq!(finish("nothing"), right);
    assert_unharmed(&ENGINE);
}

#[test]
fn calls_per_batch_limit_violated_ends_the_calls_of_a_fold_that_spins() {
    require_plugins!();
    let efforts = Efforts::new(2_000);
    let groups: Vec<_> = (0..efforts.rows()).map(|row| (row % GROUPS) as u32).collect();
    let spins = aggregator(&ENGINE, "spin");
    let mut session = spins.session();
    let folded = session.fold(&efforts.cadence(), &efforts.scores(), &groups, before().as_packed()).unwrap();
    assert_eq!((folded.states, folded.failed.len()), (before(), 2_000));
    assert_eq!(folded.failed.last().unwrap().1, Fault::Budget(limits::CALLS_PER_BATCH));
    // Rows and states together, and the bytes of the states.
    let all = ENGINE.limits().fuel_of(2_000 + GROUPS, 2);
    let (fuel, calls) = (session.usage().fuel, session.usage().calls);
    assert!(fuel <= u64::from(limits::CALLS_PER_BATCH) * all, "{fuel}");
    // Without the limit they are 3,999.
    assert!(calls < 400, "{calls}");
    assert_unharmed(&ENGINE);
}

#[test]
fn a_trap_fails_its_row_alone_and_the_others_are_folded() {
    require_plugins!();
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
    require_plugins!();
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
fn state_bytes_limit_violated_names_it_and_fails_that_row_alone() {
    require_plugins!();
    let folded = fold(&UNFUELLED, "huge-state", &Efforts::with_victim(99, 64));
    let fault = Fault::InvalidResult("a state of 1048576 bytes; 262144 are allowed (limit `state-bytes`)".to_owned());
    assert_eq!(folded, Folded { states: after(99, Some(64)), failed: vec![(64, fault)] });
    assert_unharmed(&UNFUELLED);
}

/// A fold of one row into each of these many states of so many bytes.
fn fold_large(what: &str, groups: usize, bytes: usize) -> (Folded, PackedBuf, u64) {
    let state = vec![7; bytes];
    let before: PackedBuf = (0..groups).map(|_| state.as_slice()).collect();
    let (efforts, indexes) = (Efforts::new(groups), (0..groups as u32).collect::<Vec<_>>());
    let aggregator = aggregator(&ENGINE, what);
    let mut session = aggregator.session();
    let folded = session.fold(&efforts.cadence(), &efforts.scores(), &indexes, before.as_packed()).unwrap();
    let calls = session.usage().calls;
    (folded, before, calls)
}

#[test]
fn large_states_get_fuel_by_their_bytes() {
    require_plugins!();
    let (folded, before, calls) = fold_large("read-state", 300, 4_000);
    assert_eq!((folded.failed, calls), (vec![], 1));
    let read: Vec<Vec<u8>> = before.as_packed().iter().map(|state| [&[8], &state[1..]].concat()).collect();
    assert_eq!(folded.states, read.iter().map(Vec::as_slice).collect());
}

#[test]
fn states_that_are_larger_together_than_a_call_may_return_are_folded_by_several_calls() {
    require_plugins!();
    let (folded, before, calls) = fold_large("keep-state", 100, 200_000);
    assert_eq!((folded.failed, calls), (vec![], 3));
    assert_eq!(folded.states, before);
}

/// A fold of rows that take turns into the groups with these states. By the deed a state is a list: the cadences of its
/// group, each less 100.
fn fold_in_turns(efforts: &Efforts, before: &PackedBuf) -> (Folded, u64) {
    let groups: Vec<u32> = (0..efforts.rows() as u32).map(|row| row % before.ends.len() as u32).collect();
    let aggregator = aggregator(&ENGINE, "list-and-trap-on-row");
    let mut session = aggregator.session();
    let folded = session.fold(&efforts.cadence(), &efforts.scores(), &groups, before.as_packed()).unwrap();
    let calls = session.usage().calls;
    (folded, calls)
}

#[test]
fn large_states_are_passed_once_whatever_the_order_of_their_rows() {
    require_plugins!();
    const LARGE: usize = 100;
    let before: PackedBuf = (0..LARGE).map(|_| &[7; 200_000][..]).collect();
    let mut efforts = Efforts::new(10_000);
    // The cadences of a group's rows tell their order.
    (0..).zip(&mut efforts.cadence).for_each(|(row, cadence)| *cadence = 100.0 + f64::from(row / LARGE as u32));
    let (folded, calls) = fold_in_turns(&efforts, &before);
    assert_eq!((folded.failed.len(), calls), (0, 3), "{:?}", folded.failed.first());
    let list: Vec<u8> = [7; 200_000].into_iter().chain(0..100).collect();
    assert!(folded.states.ends.len() == LARGE && folded.states.as_packed().iter().all(|state| state == list));

    let victim = 6_543;
    efforts.cadence[victim] = 66.0;
    let (folded, calls) = fold_in_turns(&efforts, &before);
    assert_eq!(folded.failed.iter().map(|(row, _)| *row as usize).collect::<Vec<_>>(), [victim]);
    let without: Vec<u8> = list.iter().copied().filter(|&second| second != (victim / LARGE) as u8).collect();
    let expected = |group: usize| if group == victim % LARGE { &without } else { &list };
    assert!(folded.states.as_packed().iter().enumerate().all(|(group, state)| state == expected(group)));
    assert!(calls <= 30, "{calls}");
}

#[test]
fn a_missing_state_fails_every_row_and_no_state_changes() {
    require_plugins!();
    assert_folds_nothing("state-missing", "states with 0 values, not 1");
}

#[test]
fn states_whose_ends_decrease_fail_every_row() {
    require_plugins!();
    // A call for one row is given one state.
    assert_folds_nothing("ends-decrease", "states with 0 values, not 1");
}

#[test]
fn states_that_end_beyond_their_bytes_fail_every_row() {
    require_plugins!();
    assert_folds_nothing("ends-beyond", "states with ends up to 4294967295 for 0 bytes");
}

#[test]
fn a_missing_merged_state_fails_every_pair() {
    require_plugins!();
    let (left, right) = (states([&[1], &[2]]), states([&[3], &[4]]));
    let fault = Fault::InvalidResult("states with 0 values, not 1".to_owned());
    let expected = Merged { states: left.clone(), failed: all_rows(2, &fault) };
    assert_eq!(merge("merge-missing", &left, &right), expected);
    let expected = Merged { states: states([&[4], &[6]]), failed: vec![] };
    assert_eq!(merge("nothing", &left, &right), expected);
    assert_unharmed(&ENGINE);
}

#[test]
fn a_merge_that_traps_fails_its_pair_alone_and_the_others_are_merged() {
    require_plugins!();
    for victim in [0, 17, 98] {
        let left: PackedBuf = (0..99).map(|pair| if pair == victim { &[66][..] } else { &[1] }).collect();
        let right: PackedBuf = (0..99).map(|_| &[2][..]).collect();
        let merged = merge("merge-trap-on-pair", &left, &right);
        // A pair that fails keeps its left state.
        assert_eq!(merged.states, (0..99).map(|pair| if pair == victim { &[66][..] } else { &[3] }).collect());
        let [(pair, fault)] = merged.failed.as_slice() else { panic!("{:?}", merged.failed) };
        assert_eq!(*pair, victim);
        assert_panicked(fault);
    }
    assert_unharmed(&ENGINE);
}

#[test]
fn state_bytes_limit_holds_for_merged_states_too() {
    require_plugins!();
    let (left, right) = (states([&[1], &[66], &[2]]), states([&[3], &[4], &[5]]));
    let merged = merge_on(&UNFUELLED, "merge-huge-state", &left, &right);
    let fault = Fault::InvalidResult("a state of 1048576 bytes; 262144 are allowed (limit `state-bytes`)".to_owned());
    assert_eq!(merged, Merged { states: states([&[4], &[66], &[7]]), failed: vec![(1, fault)] });
}

#[test]
fn no_pairs_are_merged_without_a_call() {
    require_plugins!();
    let none = PackedBuf::default();
    assert_eq!(merge("merge-trap", &none, &none), Merged::default());
}

#[test]
fn a_session_works_after_a_merge_that_traps() {
    require_plugins!();
    let aggregator = aggregator(&ENGINE, "merge-trap");
    let mut session = aggregator.session();
    let left = states([&[1], &[2]]);
    let merged = session.merge(left.as_packed(), left.as_packed()).unwrap();
    assert_eq!(merged.states, left);
    assert_eq!(merged.failed.len(), 2);
    merged.failed.iter().for_each(|(_, fault)| assert_panicked(fault));
    assert_eq!(session.finish(left.as_packed()).unwrap().columns, [ColumnBuf::Integers(vec![1, 2])]);
}

#[test]
fn a_column_that_is_too_long_fails_every_group() {
    require_plugins!();
    assert_finishes_nothing("finish-too-long", "the column of the output `count` has 2 values, not 1");
}

#[test]
fn a_column_of_another_kind_fails_every_group() {
    require_plugins!();
    assert_finishes_nothing("finish-another-kind", "the column of the output `count` has kind number, not integer");
}

#[test]
fn a_missing_column_fails_every_group() {
    require_plugins!();
    assert_finishes_nothing("finish-nothing", "0 columns for 1 outputs");
}
