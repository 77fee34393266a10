//! The nearest f64 of a decimal.

/// Powers of ten up to 10^18. As an f64 each of them is exact.
const POWERS: [u64; 19] = {
    let mut powers = [1; 19];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// The bits of an f64's fraction, without the leading one.
const FRACTION_BITS: u32 = 52;
const LEADING_BIT: u64 = 1 << FRACTION_BITS;
/// The exponent of an f64 whose fraction, with its leading bit, is an integer.
const INTEGER_EXPONENT: u32 = 1023 + FRACTION_BITS;

/// The f64 that is nearest to `digits` / 10^`decimals`, of which both are at most 18 digits. `None` if that takes more to
/// be certain: two are equally near, the value is at the edge of a power of two, or it is an integer's size and more.
#[inline(always)]
pub(super) fn nearest(digits: u64, decimals: usize) -> Option<f64> {
    let power = POWERS[decimals];
    // Of what is exact, a division gives the nearest f64.
    let quotient = digits as i64 as f64 / power as f64;
    if digits <= 2 * LEADING_BIT { Some(quotient) } else { corrected(digits, power, quotient) }
}

/// The nearest f64 of `digits` / `power`, from their quotient. That is less than 1.5 units in the last place off: `digits`
/// as f64 makes at most 1, because a unit is at least 2^-53 of the value, and the division 0.5.
#[inline(always)]
fn corrected(digits: u64, power: u64, quotient: f64) -> Option<f64> {
    let bits = quotient.to_bits();
    let fraction = bits & (LEADING_BIT - 1) | LEADING_BIT;
    // The unit in the last place is 2^-scale, at most 59 because the value is above 2^-7. It is the same around the value if
    // no power of two is near.
    let scale = INTEGER_EXPONENT.checked_sub((bits >> FRACTION_BITS) as u32)?;
    if !(LEADING_BIT + 2..2 * LEADING_BIT - 2).contains(&fraction) {
        return None;
    }
    // How far the value is above the quotient, exactly: in parts of a unit, of which a unit has `power`.
    let above = ((u128::from(digits) << scale) as i128 - i128::from(fraction) * i128::from(power)) as i64;
    let (twice, power) = (2 * above, power as i64);
    if twice.abs() == power {
        return None;
    }
    Some(f64::from_bits(bits.wrapping_add_signed(i64::from(twice > power) - i64::from(twice < -power))))
}
