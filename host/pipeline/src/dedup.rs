//! Dedup: which records are folded into a group already.
//!
//! Delivery is at least once: after a crash or a time-out the same records are delivered again. Each group's item carries
//! its dedup state beside the aggregator's state. Both are one write, so they can't disagree.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::model::{REDRIVE_SHARD, RecordPosition};

/// Which records are folded into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DedupState {
    /// The last position folded, by shard. Correct if a group's records arrive in order from each shard.
    Sequence(LastPositions),
    /// The set of ordinals folded. Always correct: records may be out of order, sent twice, or spread over shards.
    Ordinal(OrdinalSet),
}

/// The bytes are not a dedup state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dedup state can't be decoded: {0}")]
pub struct NotADedupState(String);

impl DedupState {
    /// The bytes that an item keeps.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a dedup state can always be encoded")
    }

    /// Decodes the bytes of an item. What it holds in another form than it is written in would not be found there, so that
    /// records would count twice: it is an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotADedupState> {
        postcard::from_bytes(bytes).map_err(|error| NotADedupState(error.to_string()))
    }

    /// About what it takes in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let runs = |set: &OrdinalSet| size_of_val(&*set.runs);
        match self {
            Self::Sequence(positions) => {
                let names: usize = positions.shards.iter().map(|last| last.shard.len()).sum();
                size_of_val(&*positions.shards) + names + runs(&positions.redriven)
            }
            Self::Ordinal(ordinals) => runs(ordinals),
        }
    }

    /// Notes that records of a shard are written on this day. Shards of which no record can come any more are dropped: each
    /// split and each merge of the stream would let the item grow otherwise.
    pub(crate) fn note_write(&mut self, shard: &str, day: u32) {
        if let Self::Sequence(positions) = self
            && let Ok(at) = positions.index(shard)
            && positions.shards[at].day != day
        {
            positions.shards[at].day = day;
            positions.shards.retain(|last| last.day.saturating_add(LONGEST_RETENTION_DAYS) >= day);
        }
    }
}

/// Records of a shard arrive in the order of their positions. Their arrival times are approximate: by so many
/// milliseconds, at most, may one be later than that of a record after it.
const ARRIVAL_TOLERANCE_MS: i64 = 2_000;

/// What the last positions tell of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequenced {
    /// It is not folded.
    New,
    /// It is folded.
    Duplicate,
    /// It was redriven so much later than others that it is not known whether it is folded.
    Unknown,
    /// Its position is not after the last one, and yet it arrived after it: it is of another stream. A stream that is
    /// deleted and created again has the same names and other sequence numbers.
    OtherStream,
}

/// The last position folded, by shard, and the redriven records folded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedPositions")]
pub struct LastPositions {
    /// Ordered by the shards' names.
    shards: Vec<LastOfShard>,
    /// By redrive sequence. They are a set, because redrives have no order: they overlap, are killed, and go on with other
    /// letters. It is bounded as the ordinals of a group are.
    redriven: OrdinalSet,
}

/// The last record of a shard that is folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LastOfShard {
    shard: Arc<str>,
    position: RecordPosition,
    /// When it arrived, in milliseconds since 1970.
    arrival_ms: Option<i64>,
    /// The day of the last write with records of the shard, counted from 1970.
    day: u32,
}

/// Days after which no stream has a record any more: Kinesis's longest retention. Until then a record may come again.
pub const LONGEST_RETENTION_DAYS: u32 = 366;

/// The day of a time since 1970, counted from 1970.
pub(crate) fn day_of(since_epoch: Duration) -> u32 {
    u32::try_from(since_epoch.as_secs() / 86_400).unwrap_or(u32::MAX)
}

/// Positions as they are stored. Shards in another order would not be found.
#[derive(Deserialize)]
struct UncheckedPositions {
    shards: Vec<LastOfShard>,
    redriven: OrdinalSet,
}

impl TryFrom<UncheckedPositions> for LastPositions {
    type Error = &'static str;

