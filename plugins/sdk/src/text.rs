//! Texts of errors. `format!` would be a sixth of a small component.

use alloc::string::String;

use crate::decimal::push_decimal;

/// One text of several.
#[cold]
pub(crate) fn joined(parts: &[&str]) -> String {
    let mut text = String::new();
    parts.iter().for_each(|part| text.push_str(part));
    text
}

/// A count as text.
#[cold]
pub(crate) fn count(count: usize) -> String {
    let mut text = String::new();
    push_decimal(&mut text, count as u64, 0);
    text
}
