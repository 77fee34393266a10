//! The attributes of a group's item: the aggregator's outputs and the rulebook's attributes.

use paceline_engine::{ColumnBuf, PackedBuf};
use smol_str::SmolStr;

use super::project::ProjectedBatch;
use crate::model::{Attribute, FieldValue};
use crate::rules::{BoundAttribute, BoundPart, LoadedAggregate};

/// A record's value of an attribute that the rulebook adds.
pub(crate) fn attribute(bound: &BoundAttribute, projected: &ProjectedBatch<'_>, record: u32) -> Attribute {
    let ProjectedBatch { batch, rows, .. } = projected;
    match bound {
        BoundAttribute::Value(field) => match rows.get(record, *field) {
            FieldValue::Boolean(value) => Attribute::Boolean(value),
            FieldValue::Integer(value) => Attribute::Integer(value),
            FieldValue::Number(value) => Attribute::Number(value),
            value => {
                let text = rows.text(batch, value).unwrap_or_default();
                Attribute::Text(String::from_utf8_lossy(text).into_owned())
            }
        },
        BoundAttribute::Text(parts) => {
            let mut text = String::new();
            BoundPart::render(&mut text, parts, batch, rows, record);
            Attribute::Text(text)
        }
    }
}

/// A group's outputs, by the names that the rulebook gives them, with room for so many `more` attributes.
pub(crate) fn outputs(
    aggregate: &LoadedAggregate,
    columns: &[ColumnBuf],
    group: usize,
    more: usize,
) -> Vec<(SmolStr, Attribute)> {
    let mut outputs = Vec::with_capacity(columns.len() + more);
    let named = aggregate.outputs.iter().zip(columns);
    for (name, column) in named {
        if let Some(value) = output(column, group) {
            outputs.push((name.clone(), value));
        }
    }
    outputs
}

/// A group's value of an output. A number that is not finite is not written.
fn output(column: &ColumnBuf, group: usize) -> Option<Attribute> {
    let bytes = |packed: &PackedBuf| packed.as_packed().get(group).to_vec();
    Some(match column {
        ColumnBuf::Booleans(values) => Attribute::Boolean(values[group]),
        ColumnBuf::Integers(values) => Attribute::Integer(values[group]),
        ColumnBuf::Numbers(values) if !values[group].is_finite() => return None,
        ColumnBuf::Numbers(values) => Attribute::Number(values[group]),
        ColumnBuf::Texts(packed) => Attribute::Text(String::from_utf8_lossy(&bytes(packed)).into_owned()),
        ColumnBuf::Blobs(packed) => Attribute::Blob(bytes(packed)),
    })
}
