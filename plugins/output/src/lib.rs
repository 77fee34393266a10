//! A scorer: a racer's output from cadence and resistance, as the Alleycat races compute it.
//!
//! `(cadence + 35) * (resistance + 65) / 100`, rounded to 4 decimals.

use paceline_plugin::{Fields, scorer};

/// The fields that it reads.
#[derive(Fields)]
pub struct Effort {
    /// Revolutions a minute.
    pub cadence: f64,
    /// The bike's resistance.
    pub resistance: f64,
}

/// The output of each racer. Over whole columns: the loop is short enough for the calls around it to matter.
pub fn output(columns: EffortColumns<'_>) -> Vec<f64> {
    columns
        .cadence
        .iter()
        .zip(columns.resistance)
        .map(|(cadence, resistance)| round4((cadence + 35.0) * (resistance + 65.0) / 100.0))
        .collect()
}

scorer!(output);

/// Rounds to 4 decimals, halves up, on the decimal text of the number as JavaScript writes it:
/// `Math.round(x + "e4") + "e-4"`. That is what the original's functions do, and what its tables hold.
///
/// Text costs hundreds of nanoseconds, so this takes the text's way only where it could differ from arithmetic.
/// Why the rest is exact:
/// - `x * 1e4` is off by less than a millionth here, so unless its fraction is that close to one half, rounding it
///   gives what rounding the exact product gives;
/// - close to one half, `half` below is the number nearest to the decimal halfway between both candidates. That decimal
///   has at most 15 digits, so if `x` is `half`, the shortest text of `x` is that very decimal: up. If `x` is greater,
///   so is its text: up. If `x` is less by two steps or more, its text times 10⁴ is nearer to the lower candidate by
///   more than the reading of it can lose: down. One step below, ask the text;
/// - dividing an integer by 10⁴ rounds to the nearest number, which is what reading the text `…e-4` gives.
pub fn round4(x: f64) -> f64 {
    let scaled = x * 1e4;
    let floor = scaled.floor();
    let fraction = scaled - floor;
    let in_range = x > 0.0 && x < 1e5;
    if in_range && (fraction - 0.5).abs() > 1e-6 {
        let up = if fraction > 0.5 { 1.0 } else { 0.0 };
        return (floor + up) / 1e4;
    }
    if in_range {
        let half = (2.0 * floor + 1.0) / 2e4;
        if x >= half {
            return (floor + 1.0) / 1e4;
        }
        if x < half.next_down() {
            return floor / 1e4;
        }
    }
    round4_by_text(x)
}

/// The definition: rounds on the decimal text.
#[cold]
fn round4_by_text(x: f64) -> f64 {
    let rounded = format!("{x}e4").parse::<f64>().map(|scaled| (scaled + 0.5).floor());
    // What is not finite has no such text, and stays what it is: the host makes a dead letter of it.
    rounded.and_then(|rounded| format!("{rounded}e-4").parse()).unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score(cadence: f64, resistance: f64) -> f64 {
        output(EffortColumns { cadence: &[cadence], resistance: &[resistance] })[0]
    }

    #[test]
    fn vectors_of_the_original() {
        let vectors = [
            (81.0, 79.0, 167.04),
            (83.0, 78.0, 168.74),
            (62.0, 68.6, 129.592),
            (80.0, 78.0, 164.45),
            (30.0, 33.0, 63.7),
            (90.0, 86.0, 188.75),
        ];
        for (cadence, resistance, expected) in vectors {
            assert_eq!(score(cadence, resistance), expected, "({cadence}, {resistance})");
        }
    }

    #[test]
    fn halves_go_up_by_their_text_not_by_their_bits() {
        // 1.00005 is a little less than its text says, 1.00015 a little more: by their bits one would go down.
        assert_eq!(round4(1.00005), 1.0001);
        assert_eq!(round4(1.00015), 1.0002);
        assert_eq!(round4(1.00005_f64.next_down()), 1.0);
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        assert!(round4(f64::NAN).is_nan());
        assert_eq!(round4(f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn every_ramp_of_the_races_rounds_as_its_text() {
        // A racer's values move from one integer to another in 300 steps: products of these hit halves often.
        for second in 1..=300 {
            let part = f64::from(second) / 300.0;
            for (from, to) in [(30.0, 90.0), (45.0, 46.0), (31.0, 72.0), (61.0, 89.0)] {
                for (low, high) in [(33.0, 86.0), (41.0, 58.0), (77.0, 78.0), (36.0, 73.0)] {
                    let (cadence, resistance) = (from + (to - from) * part, low + (high - low) * part);
                    let x: f64 = (cadence + 35.0) * (resistance + 65.0) / 100.0;
                    assert_eq!(round4(x), round4_by_text(x), "{x}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_number_rounds_as_its_text(x in prop_oneof![-1e3..1e9_f64, 60.0..190.0_f64, any::<f64>()]) {
            prop_assert_eq!(round4(x).to_bits(), round4_by_text(x).to_bits());
        }

        #[test]
        fn numbers_about_a_half_round_as_their_text(ten_thousandths in 0_u64..1_000_000_000, steps in -3_i64..=3) {
            let half = (2.0 * ten_thousandths as f64 + 1.0) / 2e4;
            let x = f64::from_bits((half.to_bits() as i64 + steps) as u64);
            prop_assert_eq!(round4(x), round4_by_text(x), "{}", x);
        }
    }
}
