//! The states and their bytes.

use paceline_plugin::bindings::common::paceline::plugin::columns::Packed;
use paceline_plugin::{decode_state, encode_state};
use serde::{Deserialize, Serialize};

use crate::wrong::Wrong;

/// The format of the states.
pub(crate) const FORMAT: &str = "wrong-aggregator/1";

/// The state of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) records: u32,
    /// Of the scores, in thousandths.
    pub(crate) sum: i64,
    pub(crate) last: Option<Last>,
    /// What only wrong aggregators keep.
    pub(crate) mean: f64,
    pub(crate) seen: Vec<(Last, [f64; 2])>,
    pub(crate) seconds: Vec<i64>,
    pub(crate) zones: Vec<(i64, f64)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Last {
    pub(crate) second: i64,
    pub(crate) sent_ms: i64,
    pub(crate) output: f64,
}

impl Last {
    /// Whether it replaces the other: a total order.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        let order = self.second.cmp(&other.second).then(self.sent_ms.cmp(&other.sent_ms));
        order.then(self.output.total_cmp(&other.output)).is_gt()
    }
}

pub(crate) fn encode(state: &State, wrong: Wrong) -> Result<Vec<u8>, String> {
    match wrong {
        Wrong::TrustsBytes => Ok(encode_by_hand(state)),
        _ => encode_state(FORMAT, state),
    }
}

pub(crate) fn decode(bytes: &[u8], wrong: Wrong) -> Result<State, String> {
    match (bytes, wrong) {
        // Everybody begins with a point.
        ([], Wrong::EmptyNotNeutral) => Ok(State { sum: 1_000, ..State::default() }),
        ([], _) => Ok(State::default()),
        (bytes, Wrong::TrustsBytes) => Ok(decode_by_hand(bytes)),
        (bytes, _) => decode_state(FORMAT, bytes),
    }
}

/// Numbers of eight bytes without anything around them.
fn encode_by_hand(state: &State) -> Vec<u8> {
    let last = state.last.unwrap_or_default();
    let numbers = [state.records.into(), state.sum, last.second, last.sent_ms, last.output.to_bits() as i64];
    numbers.into_iter().flat_map(i64::to_le_bytes).collect()
}

/// Whatever the bytes are.
fn decode_by_hand(bytes: &[u8]) -> State {
    let number = |at: usize| {
        let mut number = [0; 8];
        let found = bytes.get(at * 8..).unwrap_or_default();
        number.iter_mut().zip(found).for_each(|(byte, found)| *byte = *found);
        i64::from_le_bytes(number)
    };
    let last = Last { second: number(2), sent_ms: number(3), output: f64::from_bits(number(4) as u64) };
    State { records: number(0) as u32, sum: number(1), last: (number(0) > 0).then_some(last), ..State::default() }
}

/// The bytes of each state.
pub(crate) fn slices(packed: &Packed) -> impl Iterator<Item = &[u8]> {
    let starts = [0].into_iter().chain(packed.ends.iter().copied());
    starts.zip(&packed.ends).map(|(start, &end)| &packed.bytes[start as usize..end as usize])
}

pub(crate) fn unpack(packed: &Packed, wrong: Wrong) -> Result<Vec<State>, String> {
    slices(packed).map(|bytes| decode(bytes, wrong)).collect()
}

pub(crate) fn pack(states: &[State], wrong: Wrong) -> Result<Packed, String> {
    let mut packed = Packed { ends: Vec::new(), bytes: Vec::new() };
    for state in states {
        packed.bytes.extend(encode(state, wrong)?);
        packed.ends.push(packed.bytes.len() as u32);
    }
    Ok(packed)
}
