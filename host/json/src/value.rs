//! A field's value, and the row that takes the values of a payload.

/// A range of the bytes that hold the payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// What a payload holds at a pointer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue {
    /// No such member.
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// An integer, however it is written: see [`FieldValue::of_f64`].
    Integer(i64),
    /// Any other number: with a fraction, or too large to be an exact integer.
    Number(f64),
    /// A text without escapes, in the bytes that hold the payloads.
    Text(Span),
    /// A text whose escapes were resolved, in the bytes of [`Row::unescaped`].
    Unescaped(Span),
    /// An array, whatever is in it.
    Array,
    /// An object. Its members may have fields of their own.
    Object,
}

impl FieldValue {
    /// Integers of an f64 up to here are exact. Of larger ones, several have the same f64.
    pub const EXACT: f64 = 9_007_199_254_740_992.0;

    /// The value of a number that is written with a fraction or an exponent, or as `-0`. A number without a fraction is
    /// an integer however it is written, in fields, keys and ordinals alike: `2.0`, `1.6e12` and `-0` are 2,
    /// 1600000000000 and 0.
    #[inline]
    pub fn of_f64(value: f64) -> Self {
        let integer = value as i64;
        if integer as f64 == value && value.abs() < Self::EXACT { Self::Integer(integer) } else { Self::Number(value) }
    }
}

/// A pointer's index in each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldIndex(pub u16);

/// What takes the fields of one payload.
#[derive(Debug)]
pub struct Row<'r> {
    /// A value for each projected pointer. All are [`FieldValue::Missing`] before the payload is read.
    pub values: &'r mut [FieldValue],
    /// The bytes of texts whose escapes were resolved, of all rows.
    pub unescaped: &'r mut Vec<u8>,
}

impl Row<'_> {
    /// Forgets what was read of a payload. `unescaped` had this many bytes before.
    pub(crate) fn reset(&mut self, unescaped_bytes: usize) {
        self.values.fill(FieldValue::Missing);
        self.unescaped.truncate(unescaped_bytes);
    }
}
