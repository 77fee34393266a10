//! An aggregator: a racer's output at the last second of a race.
//!
//! Group by race and racer. While the race runs, the output at the greatest second so far is the current standing. The
//! result is the output of the racer's message `final`. It stands: a message with a greater second that is not final, sent
//! by mistake or of a clock that is wrong, changes nothing but the number of seconds. Of several messages `final` the one
//! with the greatest second holds, so that a correction is possible, and so that the order of arrival does not matter.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod seconds;

use paceline_plugin::{Aggregator, Fields, Outputs, Settings, aggregator};
use seconds::Seconds;
use serde::{Deserialize, Serialize};

/// The aggregator; it has no settings.
#[derive(Settings)]
pub struct LastOutput;

/// The fields that it reads from a message.
#[derive(Fields)]
pub struct Beat<'a> {
    event: &'a str,
    second: i64,
    #[field(path = "/deviceTimestamp")]
    sent_ms: i64,
}

/// The state of a racer in a race.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    last: Option<Last>,
    /// The last of the messages `final`.
    result: Option<Last>,
    seen: Seconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Last {
    second: i64,
    sent_ms: i64,
    output: f64,
}

impl Last {
    /// Whether it replaces the other: by the greater second, then the later message, then the greater output. This is a
    /// total order, so the order in which messages arrive does not matter.
    fn replaces(&self, other: &Self) -> bool {
        let order = self.second.cmp(&other.second).then(self.sent_ms.cmp(&other.sent_ms));
        order.then(self.output.total_cmp(&other.output)).is_gt()
    }

    fn into_latest(self, latest: &mut Option<Self>) {
        if latest.is_none_or(|before| self.replaces(&before)) {
            *latest = Some(self);
        }
    }
}

/// The outputs of a racer in a race.
#[derive(Outputs)]
pub struct Standing {
    /// The output at `second`.
    output: f64,
    /// The greatest second so far; that of the message `final` once it has arrived.
    second: i64,
    /// When the message of that second was sent, in milliseconds since 1970.
    ts: i64,
    /// The number of different seconds in the messages so far.
    seconds: i64,
    /// Whether the message `final` has arrived.
    finished: bool,
    /// The result: the output of the message `final`. It is not written before, so an index over
    /// it holds only results and costs no writes while the race runs.
    #[output(name = "final")]
    result: f64,
}

impl Aggregator for LastOutput {
    const STATE_FORMAT: &'static str = "last-output/2";

    type Row<'a> = Beat<'a>;
    type State = State;
    type Outputs = Standing;

    fn fold(&self, state: &mut State, row: Beat<'_>, score: f64) {
        state.seen.insert(row.second);
        let last = Last { second: row.second, sent_ms: row.sent_ms, output: score };
        last.into_latest(&mut state.last);
        if row.event == "final" {
            last.into_latest(&mut state.result);
        }
    }

    fn merge(&self, left: &mut State, right: State) {
        left.seen.merge(&right.seen);
        right.last.into_iter().for_each(|last| last.into_latest(&mut left.last));
        right.result.into_iter().for_each(|result| result.into_latest(&mut left.result));
    }

    fn finish(&self, state: &State) -> Standing {
        let last = state.result.or(state.last).unwrap_or(Last { second: 0, sent_ms: 0, output: f64::NAN });
        Standing {
            output: last.output,
            second: last.second,
            ts: last.sent_ms,
            seconds: state.seen.count(),
            finished: state.result.is_some(),
            result: state.result.map_or(f64::NAN, |result| result.output),
        }
    }
}

aggregator!(LastOutput);
paceline_plugin::trap_on_panic!();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Message = (i64, i64, f64, bool);

    fn folded(messages: &[Message]) -> State {
        let mut state = State::default();
        for &(second, sent_ms, score, is_final) in messages {
            let event = if is_final { "final" } else { "update" };
            LastOutput.fold(&mut state, Beat { event, second, sent_ms }, score);
        }
        state
    }

    #[test]
    fn the_greatest_second_holds_whatever_arrives_later() {
        let standing = LastOutput.finish(&folded(&[(2, 20, 80.5, true), (1, 10, 188.75, false)]));
        assert_eq!((standing.output, standing.second, standing.ts), (80.5, 2, 20));
        assert_eq!((standing.seconds, standing.finished, standing.result), (2, true, 80.5));
        assert!(LastOutput.finish(&folded(&[(2, 20, 80.5, false)])).result.is_nan());
    }

    #[test]
    fn a_result_stands_whatever_comes_after_the_end() {
        let after = [(300, 3_000, 142.8, true), (600, 6_000, 20.0, false), (301, 3_010, 30.0, false)];
        let standing = LastOutput.finish(&folded(&after));
        assert_eq!((standing.output, standing.second, standing.ts, standing.result), (142.8, 300, 3_000, 142.8));
        assert_eq!((standing.seconds, standing.finished), (3, true));
        // A later message `final` is a correction.
        let corrected = LastOutput.finish(&folded(&[&after[..], &[(301, 3_020, 150.0, true)]].concat()));
        assert_eq!((corrected.output, corrected.result), (150.0, 150.0));
    }

    #[test]
    fn a_repeated_message_counts_once() {
        assert_eq!(folded(&[(1, 10, 80.5, false), (1, 10, 80.5, false)]), folded(&[(1, 10, 80.5, false)]));
    }

    fn messages() -> impl Strategy<Value = Vec<Message>> {
        prop::collection::vec((0..20_i64, 0..3_i64, 0..3_u8, any::<bool>()), 0..30)
            .prop_map(|drawn| drawn.into_iter().map(|(s, ms, score, end)| (s, ms, score.into(), end)).collect())
    }

    proptest! {
        #[test]
        fn folded_apart_and_merged_is_folded_together(all in messages(), cut in 0..30_usize) {
            let (left, right) = all.split_at(cut.min(all.len()));
            let (mut merged, mut swapped) = (folded(left), folded(right));
            LastOutput.merge(&mut merged, folded(right));
            LastOutput.merge(&mut swapped, folded(left));
            prop_assert_eq!(&merged, &folded(&all));
            prop_assert_eq!(swapped, merged);
        }

        #[test]
        fn order_does_not_matter(all in messages().prop_shuffle()) {
            let mut sorted = all.clone();
            sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
            prop_assert_eq!(folded(&all), folded(&sorted));
        }
    }
}
