//! The columns that cross into the sandbox and back.

use std::ops::Range;

use wasmtime::component::{ComponentType, Lift, Lower};

use crate::packed::{Packed, PackedBuf, PackedError};
use crate::schema::Kind;

/// One field of every record of a batch, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, ComponentType, Lower)]
#[component(variant)]
pub enum Column<'a> {
    /// Booleans.
    #[component(name = "booleans")]
    Booleans(&'a [bool]),
    /// Integers.
    #[component(name = "integers")]
    Integers(&'a [i64]),
    /// Floats.
    #[component(name = "numbers")]
    Numbers(&'a [f64]),
    /// Texts in UTF-8.
    #[component(name = "texts")]
    Texts(Packed<'a>),
    /// Bytes.
    #[component(name = "blobs")]
    Blobs(Packed<'a>),
}

impl Column<'_> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Booleans(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Texts(values) | Self::Blobs(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of these rows' texts. Numbers have none.
    pub fn text_bytes(&self, rows: &Range<usize>) -> usize {
        let (Self::Texts(values) | Self::Blobs(values)) = self else { return 0 };
        let end =
            |rows: usize| rows.checked_sub(1).and_then(|last| values.ends.get(last)).map_or(0, |end| *end as usize);
        end(rows.end).saturating_sub(end(rows.start))
    }

    /// A copy of the rows with these indexes.
    pub fn take(&self, rows: &[u32]) -> ColumnBuf {
        fn plain<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
            rows.iter().map(|&row| values[row as usize]).collect()
        }
        let packed = |values: &Packed<'_>| rows.iter().map(|&row| values.get(row as usize)).collect();
        match self {
            Self::Booleans(values) => ColumnBuf::Booleans(plain(values, rows)),
            Self::Integers(values) => ColumnBuf::Integers(plain(values, rows)),
            Self::Numbers(values) => ColumnBuf::Numbers(plain(values, rows)),
            Self::Texts(values) => ColumnBuf::Texts(packed(values)),
            Self::Blobs(values) => ColumnBuf::Blobs(packed(values)),
        }
    }

    /// A copy of some of the rows.
    pub fn slice(&self, rows: Range<usize>) -> ColumnBuf {
        match self {
            Self::Booleans(values) => ColumnBuf::Booleans(values[rows].to_vec()),
            Self::Integers(values) => ColumnBuf::Integers(values[rows].to_vec()),
            Self::Numbers(values) => ColumnBuf::Numbers(values[rows].to_vec()),
            Self::Texts(values) => ColumnBuf::Texts(values.slice(rows)),
            Self::Blobs(values) => ColumnBuf::Blobs(values.slice(rows)),
        }
    }
}

/// One field of every record, or one output of every group. A session checks those that a plugin returns.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift)]
#[component(variant)]
pub enum ColumnBuf {
    /// Booleans.
    #[component(name = "booleans")]
    Booleans(Vec<bool>),
    /// Integers.
    #[component(name = "integers")]
    Integers(Vec<i64>),
    /// Floats.
    #[component(name = "numbers")]
    Numbers(Vec<f64>),
    /// Texts in UTF-8.
    #[component(name = "texts")]
    Texts(PackedBuf),
    /// Bytes.
    #[component(name = "blobs")]
    Blobs(PackedBuf),
}

impl ColumnBuf {
    /// An empty column of a kind.
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Booleans(Vec::new()),
            Kind::Integer => Self::Integers(Vec::new()),
            Kind::Number => Self::Numbers(Vec::new()),
            Kind::Text => Self::Texts(PackedBuf::default()),
            Kind::Blob => Self::Blobs(PackedBuf::default()),
        }
    }

    /// The type of its values.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Booleans(_) => Kind::Boolean,
            Self::Integers(_) => Kind::Integer,
            Self::Numbers(_) => Kind::Number,
            Self::Texts(_) => Kind::Text,
            Self::Blobs(_) => Kind::Blob,
        }
    }

    /// The same values, borrowed.
    pub fn as_column(&self) -> Column<'_> {
        match self {
            Self::Booleans(values) => Column::Booleans(values),
            Self::Integers(values) => Column::Integers(values),
            Self::Numbers(values) => Column::Numbers(values),
            Self::Texts(values) => Column::Texts(values.as_packed()),
            Self::Blobs(values) => Column::Blobs(values.as_packed()),
        }
    }

    /// Checks that it has this kind and this many rows, and that its texts are UTF-8.
    pub(crate) fn check(&self, kind: Kind, rows: usize) -> Result<(), ColumnError> {
        if self.kind() != kind {
            return Err(ColumnError::Kind { found: self.kind(), expected: kind });
        }
        match self {
            Self::Texts(packed) => {
                packed.check(rows)?;
                match packed.as_packed().iter().all(|text| std::str::from_utf8(text).is_ok()) {
                    true => Ok(()),
                    false => Err(ColumnError::NotUtf8),
                }
            }
            Self::Blobs(packed) => Ok(packed.check(rows)?),
            plain => match plain.as_column().len() {
                found if found == rows => Ok(()),
                found => Err(PackedError::Length { found, expected: rows }.into()),
            },
        }
    }

    /// The bytes of its longest text or blob. It has passed [`check`](Self::check).
    pub(crate) fn longest(&self) -> usize {
        let (Self::Texts(values) | Self::Blobs(values)) = self else { return 0 };
        values.as_packed().iter().map(<[u8]>::len).max().unwrap_or(0)
    }

    /// Keeps the rows for which `keep` is true. `keep` has an entry for each row.
    pub fn retain(&mut self, keep: &[bool]) {
        fn plain<T>(values: &mut Vec<T>, keep: &[bool]) {
            let mut keep = keep.iter();
            values.retain(|_| *keep.next().expect("an entry for each row"));
        }
        match self {
            Self::Booleans(values) => plain(values, keep),
            Self::Integers(values) => plain(values, keep),
            Self::Numbers(values) => plain(values, keep),
            Self::Texts(values) | Self::Blobs(values) => {
                let kept = values.as_packed().iter().zip(keep).filter(|(_, keep)| **keep).map(|(row, _)| row);
                *values = kept.collect();
            }
        }
    }

    /// Appends the rows of another column. Panics where the kinds differ.
    pub(crate) fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Booleans(all), Self::Booleans(more)) => all.extend(more),
            (Self::Integers(all), Self::Integers(more)) => all.extend(more),
            (Self::Numbers(all), Self::Numbers(more)) => all.extend(more),
            (Self::Texts(all), Self::Texts(more)) | (Self::Blobs(all), Self::Blobs(more)) => {
                more.as_packed().iter().for_each(|row| all.push(row));
            }
            (all, more) => panic!("a column of kind {} can't be appended to one of kind {}", more.kind(), all.kind()),
        }
    }

    /// Appends zeros or empty values until it has this many rows.
    pub(crate) fn pad(&mut self, rows: usize) {
        match self {
            Self::Booleans(values) => values.resize(rows, false),
            Self::Integers(values) => values.resize(rows, 0),
            Self::Numbers(values) => values.resize(rows, 0.0),
            Self::Texts(values) | Self::Blobs(values) => (values.ends.len()..rows).for_each(|_| values.push(b"")),
        }
    }
}

