//! Assertions that tests of several crates share.

use std::fmt::Display;

/// Asserts that a message contains each of these parts.
///
/// # Panics
///
/// If it does not.
#[track_caller]
pub fn assert_contains(message: &impl Display, parts: &[&str]) {
    let message = message.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}
