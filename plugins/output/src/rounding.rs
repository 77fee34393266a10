//! Rounding as the decimal text of a number rounds.

use paceline_plugin::decimal::{nearest, shortest};
use paceline_plugin::lanes::f64x2;

/// From this number on, numbers have no fraction: adding it rounds to the nearest integer, subtracting it leaves that one.
const NO_FRACTION: f64 = 4_503_599_627_370_496.0;

/// Rounds to 4 decimals, halves up, on the decimal text of the number as JavaScript writes it:
/// `Math.round(x + "e4") + "e-4"`. The original's functions round this way, and its tables hold the results.
///
/// The digits of that text cost hundreds of nanoseconds, so this function uses them only where they could differ from
/// arithmetic. `half` below is the number nearest to the decimal halfway between both candidates. That decimal has at most
/// 15 digits, so if `x` equals `half`, the shortest text of `x` is that decimal: up. If `x` is greater, so is its text: up.
/// If `x` is less by two steps or more, its text times 10⁴ is nearer to the lower candidate by more than parsing can lose:
/// down. One step below `half`, the result depends on the text.
pub fn round4(x: f64) -> f64 {
    if x > 0.0 && x < 1e5 {
        let floor = floor(x * 1e4);
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
    round4_by_digits(x)
}

/// Whether the shortest text of `x`, followed by `e4`, parses as at least `floor + 0.5`, for an `x` whose text is less
/// than that. It computes with integers and without the text. `None` where it can't decide.
#[cold]
fn text_rounds_up(x: f64, floor: f64) -> Option<bool> {
    // x is mantissa / 2^scale. A power of two has neighbours at two distances, and is left to its digits.
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

/// The hundredth of two numbers, rounded by arithmetic alone, and a mask of those that are sure to equal [`round4`] of the
/// hundredth.
///
/// A hundredth times 10⁴ is the number times 100. Both ways lose less than a millionth here, and so does the text, so unless
/// the product is that close to a half, its nearest integer is that of the text. Dividing an integer by 10⁴ gives the number
/// nearest to the quotient, as parsing the text `…e-4` does.
#[inline]
pub(crate) fn round4_of_hundredth(hundredfold: f64x2) -> (f64x2, f64x2) {
    let scaled = hundredfold * f64x2::splat(100.0);
    let nearest = (scaled + f64x2::splat(NO_FRACTION)) - f64x2::splat(NO_FRACTION);
    // Between 0 and 10⁹, which is 10⁵ times 10⁴, and not close to a half.
    let in_range = (scaled - f64x2::splat(5e8)).abs().simd_lt(f64x2::splat(5e8));
    let is_clear = (scaled - nearest).abs().simd_lt(f64x2::splat(0.5 - 1e-6));
    (nearest / f64x2::splat(1e4), in_range & is_clear)
}

/// Rounds by the digits of the decimal text, whatever the number is.
#[cold]
fn round4_by_digits(x: f64) -> f64 {
    // A number that is not finite has no such text. It stays unchanged, and the host makes a dead letter of it.
    if !x.is_finite() {
        return x;
    }
    let (digits, exponent) = shortest(x.abs());
    let rounded = floor(nearest(digits, exponent + 4).copysign(x) + 0.5);
    // Integers up to 2^53 are exact, so dividing them gives the number nearest to the text `…e-4`.
    if rounded.abs() < 9_007_199_254_740_992.0 {
        return rounded / 1e4;
    }
    if rounded.is_infinite() {
        return x;
    }
    let (digits, exponent) = shortest(rounded.abs());
    nearest(digits, exponent - 4).copysign(x)
}

/// The greatest integer that is not greater.
fn floor(x: f64) -> f64 {
    if x.abs() >= NO_FRACTION {
        return x;
    }
    let whole = x as i64 as f64;
    if whole > x { whole - 1.0 } else { whole }
}
