//! Values of varying length, such as texts and states, in two flat lists: the contract's `packed`.

use std::ops::Range;

use wasmtime::component::{ComponentType, Lift, Lower};

/// Values of varying length, end to end, borrowed: row i takes the bytes from `ends[i - 1]` (or 0) up to `ends[i]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Packed<'a> {
    /// The end of each row: an index into `bytes`.
    pub ends: &'a [u32],
    /// The bytes of all rows.
    pub bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of one row. Panics where there is no such row.
    pub fn get(&self, row: usize) -> &'a [u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.bytes[start..self.ends[row] as usize]
    }

    /// All rows, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).map(move |row| self.get(row))
    }

    /// A copy of some of the rows.
    pub fn slice(&self, rows: Range<usize>) -> PackedBuf {
        rows.map(|row| self.get(row)).collect()
    }

    /// Calls `with` with some of the rows: all of them as they are, fewer as a copy.
    pub(crate) fn with_rows<T>(self, rows: &Range<usize>, with: impl FnOnce(Packed<'_>) -> T) -> T {
        match rows.len() == self.len() {
            true => with(self),
            false => with(self.slice(rows.clone()).as_packed()),
        }
    }
}

/// Values of varying length, end to end. A session checks those that a plugin returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct PackedBuf {
    /// The end of each row: an index into `bytes`.
    pub ends: Vec<u32>,
    /// The bytes of all rows.
    pub bytes: Vec<u8>,
}

/// How a [`PackedBuf`] contradicts itself or its expected length.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PackedError {
    #[error("{found} values, not {expected}")]
    Length { found: usize, expected: usize },
    #[error("ends that decrease")]
    Decreasing,
    #[error("ends up to {last} for {bytes} bytes")]
    LastEnd { last: usize, bytes: usize },
}

impl PackedBuf {
    /// The same rows, borrowed.
    pub fn as_packed(&self) -> Packed<'_> {
        Packed { ends: &self.ends, bytes: &self.bytes }
    }

    /// Appends a row. Panics where the rows would have 4 GiB or more.
    pub fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(u32::try_from(self.bytes.len()).expect("a column holds less than 4 GiB"));
    }

    /// Checks that it has this many rows, and that its ends ascend to the length of its bytes.
    pub(crate) fn check(&self, rows: usize) -> Result<(), PackedError> {
        if self.ends.len() != rows {
            return Err(PackedError::Length { found: self.ends.len(), expected: rows });
        }
        if !self.ends.is_sorted() {
            return Err(PackedError::Decreasing);
        }
        match self.ends.last().map_or(0, |&end| end as usize) {
            last if last != self.bytes.len() => Err(PackedError::LastEnd { last, bytes: self.bytes.len() }),
            _ => Ok(()),
        }
    }
}

impl<'a> FromIterator<&'a [u8]> for PackedBuf {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(rows: I) -> Self {
        let mut packed = Self::default();
        rows.into_iter().for_each(|row| packed.push(row));
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_column_whose_ends_do_not_fit_is_refused() {
        let packed = |ends: &[u32], bytes: &[u8]| PackedBuf { ends: ends.to_vec(), bytes: bytes.to_vec() };
        assert_eq!(packed(&[1, 3], b"abc").check(2), Ok(()));
        assert_eq!(packed(&[], b"").check(0), Ok(()));
        let wrong = |packed: PackedBuf, rows| packed.check(rows).unwrap_err().to_string();
        assert_eq!(wrong(packed(&[3], b"abc"), 2), "1 values, not 2");
        assert_eq!(wrong(packed(&[3, 1], b"abc"), 2), "ends that decrease");
        assert_eq!(wrong(packed(&[1, 4], b"abc"), 2), "ends up to 4 for 3 bytes");
        assert_eq!(wrong(packed(&[], b"abc"), 0), "ends up to 0 for 3 bytes");
    }

    #[test]
    fn some_rows_are_passed_as_a_copy_and_all_rows_as_they_are() {
        let all: PackedBuf = [&b"a"[..], b"", b"bc", b"d"].into_iter().collect();
        let passed = |rows: Range<usize>| {
            all.as_packed().with_rows(&rows, |some| (some.bytes.as_ptr(), some.iter().map(<[u8]>::to_vec).collect()))
        };
        let (bytes, rows): (_, Vec<Vec<u8>>) = passed(0..4);
        assert_eq!((bytes, rows.len()), (all.bytes.as_ptr(), 4));
        assert_eq!(passed(1..3).1, [b"".to_vec(), b"bc".to_vec()]);
    }
}
