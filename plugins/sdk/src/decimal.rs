//! Numbers as decimal digits and back, exactly, in a tenth of the code that the standard library has for it.
//!
//! The standard library's conversions are several times faster for the numbers that are hard, and take 40 KB of a component.
//! These serve plugins that convert some settings and some values of reasons. Results are the same to the last bit and to the
//! last digit.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::big::Big;

/// A number whose text is read and written by this module: as a setting, or as a value in the reason of a rejection.
///
/// ```
/// use paceline_plugin::decimal::Number;
///
/// assert_eq!("-1.5e3".parse::<Number>().unwrap().0, -1500.0);
/// assert_eq!(format!("{} {}", Number(0.1 + 0.2), Number(1e21)), "0.30000000000000004 1000000000000000000000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Number(pub f64);

/// The text is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber;

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a number")
    }
}

impl core::error::Error for NotANumber {}

impl FromStr for Number {
    type Err = NotANumber;

    /// Takes what `f64` takes.
    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let (is_negative, text) = match text.as_bytes() {
            [b'-', text @ ..] => (true, text),
            [b'+', text @ ..] | text => (false, text),
        };
        let is = |word: &[u8]| text.eq_ignore_ascii_case(word);
        let magnitude = if is(b"inf") || is(b"infinity") {
            f64::INFINITY
        } else if is(b"nan") {
            f64::NAN
        } else {
            magnitude(text).ok_or(NotANumber)?
        };
        Ok(Self(if is_negative { -magnitude } else { magnitude }))
    }
}

impl fmt::Display for Number {
    /// As `f64` is displayed: the shortest text that is read as the same number, without an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() {
            return f.write_str("NaN");
        }
        let mut text = String::new();
        if self.0.is_sign_negative() {
            text.push('-');
        }
        if self.0.is_infinite() {
            text.push_str("inf");
        } else {
            let (digits, exponent) = shortest(self.0.abs());
            push_decimal(&mut text, digits, exponent);
        }
        f.write_str(&text)
    }
}

/// Appends `digits × 10^exponent`.
pub(crate) fn push_decimal(text: &mut String, mut digits: u64, exponent: i32) {
    let mut reversed = Vec::new();
    let zero = |reversed: &mut Vec<u8>| reversed.push(b'0');
    (0..exponent).for_each(|_| zero(&mut reversed));
    while digits > 0 {
        reversed.push(b'0' + (digits % 10) as u8);
        digits /= 10;
    }
    // The places behind the point, and one before it at least.
    let places = exponent.min(0).unsigned_abs() as usize;
    while reversed.len() <= places {
        zero(&mut reversed);
    }
    for (place, &digit) in reversed.iter().enumerate().rev() {
        text.push(char::from(digit));
        if place == places && places > 0 {
            text.push('.');
        }
    }
}

/// Reads digits, with a point or an exponent or both.
fn magnitude(text: &[u8]) -> Option<f64> {
    /// No number of less than a million digits needs an exponent beyond it.
    const FAR: i32 = 1_000_000;

    let (mut mantissa, mut exponent) = (Big::default(), 0_i32);
    let (mut any, mut behind_point) = (false, false);
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'0'..=b'9' => {
                any = true;
                mantissa.multiply(10, u32::from(byte - b'0'));
                exponent -= i32::from(behind_point);
            }
            b'.' if !behind_point => behind_point = true,
            b'e' | b'E' => {
                let (is_negative, digits) = match bytes.as_slice() {
                    [b'-', digits @ ..] => (true, digits),
                    [b'+', digits @ ..] | digits => (false, digits),
                };
                let mut written = 0;
                for digit in digits {
                    written = (written * 10 + i32::from(digit.checked_sub(b'0').filter(|&digit| digit < 10)?)).min(FAR);
                }
                let is_there = any && !digits.is_empty();
                exponent = exponent.saturating_add(if is_negative { -written } else { written });
                return is_there.then(|| mantissa.nearest(exponent));
            }
            _ => return None,
        }
    }
    any.then(|| mantissa.nearest(exponent))
}

/// The number nearest to `digits × 10^exponent`. Halfway between two numbers it is the even one.
pub fn nearest(digits: u64, exponent: i32) -> f64 {
    // Both are exact, and the operation rounds once.
    if digits <= 1 << 53 && exponent.unsigned_abs() <= 22 {
        let power = (0..exponent.unsigned_abs()).fold(1.0, |power, _| power * 10.0);
        return if exponent < 0 { digits as f64 / power } else { digits as f64 * power };
    }
    Big::new(digits).nearest(exponent)
}

