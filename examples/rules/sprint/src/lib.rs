//! An aggregator: a racer's best average output over 20 consecutive seconds of a race.
//!
//! The state has the output of every second, because a record may arrive late. It grows by some ten bytes a second: a race of
//! five minutes takes 3 KB.

use std::collections::BTreeMap;

use paceline_plugin::{Aggregator, Fields, Outputs, Settings, aggregator};
use serde::{Deserialize, Serialize};

/// Seconds of a sprint.
const SPRINT: u32 = 20;

/// The greatest second that is kept: that of the longest race. Without a bound the state would grow without end.
const LONGEST: u32 = 7_200;

/// The aggregator; it has no settings.
#[derive(Settings)]
pub struct Sprint;

/// The fields that it reads from a message.
#[derive(Fields)]
pub struct Beat {
    second: i64,
}

/// The state of a racer in a race: the output by second. Of several messages of a second the greatest output counts, so that
/// their order does not matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State(BTreeMap<u32, f64>);

impl State {
    fn add(&mut self, second: u32, output: f64) {
        let best = self.0.entry(second).or_insert(output);
        if output.total_cmp(best).is_gt() {
            *best = output;
        }
    }

    /// The best average, and the last second of that sprint. Sprints with a second missing do not count.
    fn best(&self) -> Option<(f64, u32)> {
        let mut best: Option<(f64, u32)> = None;
        for &first in self.0.keys() {
            let end = first + SPRINT;
            if self.0.range(first..end).count() < SPRINT as usize {
                continue;
            }
            let average = self.0.range(first..end).map(|(_, output)| output).sum::<f64>() / f64::from(SPRINT);
            if best.is_none_or(|(before, _)| average > before) {
                best = Some((average, end - 1));
            }
        }
        best
    }
}

/// The outputs of a racer in a race. `sprint` is not written before there are 20 consecutive seconds.
#[derive(Outputs)]
pub struct Standing {
    /// The best average, in watts.
    sprint: f64,
    /// The last second of that sprint; 0 before there is one.
    second: i64,
}

impl Aggregator for Sprint {
    const STATE_FORMAT: &'static str = "sprint/1";

    type Row<'a> = Beat;
    type State = State;
    type Outputs = Standing;

    fn fold(&self, state: &mut State, row: Beat, score: f64) {
        // A second that no race has is in no sprint.
        if let Ok(second) = u32::try_from(row.second)
            && second <= LONGEST
        {
            state.add(second, score);
        }
    }

    fn merge(&self, left: &mut State, right: State) {
        right.0.into_iter().for_each(|(second, output)| left.add(second, output));
    }

    fn finish(&self, state: &State) -> Standing {
        let (sprint, second) = state.best().unwrap_or((f64::NAN, 0));
        Standing { sprint, second: second.into() }
    }
}

aggregator!(Sprint);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(messages: impl IntoIterator<Item = (i64, f64)>) -> State {
        let mut state = State::default();
        messages.into_iter().for_each(|(second, output)| Sprint.fold(&mut state, Beat { second }, output));
        state
    }

    #[test]
    fn the_best_twenty_seconds_count() {
        // 100 watts, and 160 in the seconds 31 to 50.
        let race = (1..=60).map(|second| (second, if (31..=50).contains(&second) { 160.0 } else { 100.0 }));
        let standing = Sprint.finish(&folded(race));
        assert_eq!((standing.sprint, standing.second), (160.0, 50));
    }

    #[test]
    fn a_sprint_has_no_gap() {
        let race = |missing: i64| (1..=20).filter(move |second| *second != missing).map(|second| (second, 100.0));
        assert!(Sprint.finish(&folded(race(7))).sprint.is_nan());
        assert_eq!(Sprint.finish(&folded(race(0))).sprint, 100.0);
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(
            messages in prop::collection::vec((-1..40_i64, (0..5_u8).prop_map(f64::from)), 0..60).prop_shuffle(),
            cut in 0..60_usize,
        ) {
            let (left, right) = messages.split_at(cut.min(messages.len()));
            let mut merged = folded(right.iter().copied());
            Sprint.merge(&mut merged, folded(left.iter().copied()));
            prop_assert_eq!(merged, folded(messages));
        }
    }
}
