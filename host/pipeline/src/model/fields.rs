//! The values of the declared fields, for each record of a batch.

use std::fmt::Write as _;

use super::batch::Batch;
use super::record::Span;

/// What a payload holds at a pointer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldValue {
    /// No such member.
    Missing,
    /// `null`.
    Null,
    Boolean(bool),
    /// An integer, however it is written: see [`FieldValue::of_f64`].
    Integer(i64),
    /// Any other number: with a fraction, or too large to be an exact integer.
    Number(f64),
    /// A text without escapes, in the batch's bytes.
    Text(Span),
    /// A text whose escapes were resolved, in the bytes of the [`ProjectedRows`].
    Unescaped(Span),
    Array,
    Object,
}

impl FieldValue {
    /// Integers of an f64 up to here are exact. Of larger ones, several have the same f64.
    pub(crate) const EXACT: f64 = 9_007_199_254_740_992.0;

    /// The value of a number that is written with a fraction or an exponent, or as `-0`. A number without a fraction is
    /// an integer however it is written, in fields, keys and ordinals alike: `2.0`, `1.6e12` and `-0` are 2,
    /// 1600000000000 and 0.
    pub(crate) fn of_f64(value: f64) -> Self {
        let integer = value as i64;
        if integer as f64 == value && value.abs() < Self::EXACT { Self::Integer(integer) } else { Self::Number(value) }
    }
}

/// A pointer's index in each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FieldIndex(pub(crate) u16);

/// A row for each record, with a value for each projected pointer.
#[derive(Debug)]
pub(crate) struct ProjectedRows {
    values: Vec<FieldValue>,
    width: usize,
    unescaped: Vec<u8>,
}

impl ProjectedRows {
    /// Rows whose values are all missing.
    pub(crate) fn new(records: usize, width: usize) -> Self {
        Self { values: vec![FieldValue::Missing; width * records], width, unescaped: Vec::new() }
    }

    pub(crate) fn get(&self, record: u32, field: FieldIndex) -> FieldValue {
        self.values[record as usize * self.width + field.0 as usize]
    }

    /// A record's row, and the bytes that take unescaped texts.
    pub(crate) fn row_mut(&mut self, record: usize) -> (&mut [FieldValue], &mut Vec<u8>) {
        (&mut self.values[record * self.width..(record + 1) * self.width], &mut self.unescaped)
    }

    /// The bytes of a text.
    pub(crate) fn text<'a>(&'a self, batch: &'a Batch, value: FieldValue) -> Option<&'a [u8]> {
        match value {
            FieldValue::Text(span) => Some(batch.slice(span)),
            FieldValue::Unescaped(span) => Some(&self.unescaped[span.start as usize..span.end as usize]),
            _ => None,
        }
    }

    /// Appends a boolean, an integer or a text to `into`. Returns whether the value was one.
    pub(crate) fn write_word(&self, into: &mut String, batch: &Batch, value: FieldValue) -> bool {
        match value {
            FieldValue::Integer(value) => into.push_str(itoa::Buffer::new().format(value)),
            FieldValue::Boolean(value) => {
                let _ = write!(into, "{value}");
            }
            FieldValue::Text(_) | FieldValue::Unescaped(_) => {
                let text = self.text(batch, value).and_then(|text| std::str::from_utf8(text).ok());
                into.push_str(text.expect("a payload's texts are UTF-8"));
            }
            _ => return false,
        }
        true
    }
}
