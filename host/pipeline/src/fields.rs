//! The fields of payloads, for those who look at them outside of the pipeline: each field as a value of its own.

use crate::model::{Batch, FieldValue, Pointer, Reason};
use crate::rules::Projection;
use crate::stages::project::read;

/// The value at a pointer.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// There is no such member.
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number without a fraction, however it is written, if it is exact.
    Integer(i64),
    /// Any other number: the nearest one of 64 bits.
    Number(f64),
    /// A text, its escapes resolved.
    Text(String),
    /// An array.
    Array,
    /// An object.
    Object,
}

/// Reads these fields of each record as the pipeline reads them: the fields in the order of the pointers, or the reason why
/// the record becomes a dead letter.
pub fn read_fields(batch: &Batch, pointers: &[Pointer], max_payload_bytes: usize) -> Vec<Result<Vec<Field>, Reason>> {
    let projection = Projection::new(pointers);
    let (rows, unreadable) = read(&projection, batch, max_payload_bytes);
    let mut unreadable = unreadable.into_iter().peekable();
    let records = 0..batch.records.len() as u32;
    let record = |record: u32| match unreadable.next_if(|(other, _)| *other == record) {
        Some((_, reason)) => Err(reason),
        None => {
            let field = |pointer| match rows.get(record, projection.field(pointer)) {
                FieldValue::Missing => Field::Missing,
                FieldValue::Null => Field::Null,
                FieldValue::Boolean(value) => Field::Boolean(value),
                FieldValue::Integer(value) => Field::Integer(value),
                FieldValue::Number(value) => Field::Number(value),
                FieldValue::Array => Field::Array,
                FieldValue::Object => Field::Object,
                text @ (FieldValue::Text(_) | FieldValue::Unescaped(_)) => {
                    let mut found = String::new();
                    rows.write_word(&mut found, batch, text);
                    Field::Text(found)
                }
            };
            Ok(pointers.iter().map(field).collect())
        }
    };
    records.map(record).collect()
}
