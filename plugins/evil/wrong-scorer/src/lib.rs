//! Scorers that are subtly wrong on purpose, each as the setting `wrong` demands; without the setting the scorer is right.
//! `paceline plugin verify` finds each of them.

use std::sync::atomic::{AtomicI64, Ordering};

use paceline_plugin::{Fields, Settings, scorer};

/// The fields that they read.
#[derive(Fields)]
pub struct Effort {
    /// The second of the race.
    pub second: i64,
    /// Revolutions per minute.
    pub cadence: f64,
    /// The bike's resistance, without a unit.
    pub resistance: f64,
}

#[derive(Settings)]
struct Rule {
    #[setting(default = Wrong::Nothing)]
    wrong: Wrong,
}

#[derive(PartialEq)]
enum Wrong {
    Nothing,
    /// The mean of this row and the one before.
    PreviousRow,
    /// The first row of a call is taken for a header.
    FirstRow,
    /// Seconds count from the first row of the call.
    TimeBase,
    /// Relative to the mean of the batch.
    BatchMean,
    /// A number of the instance in the score.
    CounterInStatic,
    /// Nanoseconds in 64 bits.
    Overflow,
    /// The ratio of nothing to nothing.
    NanForZero,
}

impl std::str::FromStr for Wrong {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "previous-row" => Self::PreviousRow,
            "first-row" => Self::FirstRow,
            "time-base" => Self::TimeBase,
            "batch-mean" => Self::BatchMean,
            "counter-in-static" => Self::CounterInStatic,
            "overflow" => Self::Overflow,
            "nan-for-zero" => Self::NanForZero,
            _ => return Err("nothing is wrong in this way".to_owned()),
        })
    }
}

fn score(rule: &Rule, columns: EffortColumns<'_>) -> Vec<f64> {
    let EffortColumns { second, cadence, resistance } = columns;
    let right: Vec<f64> = cadence.iter().zip(resistance).map(|(cadence, resistance)| cadence * resistance).collect();
    let by_row = |score: &dyn Fn(usize) -> f64| (0..right.len()).map(score).collect();
    match rule.wrong {
        Wrong::Nothing => right,
        Wrong::PreviousRow => by_row(&|row| (right[row] + right[row.saturating_sub(1)]) / 2.0),
        Wrong::FirstRow => by_row(&|row| if row == 0 { 0.0 } else { right[row] }),
        Wrong::TimeBase => by_row(&|row| right[row] + second[row].saturating_sub(second[0]) as f64),
        Wrong::BatchMean => by_row(&|row| right[row] - right.iter().sum::<f64>() / right.len() as f64),
        Wrong::CounterInStatic => {
            let calls = calls();
            by_row(&|row| right[row] + calls as f64)
        }
        Wrong::Overflow => by_row(&|row| second[row].checked_mul(1_000_000_000).expect("nanoseconds fit") as f64),
        Wrong::NanForZero => by_row(&|row| right[row] / cadence[row]),
    }
}

/// The number of calls of this instance, including this one.
fn calls() -> i64 {
    static CALLS: AtomicI64 = AtomicI64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

scorer!(score);
