//! An aggregator that takes over the states of `best-output` and counts the final messages as well. It refuses to
//! migrate the state of one race on purpose. Unlike `evil-aggregator` it is built with the SDK's macros, as the plugin
//! of an author is.

use paceline_plugin::{Aggregator, Fields, Migration, Outputs, Settings, aggregator, decode_state};
use serde::{Deserialize, Serialize};

/// The aggregator and its settings.
#[derive(Settings)]
pub struct BestAndCount {
    /// The race whose state can't be migrated.
    #[setting(default = -1)]
    victim: i64,
}

/// The fields that it reads from a message.
#[derive(Fields)]
pub struct Beat<'a> {
    event: &'a str,
    #[field(path = "/raceId")]
    race_id: i64,
}

/// The state of a racer in a class.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    best: Option<Best>,
    finals: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Best {
    output: f64,
    race_id: i64,
}

/// The outputs of a racer in a class.
#[derive(Outputs)]
pub struct Standing {
    output: f64,
    #[output(name = "raceId")]
    race_id: i64,
    finals: i64,
}

impl Aggregator for BestAndCount {
    const STATE_FORMAT: &'static str = "evil-migration/1";

    type Row<'a> = Beat<'a>;
    type State = State;
    type Outputs = Standing;

    fn fold(&self, state: &mut State, row: Beat<'_>, score: f64) {
        if row.event == "final" {
            let best = Some(Best { output: score, race_id: row.race_id });
            self.merge(state, State { best, finals: 1 });
        }
    }

    fn merge(&self, left: &mut State, right: State) {
        left.finals += right.finals;
        let rank = |best: Option<Best>| best.map(|best| (best.output, -best.race_id));
        if rank(right.best) > rank(left.best) {
            left.best = right.best;
        }
    }

    fn finish(&self, state: &State) -> Standing {
        let best = state.best.unwrap_or(Best { output: f64::NAN, race_id: 0 });
        Standing { output: best.output, race_id: best.race_id, finals: state.finals.into() }
    }
}

/// The state as `best-output/1` has it.
#[derive(Serialize, Deserialize)]
struct BestOutputState(Option<BestOutput>);

#[derive(Serialize, Deserialize)]
struct BestOutput {
    output: f64,
    sent_ms: i64,
    race_id: i64,
}

impl Migration for BestAndCount {
    const FROM: &'static [&'static str] = &["best-output/1"];

    fn migrate(&self, from: &str, state: &[u8]) -> Result<State, String> {
        let BestOutputState(best) = decode_state(from, state)?;
        let Some(BestOutput { output, race_id, .. }) = best else {
            return Ok(State::default());
        };
        if race_id == self.victim {
            return Err(format!("race {race_id} is the victim"));
        }
        // The old state does not tell how many there were.
        Ok(State { best: Some(Best { output, race_id }), finals: 1 })
    }
}

aggregator!(BestAndCount, migration);

#[cfg(test)]
mod tests {
    use paceline_plugin::encode_state;

    use super::*;

    #[test]
    fn a_best_output_counts_as_one_final() {
        let old = BestOutputState(Some(BestOutput { output: 167.04, sent_ms: 1, race_id: 7 }));
        let old = encode_state("best-output/1", &old).unwrap();
        let migrated = BestAndCount { victim: -1 }.migrate("best-output/1", &old).unwrap();
        assert_eq!(migrated, State { best: Some(Best { output: 167.04, race_id: 7 }), finals: 1 });
        assert_eq!(BestAndCount { victim: 7 }.migrate("best-output/1", &old).unwrap_err(), "race 7 is the victim");
    }
}
