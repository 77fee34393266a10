//! Plain numbers: integers of up to 18 digits, and decimals without an exponent.

use super::decimal;
use super::words::{each, load};
use crate::value::FieldValue;

/// Digits that fit into an i64 whatever they are.
const MAX_DIGITS: usize = 18;
/// Bytes that are looked at for digits: more than [`MAX_DIGITS`], and the byte after them.
const WINDOW: usize = 24;

/// Reads the number that begins at this byte. Returns where it ends, or `None` if it is not plain, or none.
#[inline(always)]
pub(super) fn read(message: &[u8], at: usize, cell: &mut FieldValue) -> Option<usize> {
    let is_negative = *message.get(at)? == b'-';
    let start = at + usize::from(is_negative);
    let (whole, whole_digits) = digits(message, start, 0)?;
    let end = start + whole_digits;
    // No number but 0 begins with a 0.
    if whole_digits == 0 || (whole_digits > 1 && message[start] == b'0') {
        return None;
    }
    match *message.get(end)? {
        b'.' => {
            let (digits, decimals) = digits(message, end + 1, whole)?;
            let end = end + 1 + decimals;
            if decimals == 0 || whole_digits + decimals > MAX_DIGITS || matches!(message.get(end)?, b'e' | b'E') {
                return None;
            }
            let value = decimal::nearest(digits, decimals)?;
            *cell = FieldValue::of_f64(if is_negative { -value } else { value });
            Some(end)
        }
        b'e' | b'E' => None,
        _ if whole_digits > MAX_DIGITS => None,
        _ => {
            let value = whole as i64;
            *cell = FieldValue::Integer(if is_negative { -value } else { value });
            Some(end)
        }
    }
}

/// Appends the digits from this byte on to a number. Returns it, and how many digits there are; `None` if they fill the
/// window. Of more than [`MAX_DIGITS`] the number is not certain.
///
/// Most numbers are short, and as long as in the message before. So digits are counted by branches, which a processor
/// foresees: it goes on with what follows the number before it has read it.
#[inline(always)]
fn digits(message: &[u8], at: usize, mut number: u64) -> Option<(u64, usize)> {
    let window: &[u8; WINDOW] = message.get(at..)?.first_chunk()?;
    for (digits, byte) in window[..4].iter().enumerate() {
        match digit(*byte) {
            Some(digit) => number = number.wrapping_mul(10).wrapping_add(digit),
            None => return Some((number, digits)),
        }
    }
    let mut digits = 4;
    if let Some(eight) = eight_digits(load(window, digits)?) {
        number = number.wrapping_mul(100_000_000).wrapping_add(eight);
        digits += 8;
    }
    while digits < WINDOW {
        match digit(window[digits]) {
            Some(digit) => number = number.wrapping_mul(10).wrapping_add(digit),
            None => return Some((number, digits)),
        }
        digits += 1;
    }
    None
}

#[inline(always)]
fn digit(byte: u8) -> Option<u64> {
    let value = byte.wrapping_sub(b'0');
    (value <= 9).then_some(u64::from(value))
}

/// The number that a word is the digits of.
#[inline(always)]
fn eight_digits(word: u64) -> Option<u64> {
    // A digit becomes its value. Any other byte becomes more than 9, so that 6 more make it more than 15.
    let values = word ^ each(b'0');
    if (values | values.wrapping_add(each(6))) & each(0xf0) != 0 {
        return None;
    }
    // Neighbours are added: digits to pairs, pairs to fours, fours to the number.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let (even, odd) = (pairs & 0x0000_00ff_0000_00ff, (pairs >> 16) & 0x0000_00ff_0000_00ff);
    let (even, odd) = (even.wrapping_mul(100 + (1_000_000 << 32)), odd.wrapping_mul(1 + (10_000 << 32)));
    Some(even.wrapping_add(odd) >> 32)
}
