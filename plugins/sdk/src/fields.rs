//! From the contract's columns to the struct that a plugin declares, without a copy.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::common::paceline::plugin::columns::{Batch, Column, Field, Kind, Packed, Value};
use crate::text::{count, joined};

/// The fields of a record that a plugin reads: a struct of plain values that derives `Fields`.
///
/// A field may be a `bool`, an `i64`, an `f64` (any JSON number), a `&str` or a `&[u8]`. It is read from the payload's
/// member of the same name; `#[field(path = "…")]` gives another JSON Pointer (`"/bike/resistance"`) or one of the
/// record's own values (`"@payload"`, `"@partition-key"`, `"@arrival-ms"`). A record that lacks a field becomes a dead
/// letter, unless `#[field(default = …)]` gives a default. Only `@payload` is a `&[u8]`.
///
/// ```
/// use paceline_plugin::Fields;
///
/// #[derive(Fields)]
/// struct Beat<'a> {
///     event: &'a str,
///     #[field(path = "/deviceTimestamp")]
///     sent_ms: i64,
///     #[field(default = 68.0)]
///     resistance: f64,
/// }
/// ```
///
/// The derive also makes `BeatColumns`, the same fields as whole columns, for functions that have to be fast.
pub trait Fields<'a>: Sized {
    /// The same fields as whole columns.
    type Columns: Columns<'a>;

    /// One row of the columns. `row` must be less than the number of rows.
    fn row(columns: &Self::Columns, row: usize) -> Self;
}

/// Whole columns of the fields that a plugin reads: the struct `…Columns` that `#[derive(Fields)]` makes.
pub trait Columns<'a>: Sized {
    /// The fields that the plugin declares to its host.
    #[doc(hidden)]
    fn fields() -> Vec<Field>;

    /// Finds the columns in a batch. An error names the one that the host did not pass.
    #[doc(hidden)]
    fn read(batch: &'a Batch) -> Result<Self, String>;

    /// The number of records.
    fn rows(&self) -> usize;
}

/// A column of texts (`str`) or of bytes (`[u8]`).
#[derive(Clone, Copy)]
pub struct TextColumn<'a, T: ?Sized> {
    ends: &'a [u32],
    all: &'a T,
}

impl<'a, T: ?Sized + Cut> TextColumn<'a, T> {
    /// The value of a row. `row` must be less than the number of rows.
    #[inline]
    pub fn get(&self, row: usize) -> &'a T {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        self.all.cut(start, self.ends[row] as usize)
    }

    /// All values, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a T> + '_ {
        (0..self.ends.len()).map(|row| self.get(row))
    }
}

/// The bytes or the text that rows are cut out of.
#[doc(hidden)]
pub trait Cut {
    fn cut(&self, start: usize, end: usize) -> &Self;
}

impl Cut for str {
    #[inline]
    fn cut(&self, start: usize, end: usize) -> &str {
        // The message that indexing has for this would be a tenth of a small component.
        self.get(start..end).expect("rows end within the column, between two characters")
    }
}

impl Cut for [u8] {
    #[inline]
    fn cut(&self, start: usize, end: usize) -> &[u8] {
        &self[start..end]
    }
}

/// A type that a field may have.
#[diagnostic::on_unimplemented(
    message = "a field of a record can't be `{Self}`",
    note = "a field is `bool`, `i64`, `f64`, `&str` or `&[u8]`; one that may be missing has a `#[field(default = …)]`"
)]
#[doc(hidden)]
pub trait FieldType<'a>: Sized {
    /// The type as the contract names it.
    const KIND: Kind;
    /// A whole column of it.
    type Column;

    fn column(column: &'a Column) -> Option<Self::Column>;
    fn len(column: &Self::Column) -> usize;
    fn get(column: &Self::Column, row: usize) -> Self;
    fn default(value: Self) -> Value;
}

macro_rules! plain {
    ($type:ty, $kind:ident, $column:ident, $value:ident) => {
        impl<'a> FieldType<'a> for $type {
            const KIND: Kind = Kind::$kind;
            type Column = &'a [$type];

            #[inline]
            fn column(column: &'a Column) -> Option<Self::Column> {
                match column {
                    Column::$column(values) => Some(values),
                    _ => None,
                }
            }

            #[inline]
            fn len(column: &Self::Column) -> usize {
                column.len()
            }

            #[inline]
            fn get(column: &Self::Column, row: usize) -> Self {
                column[row]
            }

            fn default(value: Self) -> Value {
                Value::$value(value)
            }
        }
    };
}

plain!(bool, Boolean, Booleans, Boolean);
plain!(i64, Integer, Integers, Integer);
plain!(f64, Number, Numbers, Number);

impl<'a> FieldType<'a> for &'a str {
    const KIND: Kind = Kind::Text;
    type Column = TextColumn<'a, str>;

    fn column(column: &'a Column) -> Option<Self::Column> {
        match column {
            // Checked as a whole, because checking each row would cost more than most rules do. Each row that the host
            // passes is UTF-8 by itself.
            Column::Texts(Packed { ends, bytes }) => {
                core::str::from_utf8(bytes).ok().map(|all| TextColumn { ends, all })
            }
            _ => None,
        }
    }

    fn len(column: &Self::Column) -> usize {
        column.ends.len()
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        column.get(row)
    }

    fn default(value: Self) -> Value {
        Value::Text(value.to_owned())
    }
}

impl<'a> FieldType<'a> for &'a [u8] {
    const KIND: Kind = Kind::Blob;
    type Column = TextColumn<'a, [u8]>;

    fn column(column: &'a Column) -> Option<Self::Column> {
        match column {
            Column::Blobs(Packed { ends, bytes }) => Some(TextColumn { ends, all: bytes }),
            _ => None,
        }
    }

    fn len(column: &Self::Column) -> usize {
        column.ends.len()
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        column.get(row)
    }

    fn default(value: Self) -> Value {
        Value::Text(String::from_utf8_lossy(value).into_owned())
    }
}

/// One field's column of a batch, with its kind and length checked.
#[doc(hidden)]
#[inline]
pub fn column<'a, T: FieldType<'a>>(batch: &'a Batch, index: usize, path: &str) -> Result<T::Column, String> {
    let found = batch
        .columns
        .get(index)
        .and_then(T::column)
        .ok_or_else(|| joined(&["the host passed no column of the declared kind for the field `", path, "`"]))?;
    let (values, rows) = (T::len(&found), batch.rows as usize);
    if values != rows {
        let (values, rows) = (count(values), count(rows));
        return Err(joined(&[
            "the host passed ",
            &values,
            " values of the field `",
            path,
            "` for ",
            &rows,
            " records",
        ]));
    }
    Ok(found)
}
