//! Dedup states: what is decoded behaves as the set that it encodes.

use std::sync::Arc;

use paceline_pipeline::dedup::{Admission, DedupState, LastPositions, MAX_RUNS, OrdinalSet, Sequenced};
use paceline_pipeline::model::{REDRIVE_SHARD, RecordPosition};

use crate::laws::error_has_a_message;

/// The shards of the records that are folded.
const SHARDS: [&str; 3] = ["", "stream/shardId-000000000000", REDRIVE_SHARD];

/// Checks a state and records that are folded after it: the first byte is the length of the state; three bytes are a record.
pub fn check(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else { return };
    let (bytes, records) = rest.split_at(usize::from(*length).min(rest.len()));
    let state = match DedupState::from_bytes(bytes) {
        Ok(state) => state,
        Err(error) => return error_has_a_message(&error),
    };
    survives_encoding(&state);
    let (records, _) = records.as_chunks::<3>();
    let after = match state {
        DedupState::Sequence(positions) => DedupState::Sequence(positions_are_ordered(positions, records)),
        DedupState::Ordinal(set) => DedupState::Ordinal(ordinals_are_a_set(set, records)),
    };
    survives_encoding(&after);
}

fn survives_encoding(state: &DedupState) {
    let bytes = state.to_bytes();
    let again = DedupState::from_bytes(&bytes).expect("its own bytes are a state");
    assert_eq!(again, *state);
    assert_eq!(again.to_bytes(), bytes);
}

/// Whether a record at this position is not folded. Without an arrival time it is never one of another stream.
fn is_new(positions: &LastPositions, shard: &str, position: RecordPosition) -> bool {
    positions.find(shard, position, None) == Sequenced::New
}

/// Of each shard, what is up to the last position is folded; of redrives, what was redriven.
fn positions_are_ordered(mut positions: LastPositions, records: &[[u8; 3]]) -> LastPositions {
    for &[shard, sequence, sub_sequence] in records {
        let shard: Arc<str> = SHARDS[usize::from(shard) % SHARDS.len()].into();
        let position = RecordPosition { sequence: u64::from(sequence).into(), sub_sequence: u64::from(sub_sequence) };
        let before = RecordPosition { sequence: 0.into(), sub_sequence: 0 };
        let was_new = is_new(&positions, &shard, position);
        let others: Vec<bool> = SHARDS.iter().map(|shard| is_new(&positions, shard, position)).collect();
        positions.record(&shard, position, None);
        assert!(!is_new(&positions, &shard, position), "what is folded is known");
        if &*shard != REDRIVE_SHARD {
            assert!(!is_new(&positions, &shard, before), "and so is what was before it in its shard");
            let next = RecordPosition { sub_sequence: position.sub_sequence + 1, ..position };
            assert!(!was_new || is_new(&positions, &shard, next), "what comes after it is not");
        }
        for (other, was_new) in SHARDS.iter().zip(others) {
            assert!(
                **other == *shard || is_new(&positions, other, position) == was_new,
                "other shards are not concerned"
            );
        }
    }
    positions
}

/// Ordinals are admitted once, in whatever order.
fn ordinals_are_a_set(mut set: OrdinalSet, records: &[[u8; 3]]) -> OrdinalSet {
    for &[from, high, low] in records {
        let ordinal = i64::from(i16::from_be_bytes([high, low]));
        // Near zero, and near the ends of the range and of the runs.
        let ordinal = match (from % 4, set.runs().get(usize::from(from / 4))) {
            (0, _) => ordinal,
            (1, _) => i64::MAX - ordinal.abs(),
            (2, _) => i64::MIN + ordinal.abs(),
            (_, Some((first, last))) => {
                if ordinal < 0 {
                    first.saturating_add(ordinal % 4)
                } else {
                    last.saturating_add(ordinal % 4)
                }
            }
            (_, None) => continue,
        };
        let (held, runs) = (holds(set.runs(), ordinal), set.runs().to_vec());
        assert_eq!(set.contains(ordinal), held, "{ordinal} in {runs:?}");
        match set.admit(ordinal) {
            Admission::New => {
                assert!(!held, "{ordinal} is new, but was in {runs:?}");
                assert!(set.contains(ordinal) || runs.len() >= MAX_RUNS);
                assert_eq!(
                    set.admit(ordinal),
                    if set.contains(ordinal) { Admission::Held } else { Admission::Unknown }
                );
            }
            Admission::Held => assert!(held, "{ordinal} is held, but was not in {runs:?}"),
            Admission::Unknown => assert_eq!(set.runs(), runs),
        }
        assert!(
            set.runs().is_sorted_by(|a, b| a.1 < b.0.saturating_sub(1)),
            "runs are ascending and apart: {:?}",
            set.runs()
        );
        assert!(set.runs().iter().all(|(first, last)| first <= last), "{:?}", set.runs());
    }
    set
}

fn holds(runs: &[(i64, i64)], ordinal: i64) -> bool {
    runs.iter().any(|(first, last)| (first..=last).contains(&&ordinal))
}