/// The fewest digits, and their exponent, that [`nearest`] turns into this finite number that is not negative. Of several
/// they are those nearest to the number, and of two that are as near, the greater.
pub fn shortest(number: f64) -> (u64, i32) {
    if number == 0.0 {
        return (0, 0);
    }
    // At most 15 digits. Two texts of 15 digits are never read as the same number, so these are the only ones.
    let (mut power, mut places) = (1.0, 0);
    while places < 10 && number < 1e15 {
        let digits = (number * power + 0.5) as u64;
        if digits as f64 / power == number && digits < 1_000_000_000_000_000 {
            return without_zeros(digits, -places);
        }
        (power, places) = (power * 10.0, places + 1);
    }

    // The number is mantissa × 2^exponent.
    let (fraction, biased) = (number.to_bits() & ((1 << 52) - 1), (number.to_bits() >> 52) as i32);
    let (mantissa, exponent) = if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
    // Numbers between these bounds, in quarters of the mantissa's unit, are read as this one. Below a power of two,
    // neighbours are half as far away.
    let step = if fraction == 0 && biased > 1 { 1 } else { 2 };
    let is_inclusive = mantissa % 2 == 0;
    let log2 = 63 - mantissa.leading_zeros() as i32 + exponent;
    // 18 or 19 digits: more than are ever needed. The factor is that of base 2 to base 10, times 2^18.
    let unit = ((log2 * 78_913) >> 18) - 17;
    let [low, middle, high] = [4 * mantissa - step, 4 * mantissa, 4 * mantissa + 2]
        .map(|quarters| Big::new(quarters).scaled(exponent - 2, unit));

    let (mut power, mut zeros) = (10_000_000_000_000_000_000, 19);
    loop {
        let down = middle.whole - middle.whole % power;
        let is_down = down > low.whole || down == low.whole && !low.more && is_inclusive;
        let up =
            down.checked_add(power).filter(|&up| up < high.whole || up == high.whole && (high.more || is_inclusive));
        let rest = 2 * (middle.whole - down);
        match up {
            // With one digit less than there are, every number is within the bounds.
            None if !is_down && power > 1 => (power, zeros) = (power / 10, zeros - 1),
            Some(up) if !is_down || rest >= power => return (up / power, unit + zeros),
            _ => return (down / power, unit + zeros),
        }
    }
}

fn without_zeros(mut digits: u64, mut exponent: i32) -> (u64, i32) {
    while digits.is_multiple_of(10) {
        (digits, exponent) = (digits / 10, exponent + 1);
    }
    (digits, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<u64> {
        text.parse::<Number>().ok().map(|number| number.0.to_bits())
    }

    fn read_by_std(text: &str) -> Option<u64> {
        text.parse::<f64>().ok().map(f64::to_bits)
    }

    #[test]
    fn texts_are_read_as_the_standard_library_reads_them() {
        let texts = [
            "0",
            "-0",
            "+1",
            "1.",
            ".5",
            "-.5e1",
            "1e5",
            "1E+05",
            "1e-5",
            "00012.500",
            "9007199254740993",
            "1e400",
            "-1e400",
            "1e-400",
            "2.4703282292062327e-324",
            "2.4703282292062328e-324",
            "2.2250738585072011e-308",
            "1.7976931348623157e308",
            "1.7976931348623159e308",
            "179769313486231580793e289",
            "0e999999999999",
            "inf",
            "-Inf",
            "INFINITY",
            "NaN",
            "-nan",
            "0.000000000000000000000000000000000000000000000000000000000000000000000001e50",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "",
            "-",
            "+",
            ".",
            "e5",
            ".e5",
            "1e",
            "1e+",
            "1e5.5",
            "1..5",
            "--1",
            "1_000",
            " 1",
            "1 ",
            "0x10",
            "inff",
            "1f",
        ];
        for text in texts {
            assert_eq!(read(text), read_by_std(text), "{text}");
        }
        // Halfway between two numbers, with more digits than any number has.
        let half = format!("{}5", "9007199254740992.".to_owned() + &"9".repeat(800));
        assert_eq!(read(&half), read_by_std(&half));
        let halves = ["9007199254740993", "9007199254740993.000000000000000000000000000000000000000000001"];
        assert_eq!(
            halves.map(read),
            [9_007_199_254_740_992.0_f64, 9_007_199_254_740_994.0].map(|it| Some(it.to_bits()))
        );
    }

    #[test]
    fn every_power_of_two_and_its_neighbours_are_written_and_read_as_by_the_standard_library() {
        for exponent in 0..2046_u64 {
            for bits in (exponent << 52).saturating_sub(2)..=(exponent << 52) + 2 {
                let number = f64::from_bits(bits);
                let text = number.to_string();
                assert_eq!(Number(number).to_string(), text);
                assert_eq!(read(&text), Some(bits), "{text}");
            }
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_written_as_the_standard_library_does() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324] {
            assert_eq!(Number(number).to_string(), number.to_string());
        }
    }
}
