//! An aggregator: the best score of a group, and the first second that had it.

use paceline_plugin::{Aggregator, Fields, Outputs, Settings, aggregator};
use serde::{Deserialize, Serialize};

/// The aggregator. Its fields would be the settings of the rulebook; it has none.
#[derive(Settings)]
struct Best;

/// What the rule reads from a record: the member `/second`.
#[derive(Fields)]
struct Beat {
    second: i64,
}

/// The state of a group. That of a new group is the default: no record yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State(Option<Standing>);

/// What is written of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Outputs)]
struct Standing {
    output: f64,
    second: i64,
}

impl Standing {
    /// Whether it is better than the other. This is a total order, so that the order of the records does not matter.
    fn beats(&self, other: &Self) -> bool {
        self.output.total_cmp(&other.output).then(other.second.cmp(&self.second)).is_gt()
    }
}

impl Aggregator for Best {
    /// Another name for another type or meaning of the state: stored states outlive the plugin.
    const STATE_FORMAT: &'static str = "@NAME@/1";

    type Row<'a> = Beat;
    type State = State;
    type Outputs = Standing;

    /// Adds one record to the state of its group.
    fn fold(&self, state: &mut State, row: Beat, score: f64) {
        self.merge(state, State(Some(Standing { output: score, second: row.second })));
    }

    /// Merges two states of one group that were folded apart. The order must not matter.
    fn merge(&self, left: &mut State, right: State) {
        let Some(right) = right.0 else { return };
        if left.0.as_ref().is_none_or(|left| right.beats(left)) {
            left.0 = Some(right);
        }
    }

    /// The outputs. A number that is not finite is not written.
    fn finish(&self, state: &State) -> Standing {
        state.0.clone().unwrap_or(Standing { output: f64::NAN, second: 0 })
    }
}

aggregator!(Best);

#[cfg(test)]
mod tests {
    use super::*;

    /// The state of a group after these records: pairs of a second and a score.
    fn folded(records: &[(i64, f64)]) -> State {
        let mut state = State::default();
        for &(second, score) in records {
            Best.fold(&mut state, Beat { second }, score);
        }
        state
    }

    #[test]
    fn the_best_score_counts_and_the_first_second_that_had_it() {
        let state = folded(&[(1, 70.0), (2, 80.5), (3, 80.5), (4, 60.0)]);
        assert_eq!(Best.finish(&state), Standing { output: 80.5, second: 2 });
    }

    #[test]
    fn states_that_were_folded_apart_are_merged_in_any_order() {
        let (left, right) = (folded(&[(1, 70.0), (4, 80.5)]), folded(&[(2, 80.5)]));
        let merged = |left: &State, right: &State| {
            let mut left = left.clone();
            Best.merge(&mut left, right.clone());
            left
        };
        assert_eq!(merged(&left, &right), folded(&[(1, 70.0), (2, 80.5), (4, 80.5)]));
        assert_eq!(merged(&left, &right), merged(&right, &left));
    }
}
