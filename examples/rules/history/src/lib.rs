//! An aggregator: the best output at each second of a class over all races, and the best of all seconds up to it.
//!
//! Group by class. These are the curves that the streaming analytics of the original sample computed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use paceline_plugin::{Aggregator, Fields, Outputs, Settings, aggregator};
use serde::{Deserialize, Serialize};

/// The seconds that have a place in the curve: the longest race. Without a bound one wrong message could grow the state.
const SECONDS: i64 = 600;

/// The aggregator; it has no settings.
#[derive(Settings)]
pub struct History;

/// The fields that it reads from a message.
#[derive(Fields)]
pub struct Beat {
    second: i64,
}

/// The state of a class: the best output by second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State(BTreeMap<u16, f64>);

impl State {
    fn add(&mut self, second: u16, output: f64) {
        let best = self.0.entry(second).or_insert(output);
        if output.total_cmp(best).is_gt() {
            *best = output;
        }
    }
}

/// The outputs of a class.
#[derive(Outputs)]
pub struct Curves {
    /// The best output of all seconds, in watts.
    best: f64,
    /// The first second that has it.
    second: i64,
    /// For each second that there is: `second:best:maximum`, separated by blanks. The maximum is that of all seconds up to
    /// it.
    curve: String,
}

impl Aggregator for History {
    const STATE_FORMAT: &'static str = "history/1";

    type Row<'a> = Beat;
    type State = State;
    type Outputs = Curves;

    fn fold(&self, state: &mut State, row: Beat, score: f64) {
        if (0..=SECONDS).contains(&row.second) {
            state.add(row.second as u16, score);
        }
    }

    fn merge(&self, left: &mut State, right: State) {
        right.0.into_iter().for_each(|(second, output)| left.add(second, output));
    }

    fn finish(&self, state: &State) -> Curves {
        let (mut best, mut at, mut curve) = (f64::NAN, 0, String::new());
        for (&second, &output) in &state.0 {
            if best.is_nan() || output > best {
                (best, at) = (output, second);
            }
            let separator = if curve.is_empty() { "" } else { " " };
            // Writing to a text can't fail.
            let _ = write!(curve, "{separator}{second}:{output}:{best}");
        }
        Curves { best, second: at.into(), curve }
    }
}

aggregator!(History);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(messages: &[(i64, f64)]) -> State {
        let mut state = State::default();
        messages.iter().for_each(|(second, output)| History.fold(&mut state, Beat { second: *second }, *output));
        state
    }

    #[test]
    fn the_curve_has_the_best_of_each_second_and_the_maximum_so_far() {
        let curves =
            History.finish(&folded(&[(2, 120.5), (1, 100.0), (3, 90.0), (2, 110.0), (601, 999.0), (-1, 999.0)]));
        assert_eq!(curves.curve, "1:100:100 2:120.5:120.5 3:90:120.5");
        assert_eq!((curves.best, curves.second), (120.5, 2));
        assert!(History.finish(&State::default()).best.is_nan());
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(
            messages in prop::collection::vec((0..9_i64, (0..5_u8).prop_map(f64::from)), 0..40).prop_shuffle(),
            cut in 0..40_usize,
        ) {
            let (left, right) = messages.split_at(cut.min(messages.len()));
            let mut merged = folded(right);
            History.merge(&mut merged, folded(left));
            prop_assert_eq!(merged, folded(&messages));
        }
    }
}
