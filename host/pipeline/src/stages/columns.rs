//! Columns: what a rulebook's plugins declared, as columns of its records.

use paceline_engine::{ColumnBuf, Digest, Kind, PackedBuf, Value};

use super::context::Context;
use super::project::{ProjectedBatch, mismatch, with_article};
use super::record_batch::RecordBatch;
use crate::model::{Batch, Cause, FieldIndex, FieldValue, ProjectedRows, Reason};
use crate::rules::{FieldConstraint, InputColumn, InputSource};

/// Builds the columns of a rulebook's records. A record whose fields do not fit is rejected before a plugin sees it.
pub(crate) fn build<'c, S>(
    context: &mut Context<'_, S>,
    projected: &'c ProjectedBatch<'_>,
    (rulebook, records): (Digest, Vec<u32>),
) -> RecordBatch<'c> {
    let rulebook = projected.catalog.rulebook(rulebook).expect("the catalog holds it");

    let mut builder = ColumnBuilder::new(projected.batch, &projected.rows, &records);
    for &(field, constraint) in &rulebook.constraints {
        for (row, &record) in records.iter().enumerate() {
            let value = projected.rows.get(record, field);
            if !constraint.allows(value) {
                let pointer = projected.catalog.projection.pointer(field);
                let reason = mismatch(projected.batch, record, pointer, value, constraint.wanted());
                builder.rejections.push((row, reason));
            }
        }
    }
    let batch = projected.batch;
    if batch.rejects_misrouted || !rulebook.absorbs_repetitions {
        for (row, _) in records.iter().enumerate().filter(|(_, record)| batch.misrouted.binary_search(record).is_ok()) {
            builder.rejections.push((row, misrouted(batch.rejects_misrouted)));
        }
    }
    let columns = rulebook.inputs.iter().map(|(input, field)| builder.input(input, *field));
    let columns = columns.collect();
    let rejections = builder.rejections;
    let mut record_batch = RecordBatch::new(rulebook, records, columns);
    record_batch.reject(rejections, &mut context.rejected);
    record_batch
}

/// The reason for a record that belongs to another shard.
fn misrouted(by_setting: bool) -> Reason {
    let why = match by_setting {
        true => "`source.kinesis.misrouted` is `dead-letter`",
        false => "dedup by sequence would fold it a second time",
    };
    let text = format!(
        "the record is in an aggregate of this shard, but its key is of another one: if its producer sent it there again, \
         {why}; redrive it if not"
    );
    Reason::new(Cause::Misrouted, text)
}

impl FieldConstraint {
    pub(super) fn allows(self, value: FieldValue) -> bool {
        use FieldValue::{Array, Boolean, Integer, Missing, Null, Object, Text, Unescaped};
        match self {
            Self::Integer => matches!(value, Integer(_)),
            Self::Word => matches!(value, Integer(_) | Boolean(_) | Text(_) | Unescaped(_)),
            Self::Scalar => !matches!(value, Missing | Null | Array | Object),
        }
    }

    /// What is wanted, for messages.
    fn wanted(self) -> &'static str {
        match self {
            Self::Integer => "an integer",
            Self::Word => "a text or an integer",
            Self::Scalar => "a single value",
        }
    }
}

/// Builds columns, and notes the rows whose values do not fit.
pub(crate) struct ColumnBuilder<'a> {
    batch: &'a Batch,
    projected: &'a ProjectedRows,
    records: &'a [u32],
    /// Rows, in the order in which they were found, with what does not fit.
    pub(crate) rejections: Vec<(usize, Reason)>,
}

impl<'a> ColumnBuilder<'a> {
    /// Builds columns of some of a batch's records.
    pub(crate) fn new(batch: &'a Batch, projected: &'a ProjectedRows, records: &'a [u32]) -> Self {
        Self { batch, projected, records, rejections: Vec::new() }
    }

