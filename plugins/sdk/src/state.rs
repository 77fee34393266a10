//! States as bytes: four bytes that stand for the state format, then the state in the postcard format.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::common::paceline::plugin::columns::Packed;
use crate::text::{count, joined};

/// Encodes a state as the SDK does for an aggregator with this state format. Only the tests of a
/// [`Migration`](trait@crate::Migration) need it, for states of an earlier format.
pub fn encode_state<S: Serialize>(format: &str, state: &S) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    Format::new(format).encode(state, &mut bytes)?;
    Ok(bytes)
}

/// Decodes a state that the SDK encoded for an aggregator with this state format. `S` is the type that `State` had in
/// that aggregator. A state of another format is an error, and so are bytes after the state.
pub fn decode_state<S: DeserializeOwned>(format: &str, state: &[u8]) -> Result<S, String> {
    Format::new(format).decode(state)
}

/// A state format.
#[derive(Clone, Copy)]
pub(crate) struct Format<'a> {
    name: &'a str,
    prefix: [u8; 4],
}

impl<'a> Format<'a> {
    pub(crate) fn new(name: &'a str) -> Self {
        Self { name, prefix: prefix(name) }
    }

    /// Appends a state to `bytes`.
    pub(crate) fn encode<S: Serialize>(self, state: &S, bytes: &mut Vec<u8>) -> Result<(), String> {
        let mut encoded = core::mem::take(bytes);
        encoded.extend_from_slice(&self.prefix);
        *bytes = postcard::to_extend(state, encoded)
            .map_err(|error| joined(&["a state can't be encoded: ", &error.to_string()]))?;
        Ok(())
    }

    /// Decodes the state of a group that has records: its bytes are not empty.
    pub(crate) fn decode<S: DeserializeOwned>(self, bytes: &[u8]) -> Result<S, String> {
        let name = self.name;
        let Some(state) = bytes.strip_prefix(&self.prefix) else {
            return Err(joined(&[
                "a state of ",
                &count(bytes.len()),
                " bytes is not of the state format `",
                name,
                "`",
            ]));
        };
        let of_another_type = |found: String| {
            let (length, end) = (count(bytes.len()), ": a state's type may change only with the name of its format");
            joined(&["a state of ", &length, " bytes has the state format `", name, "`, but ", &found, end])
        };
        match postcard::take_from_bytes(state) {
            Ok((state, [])) => Ok(state),
            Ok((_, rest)) => Err(of_another_type(joined(&["ends with ", &count(rest.len()), " bytes too many"]))),
            Err(error) => Err(of_another_type(joined(&["can't be decoded (", &error.to_string(), ")"]))),
        }
    }

    /// All states, those of new groups included.
    pub(crate) fn unpack<S: Default + DeserializeOwned>(self, states: &Packed) -> Result<Vec<S>, String> {
        slices(states).map(|bytes| if bytes.is_empty() { Ok(S::default()) } else { self.decode(bytes) }).collect()
    }

    pub(crate) fn pack<S: Serialize>(self, states: &[S]) -> Result<Packed, String> {
        let capacity = states.len() * 32;
        let mut packed = Packed { ends: Vec::with_capacity(states.len()), bytes: Vec::with_capacity(capacity) };
        for state in states {
            self.encode(state, &mut packed.bytes)?;
            packed.ends.push(packed.bytes.len() as u32);
        }
        Ok(packed)
    }
}

/// The bytes of each state.
pub(crate) fn slices(packed: &Packed) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    packed.ends.iter().map(move |&end| {
        let bytes = &packed.bytes[start..end as usize];
        start = end as usize;
        bytes
    })
}

/// The 32-bit FNV-1a hash of a format's name, least significant byte first.
///
/// The host stores the name beside the state and compares it before it passes the state. The prefix is a second check:
/// it finds bytes that were stored under another name, and bytes that no plugin of this SDK wrote. Four bytes suffice
/// for that: one state in four billion would pass by chance. The name itself would cost up to 64 bytes in every write.
///
/// States are stored for years, so the hash must never change. FNV-1a is defined once and for all, and needs no
/// dependency.
fn prefix(name: &str) -> [u8; 4] {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Count {
        rows: u32,
    }

    #[test]
    fn a_state_begins_with_the_hash_of_its_format() {
        // Published test vectors of FNV-1a. States in stores depend on them.
        assert_eq!(prefix(""), 0x811c_9dc5_u32.to_le_bytes());
        assert_eq!(prefix("a"), 0xe40c_292c_u32.to_le_bytes());
        assert_eq!(prefix("foobar"), 0xbf9c_f968_u32.to_le_bytes());
        let bytes = encode_state("foobar", &Count { rows: 5 }).unwrap();
        assert_eq!(bytes, [0x68, 0xf9, 0x9c, 0xbf, 5]);
        assert_eq!(decode_state("foobar", &bytes), Ok(Count { rows: 5 }));
    }

    #[test]
    fn a_state_of_another_format_is_refused() {
        let other = encode_state("count/2", &Count { rows: 5 }).unwrap();
        for bytes in [&other[..], &[5], &[]] {
            let error = decode_state::<Count>("count/1", bytes).unwrap_err();
            assert_eq!(error, format!("a state of {} bytes is not of the state format `count/1`", bytes.len()));
        }
    }

    #[test]
    fn bytes_after_a_state_are_refused() {
        let mut bytes = encode_state("count/1", &Count { rows: 5 }).unwrap();
        bytes.extend([0, 0]);
        let expected = "a state of 7 bytes has the state format `count/1`, but ends with 2 bytes too many: a state's \
                        type may change only with the name of its format";
        assert_eq!(decode_state::<Count>("count/1", &bytes).unwrap_err(), expected);
    }

    #[test]
    fn a_state_that_is_cut_off_is_refused() {
        let bytes = encode_state("count/1", &Count { rows: 500 }).unwrap();
        let error = decode_state::<Count>("count/1", &bytes[..5]).unwrap_err();
        assert!(
            error.starts_with("a state of 5 bytes has the state format `count/1`, but can't be decoded ("),
            "{error}"
        );
    }

    #[test]
    fn the_state_of_a_new_group_is_the_default() {
        let format = Format::new("count/1");
        let packed = Packed { ends: vec![0, 5], bytes: encode_state("count/1", &7_u32).unwrap() };
        assert_eq!(format.unpack::<u32>(&packed).unwrap(), [0, 7]);
        // The default has bytes, too: after a fold a group is not new.
        assert_eq!(format.pack(&[0_u32, 7]).unwrap().ends, [5, 10]);
    }
}
