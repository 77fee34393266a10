//! A scorer: a racer's output from cadence and resistance, as the Alleycat races compute it.
//!
//! `(cadence + 35) * (resistance * weight + 65) / 100`, rounded to 4 decimals. The setting `resistance-weight` is the
//! weight. Its default 1 gives the original's formula and results, bit for bit.

use std::num::ParseFloatError;
use std::str::FromStr;

use paceline_plugin::{Fields, Settings, scorer};

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
    NotANumber(ParseFloatError),
    /// It is not greater than 0 and at most 100.
    OutOfRange,
}

impl FromStr for Weight {
    type Err = NotAWeight;

    fn from_str(text: &str) -> Result<Self, NotAWeight> {
        let weight: f64 = text.parse().map_err(NotAWeight::NotANumber)?;
        // A comparison with NaN is false.
        if weight > 0.0 && weight <= 100.0 { Ok(Self(weight)) } else { Err(NotAWeight::OutOfRange) }
    }
}

impl std::fmt::Display for NotAWeight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotANumber(error) => error.fmt(f),
            Self::OutOfRange => f.write_str("a weight is greater than 0 and at most 100"),
        }
    }
}

impl std::error::Error for NotAWeight {}

/// The output for each row, by the original's formula.
pub fn output(columns: EffortColumns<'_>) -> Vec<f64> {
    weighted_output(&Formula { resistance_weight: Weight(1.0) }, columns)
}

/// The output for each row. It works on whole columns, a few rows at a time and without a branch, so that the compiler
/// can use vector instructions: the arithmetic is so cheap that everything around it matters.
pub fn weighted_output(formula: &Formula, columns: EffortColumns<'_>) -> Vec<f64> {
    /// Enough rows for vector instructions, and few enough that arithmetic alone rounds most stretches.
    const STRETCH: usize = 16;

    let weight = formula.resistance_weight.0;
    let rows = columns.cadence.iter().zip(columns.resistance);
    // Multiplying by 1 changes no bit.
    let mut outputs: Vec<f64> =
        rows.map(|(cadence, resistance)| (cadence + 35.0) * (resistance * weight + 65.0) / 100.0).collect();
    for outputs in outputs.chunks_mut(STRETCH) {
        let mut rounded = [0.0; STRETCH];
        let mut all_sure = true;
        for (output, rounded) in outputs.iter().zip(&mut rounded) {
            let (nearest, sure) = round4_by_arithmetic(*output);
            *rounded = nearest;
            all_sure &= sure;
        }
        if all_sure {
            outputs.copy_from_slice(&rounded[..outputs.len()]);
        } else {
            outputs.iter_mut().for_each(|output| *output = round4(*output));
        }
    }
    outputs
}

scorer!(weighted_output);

/// Rounds to 4 decimals, halves up, on the decimal text of the number as JavaScript writes it:
/// `Math.round(x + "e4") + "e-4"`. The original's functions round this way, and its tables hold the results.
///
/// Text costs hundreds of nanoseconds, so this function uses text only where it could differ from arithmetic. The
/// arithmetic is exact close to one half, too: `half` below is the number nearest to the decimal halfway between both
/// candidates. That decimal has at most 15 digits, so if `x` equals `half`, the shortest text of `x` is that decimal:
/// up. If `x` is greater, so is its text: up. If `x` is less by two steps or more, its text times 10⁴ is nearer to the
/// lower candidate by more than parsing can lose: down. One step below `half`, the result depends on the text.
pub fn round4(x: f64) -> f64 {
    let (rounded, sure) = round4_by_arithmetic(x);
    if sure {
        return rounded;
    }
    if x > 0.0 && x < 1e5 {
        let floor = (x * 1e4).floor();
        let half = (2.0 * floor + 1.0) / 2e4;
        if x >= half {
            return (floor + 1.0) / 1e4;
        }
        if x < half.next_down() {
            return floor / 1e4;
        }
        if let Some(up) = text_rounds_up(x, floor) {
            return if up { (floor + 1.0) / 1e4 } else { floor / 1e4 };
        }
    }
    round4_by_text(x)
}

