//! Window states: any bytes are a window or an error, and a window is encoded without loss.

use std::sync::Arc;

use paceline_pipeline::window::Window;

use crate::laws::error_has_a_message;

/// The shard of the windows.
const SHARD: &str = "stream/shardId-000000000000";
/// What the bytes of a window of this shard begin with: the format, the length of the shard's name, the name.
const BEGINNING: [&[u8]; 3] = [&[4], &[SHARD.len() as u8], SHARD.as_bytes()];

/// Checks the bytes as a window, and as what follows the shard's name in a window.
pub fn check(data: &[u8]) {
    let shard: Arc<str> = SHARD.into();
    survives_encoding(data, &shard);
    survives_encoding(&[&BEGINNING.concat(), data].concat(), &shard);
}

fn survives_encoding(bytes: &[u8], shard: &Arc<str>) {
    let window = match Window::from_bytes(bytes, shard) {
        Ok(window) => window,
        Err(error) => return error_has_a_message(&error),
    };
    // Each group and each row takes several bytes: a few bytes never become a large window.
    assert!(window.rows() <= bytes.len() && window.groups() <= bytes.len());
    assert_eq!(window.is_empty(), window.groups() == 0);
    let encoded = window.to_bytes();
    let again = Window::from_bytes(&encoded, shard).expect("its own bytes are a window");
    assert_eq!((again.rows(), again.groups()), (window.rows(), window.groups()));
    // Not the windows themselves: an attribute that is not a number is not equal to itself.
    assert_eq!(again.to_bytes(), encoded);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_format_and_shard() {
        assert!(Window::new(SHARD.into()).to_bytes().starts_with(&BEGINNING.concat()));
    }
}
