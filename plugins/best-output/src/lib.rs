//! An aggregator: a racer's best final output in a class.
//!
//! Group by class and racer. Only the last message of a race counts. A rulebook that passes no others
//! (`where = { "/event" = "final" }`) saves the writes of groups that would not change.

#![cfg_attr(not(test), no_std)]

use paceline_plugin::{Aggregator, Fields, Outputs, Settings, aggregator};
use serde::{Deserialize, Serialize};

/// The aggregator; it has no settings.
#[derive(Settings)]
pub struct BestOutput;

/// The fields that it reads from a message.
#[derive(Fields)]
pub struct Beat<'a> {
    event: &'a str,
    #[field(path = "/raceId")]
    race_id: i64,
    #[field(path = "/deviceTimestamp")]
    sent_ms: i64,
}

/// The state of a racer in a class: the best final output so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State(Option<Best>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Best {
    output: f64,
    sent_ms: i64,
    race_id: i64,
}

impl Best {
    /// Whether it ranks above the other: by the greater output, then the earlier message, then the smaller race id.
    /// This is a total order, so the order in which messages arrive does not matter.
    fn ranks_above(&self, other: &Self) -> bool {
        let order = self.output.total_cmp(&other.output);
        order.then(other.sent_ms.cmp(&self.sent_ms)).then(other.race_id.cmp(&self.race_id)).is_gt()
    }
}

/// The outputs of a racer in a class. `output` is not written before the first final message.
#[derive(Outputs)]
pub struct Standing {
    output: f64,
    #[output(name = "raceId")]
    race_id: i64,
    /// When the final message was sent, in milliseconds since 1970.
    ts: i64,
}

impl Aggregator for BestOutput {
    const STATE_FORMAT: &'static str = "best-output/1";

    type Row<'a> = Beat<'a>;
    type State = State;
    type Outputs = Standing;

    fn fold(&self, state: &mut State, row: Beat<'_>, score: f64) {
        if row.event == "final" {
            let best = Best { output: score, sent_ms: row.sent_ms, race_id: row.race_id };
            self.merge(state, State(Some(best)));
        }
    }

    fn merge(&self, left: &mut State, right: State) {
        if let Some(best) = right.0
            && left.0.is_none_or(|before| best.ranks_above(&before))
        {
            *left = right;
        }
    }

    fn finish(&self, state: &State) -> Standing {
        let best = state.0.unwrap_or(Best { output: f64::NAN, sent_ms: 0, race_id: 0 });
        Standing { output: best.output, race_id: best.race_id, ts: best.sent_ms }
    }
}

aggregator!(BestOutput);
paceline_plugin::trap_on_panic!();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(finals: &[(f64, i64, i64)]) -> State {
        let mut state = State::default();
        for &(score, sent_ms, race_id) in finals {
            BestOutput.fold(&mut state, Beat { event: "final", race_id, sent_ms }, score);
        }
        state
    }

    #[test]
    fn only_finals_count() {
        let mut state = State::default();
        BestOutput.fold(&mut state, Beat { event: "update", race_id: 1, sent_ms: 1 }, 188.75);
        assert_eq!(state, State::default());
        assert!(BestOutput.finish(&state).output.is_nan());
    }

    #[test]
    fn ties_keep_the_earlier() {
        for finals in [[(150.0, 20, 2), (150.0, 10, 1)], [(150.0, 10, 1), (150.0, 20, 2)]] {
            let standing = BestOutput.finish(&folded(&finals));
            assert_eq!((standing.output, standing.ts, standing.race_id), (150.0, 10, 1));
        }
    }

    proptest! {
        #[test]
        fn folded_apart_and_merged_is_folded_together(
            all in prop::collection::vec((0..4_u8, 0..4_i64, 0..4_i64), 0..20),
            cut in 0..20_usize,
        ) {
            let all: Vec<_> = all.into_iter().map(|(score, ms, race)| (f64::from(score), ms, race)).collect();
            let (left, right) = all.split_at(cut.min(all.len()));
            let (mut merged, mut swapped) = (folded(left), folded(right));
            BestOutput.merge(&mut merged, folded(right));
            BestOutput.merge(&mut swapped, folded(left));
            prop_assert_eq!(merged, folded(&all));
            prop_assert_eq!(swapped, merged);
        }
    }
}