/// Whether the shortest text of `x`, followed by `e4`, parses as at least `floor + 0.5`, for an `x` whose text is less
/// than that. It computes with integers and without the text. `None` where it can't decide.
#[cold]
fn text_rounds_up(x: f64, floor: f64) -> Option<bool> {
    // x is mantissa / 2^scale. A power of two has neighbours at two distances, and is left to its text.
    let mantissa = (x.to_bits() & ((1 << 52) - 1)) | (1 << 52);
    let scale = 52 - ((x.to_bits() >> 52) as i64 - 1023);
    if x < 1.0 || mantissa == 1 << 52 {
        return None;
    }
    // The shortest text has the fewest decimals that still parse as x: it is nearer to x than half the distance to the
    // neighbours of x. Five decimals are those of the half itself, which parses as another number.
    let (mut decimals, mut power) = (5, 100_000_u64);
    let digits = loop {
        decimals += 1;
        power = power.checked_mul(10).filter(|_| decimals <= 16)?;
        let exact = u128::from(mantissa) * u128::from(power);
        let (below, part) = (exact >> scale, exact & ((1 << scale) - 1));
        let middle = 1_u128 << (scale - 1);
        if part == middle {
            return None;
        }
        let (digits, distance) = if part > middle { (below + 1, (1 << scale) - part) } else { (below, part) };
        // A text on the boundary itself parses as the number whose mantissa is even.
        if 2 * distance < u128::from(power) || (2 * distance == u128::from(power) && mantissa.is_multiple_of(2)) {
            break digits;
        }
    };
    // The text times 10⁴ is digits / 10^(decimals - 4). It parses as floor + 0.5 if it is at least the middle between
    // that and the number below it, inclusive because the mantissa of floor + 0.5 is even.
    let half = floor + 0.5;
    let exponent = (half.to_bits() >> 52) as i64 - 1023;
    let finer = 53 - exponent;
    let middle = (((2.0 * floor) as u128 + 1) << (finer - 1)) - 1;
    Some((digits << finer) >= middle * u128::from(power / 10_000))
}

/// Rounds by arithmetic alone. The flag is true where the result surely equals that of the text: the error of `x * 1e4`
/// is less than a millionth here, so unless the product is that close to a half, its nearest integer is that of the
/// exact product. Dividing an integer by 10⁴ gives the number nearest to the quotient, as parsing the text `…e-4` does.
#[inline]
fn round4_by_arithmetic(x: f64) -> (f64, bool) {
    /// Numbers of this size have no fraction: adding it rounds to the nearest integer, subtracting it leaves that one.
    const NO_FRACTION: f64 = 4_503_599_627_370_496.0;

    let scaled = x * 1e4;
    let nearest = (scaled + NO_FRACTION) - NO_FRACTION;
    // Within 0 and 10⁵, and not close to a half. `&` instead of `&&` avoids a branch.
    let sure = ((x - 5e4).abs() < 5e4) & ((scaled - nearest).abs() < 0.5 - 1e-6);
    (nearest / 1e4, sure)
}

/// Rounds on the decimal text.
#[cold]
fn round4_by_text(x: f64) -> f64 {
    match format!("{x}e4").parse::<f64>().map(|scaled| (scaled + 0.5).floor()) {
        // Integers up to 2^53 are exact, so dividing them gives the number nearest to the text `…e-4`.
        Ok(rounded) if rounded.abs() < 9_007_199_254_740_992.0 => rounded / 1e4,
        Ok(rounded) => format!("{rounded}e-4").parse().unwrap_or(x),
        // A number that is not finite has no such text. It stays unchanged, and the host makes a dead letter of it.
        Err(_) => x,
    }
}

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
