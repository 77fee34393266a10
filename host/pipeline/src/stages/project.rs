//! Project: reads the declared fields of each JSON payload, once.

use std::sync::Arc;

use paceline_engine::Kind;
use paceline_json::{PayloadReader, Projection, Unreadable, locate};

use super::context::Context;
use crate::model::{Batch, BatchLimits, Cause, Encoding, FieldValue, Pointer, ProjectedRows, Reason};
use crate::rules::Catalog;

/// A batch whose fields are read.
#[derive(Debug)]
pub(crate) struct ProjectedBatch<'b> {
    pub(crate) batch: &'b Batch,
    /// What the batch is evaluated by.
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) rows: ProjectedRows,
}

/// Reads the fields that the catalog's rulebooks declare. Records that can't be read are rejected.
pub(crate) fn project<'b, S>(
    context: &mut Context<'_, S>,
    catalog: Arc<Catalog>,
    batch: &'b Batch,
    limits: &BatchLimits,
) -> ProjectedBatch<'b> {
    let (rows, unreadable) = read(&catalog.projection, batch, limits.max_payload_bytes);
    unreadable.into_iter().for_each(|(record, reason)| context.rejected.push(record, reason));
    ProjectedBatch { batch, catalog, rows }
}

/// Reads the payloads of a batch. Records that can't be read are returned with their reasons, in order.
pub(crate) fn read(
    projection: &Projection,
    batch: &Batch,
    max_payload_bytes: usize,
) -> (ProjectedRows, Vec<(u32, Reason)>) {
    let mut rows = ProjectedRows::new(batch.records.len(), projection.width());
    let mut unreadable = Vec::new();
    let mut reader = PayloadReader::new(projection, &batch.bytes);
    let mut undecodable = batch.undecodable.iter().peekable();
    for (record, found) in batch.records.iter().enumerate() {
        if let Some((_, why)) = undecodable.next_if(|(other, _)| *other as usize == record) {
            unreadable.push((record as u32, Reason::new(Cause::Undecodable, why.clone())));
            continue;
        }
        let bytes = found.cut_from.unwrap_or(u64::from(found.payload.end - found.payload.start));
        let read = if bytes > max_payload_bytes as u64 {
            Err(Reason::new(
                Cause::TooLarge,
                format!("the payload has {bytes} bytes, {max_payload_bytes} are allowed (`max-payload-bytes`)"),
            ))
        } else {
            reader.read(found.payload, rows.row_mut(record)).map_err(|error| reason(error, batch.slice(found.payload)))
        };
        if let Err(reason) = read {
            unreadable.push((record as u32, reason));
        }
    }
    (rows, unreadable)
}

/// The reason for a payload that can't be read.
fn reason(error: Unreadable, payload: &[u8]) -> Reason {
    let text = error.to_string();
    match error {
        Unreadable::Empty => Reason::new(Cause::Empty, text),
        Unreadable::NotUtf8 { .. } => match Encoding::of(payload) {
            Some(encoding) => Reason::new(Cause::NotUtf8, format!("{text}: it is {encoding}")),
            None => Reason::new(Cause::NotUtf8, text),
        },
        Unreadable::NotJson { field: Some(field), .. } => Reason::new(Cause::NotJson, text).at(field),
        Unreadable::NotJson { field: None, .. } => Reason::new(Cause::NotJson, text),
    }
}

/// The reason for a field that has another type than is wanted, with the byte where it begins.
pub(crate) fn mismatch(batch: &Batch, record: u32, pointer: &Pointer, value: FieldValue, wanted: &str) -> Reason {
    let found = match value {
        FieldValue::Missing => {
            return Reason::new(Cause::MissingField, format!("the field `{pointer}` is missing")).at(pointer);
        }
        FieldValue::Null => "null",
        FieldValue::Boolean(_) => "a boolean",
        FieldValue::Integer(_) => "an integer",
        FieldValue::Number(value) if value.abs() >= 9.2e18 => "a number beyond 64 bits",
        FieldValue::Number(value) if value.abs() >= FieldValue::EXACT => {
            "a number beyond 53 bits with a fraction or an exponent"
        }
        FieldValue::Number(_) => "a number with a fraction",
        FieldValue::Text(_) | FieldValue::Unescaped(_) => "a text",
        FieldValue::Array => "an array",
        FieldValue::Object => "an object",
    };
    // `null` means that there is no value, as a missing member does.
    let cause = if value == FieldValue::Null { Cause::MissingField } else { Cause::WrongType };
    let byte = locate(batch.payload(record as usize), pointer).map_or(String::new(), |at| format!(" at byte {at}"));
    Reason::new(cause, format!("the field `{pointer}` is {found}{byte}, not {wanted}")).at(pointer)
}

/// A kind with its article.
pub(crate) fn with_article(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "a boolean",
        Kind::Integer => "an integer",
        Kind::Number => "a number",
        Kind::Text => "a text",
        Kind::Blob => "a blob",
    }
}

#[cfg(test)]
mod tests;
