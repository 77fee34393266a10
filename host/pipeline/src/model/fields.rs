//! The values of the declared fields, for each record of a batch.

use std::fmt::Write as _;

use paceline_json::{FieldIndex, FieldValue, Row};

use super::batch::Batch;

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

    /// A record's row.
    pub(crate) fn row_mut(&mut self, record: usize) -> Row<'_> {
        let values = &mut self.values[record * self.width..(record + 1) * self.width];
        Row { values, unescaped: &mut self.unescaped }
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