    /// The column of an input. `field` is where a member of the payload was projected to.
    pub(crate) fn input(&mut self, input: &InputColumn, field: Option<FieldIndex>) -> ColumnBuf {
        let (batch, projected) = (self.batch, self.projected);
        match &input.source {
            InputSource::Field(_) => {
                let field = field.expect("a field input is bound to a field");
                self.column(input, |record| projected.get(record, field))
            }
            InputSource::Payload => {
                ColumnBuf::Blobs(self.records.iter().map(|&record| batch.payload(record as usize)).collect())
            }
            InputSource::PartitionKey => self.column(input, |record| {
                batch.records[record as usize].partition_key.map_or(FieldValue::Missing, FieldValue::Text)
            }),
            InputSource::ArrivalMs => self.column(input, |record| {
                batch.records[record as usize].arrival_ms.map_or(FieldValue::Missing, FieldValue::Integer)
            }),
        }
    }

    fn column(&mut self, input: &InputColumn, value: impl Fn(u32) -> FieldValue) -> ColumnBuf {
        match input.kind {
            Kind::Boolean => ColumnBuf::Booleans(self.plain(input, value, |value| match value {
                FieldValue::Boolean(value) => Some(value),
                _ => None,
            })),
            Kind::Integer => ColumnBuf::Integers(self.plain(input, value, |value| match value {
                FieldValue::Integer(value) => Some(value),
                _ => None,
            })),
            Kind::Number => ColumnBuf::Numbers(self.plain(input, value, |value| match value {
                FieldValue::Number(value) => Some(value),
                FieldValue::Integer(value) => Some(value as f64),
                _ => None,
            })),
            Kind::Text | Kind::Blob => {
                let mut texts = PackedBuf::default();
                texts.ends.reserve(self.records.len());
                for (row, &record) in self.records.iter().enumerate() {
                    let found = value(record);
                    match (self.projected.text(self.batch, found), &input.default) {
                        (Some(text), _) => texts.push(text),
                        (None, Some(Value::Text(default)))
                            if matches!(found, FieldValue::Missing | FieldValue::Null) =>
                        {
                            texts.push(default.as_bytes());
                        }
                        _ => {
                            texts.push(b"");
                            self.reject(input, row, record, found);
                        }
                    }
                }
                ColumnBuf::Texts(texts)
            }
        }
    }

    fn plain<T: Copy + Default + FromValue>(
        &mut self,
        input: &InputColumn,
        value: impl Fn(u32) -> FieldValue,
        convert: impl Fn(FieldValue) -> Option<T>,
    ) -> Vec<T> {
        let default = input.default.as_ref().and_then(T::from_value);
        let mut values = Vec::with_capacity(self.records.len());
        for (row, &record) in self.records.iter().enumerate() {
            let found = value(record);
            values.push(match (convert(found), default) {
                (Some(value), _) => value,
                (None, Some(default)) if matches!(found, FieldValue::Missing | FieldValue::Null) => default,
                _ => {
                    self.reject(input, row, record, found);
                    T::default()
                }
            });
        }
        values
    }

    fn reject(&mut self, input: &InputColumn, row: usize, record: u32, found: FieldValue) {
        let record_lacks =
            |name: &str| Reason::new(Cause::MissingField, format!("the record has no `{name}`")).at(name);
        let reason = match &input.source {
            InputSource::Field(pointer) => mismatch(self.batch, record, pointer, found, with_article(input.kind)),
            InputSource::PartitionKey => record_lacks("@partition-key"),
            InputSource::ArrivalMs => record_lacks("@arrival-ms"),
            InputSource::Payload => record_lacks("@payload"),
        };
        self.rejections.push((row, reason));
    }
}

trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty: $variant:ident)*) => {
        $(impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::$variant(value) => Some(*value),
                    _ => None,
                }
            }
        })*
    };
}

from_value!(bool: Boolean i64: Integer f64: Number);
