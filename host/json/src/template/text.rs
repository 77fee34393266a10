//! Texts without escapes.

use super::words::{before_first, below, equal};

/// Words of a text that are looked at one by one. Most texts are shorter.
const SHORT_WORDS: usize = 4;
/// Bytes of a longer text that are looked at together: two registers of the smallest processors.
const BLOCK: usize = 32;

/// Where the closing quote is of the text that begins at this byte, after its opening quote. `None` if there is an escape,
/// or a control character, which JSON does not allow there.
#[inline(always)]
pub(super) fn closing_quote(message: &[u8], at: usize) -> Option<usize> {
    let text = message.get(at..)?;
    for (index, word) in text.as_chunks().0.iter().take(SHORT_WORDS).enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = equal(word, b'"') | equal(word, b'\\') | below(word, 0x20);
        if special != 0 {
            let end = index * 8 + before_first(special);
            return (text[end] == b'"').then_some(at + end);
        }
    }
    let end = SHORT_WORDS * 8 + first_special(text.get(SHORT_WORDS * 8..)?)?;
    (text[end] == b'"').then_some(at + end)
}

/// The first quote, backslash or control character of a text.
#[inline(never)]
fn first_special(text: &[u8]) -> Option<usize> {
    let is_special = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    let (blocks, _) = text.as_chunks::<BLOCK>();
    // Without a branch for each byte, so that the compiler takes a whole register of them at once.
    let specials = |block: &[u8; BLOCK]| block.iter().fold(0, |found, byte| found | u8::from(is_special(*byte)));
    let plain = blocks.iter().take_while(|block| specials(block) == 0).count() * BLOCK;
    Some(plain + text[plain..].iter().position(|byte| is_special(*byte))?)
}
