//! MD5 of several messages at once.
//!
//! Each step of MD5 needs the result of the step before, so that a processor waits most of the time, and one message after
//! the other is what unpacking costs most. Here several messages are hashed in step: the same word of each is in one
//! register.

use md5::{Digest, Md5};
use wide::u32x8;

/// Messages that are hashed in step: two registers of four words each, so that one works while the other waits.
const LANES: usize = 8;
/// Messages from which on it pays to fill the other lanes with what is not needed.
const WORTH_LANES: usize = 3;

const BLOCK: usize = 64;
/// The words of a block.
const WORDS: usize = BLOCK / 4;
/// The length in bits, at the end of the last block.
const LENGTH_BYTES: usize = 8;

const INITIAL: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The same word of each lane.
type Word = u32x8;

/// The MD5 of each message.
pub(super) fn md5_of_each(messages: &[&[u8]]) -> Vec<[u8; 16]> {
    // Messages of about the same length keep each other's lanes busy.
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_unstable_by_key(|message| messages[*message].len());
    let mut digests = vec![[0; 16]; messages.len()];
    for group in order.chunks(LANES) {
        if group.len() < WORTH_LANES {
            for &message in group {
                digests[message] = Md5::digest(messages[message]).into();
            }
        } else {
            let lanes: [usize; LANES] = std::array::from_fn(|lane| group[lane.min(group.len() - 1)]);
            for (message, digest) in lanes.into_iter().zip(in_step(lanes.map(|message| messages[message]))) {
                digests[message] = digest;
            }
        }
    }
    digests
}

/// A message, and the bytes that MD5 puts behind it.
struct Padded<'m> {
    whole: &'m [[u8; BLOCK]],
    last: [[u8; BLOCK]; 2],
    blocks: usize,
}

impl<'m> Padded<'m> {
    fn new(message: &'m [u8]) -> Self {
        let (whole, rest) = message.as_chunks();
        let mut last = [[0; BLOCK]; 2];
        let last_bytes = last.as_flattened_mut();
        last_bytes[..rest.len()].copy_from_slice(rest);
        last_bytes[rest.len()] = 0x80;
        let last_blocks = if rest.len() + 1 + LENGTH_BYTES > BLOCK { 2 } else { 1 };
        let bits = (message.len() as u64).wrapping_mul(8);
        last_bytes[last_blocks * BLOCK - LENGTH_BYTES..][..LENGTH_BYTES].copy_from_slice(&bits.to_le_bytes());
        Self { whole, last, blocks: whole.len() + last_blocks }
    }

    /// The block at an index; the last one instead of those after it.
    #[inline(always)]
    fn block(&self, index: usize) -> &[u8; BLOCK] {
        let index = index.min(self.blocks - 1);
        self.whole.get(index).unwrap_or_else(|| &self.last[index - self.whole.len()])
    }
}

/// The MD5 of messages that are hashed in step.
fn in_step(messages: [&[u8]; LANES]) -> [[u8; 16]; LANES] {
    let padded = messages.map(Padded::new);
    let mut state = INITIAL.map(Word::splat);
    let mut digests = [[0; 16]; LANES];
    let blocks = padded.iter().map(|message| message.blocks).max().unwrap_or(0);
    for index in 0..blocks {
        compress(&mut state, &transposed(padded.each_ref().map(|message| message.block(index))));
        for (lane, message) in padded.iter().enumerate() {
            if message.blocks == index + 1 {
                for (bytes, word) in digests[lane].chunks_exact_mut(4).zip(&state) {
                    bytes.copy_from_slice(&word.to_array()[lane].to_le_bytes());
                }
            }
        }
    }
    digests
}

/// The words of the lanes' blocks.
#[inline(always)]
fn transposed(blocks: [&[u8; BLOCK]; LANES]) -> [Word; WORDS] {
    let word = |block: &[u8; BLOCK], at: usize| {
        let (words, _) = block.as_chunks();
        u32::from_le_bytes(words[at])
    };
    std::array::from_fn(|at| Word::new(blocks.map(|block| word(block, at))))
}

/// The constants of the steps: the first 32 bits of the fractions of sines.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// The four rounds: how the words of the state are mixed, by how many bits each fourth step rotates, and with which word
/// of the block a step begins and goes on.
#[inline(always)]
fn compress(state: &mut [Word; 4], block: &[Word; WORDS]) {
    let before = *state;
    round(state, block, (0, 0, 1), [7, 12, 17, 22], |b, c, d| d ^ (b & (c ^ d)));
    round(state, block, (16, 1, 5), [5, 9, 14, 20], |b, c, d| c ^ (d & (b ^ c)));
    round(state, block, (32, 5, 3), [4, 11, 16, 23], |b, c, d| b ^ c ^ d);
    round(state, block, (48, 0, 7), [6, 10, 15, 21], |b, c, d| c ^ (b | !d));
    for (word, before) in state.iter_mut().zip(before) {
        *word += before;
    }
}

/// Sixteen steps from `first_step` on.
#[inline(always)]
fn round(
    state: &mut [Word; 4],
    block: &[Word; WORDS],
    (first_step, first_word, stride): (usize, usize, usize),
    rotations: [u32; 4],
    mix: impl Fn(Word, Word, Word) -> Word,
) {
    let [mut a, mut b, mut c, mut d] = *state;
    for four in 0..4 {
        for (at, rotation) in rotations.into_iter().enumerate() {
            let step = four * 4 + at;
            let word = block[(first_word + stride * step) % WORDS];
            let sum = a + mix(b, c, d) + word + Word::splat(SINES[first_step + step]);
            (a, b, c, d) = (d, b + (sum << rotation | sum >> (32 - rotation)), b, c);
        }
    }
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(messages: &[Vec<u8>]) {
        let found = md5_of_each(&messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let expected: Vec<[u8; 16]> = messages.iter().map(|message| Md5::digest(message).into()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn messages_of_every_length_have_their_digests() {
        let messages: Vec<Vec<u8>> =
            (0..300_usize).map(|length| (0..length).map(|at| (at * 7) as u8).collect()).collect();
        compare(&messages);
        messages.iter().for_each(|message| compare(std::slice::from_ref(message)));
        (0..20).for_each(|count| compare(&messages[100..100 + count]));
    }

    proptest! {
        #[test]
        fn messages_of_different_lengths_have_their_digests(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..20),
        ) {
            compare(&messages);
        }
    }
}
