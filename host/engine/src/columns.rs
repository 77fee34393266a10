//! What crosses into the sandbox and back: the Rust side of `interface columns` in `wit/plugin.wit`.

use std::fmt;
use std::ops::Range;

use wasmtime::component::{ComponentType, Lift, Lower};

/// The type of a field or of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Kind {
    /// `true` or `false`.
    #[component(name = "boolean")]
    Boolean,
    /// A 64-bit integer.
    #[component(name = "integer")]
    Integer,
    /// A 64-bit float.
    #[component(name = "number")]
    Number,
    /// Text in UTF-8.
    #[component(name = "text")]
    Text,
    /// Bytes.
    #[component(name = "blob")]
    Blob,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "text",
            Self::Blob => "blob",
        })
    }
}

/// A single value.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum Value {
    /// `true` or `false`.
    #[component(name = "boolean")]
    Boolean(bool),
    /// A 64-bit integer.
    #[component(name = "integer")]
    Integer(i64),
    /// A 64-bit float.
    #[component(name = "number")]
    Number(f64),
    /// Text.
    #[component(name = "text")]
    Text(String),
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) => Kind::Integer,
            Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
        }
    }
}

/// A field that a plugin reads.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift)]
#[component(record)]
pub struct Field {
    /// A JSON Pointer into the payload, or `@payload`, `@partition-key`, `@arrival-ms`.
    pub path: String,
    /// The type that the value must have.
    pub kind: Kind,
    /// What stands in for a value that the record lacks.
    pub default: Option<Value>,
}

/// One value that an aggregator gives for each group.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Output {
    /// The attribute that it is written to.
    pub name: String,
    /// Its type.
    pub kind: Kind,
}

/// Values of varying length, end to end, borrowed: row i takes the bytes from `ends[i - 1]` (or 0) up to `ends[i]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Packed<'a> {
    /// Where each row ends.
    pub ends: &'a [u32],
    /// All rows' bytes.
    pub bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
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
}

/// Values of varying length, end to end. Comes from a plugin unchecked: see [`PackedBuf::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct PackedBuf {
    /// Where each row ends.
    pub ends: Vec<u32>,
    /// All rows' bytes.
    pub bytes: Vec<u8>,
}

impl PackedBuf {
    /// The same, borrowed.
    pub fn as_packed(&self) -> Packed<'_> {
        Packed { ends: &self.ends, bytes: &self.bytes }
    }

    /// Adds a row.
    pub fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(u32::try_from(self.bytes.len()).expect("a column holds less than 4 GiB"));
    }

    /// Whether it has this many rows and its ends ascend to the length of its bytes, or what is wrong with it.
    pub fn check(&self, rows: usize) -> Result<(), String> {
        if self.ends.len() != rows {
            return Err(format!("{} values, not {rows}", self.ends.len()));
        }
        if !self.ends.is_sorted() {
            return Err("ends that decrease".to_owned());
        }
        match self.ends.last().map_or(0, |&end| end as usize) {
            last if last != self.bytes.len() => Err(format!("ends up to {last} for {} bytes", self.bytes.len())),
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
    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Booleans(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Texts(values) | Self::Blobs(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

/// One field or output of every record or group. Comes from a plugin unchecked: see [`ColumnBuf::check`].
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

    /// The same, borrowed.
    pub fn as_column(&self) -> Column<'_> {
        match self {
            Self::Booleans(values) => Column::Booleans(values),
            Self::Integers(values) => Column::Integers(values),
            Self::Numbers(values) => Column::Numbers(values),
            Self::Texts(values) => Column::Texts(values.as_packed()),
            Self::Blobs(values) => Column::Blobs(values.as_packed()),
        }
    }

    /// Whether it has this kind and this many rows, and its texts are texts, or what is wrong with it.
    pub fn check(&self, kind: Kind, rows: usize) -> Result<(), String> {
        if self.kind() != kind {
            return Err(format!("a column of kind {}, not {kind}", self.kind()));
        }
        match self {
            Self::Texts(packed) => {
                packed.check(rows)?;
                match packed.as_packed().iter().all(|text| std::str::from_utf8(text).is_ok()) {
                    true => Ok(()),
                    false => Err("a text that is not UTF-8".to_owned()),
                }
            }
            Self::Blobs(packed) => packed.check(rows),
            plain if plain.as_column().len() != rows => Err(format!("{} values, not {rows}", plain.as_column().len())),
            _ => Ok(()),
        }
    }

    /// Keeps the rows for which `keep` is true; it has an entry for each row.
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

    /// Joins two columns of one kind end to end. Panics where the kinds differ.
    pub(crate) fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Booleans(all), Self::Booleans(more)) => all.extend(more),
            (Self::Integers(all), Self::Integers(more)) => all.extend(more),
            (Self::Numbers(all), Self::Numbers(more)) => all.extend(more),
            (Self::Texts(all), Self::Texts(more)) | (Self::Blobs(all), Self::Blobs(more)) => {
                more.as_packed().iter().for_each(|row| all.push(row));
            }
            (all, more) => panic!("columns of kinds {} and {} can't be joined", all.kind(), more.kind()),
        }
    }
}

/// What a plugin is called with.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Batch<'a> {
    pub(crate) rows: u32,
    pub(crate) columns: &'a [Column<'a>],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_column_that_does_not_add_up_is_refused() {
        let packed = |ends: &[u32], bytes: &[u8]| PackedBuf { ends: ends.to_vec(), bytes: bytes.to_vec() };
        assert_eq!(packed(&[1, 3], b"abc").check(2), Ok(()));
        assert_eq!(packed(&[], b"").check(0), Ok(()));
        assert_eq!(packed(&[3], b"abc").check(2), Err("1 values, not 2".to_owned()));
        assert_eq!(packed(&[3, 1], b"abc").check(2), Err("ends that decrease".to_owned()));
        assert_eq!(packed(&[1, 4], b"abc").check(2), Err("ends up to 4 for 3 bytes".to_owned()));
        assert_eq!(packed(&[], b"abc").check(0), Err("ends up to 0 for 3 bytes".to_owned()));
        let text = ColumnBuf::Texts(packed(&[1, 2], "é".as_bytes()));
        assert_eq!(text.check(Kind::Text, 2), Err("a text that is not UTF-8".to_owned()));
    }
}
