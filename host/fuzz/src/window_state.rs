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

    /// A change of the format leaves no file of the corpus behind: each still shows what its name says.
    #[test]
    fn the_corpus_is_in_the_format_of_windows() {
        let corpus = paceline_testbed::environment::checkout().join("fuzz/corpus/window_state");
        let shard: Arc<str> = SHARD.into();
        let mut known = Vec::new();
        for (name, is_whole, error) in [
            ("cut", false, "end of buffer"),
            ("empty", false, ""),
            ("empty-group", false, ""),
            ("groups-apart", false, ""),
            ("key-not-utf-8", false, "utf-8"),
            ("long-state-announced", false, "end of buffer"),
            ("many-groups-announced", false, "end of buffer"),
            ("more-than-a-window", false, ""),
            ("no-such-rulebook", false, "a rulebook that it does not list"),
            ("not-a-number", false, ""),
            ("ordinals", false, ""),
            ("ordinals-of-two-rulebooks", false, ""),
            ("other-format", true, "has format 2"),
            ("other-shard", true, "is of shard stream/shardId-000000000001"),
            ("position-out-of-range", false, "out of range"),
            ("position-twice", false, "not in the order of the shard"),
            ("positions", false, ""),
            ("positions-out-of-order", false, "not in the order of the shard"),
        ] {
            let data = std::fs::read(corpus.join(name)).unwrap();
            let beginning = if is_whole { Vec::new() } else { BEGINNING.concat() };
            let found = Window::from_bytes(&[beginning, data].concat(), &shard);
            let text = found.map_or_else(|error| error.to_string(), |_| String::new());
            let is_said = text.to_lowercase().contains(&error.to_lowercase());
            assert!(is_said && text.is_empty() == error.is_empty(), "{name}: {text}");
            known.push(name.to_owned());
        }
        let files = std::fs::read_dir(corpus).unwrap();
        let mut files: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort_unstable();
        assert_eq!(files, known);
    }
}
