//! The records of a batch that go by one ruling, as columns.

use paceline_engine::{Column, ColumnBuf, Digest, Kind, PackedBuf, Value};

use crate::batch::Batch;
use crate::dead_letter::{Cause, Reason};
use crate::project::{FieldValue, ProjectedRows, Projection, a, mismatch};
use crate::rulebook::{InputColumn, BoundRulebook, InputSource, FieldConstraint};

/// Records that become dead letters, with their reasons.
pub(crate) type Rejected = Vec<(u32, Reason)>;

/// The records of a batch that go by one ruling, as columns. Records that can't go on are taken out on the way.
pub(crate) struct RecordBatch<'c> {
    pub(crate) plan: &'c BoundRulebook,
    /// The records, by their index in the batch, ascending.
    pub(crate) records: Vec<u32>,
    /// A column for each need of the plan.
    columns: Vec<ColumnBuf>,
    /// The scores, once they are there.
    pub(crate) scores: Vec<f64>,
}

impl<'c> RecordBatch<'c> {
    /// Gathers what the plugins declared. A record that lacks something becomes a dead letter before any plugin sees it.
    pub(crate) fn build(
        plan: &'c BoundRulebook,
        projection: &Projection,
        batch: &Batch,
        rows_of_fields: &ProjectedRows,
        records: Vec<u32>,
        dead: &mut Rejected,
    ) -> Self {
        let mut build = ColumnBuilder { batch, rows_of_fields, records: &records, bad: Vec::new() };
        for &(index, wanted) in &plan.wanted {
            for (row, &record) in records.iter().enumerate() {
                let value = rows_of_fields.get(record, index);
                let fits = match wanted {
                    FieldConstraint::Integer => matches!(value, FieldValue::Integer(_)),
                    FieldConstraint::Word => {
                        matches!(value, FieldValue::Integer(_) | FieldValue::Boolean(_) | FieldValue::Text(_) | FieldValue::Unescaped(_))
                    }
                    FieldConstraint::Scalar => !matches!(value, FieldValue::Missing | FieldValue::Null | FieldValue::Array | FieldValue::Object),
                };
                if !fits {
                    let wanted = match wanted {
                        FieldConstraint::Integer => "an integer",
                        FieldConstraint::Word => "a text or an integer",
                        FieldConstraint::Scalar => "a single value",
                    };
                    let reason = mismatch(batch, record, projection.pointer(index), value, wanted);
                    build.bad.push((row, reason));
                }
            }
        }
        let columns = plan.inputs.iter().map(|(input, index)| match &input.source {
            InputSource::Field(_) => {
                let index = index.expect("a field has a cell");
                build.field(input, |record| rows_of_fields.get(record, index))
            }
            InputSource::Payload => ColumnBuf::Blobs(records.iter().map(|&record| batch.payload(record as usize)).collect()),
            InputSource::PartitionKey => build
                .field(input, |record| batch.records[record as usize].partition_key.map_or(FieldValue::Missing, FieldValue::Text)),
            InputSource::ArrivalMs => build
                .field(input, |record| batch.records[record as usize].arrival_ms.map_or(FieldValue::Missing, FieldValue::Integer)),
        });
        let columns = columns.collect();
        let bad = build.bad;
        let mut record_batch = Self { plan, records, columns, scores: Vec::new() };
        record_batch.remove(bad, dead);
        record_batch
    }

    /// The columns of some needs.
    pub(crate) fn columns(&self, inputs: &[usize]) -> Vec<Column<'_>> {
        inputs.iter().map(|&input| self.columns[input].as_column()).collect()
    }

    /// Takes rows out. They may come in any order, and more than once: the first reason counts.
    pub(crate) fn remove(&mut self, bad: Vec<(usize, Reason)>, dead: &mut Rejected) {
        if bad.is_empty() {
            return;
        }
        let mut keep = vec![true; self.records.len()];
        let book = &self.plan.rulebook.book;
        for (row, reason) in bad {
            if std::mem::replace(&mut keep[row], false) {
                dead.push((self.records[row], reason.under(&book.race_type, book.version)));
            }
        }
        for column in &mut self.columns {
            column.retain(&keep);
        }
        let mut kept = keep.iter();
        self.records.retain(|_| *kept.next().expect("one for each row"));
        if !self.scores.is_empty() {
            let mut kept = keep.iter();
            self.scores.retain(|_| *kept.next().expect("one for each row"));
        }
    }
}

/// A plugin's reasons, as a table takes them.
pub(crate) fn into_rejections<R: ToString>(rows: Vec<(u32, R)>, cause: Cause, plugin: Digest) -> Vec<(usize, Reason)> {
    rows.into_iter().map(|(row, why)| (row as usize, Reason::new(cause, why.to_string()).by(plugin))).collect()
}

struct ColumnBuilder<'a> {
    batch: &'a Batch,
    rows_of_fields: &'a ProjectedRows,
    records: &'a [u32],
    bad: Vec<(usize, Reason)>,
}

impl ColumnBuilder<'_> {
    fn field(&mut self, input: &InputColumn, value: impl Fn(u32) -> FieldValue) -> ColumnBuf {
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
                    match (self.rows_of_fields.text(self.batch, found), &input.default) {
                        (Some(text), _) => texts.push(text),
                        (None, Some(Value::Text(default))) if matches!(found, FieldValue::Missing | FieldValue::Null) => {
                            texts.push(default.as_bytes());
                        }
                        _ => {
                            texts.push(b"");
                            self.bad(input, row, record, found);
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
        value: impl Fn(FieldValue) -> Option<T>,
    ) -> Vec<T> {
        let default = input.default.as_ref().and_then(T::from_value);
        let mut values = Vec::with_capacity(self.records.len());
        for (row, &record) in self.records.iter().enumerate() {
            let found = value(record);
            values.push(match (value(found), default) {
                (Some(value), _) => value,
                (None, Some(default)) if matches!(found, FieldValue::Missing | FieldValue::Null) => default,
                _ => {
                    self.bad(input, row, record, found);
                    T::default()
                }
            });
        }
        values
    }

    fn bad(&mut self, input: &InputColumn, row: usize, record: u32, found: FieldValue) {
        let own = |name: &str| Reason::new(Cause::MissingField, format!("the record has no `{name}`")).at(name);
        let reason = match &input.source {
            InputSource::Field(pointer) => mismatch(self.batch, record, pointer, found, a(input.kind)),
            InputSource::PartitionKey => own("@partition-key"),
            InputSource::ArrivalMs => own("@arrival-ms"),
            InputSource::Payload => own("@payload"),
        };
        self.bad.push((row, reason));
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
