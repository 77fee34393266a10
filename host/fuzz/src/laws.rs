//! What holds for every target.

use std::error::Error;

use paceline_pipeline::ErrorChain;

/// Characters of the longest message. Messages show the beginnings of what comes from outside, never all of it.
const MESSAGE_CHARS: usize = 2_000;

/// An error has a message, which is short whatever the input is.
pub(crate) fn error_has_a_message(error: &(dyn Error + 'static)) {
    text_is_short(&ErrorChain(error).to_string());
}

/// A text for people is not empty, and short whatever the input is.
pub(crate) fn text_is_short(text: &str) {
    let chars = text.chars().count();
    assert!((1..=MESSAGE_CHARS).contains(&chars), "a message of {chars} characters: {:.500}", text);
}
