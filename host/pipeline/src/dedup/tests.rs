use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn position(sequence: u64) -> RecordPosition {
    RecordPosition { sequence: sequence.into(), sub_sequence: 0 }
}

#[test]
fn positions_are_kept_by_shard() {
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    let is_new = |dedup: &LastPositions, shard: &str, position| dedup.find(shard, position, None) == Sequenced::New;
    let mut dedup = LastPositions::default();
    assert!(is_new(&dedup, "a", position(0)));
    dedup.record(&b, position(7), None);
    dedup.record(&a, position(5), None);
    dedup.record(&a, position(3), None);
    assert!(!is_new(&dedup, "a", position(5)));
    assert!(is_new(&dedup, "a", RecordPosition { sub_sequence: 1, ..position(5) }));
    assert!(is_new(&dedup, "a", position(6)));
    assert!(!is_new(&dedup, "b", position(7)));
}

#[test]
fn a_record_that_arrived_after_the_last_one_and_is_before_it_is_of_another_stream() {
    let a: Arc<str> = "a".into();
    let mut dedup = LastPositions::default();
    dedup.record(&a, position(5), Some(60_000));
    dedup.record(&a, position(4), Some(90_000));
    for (at, arrival_ms, found) in [
        (5, Some(60_000), Sequenced::Duplicate),
        (3, Some(59_000), Sequenced::Duplicate),
        (3, Some(62_000), Sequenced::Duplicate),
        (3, Some(62_001), Sequenced::OtherStream),
        (5, Some(70_000), Sequenced::OtherStream),
        (3, None, Sequenced::Duplicate),
        (6, Some(1), Sequenced::New),
        (6, Some(70_000), Sequenced::New),
    ] {
        assert_eq!(dedup.find("a", position(at), arrival_ms), found, "{at} {arrival_ms:?}");
    }
    dedup.record(&a, position(6), None);
    assert_eq!(dedup.find("a", position(3), Some(90_000)), Sequenced::Duplicate, "without a time nothing is known");
}

#[test]
fn shards_of_which_nothing_can_come_again_are_dropped() {
    let shards: Vec<Arc<str>> = ["a", "b", "c", "d"].map(Arc::from).to_vec();
    let mut dedup = DedupState::Sequence(LastPositions::default());
    let mut write = |shard: &Arc<str>, day| {
        let DedupState::Sequence(positions) = &mut dedup else { unreachable!() };
        positions.record(shard, position(u64::from(day)), None);
        dedup.note_write(shard, day);
        let DedupState::Sequence(positions) = &dedup else { unreachable!() };
        shards
            .iter()
            .filter(|shard| positions.find(shard, position(0), None) == Sequenced::Duplicate)
            .map(|shard| &**shard)
            .collect::<String>()
    };
    assert_eq!(write(&shards[0], 1), "a");
    assert_eq!(write(&shards[1], 20), "ab");
    assert_eq!(write(&shards[2], 1 + LONGEST_RETENTION_DAYS), "abc");
    assert_eq!(write(&shards[3], 2 + LONGEST_RETENTION_DAYS), "bcd");
    assert_eq!(write(&shards[3], 3 * LONGEST_RETENTION_DAYS), "d");
}

#[test]
fn redriven_records_are_known_in_whatever_order() {
    let redrive: Arc<str> = REDRIVE_SHARD.into();
    let mut dedup = LastPositions::default();
    for sequence in [7, 2, 5] {
        assert_eq!(dedup.find(&redrive, position(sequence), Some(1)), Sequenced::New);
        dedup.record(&redrive, position(sequence), Some(1));
        assert_eq!(dedup.find(&redrive, position(sequence), Some(99_999)), Sequenced::Duplicate);
    }
    assert_eq!(dedup.find(&redrive, position(6), Some(1)), Sequenced::New);
    assert_eq!(dedup.find("shard", position(5), Some(1)), Sequenced::New);
}

#[test]
fn redriven_records_that_are_never_adjacent_are_bounded_and_older_ones_are_not_known() {
    let redrive: Arc<str> = REDRIVE_SHARD.into();
    let mut dedup = LastPositions::default();
    // Every second letter is of another group.
    let sequences = |from: u64| (from..).step_by(2);
    for sequence in sequences(1).take(MAX_RUNS + 10) {
        assert_eq!(dedup.find(&redrive, position(sequence), None), Sequenced::New);
        dedup.record(&redrive, position(sequence), None);
    }
    assert_eq!(dedup.redriven.runs().len(), MAX_RUNS);
    assert!(DedupState::Sequence(dedup.clone()).to_bytes().len() < 12 * MAX_RUNS);
    for sequence in sequences(1).take(10).chain([18]) {
        assert_eq!(dedup.find(&redrive, position(sequence), None), Sequenced::Unknown, "{sequence}");
    }
    assert_eq!(dedup.find(&redrive, position(21), None), Sequenced::Duplicate);
    assert_eq!(dedup.find(&redrive, position(22), None), Sequenced::New);
}

