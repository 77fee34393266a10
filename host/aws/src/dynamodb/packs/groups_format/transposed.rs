//! Rows of bytes with their first bytes next to each other, then their second bytes, and so on.

use serde::{Deserialize, Serialize};

/// So many bytes of each row are transposed. The states of an aggregator are alike where they begin, and one long row must not
/// make the others cost its length.
const TRANSPOSED: usize = 64;

/// Rows of bytes, end to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    /// Appends a row, whose bytes are appended by `append`.
    pub(super) fn push_with(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn push(&mut self, row: &[u8]) {
        self.push_with(|bytes| bytes.extend_from_slice(row));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.bytes[std::mem::replace(&mut start, *end)..*end])
    }
}

/// Rows as they are stored.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Transposed {
    lengths: Vec<u32>,
    /// The first byte of each row that has one, then the second of each, up to [`TRANSPOSED`]; then what is left of each row.
    #[serde(with = "bytes")]
    bytes: Vec<u8>,
}

impl Transposed {
    pub(super) fn of(rows: &Rows) -> Self {
        let mut bytes = Vec::with_capacity(rows.bytes.len());
        let longest = rows.iter().map(<[u8]>::len).max().unwrap_or(0);
        for at in 0..longest.min(TRANSPOSED) {
            bytes.extend(rows.iter().filter_map(|row| row.get(at)));
        }
        rows.iter().filter_map(|row| row.get(TRANSPOSED..)).for_each(|rest| bytes.extend_from_slice(rest));
        Self { lengths: rows.iter().map(|row| row.len() as u32).collect(), bytes }
    }

    /// The rows; `None` unless they are so many and have all the bytes.
    pub(super) fn rows(&self, count: usize) -> Option<Rows> {
        let sum: u64 = self.lengths.iter().map(|length| u64::from(*length)).sum();
        if self.lengths.len() != count || sum != self.bytes.len() as u64 {
            return None;
        }
        let mut rows = Rows { bytes: vec![0; self.bytes.len()], ends: Vec::with_capacity(count) };
        let mut end = 0;
        rows.ends.extend(self.lengths.iter().map(|length| {
            end += *length as usize;
            end
        }));
        let starts = || self.lengths.iter().zip(&rows.ends).map(|(length, end)| (end - *length as usize, *end));
        let longest = self.lengths.iter().max().map_or(0, |length| *length as usize);
        let mut stored = self.bytes.iter();
        for at in 0..longest.min(TRANSPOSED) {
            let reached = starts().map(|(start, end)| (start + at, end)).filter(|(place, end)| place < end);
            reached.zip(&mut stored).for_each(|((place, _), byte)| rows.bytes[place] = *byte);
        }
        for (start, end) in starts() {
            let rest = (start + TRANSPOSED).min(end)..end;
            rows.bytes[rest].iter_mut().zip(&mut stored).for_each(|(place, byte)| *place = *byte);
        }
        Some(rows)
    }
}

/// Bytes in one piece. Otherwise each would be encoded and decoded by itself.
mod bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }

        from.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(rows: &[Vec<u8>]) -> Rows {
        let mut all = Rows::default();
        rows.iter().for_each(|row| all.push(row));
        all
    }

    proptest! {
        #[test]
        fn rows_come_back(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..TRANSPOSED * 2), 0..20)) {
            let of_bytes = rows(&all);
            prop_assert!(of_bytes.iter().eq(all.iter()));
            let transposed = Transposed::of(&of_bytes);
            prop_assert_eq!(transposed.rows(all.len() + 1), None);
            let more = Transposed { bytes: [&transposed.bytes[..], &[1]].concat(), lengths: transposed.lengths.clone() };
            prop_assert_eq!(more.rows(all.len()), None);
            prop_assert_eq!(transposed.rows(all.len()), Some(of_bytes));
        }
    }

    #[test]
    fn equal_places_are_next_to_each_other() {
        let all = rows(&[b"ad".to_vec(), b"b".to_vec(), b"".to_vec(), b"ce".to_vec()]);
        assert_eq!(Transposed::of(&all).bytes, b"abcde");
    }
}
