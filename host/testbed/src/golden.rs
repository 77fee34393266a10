//! Files of the checkout that are made by code and compared with what it makes. `PACELINE_UPDATE=1` writes them.

use std::env;
use std::fs;

use crate::environment::checkout;

/// If it is `1`, tests write the files that they otherwise compare.
pub const UPDATE: &str = "PACELINE_UPDATE";

/// Whether tests write files instead of comparing them.
pub fn is_updating() -> bool {
    env::var_os(UPDATE).is_some_and(|value| value == "1")
}

/// Compares a file, by its path in the checkout, with what it should be, or writes it. Returns the first line that differs.
///
/// # Panics
///
/// If the file can't be written.
pub fn difference(file: &str, expected: &str) -> Option<String> {
    let path = checkout().join(file);
    let found = fs::read_to_string(&path).unwrap_or_default();
    if found == expected {
        return None;
    }
    if is_updating() {
        fs::write(&path, expected).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return None;
    }
    let differing = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    let at = differing.unwrap_or(found.lines().count().min(expected.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_owned();
    Some(format!("{file}, line {}:\n  it has   {}\n  expected {}\n", at + 1, line(&found), line(expected)))
}

/// Asserts that a file is what it should be, or writes it. `package` is that of the test.
///
/// # Panics
///
/// If the file differs and is not written.
#[track_caller]
pub fn assert_file(file: &str, expected: &str, package: &str) {
    if let Some(difference) = difference(file, expected) {
        panic!("{difference}Write it anew: {UPDATE}=1 cargo test -p {package}");
    }
}
