//! A scorer: a racer's output from cadence and resistance, as the Alleycat races compute it.
//!
//! `(cadence + 35) * (resistance * weight + 65) / 100`, rounded to 4 decimals. The setting `resistance-weight` is the
//! weight. Its default 1 gives the original's formula and results, bit for bit.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod rounding;

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use paceline_plugin::decimal::{NotANumber, Number};
use paceline_plugin::lanes::{self, f64x2};
use paceline_plugin::{Fields, Settings, scorer};

pub use rounding::round4;

/// The fields that it reads from a message.
#[derive(Fields)]
pub struct Effort {
    /// Revolutions per minute.
    pub cadence: f64,
    /// The bike's resistance, without a unit.
    pub resistance: f64,
}

/// What the rulebook sets.
#[derive(Settings)]
pub struct Formula {
    /// How much resistance counts, relative to the original's formula.
    #[setting(default = Weight(1.0))]
    pub resistance_weight: Weight,
}

/// A factor: greater than 0, at most 100.
pub struct Weight(f64);

/// The text is not a weight.
#[derive(Debug)]
pub enum NotAWeight {
    /// It is not a number.
    NotANumber(NotANumber),
    /// It is not greater than 0 and at most 100.
    OutOfRange,
}

impl FromStr for Weight {
    type Err = NotAWeight;

    fn from_str(text: &str) -> Result<Self, NotAWeight> {
        let Number(weight) = text.parse().map_err(NotAWeight::NotANumber)?;
        // A comparison with NaN is false.
        if weight > 0.0 && weight <= 100.0 { Ok(Self(weight)) } else { Err(NotAWeight::OutOfRange) }
    }
}

impl fmt::Display for NotAWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber(error) => error.fmt(f),
            Self::OutOfRange => f.write_str("a weight is greater than 0 and at most 100"),
        }
    }
}

impl core::error::Error for NotAWeight {}

/// The output for each row, by the original's formula.
pub fn output(columns: EffortColumns<'_>) -> Vec<f64> {
    weighted_output(&Formula { resistance_weight: Weight(1.0) }, columns)
}

/// The output for each row, two at a time. Rows that arithmetic alone might round otherwise than their text are rounded
/// again by [`round4`].
pub fn weighted_output(formula: &Formula, columns: EffortColumns<'_>) -> Vec<f64> {
    let weight = formula.resistance_weight.0;
    lanes::map(
        [columns.cadence, columns.resistance],
        // Multiplying by 1 changes no bit.
        |[cadence, resistance]| {
            let hundredfold = (cadence + f64x2::splat(35.0)) * (resistance * f64x2::splat(weight) + f64x2::splat(65.0));
            rounding::round4_of_hundredth(hundredfold)
        },
        |[cadence, resistance]| round4((cadence + 35.0) * (resistance * weight + 65.0) / 100.0),
    )
}

scorer!(weighted_output);
paceline_plugin::trap_on_panic!();

#[cfg(test)]
mod tests {
    use paceline_plugin::testing;
    use proptest::prelude::*;

    use super::*;

    /// The definition, literally.
    fn round4_by_definition(x: f64) -> f64 {
        let rounded = format!("{x}e4").parse::<f64>().map(|scaled| (scaled + 0.5).floor());
        rounded.and_then(|rounded| format!("{rounded}e-4").parse()).unwrap_or(x)
    }

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
    fn a_weight_of_resistance_applies_to_resistance_alone() {
        let weighted = |weight: &'static str, cadence: f64, resistance: f64| {
            let formula = testing::with_settings([("resistance-weight", weight)], Formula::read).unwrap();
            weighted_output(&formula, EffortColumns { cadence: &[cadence], resistance: &[resistance] })[0]
        };
        assert_eq!(weighted("1.5", 81.0, 79.0), 212.86);
        assert_eq!(weighted("1.5", 62.0, 68.6), 162.863);
        for (cadence, resistance) in [(81.0, 79.0), (45.233_333_333_333_334, 68.6), (30.0, 33.0)] {
            assert_eq!(weighted("1", cadence, resistance), score(cadence, resistance));
        }
    }

    #[test]
    fn a_weight_that_is_no_factor_is_refused() {
        for weight in ["0", "-1", "101", "NaN", "inf", "heavy", ""] {
            let error = testing::with_settings([("resistance-weight", weight)], Formula::read).err().unwrap();
            assert!(error.starts_with(&format!("setting `resistance-weight` is `{weight}`: ")), "{error}");
        }
    }

    #[test]
    fn halves_round_up_by_their_text_and_not_by_their_bits() {
        // 1.00005 is a little less than its text, 1.00015 a little more: by its bits, one would be rounded down.
        assert_eq!(round4(1.00005), 1.0001);
        assert_eq!(round4(1.00015), 1.0002);
        assert_eq!(round4(1.00005_f64.next_down()), 1.0);
    }

    #[test]
    fn numbers_that_are_not_finite_are_unchanged() {
        assert!(round4(f64::NAN).is_nan());
        assert_eq!(round4(f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn every_ramp_of_the_races_rounds_as_its_text() {
        // A racer's values move from one integer to another in 300 steps. Their products often hit halves.
        for second in 1..=300 {
            let part = f64::from(second) / 300.0;
            for (from, to) in [(30.0, 90.0), (45.0, 46.0), (31.0, 72.0), (61.0, 89.0)] {
                for (low, high) in [(33.0, 86.0), (41.0, 58.0), (77.0, 78.0), (36.0, 73.0)] {
                    let (cadence, resistance) = (from + (to - from) * part, low + (high - low) * part);
                    let x: f64 = (cadence + 35.0) * (resistance + 65.0) / 100.0;
                    assert_eq!(round4(x), round4_by_definition(x), "{x}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_number_rounds_as_its_text(x in prop_oneof![-1e3..1e9_f64, 60.0..190.0_f64, any::<f64>()]) {
            prop_assert_eq!(round4(x).to_bits(), round4_by_definition(x).to_bits());
        }

        #[test]
        fn numbers_about_a_half_round_as_their_text(ten_thousandths in 0_u64..1_000_000_000, steps in -3_i64..=3) {
            let half = (2.0 * ten_thousandths as f64 + 1.0) / 2e4;
            let x = f64::from_bits((half.to_bits() as i64 + steps) as u64);
            prop_assert_eq!(round4(x), round4_by_definition(x), "{}", x);
        }
    }
}