#[test]
fn consecutive_ordinals_are_one_run_in_whatever_order() {
    let mut set = OrdinalSet::default();
    assert!([3, 1, 2, 5, 4].into_iter().all(|ordinal| set.insert(ordinal)));
    assert_eq!(set.runs(), [(1, 5)]);
    assert!(!set.insert(3));
}

#[test]
fn the_ends_of_the_range_do_not_wrap() {
    let mut set = OrdinalSet::default();
    for ordinal in [i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
        assert!(set.insert(ordinal) && !set.insert(ordinal) && set.contains(ordinal));
    }
    assert_eq!(set.runs(), [(i64::MIN, i64::MIN + 1), (i64::MAX - 1, i64::MAX)]);
}

#[test]
fn a_set_of_ordinals_that_are_never_adjacent_is_bounded_and_says_what_it_does_not_know() {
    let mut set = OrdinalSet::default();
    let ordinals = |from: i64| (from..).step_by(2);
    assert!(ordinals(0).take(MAX_RUNS + 10).all(|ordinal| set.admit(ordinal) == Admission::New));
    assert_eq!((set.runs().len(), set.runs()[0]), (MAX_RUNS, (20, 20)));
    assert!(ordinals(0).take(10).all(|ordinal| set.admit(ordinal) == Admission::Unknown));
    assert_eq!((set.admit(17), set.admit(19), set.admit(20)), (Admission::Unknown, Admission::New, Admission::Held));
    // Adjacent ones take no room.
    let mut seconds = OrdinalSet::default();
    assert!((0..10 * MAX_RUNS as i64).all(|second| seconds.admit(second) == Admission::New));
    assert_eq!(seconds.admit(0), Admission::Held);
}

#[test]
fn a_state_in_another_form_than_it_is_written_in_is_refused() {
    let ordinals = |runs: &[(i64, i64)], horizon| DedupState::Ordinal(OrdinalSet { runs: runs.into(), horizon });
    let positions = |shards: &[&str]| {
        let last =
            |shard: &&str| LastOfShard { shard: Arc::from(*shard), position: position(1), arrival_ms: Some(7), day: 9 };
        let shards = shards.iter().map(last).collect();
        DedupState::Sequence(LastPositions { shards, redriven: OrdinalSet::default() })
    };
    for state in [
        ordinals(&[(1, 2), (4, 4)], Some(0)),
        ordinals(&[(i64::MIN, i64::MAX)], None),
        ordinals(&[], Some(7)),
        positions(&["a", "b"]),
    ] {
        assert_eq!(DedupState::from_bytes(&state.to_bytes()), Ok(state));
    }
    for state in [
        ordinals(&[(2, 1)], None),
        ordinals(&[(4, 4), (1, 2)], None),
        ordinals(&[(1, 2), (3, 4)], None),
        ordinals(&[(1, 2)], Some(1)),
        positions(&["b", "a"]),
        positions(&["a", "a"]),
    ] {
        assert!(DedupState::from_bytes(&state.to_bytes()).is_err(), "{state:?}");
    }
}

proptest! {
    /// The laws of a set, and one form for each set.
    #[test]
    fn an_ordinal_set_is_a_set(ordinals in prop::collection::vec(-30..30_i64, 0..80)) {
        let (mut set, mut model) = (OrdinalSet::default(), BTreeSet::new());
        for &ordinal in &ordinals {
            prop_assert_eq!(set.insert(ordinal), model.insert(ordinal));
        }
        for ordinal in -31..31 {
            prop_assert_eq!(set.contains(ordinal), model.contains(&ordinal));
        }
        let mut sorted = OrdinalSet::default();
        model.iter().for_each(|&ordinal| assert!(sorted.insert(ordinal)));
        prop_assert_eq!(set, sorted);
    }

    /// Whatever is delivered again after a crash, each record is new exactly once.
    #[test]
    fn each_record_is_new_once(
        records in prop::collection::vec((0..3_usize, 0..4_u64), 1..40),
        crashes in prop::collection::vec(0..40_usize, 0..6),
    ) {
        let shards: Vec<Arc<str>> = ["x", "y", "z"].map(Arc::from).to_vec();
        // Each shard's records are in order; the draw says from which shard the next one comes.
        let mut next = [0_u64; 3];
        let stream: Vec<_> = records.iter().map(|&(shard, gap)| {
            next[shard] += gap + 1;
            (shard, position(next[shard]))
        }).collect();
        let (mut dedup, mut folded) = (LastPositions::default(), Vec::new());
        // A crash loses what came after some moment; then everything is delivered again from the start.
        for end in crashes.into_iter().map(|end| end.min(stream.len())).chain([stream.len()]) {
            for &(shard, position) in &stream[..end] {
                if dedup.find(&shards[shard], position, None) == Sequenced::New {
                    dedup.record(&shards[shard], position, None);
                    folded.push((shard, position));
                }
            }
        }
        folded.sort_unstable();
        let mut all = stream;
        all.sort_unstable();
        prop_assert_eq!(folded, all);
    }
}
