//! The fields of payloads, for those who look at them outside of the pipeline: each field as a value of its own.

use paceline_engine::ColumnBuf;
use paceline_json::Projection;

use crate::model::{Batch, FieldValue, NotAPointer, Pointer, Reason};
use crate::rules::InputColumn;
use crate::stages::columns::ColumnBuilder;
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

/// What a plugin would be called with for the records of a batch, if no other plugin read them.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginInput {
    /// The indexes of the records that can be read, ascending: one for each row.
    pub records: Vec<u32>,
    /// A column for each field that the plugin declares.
    pub columns: Vec<ColumnBuf>,
    /// The other records, ascending, each with the reason why it becomes a dead letter.
    pub unreadable: Vec<(u32, Reason)>,
}

/// Reads the fields that a plugin declares as the pipeline reads them, into columns.
pub fn read_columns(
    batch: &Batch,
    declared: &[paceline_engine::Field],
    max_payload_bytes: usize,
) -> Result<PluginInput, NotAPointer> {
    let inputs = declared.iter().map(InputColumn::of).collect::<Result<Vec<_>, _>>()?;
    let projection = Projection::new(inputs.iter().filter_map(InputColumn::pointer));
    let (rows, mut unreadable) = read(&projection, batch, max_payload_bytes);
    let is_readable = |record: &u32| unreadable.binary_search_by_key(record, |(other, _)| *other).is_err();
    let mut records: Vec<u32> = (0..batch.records.len() as u32).filter(is_readable).collect();
    let mut builder = ColumnBuilder::new(batch, &rows, &records);
    let field = |input: &InputColumn| input.pointer().map(|pointer| projection.field(pointer));
    let mut columns: Vec<ColumnBuf> = inputs.iter().map(|input| builder.input(input, field(input))).collect();
    let mut keep = vec![true; records.len()];
    for (row, reason) in builder.rejections {
        if std::mem::replace(&mut keep[row], false) {
            unreadable.push((records[row], reason));
        }
    }
    unreadable.sort_by_key(|(record, _)| *record);
    columns.iter_mut().for_each(|column| column.retain(&keep));
    let mut kept = keep.iter();
    records.retain(|_| *kept.next().expect("one for each row"));
    Ok(PluginInput { records, columns, unreadable })
}