    fn try_from(UncheckedPositions { shards, redriven }: UncheckedPositions) -> Result<Self, &'static str> {
        match shards.is_sorted_by(|one, other| one.shard < other.shard) {
            true => Ok(Self { shards, redriven }),
            false => Err("the shards of a dedup state are not in order"),
        }
    }
}

impl LastPositions {
    /// What they tell of a record at this position that arrived then.
    pub fn find(&self, shard: &str, position: RecordPosition, arrival_ms: Option<i64>) -> Sequenced {
        if let Some(sequence) = redrive_sequence(shard, position) {
            return match self.redriven.find(sequence) {
                Admission::New => Sequenced::New,
                Admission::Held => Sequenced::Duplicate,
                Admission::Unknown => Sequenced::Unknown,
            };
        }
        let Ok(at) = self.index(shard) else { return Sequenced::New };
        let last = &self.shards[at];
        if last.position < position {
            return Sequenced::New;
        }
        let is_later = |(arrival_ms, last_ms): (i64, i64)| arrival_ms.saturating_sub(last_ms) > ARRIVAL_TOLERANCE_MS;
        match arrival_ms.zip(last.arrival_ms).is_some_and(is_later) {
            true => Sequenced::OtherStream,
            false => Sequenced::Duplicate,
        }
    }

    /// Records that a position is folded. An earlier position changes nothing.
    pub fn record(&mut self, shard: &Arc<str>, position: RecordPosition, arrival_ms: Option<i64>) {
        if let Some(sequence) = redrive_sequence(shard, position) {
            self.redriven.admit(sequence);
            return;
        }
        let last = LastOfShard { shard: Arc::clone(shard), position, arrival_ms, day: 0 };
        match self.index(shard) {
            Ok(at) if self.shards[at].position < position => {
                let day = self.shards[at].day;
                self.shards[at] = LastOfShard { day, ..last };
            }
            Ok(_) => {}
            Err(at) => self.shards.insert(at, last),
        }
    }

    fn index(&self, shard: &str) -> Result<usize, usize> {
        // There is nearly always one shard.
        self.shards.binary_search_by(|other| (*other.shard).cmp(shard))
    }
}

/// The redrive sequence of a redriven record.
fn redrive_sequence(shard: &str, position: RecordPosition) -> Option<i64> {
    let sequence = (shard == REDRIVE_SHARD).then(|| position.sequence.to_u64())?;
    // They are counted from 1.
    sequence.and_then(|sequence| i64::try_from(sequence).ok())
}

/// A set of integers as runs `[first, last]`, ascending and never touching.
///
/// The ordinals of a group are nearly always consecutive (the seconds of a race), so that a set is a run or two. Equal sets
/// have equal runs and equal bytes, whatever the order of insertion. A general compressed bitmap has neither property: its
/// containers depend on history, and one run takes more bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedRuns")]
pub struct OrdinalSet {
    /// One run is nearly always all, and takes no allocation.
    runs: SmallVec<[(i64, i64); 1]>,
    /// Of ordinals up to it, it is not known which are in the set.
    horizon: Option<i64>,
}

/// A set as it is stored. Of runs in another order, some would not be found.
#[derive(Deserialize)]
struct UncheckedRuns {
    runs: SmallVec<[(i64, i64); 1]>,
    horizon: Option<i64>,
}

impl TryFrom<UncheckedRuns> for OrdinalSet {
    type Error = &'static str;

    fn try_from(UncheckedRuns { runs, horizon }: UncheckedRuns) -> Result<Self, &'static str> {
        let are_runs = runs.iter().all(|(first, last)| first <= last);
        let are_apart = runs.is_sorted_by(|(_, last), (first, _)| *last < first.saturating_sub(1));
        let are_above = runs.first().is_none_or(|(first, _)| horizon.is_none_or(|horizon| horizon < *first));
        match are_runs && are_apart && are_above {
            true => Ok(Self { runs, horizon }),
            false => Err("the runs of a dedup state are not ascending and apart"),
        }
    }
}

