//! Integers that are near each other, in as few bits as their range needs.
//!
//! Racers of a race differ by some seconds and by what they have scored, which no compression shortens: the bits of such a
//! column are stored beside the compressed stream, because an encoding of bytes would take more. This is the patched frame of
//! reference of columnar databases (Zukowski et al., "Super-Scalar RAM-CPU Cache Compression", 2006): integers are differences
//! to the frame's base, and those outside of the frame are listed.

use serde::{Deserialize, Serialize};

/// About what an integer outside of the frame takes, in bits.
const EXCEPTION_BITS: usize = 40;

/// A column of integers, whose differences to the base are in [`Bits`].
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    base: i64,
    width: u8,
    /// Integers outside of the frame, each with the number of integers since the one before.
    exceptions: Vec<(u32, i64)>,
}

impl Frame {
    /// Appends the differences of the integers to the bits.
    pub(super) fn of(integers: &[i64], bits: &mut Bits) -> Self {
        let (base, width) = best(integers);
        let mut exceptions = Vec::new();
        let mut since = 0;
        for integer in integers {
            let difference = integer.wrapping_sub(base) as u64;
            match fits(difference, width) && *integer >= base {
                true => bits.push(difference, width),
                false => {
                    exceptions.push((since, *integer));
                    since = 0;
                    continue;
                }
            }
            since += 1;
        }
        Self { base, width, exceptions }
    }

    /// The integers, of which there are so many; `None` if the bits do not have them.
    pub(super) fn integers(&self, count: usize, bits: &mut BitsReader<'_>) -> Option<Vec<i64>> {
        if self.width > 64 || self.exceptions.len() > count {
            return None;
        }
        let mut integers = Vec::with_capacity(count);
        let mut differences = count - self.exceptions.len();
        let mut take = |integers: &mut Vec<i64>, most: usize| {
            let taken = most.min(differences);
            differences -= taken;
            (0..taken).try_for_each(|_| {
                integers.push(self.base.wrapping_add(bits.next(self.width)? as i64));
                Some(())
            })
        };
        for (since, exception) in &self.exceptions {
            take(&mut integers, *since as usize)?;
            integers.push(*exception);
        }
        take(&mut integers, count)?;
        (integers.len() == count).then_some(integers)
    }
}

fn fits(difference: u64, width: u8) -> bool {
    difference.checked_shr(width.into()).unwrap_or(0) == 0
}

/// The base and the width of the frame that takes the fewest bits.
fn best(integers: &[i64]) -> (i64, u8) {
    let mut sorted = integers.to_vec();
    sorted.sort_unstable();
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return (0, 0) };
    let range = last.wrapping_sub(*first) as u64;
    let all = (u64::BITS - range.leading_zeros()) as u8;
    let mut best = (usize::from(all) * sorted.len(), *first, all);
    for width in (0..all).rev() {
        // The most integers in a frame of this width, by two pointers.
        let (mut from, mut least) = (0, usize::MAX);
        for (to, integer) in sorted.iter().enumerate() {
            while !fits(integer.wrapping_sub(sorted[from]) as u64, width) {
                from += 1;
            }
            let inside = to + 1 - from;
            let cost = usize::from(width) * inside + EXCEPTION_BITS * (sorted.len() - inside);
            best = best.min((cost, sorted[from], width));
            least = least.min(cost);
        }
        // Narrower ones only leave out more.
        if least > best.0 + best.0 / 4 {
            break;
        }
    }
    (best.1, best.2)
}

/// Bits, the lowest of a byte first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not used yet.
    free: u8,
}

impl Bits {
    fn push(&mut self, mut value: u64, mut width: u8) {
        while width > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = width.min(self.free);
            let low = (value & ((1 << taken) - 1)) as u8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= low << (8 - self.free);
            }
            self.free -= taken;
            value >>= taken;
            width -= taken;
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads [`Bits`].
pub(super) struct BitsReader<'a> {
    bytes: &'a [u8],
    /// Bits that are read.
    at: usize,
}

impl<'a> BitsReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn next(&mut self, width: u8) -> Option<u64> {
        let (mut value, mut read) = (0, 0);
        while read < width {
            let byte = *self.bytes.get(self.at / 8)?;
            let offset = (self.at % 8) as u8;
            let taken = (width - read).min(8 - offset);
            value |= u64::from((byte >> offset) & (0xff >> (8 - taken))) << read;
            self.at += usize::from(taken);
            read += taken;
        }
        Some(value)
    }

    /// Whether all bytes have been read.
    pub(super) fn is_at_end(&self) -> bool {
        self.at.div_ceil(8) == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column() -> impl Strategy<Value = Vec<i64>> {
        let near = (any::<i64>(), prop::collection::vec(0..2_000_i64, 0..40)).prop_map(|(base, offsets)| {
            offsets.into_iter().map(|offset| base.wrapping_add(offset)).collect::<Vec<_>>()
        });
        (near, prop::collection::vec(any::<i64>(), 0..4), any::<u64>()).prop_map(|(near, far, seed)| {
            let mut all = [near, far].concat();
            fastrand::Rng::with_seed(seed).shuffle(&mut all);
            all
        })
    }

    proptest! {
        #[test]
        fn integers_come_back(columns in prop::collection::vec(column(), 0..5)) {
            let mut bits = Bits::default();
            let frames: Vec<Frame> = columns.iter().map(|column| Frame::of(column, &mut bits)).collect();
            let bytes = bits.into_bytes();
            let mut reader = BitsReader::new(&bytes);
            for (frame, column) in frames.iter().zip(columns) {
                prop_assert_eq!(frame.integers(column.len(), &mut reader), Some(column));
            }
            prop_assert!(reader.is_at_end());
        }

        #[test]
        fn a_frame_that_nobody_wrote_gives_so_many_integers_or_none(
            base in any::<i64>(),
            width in any::<u8>(),
            exceptions in prop::collection::vec((0..9_u32, any::<i64>()), 0..4),
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            count in 0..9_usize,
        ) {
            let read = Frame { base, width, exceptions }.integers(count, &mut BitsReader::new(&bytes));
            prop_assert!(read.is_none_or(|integers| integers.len() == count));
        }
    }

    #[test]
    fn what_is_near_takes_the_bits_of_its_range() {
        let bytes = |column: &[i64]| {
            let mut bits = Bits::default();
            let frame = Frame::of(column, &mut bits);
            (bits.into_bytes().len(), frame.exceptions.len())
        };
        assert_eq!(bytes(&[7; 100]), (0, 0));
        assert_eq!(bytes(&[]), (0, 0));
        assert_eq!(bytes(&(1_000..1_256).collect::<Vec<_>>()), (256, 0));
        // Two that are far away, below and above.
        let with_outliers: Vec<i64> = [i64::MIN].into_iter().chain(1_000..1_256).chain([i64::MAX]).collect();
        assert_eq!(bytes(&with_outliers), (256, 2));
        assert_eq!(bytes(&[i64::MIN, i64::MAX]).1, 1);
    }
}
