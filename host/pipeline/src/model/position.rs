//! Where a record is in its shard: sequence number and sub-sequence number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Kinesis sequence number: a decimal of up to 186 bits. In a file it is the byte where the record begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SequenceNumber([u64; 3]);

/// The text is not a decimal of at most 192 bits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sequence number: a decimal of at most 192 bits")]
pub struct NotASequenceNumber(String);

/// The largest power of ten in 64 bits: 19 digits are read and written at a time.
const CHUNK: u64 = 10_u64.pow(19);

impl From<u64> for SequenceNumber {
    fn from(number: u64) -> Self {
        Self([0, 0, number])
    }
}

impl SequenceNumber {
    /// The number, if it fits in 64 bits.
    pub fn to_u64(self) -> Option<u64> {
        match self.0 {
            [0, 0, number] => Some(number),
            _ => None,
        }
    }

    /// The distance from `base`; `None` if it is less than `base`.
    pub fn checked_sub(self, base: Self) -> Option<Self> {
        let mut limbs = self.0;
        let mut borrow = false;
        for (limb, less) in limbs.iter_mut().zip(base.0).rev() {
            let (rest, one) = limb.overflowing_sub(less);
            let (rest, other) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, one || other);
        }
        (!borrow).then_some(Self(limbs))
    }

    /// The sum; `None` on overflow.
    pub fn checked_add(self, distance: Self) -> Option<Self> {
        let mut limbs = self.0;
        let mut carry = false;
        for (limb, more) in limbs.iter_mut().zip(distance.0).rev() {
            let (sum, one) = limb.overflowing_add(more);
            let (sum, other) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, one || other);
        }
        (!carry).then_some(Self(limbs))
    }

    /// `self * factor + digits`; `None` on overflow.
    fn shift_in(self, factor: u64, digits: u64) -> Option<Self> {
        let mut limbs = self.0;
        let mut carry = u128::from(digits);
        for limb in limbs.iter_mut().rev() {
            let product = u128::from(*limb) * u128::from(factor) + carry;
            *limb = product as u64;
            carry = product >> 64;
        }
        (carry == 0).then_some(Self(limbs))
    }
}

impl FromStr for SequenceNumber {
    type Err = NotASequenceNumber;

    fn from_str(text: &str) -> Result<Self, NotASequenceNumber> {
        let wrong = || NotASequenceNumber(text.chars().take(100).collect());
        // Without an early exit the compiler checks many digits at once.
        let digits = text.bytes().fold(true, |digits, byte| digits & byte.is_ascii_digit());
        if text.is_empty() || !digits {
            return Err(wrong());
        }
        text.as_bytes().chunks(19).try_fold(Self::default(), |number, chunk| {
            let (eights, rest) = chunk.as_chunks::<8>();
            let digits = eights.iter().fold(0, |digits, eight| digits * 100_000_000 + value_of_eight(*eight));
            let digits = rest.iter().fold(digits, |digits, byte| digits * 10 + u64::from(byte - b'0'));
            number.shift_in(10_u64.pow(chunk.len() as u32), digits).ok_or_else(wrong)
        })
    }
}

/// The value of eight ASCII digits: neighbours are joined to pairs, pairs to fours, fours to eight, in three
/// multiplications. An event has some half a million digits of sequence numbers.
fn value_of_eight(digits: [u8; 8]) -> u64 {
    let ones = u64::from_le_bytes(digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (ones.wrapping_mul((10 << 8) + 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul((100 << 16) + 1) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul((10_000 << 32) + 1) >> 32
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.0;
        let mut chunks = Vec::new();
        while limbs != [0; 3] {
            let mut rest = 0_u128;
            for limb in &mut limbs {
                let part = (rest << 64) | u128::from(*limb);
                *limb = (part / u128::from(CHUNK)) as u64;
                rest = part % u128::from(CHUNK);
            }
            chunks.push(rest as u64);
        }
        write!(f, "{}", chunks.pop().unwrap_or(0))?;
        chunks.iter().rev().try_for_each(|chunk| write!(f, "{chunk:019}"))
    }
}

/// Where a record is in its shard, and the order within it: the sequence number, then the index within a KPL aggregate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordPosition {
    /// The stream record.
    pub sequence: SequenceNumber,
    /// The index of the user record in the aggregate; 0 for a plain record.
    pub sub_sequence: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> SequenceNumber {
        text.parse().unwrap()
    }

    #[test]
    fn a_kinesis_number_round_trips() {
        let text = "49590338271490256608559692538361571095921575989136588898";
        assert_eq!(number(text).to_string(), text);
        assert!(number(text) > number("9590338271490256608559692538361571095921575989136588898"));
        assert_eq!(number("0").to_string(), "0");
        assert_eq!(number("18446744073709551616").to_string(), "18446744073709551616");
        assert_eq!(number("42").to_u64(), Some(42));
        assert_eq!(number(text).to_u64(), None);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "-1", "1.0", "TRIM_HORIZON", "１", &"9".repeat(58)] {
            assert!(text.parse::<SequenceNumber>().is_err(), "{text}");
        }
        let most = "6277101735386680763835789423207666416102355444464034512895";
        assert_eq!(number(most).to_string(), most);
        assert!("6277101735386680763835789423207666416102355444464034512896".parse::<SequenceNumber>().is_err());
    }

    proptest! {
        #[test]
        fn order_is_by_length_then_digits(a in "[1-9][0-9]{0,55}", b in "[1-9][0-9]{0,55}") {
            let by_text = a.len().cmp(&b.len()).then(a.cmp(&b));
            prop_assert_eq!(number(&a).cmp(&number(&b)), by_text);
            prop_assert_eq!(number(&a).checked_sub(number(&b)).map(|d| number(&b).checked_add(d)), (number(&a) >= number(&b)).then_some(Some(number(&a))));
            prop_assert_eq!(number(&a).to_string(), a);
        }
    }
}