/// Runs that a group's ordinals may have. Consecutive ordinals, such as the seconds of a race, have one or two; ordinals that
/// are never adjacent have one each, and would let the item grow until no store takes it. So many take about 40 KB.
pub const MAX_RUNS: usize = 4_096;

/// What an [`OrdinalSet`] makes of an ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is in the set now.
    New,
    /// It was in the set.
    Held,
    /// It is so far behind the others that it is not known whether it was in the set.
    Unknown,
}

impl OrdinalSet {
    /// Whether it contains an ordinal.
    pub fn contains(&self, ordinal: i64) -> bool {
        let at = self.runs.partition_point(|&(_, last)| last < ordinal);
        self.runs.get(at).is_some_and(|&(first, _)| first <= ordinal)
    }

    /// What it would make of an ordinal.
    fn find(&self, ordinal: i64) -> Admission {
        match self.horizon.is_some_and(|horizon| ordinal <= horizon) {
            true => Admission::Unknown,
            false if self.contains(ordinal) => Admission::Held,
            false => Admission::New,
        }
    }

    /// Adds an ordinal. Returns whether it was new.
    pub fn insert(&mut self, ordinal: i64) -> bool {
        // The usual case: the ordinal after the last one.
        if let Some((_, last)) = self.runs.last_mut()
            && last.checked_add(1) == Some(ordinal)
        {
            *last = ordinal;
            return true;
        }
        // The first run that ends at or after the ordinal's left neighbour: the only one that it can be in or extend.
        let at = self.runs.partition_point(|&(_, last)| last < ordinal.saturating_sub(1));
        let Some(&(first, last)) = self.runs.get(at) else {
            self.runs.push((ordinal, ordinal));
            return true;
        };
        if first <= ordinal && ordinal <= last {
            return false;
        }
        if ordinal.checked_add(1) == Some(first) {
            self.runs[at].0 = ordinal;
        } else if last.checked_add(1) == Some(ordinal) {
            self.runs[at].1 = ordinal;
            // It may have closed the gap to the run after.
            if let Some(&(next_first, next_last)) = self.runs.get(at + 1)
                && ordinal.checked_add(1) == Some(next_first)
            {
                self.runs[at].1 = next_last;
                self.runs.remove(at + 1);
            }
        } else {
            self.runs.insert(at, (ordinal, ordinal));
        }
        true
    }

    /// Adds an ordinal to a set that is bounded: where it would have more than [`MAX_RUNS`] runs, the lowest one gives way to
    /// the horizon.
    pub fn admit(&mut self, ordinal: i64) -> Admission {
        if self.horizon.is_some_and(|horizon| ordinal <= horizon) {
            return Admission::Unknown;
        }
        if !self.insert(ordinal) {
            return Admission::Held;
        }
        if self.runs.len() > MAX_RUNS {
            let (_, last) = self.runs.remove(0);
            self.horizon = Some(last);
        }
        Admission::New
    }

    /// The runs, ascending.
    pub fn runs(&self) -> &[(i64, i64)] {
        &self.runs
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            (set.admit(17), set.admit(19), set.admit(20)),
            (Admission::Unknown, Admission::New, Admission::Held)
        );
        // Adjacent ones take no room.
        let mut seconds = OrdinalSet::default();
        assert!((0..10 * MAX_RUNS as i64).all(|second| seconds.admit(second) == Admission::New));
        assert_eq!(seconds.admit(0), Admission::Held);
    }

    #[test]
    fn a_state_in_another_form_than_it_is_written_in_is_refused() {
        let ordinals = |runs: &[(i64, i64)], horizon| DedupState::Ordinal(OrdinalSet { runs: runs.into(), horizon });
        let positions = |shards: &[&str]| {
            let last = |shard: &&str| LastOfShard {
                shard: Arc::from(*shard),
                position: position(1),
                arrival_ms: Some(7),
                day: 9,
            };
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
}
