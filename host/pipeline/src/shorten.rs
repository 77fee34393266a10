//! Texts that contain what came from outside, made short: errors of parsers repeat what they were given, however long it is.

use std::borrow::Cow;

/// Characters that are kept of the beginning and of the end. What a parser expected stands at the end.
const KEPT: (usize, usize) = (700, 300);

/// A text's beginning and its end; all of it if it is short.
pub fn shorten(text: &str) -> Cow<'_, str> {
    let Some((start, _)) = text.char_indices().nth(KEPT.0) else { return Cow::Borrowed(text) };
    match text.char_indices().nth_back(KEPT.1 - 1) {
        Some((end, _)) if end > start => Cow::Owned(format!("{} … {}", &text[..start], &text[end..])),
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        for short in ["", "é", &"é".repeat(KEPT.0), &"é".repeat(KEPT.0 + KEPT.1)] {
            assert_eq!(shorten(short), short);
        }
        let long = format!("{}{}{}", "a".repeat(KEPT.0), "é".repeat(5_000), "z".repeat(KEPT.1));
        assert_eq!(shorten(&long), format!("{} … {}", "a".repeat(KEPT.0), "z".repeat(KEPT.1)));
    }
}
