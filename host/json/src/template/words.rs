//! Eight bytes at a time: the first byte of a word is its lowest one, on every machine.

/// Each byte 1.
const LOW: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte.
pub(super) const HIGH: u64 = 0x8080_8080_8080_8080;

/// The word at this byte. `None` if the bytes end before it does.
#[inline(always)]
pub(super) fn load(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// A word of this byte.
#[inline(always)]
pub(super) const fn each(byte: u8) -> u64 {
    LOW * byte as u64
}

/// The bytes before the first one that is marked by its highest bit; 8 if none is.
#[inline(always)]
pub(super) fn before_first(marked: u64) -> usize {
    (marked.trailing_zeros() / 8) as usize
}

/// Marks the bytes below `limit`, which is at most 0x80. What is marked above the first marked byte has no meaning.
#[inline(always)]
pub(super) const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(each(limit)) & !word & HIGH
}

/// Marks the bytes that are `byte`, which is below 0x80. What is marked above the first marked byte has no meaning.
#[inline(always)]
pub(super) const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ each(byte), 1)
}
