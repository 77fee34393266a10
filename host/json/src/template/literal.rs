//! The bytes between two values.

use super::words::load;

/// Bytes that are compared in words. The names of most members are shorter.
const HEAD: usize = 24;
const WORDS: usize = HEAD / 8;

/// Bytes that a message's template takes as they are.
#[derive(Debug)]
pub(super) struct Literal {
    /// The first bytes, in words, and the bits of each word that count.
    words: [u64; WORDS],
    masks: [u64; WORDS],
    /// The bytes after them.
    rest: Box<[u8]>,
    bytes: usize,
}

impl Literal {
    /// Bytes that must be behind a message: words of literals and of values are loaded whole.
    pub(super) const PADDING: usize = 32;

    pub(super) fn new(bytes: &[u8]) -> Self {
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD));
        let (mut padded, mut mask) = ([0; HEAD], [0; HEAD]);
        padded[..head.len()].copy_from_slice(head);
        mask[..head.len()].fill(0xff);
        let word = |bytes: &[u8; HEAD], at: usize| load(bytes, at * 8).expect("the head is whole words");
        Self {
            words: std::array::from_fn(|at| word(&padded, at)),
            masks: std::array::from_fn(|at| word(&mask, at)),
            rest: rest.into(),
            bytes: bytes.len(),
        }
    }

    /// Where the literal ends if it begins at this byte.
    #[inline(always)]
    pub(super) fn end(&self, message: &[u8], at: usize) -> Option<usize> {
        let head: &[u8; HEAD] = message.get(at..)?.first_chunk()?;
        let mut differences = 0;
        for word in 0..WORDS {
            differences |= (load(head, word * 8)? ^ self.words[word]) & self.masks[word];
        }
        if differences != 0 {
            return None;
        }
        let end = at + self.bytes;
        if !self.rest.is_empty() && message.get(at + HEAD..end)? != &*self.rest {
            return None;
        }
        Some(end)
    }
}