/// How a [`ColumnBuf`] differs from what a plugin declared.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ColumnError {
    #[error("kind {found}, not {expected}")]
    Kind { found: Kind, expected: Kind },
    #[error(transparent)]
    Packed(#[from] PackedError),
    #[error("a text that is not UTF-8")]
    NotUtf8,
}

/// What a plugin is called with.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Batch<'a> {
    pub(crate) rows: u32,
    pub(crate) columns: &'a [Column<'a>],
}

impl Batch<'_> {
    /// Calls `with` with a copy of the rows with these indexes.
    pub(crate) fn with_taken<T>(columns: &[Column<'_>], rows: &[u32], with: impl FnOnce(Batch<'_>) -> T) -> T {
        let copies: Vec<ColumnBuf> = columns.iter().map(|column| column.take(rows)).collect();
        let columns: Vec<Column<'_>> = copies.iter().map(ColumnBuf::as_column).collect();
        with(Batch { rows: rows.len() as u32, columns: &columns })
    }

    /// Calls `with` with some of the `total` rows of a batch: all of them as they are, fewer as a copy.
    pub(crate) fn with_rows<T>(
        columns: &[Column<'_>],
        total: usize,
        rows: &Range<usize>,
        with: impl FnOnce(Batch<'_>) -> T,
    ) -> T {
        if rows.len() == total {
            return with(Batch { rows: total as u32, columns });
        }
        let copies: Vec<ColumnBuf> = columns.iter().map(|column| column.slice(rows.clone())).collect();
        let columns: Vec<Column<'_>> = copies.iter().map(ColumnBuf::as_column).collect();
        with(Batch { rows: rows.len() as u32, columns: &columns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, Work};

    #[test]
    fn a_text_that_is_cut_between_its_bytes_is_refused() {
        let text = ColumnBuf::Texts(PackedBuf { ends: vec![1, 2], bytes: "é".as_bytes().to_vec() });
        assert_eq!(text.check(Kind::Text, 2), Err(ColumnError::NotUtf8));
        assert_eq!(ColumnError::NotUtf8.to_string(), "a text that is not UTF-8");
    }

    #[test]
    fn a_column_of_another_kind_or_length_is_refused() {
        let wrong = |kind, rows| ColumnBuf::Numbers(vec![0.5]).check(kind, rows).unwrap_err().to_string();
        assert_eq!(wrong(Kind::Integer, 1), "kind number, not integer");
        assert_eq!(wrong(Kind::Number, 2), "1 values, not 2");
    }

    #[test]
    fn padding_keeps_what_is_there() {
        for (kind, value) in [
            (Kind::Boolean, ColumnBuf::Booleans(vec![true])),
            (Kind::Integer, ColumnBuf::Integers(vec![7])),
            (Kind::Number, ColumnBuf::Numbers(vec![0.5])),
            (Kind::Text, ColumnBuf::Texts([&b"x"[..]].into_iter().collect())),
            (Kind::Blob, ColumnBuf::Blobs([&b"\xff"[..]].into_iter().collect())),
        ] {
            let mut column = ColumnBuf::new(kind);
            column.pad(2);
            column.append(value.clone());
            column.pad(4);
            assert_eq!(column.check(kind, 4), Ok(()));
            assert_eq!(column.as_column().slice(2..3), value);
        }
    }

    #[test]
    fn fuel_is_in_proportion_to_the_bytes_of_the_texts_of_the_rows_that_a_call_has() {
        let texts = ColumnBuf::Texts([&b"ab"[..], b"", b"cde"].into_iter().collect());
        let columns = [texts.as_column(), Column::Integers(&[7, 8, 9])];
        let limits = Limits::default();
        for (rows, bytes) in [(0..3, 5), (0..2, 2), (1..2, 0), (2..3, 3), (0..0, 0)] {
            let work = Work::of_rows(&rows, &columns);
            assert_eq!((work.rows, work.bytes), (rows.len(), bytes), "{rows:?}");
            assert_eq!(limits.fuel(work), limits.fuel_of(rows.len(), 0) + bytes as u64 * limits.fuel_per_byte);
        }
    }
}
