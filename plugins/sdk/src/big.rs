//! Natural numbers of any size, for conversions between binary and decimal that round once.

use alloc::vec;
use alloc::vec::Vec;

/// A whole part, and whether there is more behind it.
pub(crate) struct Scaled {
    pub(crate) whole: u64,
    pub(crate) more: bool,
}

/// A natural number, 32 bits an element, the least significant first.
#[derive(Default)]
pub(crate) struct Big(Vec<u32>);

impl Big {
    pub(crate) fn new(number: u64) -> Self {
        Self(vec![number as u32, (number >> 32) as u32])
    }

    pub(crate) fn multiply(&mut self, factor: u32, add: u32) {
        let mut carry = u64::from(add);
        for part in &mut self.0 {
            carry += u64::from(*part) * u64::from(factor);
            *part = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Divides, and returns whether there is a remainder.
    fn divide(&mut self, divisor: u32) -> bool {
        let mut rest = 0;
        for part in self.0.iter_mut().rev() {
            let value = rest << 32 | u64::from(*part);
            *part = (value / u64::from(divisor)) as u32;
            rest = value % u64::from(divisor);
        }
        self.trim();
        rest > 0
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// Multiplies by `2^exponent` and returns whether that loses bits.
    fn shift(&mut self, exponent: i32) -> bool {
        let (parts, bits) = (exponent.unsigned_abs() as usize / 32, exponent.unsigned_abs() % 32);
        if exponent >= 0 {
            self.multiply(1 << bits, 0);
            let mut shifted = vec![0; parts];
            shifted.extend_from_slice(&self.0);
            self.0 = shifted;
            false
        } else {
            let (lost, kept) = self.0.split_at(parts.min(self.0.len()));
            let loses = lost.iter().any(|&part| part > 0);
            self.0 = kept.to_vec();
            self.divide(1 << bits) || loses
        }
    }

    /// Multiplies by `5^exponent` and returns whether that loses a fraction.
    fn times_power_of_five(&mut self, exponent: i32) -> bool {
        let mut loses = false;
        let mut left = exponent.unsigned_abs();
        while left > 0 {
            // The greatest power that fits into 32 bits.
            let some = left.min(13);
            let power = 5_u32.pow(some);
            if exponent > 0 {
                self.multiply(power, 0)
            } else {
                loses |= self.divide(power)
            }
            left -= some;
        }
        loses
    }

    /// This number × 2^exponent / 10^unit, which must be less than 2^64.
    pub(crate) fn scaled(mut self, exponent: i32, unit: i32) -> Scaled {
        // A power of ten is one of five and one of two.
        let more = match unit > 0 {
            true => self.shift(exponent - unit) | self.times_power_of_five(-unit),
            false => self.times_power_of_five(-unit) | self.shift(exponent - unit),
        };
        let part = |at: usize| u64::from(self.0.get(at).copied().unwrap_or(0));
        Scaled { whole: part(1) << 32 | part(0), more }
    }

    /// The number nearest to this one × 10^exponent.
    pub(crate) fn nearest(mut self, exponent: i32) -> f64 {
        self.trim();
        // A tenth more than what all digits are, and a tenth less.
        let digits = self.0.len() as i32 * 10;
        if self.0.is_empty() || digits.saturating_add(exponent) < -400 {
            return 0.0;
        }
        if exponent > 400 {
            return f64::INFINITY;
        }
        let mut shift = 0;
        if exponent < 0 {
            // So that the quotient has 64 bits at least.
            shift = 64 + exponent.unsigned_abs() as i32 * 7 / 3;
            self.shift(shift);
        }
        let mut more = self.times_power_of_five(exponent);
        let bits = self.0.len() as i32 * 32 - self.0.last().map_or(0, |last| last.leading_zeros() as i32);
        more |= self.shift(64 - bits);
        let part = |at: usize| u64::from(self.0.get(at).copied().unwrap_or(0));
        rounded(Scaled { whole: part(1) << 32 | part(0), more }, exponent - shift + bits - 1)
    }
}

/// The number nearest to a whole part of 64 bits, whose first bit stands for `2^exponent`.
fn rounded(Scaled { whole, more }: Scaled, exponent: i32) -> f64 {
    if exponent > 1023 {
        return f64::INFINITY;
    }
    // Numbers below 2^-1022 have fewer bits than 53.
    let dropped = 11 + (-1022 - exponent).max(0) as u32;
    if dropped > 64 {
        return 0.0;
    }
    let kept = whole.checked_shr(dropped).unwrap_or(0);
    let rest = whole << (64 - dropped);
    let is_up = rest > 1 << 63 || rest == 1 << 63 && (more || kept % 2 == 1);
    let biased = (exponent + 1022).max(0) as u64;
    // What is carried out of the mantissa raises the exponent.
    f64::from_bits((biased << 52) + kept + u64::from(is_up))
}
