//! An aggregator: a racer's energy in a race. The output of each second, in watts, is so many joules.
//!
//! The sum is one of integers, in ten-thousandths of a joule. A sum of floats would depend on the order in which records are
//! folded and states are merged.

use paceline_plugin::{Aggregator, Fields, Outputs, Settings, aggregator};
use serde::{Deserialize, Serialize};

/// The aggregator; it has no settings.
#[derive(Settings)]
pub struct Energy;

/// The fields that it reads from a message.
#[derive(Fields)]
pub struct Beat {
    second: i64,
}

/// Ten-thousandths of a joule.
const PARTS: f64 = 1e4;

/// The state of a racer in a race.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    parts: i64,
    records: u32,
    last: Option<i64>,
}

/// The outputs of a racer in a race.
#[derive(Outputs)]
pub struct Work {
    /// Kilojoules.
    energy: f64,
    /// The records so far.
    records: i64,
    /// The greatest second so far.
    second: i64,
}

impl Aggregator for Energy {
    const STATE_FORMAT: &'static str = "energy/1";

    type Row<'a> = Beat;
    type State = State;
    type Outputs = Work;

    fn fold(&self, state: &mut State, row: Beat, score: f64) {
        // Numbers beyond 64 bits become the nearest ones within.
        self.merge(state, State { parts: (score * PARTS).round() as i64, records: 1, last: Some(row.second) });
    }

    fn merge(&self, left: &mut State, right: State) {
        // Wrapping is associative and commutative, and saturating is not. No race has 900 terajoules.
        left.parts = left.parts.wrapping_add(right.parts);
        left.records = left.records.wrapping_add(right.records);
        left.last = left.last.max(right.last);
    }

    fn finish(&self, state: &State) -> Work {
        Work {
            energy: state.parts as f64 / PARTS / 1e3,
            records: state.records.into(),
            second: state.last.unwrap_or(0),
        }
    }
}

aggregator!(Energy);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(scores: &[f64]) -> State {
        let mut state = State::default();
        (1..).zip(scores).for_each(|(second, score)| Energy.fold(&mut state, Beat { second }, *score));
        state
    }

    #[test]
    fn a_minute_at_200_watts_is_12_kilojoules() {
        let work = Energy.finish(&folded(&[200.0; 60]));
        assert_eq!((work.energy, work.records, work.second), (12.0, 60, 60));
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(mut scores in prop::collection::vec(0.0..500.0_f64, 0..50), cut in 0..50_usize) {
            let (all, scores_after) = (folded(&scores), scores.split_off(cut.min(scores.len())));
            let mut after = State::default();
            (scores.len() as i64 + 1..)
                .zip(&scores_after)
                .for_each(|(second, score)| Energy.fold(&mut after, Beat { second }, *score));
            Energy.merge(&mut after, folded(&scores));
            prop_assert_eq!(after, all);
        }
    }
}
