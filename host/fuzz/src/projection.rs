//! The projection of JSON payloads: fields are what serde_json's tree has at their pointers, whatever payloads were read
//! before.

use paceline_pipeline::fields::{Field, read_fields};
use paceline_pipeline::model::{Batch, Cause, Pointer, Reason};
use serde_json::{Map, Value};

use crate::json::{member, members};
use crate::laws::text_is_short;

/// Pointers of one input.
const POINTERS: usize = 16;
/// Bytes of a payload that is read.
const MAX_PAYLOAD_BYTES: usize = 1_024;
/// Integers of an f64 up to here are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Checks a batch: the first line has pointers, separated by spaces; each further line is a payload. Each payload comes
/// twice, so that the second one is read by the template of the first, if it has one.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let pointers = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let pointers: Vec<Pointer> =
        pointers.split(' ').filter_map(|text| Pointer::parse(text).ok()).take(POINTERS).collect();
    let mut batch = Batch::new("file".into());
    for (sequence, payload) in (0_u64..).zip(lines.flat_map(|line| [line, line])) {
        batch.push(payload, sequence.into());
    }
    let found = read_fields(&batch, &pointers, MAX_PAYLOAD_BYTES);
    assert_eq!(found.len(), batch.records.len());
    for (record, found) in found.into_iter().enumerate() {
        payload_is_read_as_by_serde_json(batch.payload(record), &pointers, found);
    }
}

fn payload_is_read_as_by_serde_json(payload: &[u8], pointers: &[Pointer], found: Result<Vec<Field>, Reason>) {
    let shown = String::from_utf8_lossy(payload);
    let expected = tree(payload);
    match (found, expected) {
        (Ok(fields), Ok((text, tree))) => {
            assert_eq!(fields.len(), pointers.len());
            for (pointer, field) in pointers.iter().zip(fields) {
                let expected = field_of(&tree, pointer);
                assert_eq!(field, expected, "{pointer} of {shown}");
                if let Field::Number(number) = field {
                    let written = raw(text, pointer).expect("it has a value");
                    let nearest: f64 = written.parse().expect("it is a number");
                    assert_eq!(number.to_bits(), nearest.to_bits(), "{pointer} of {shown}");
                }
            }
        }
        (Err(reason), Err(cause)) => {
            assert_eq!(reason.cause, cause, "{shown}");
            text_is_short(&reason.text);
        }
        (found, expected) => panic!("{shown}: {found:?}, not {expected:?}"),
    }
}

/// A payload's text and tree, or the cause for which it becomes a dead letter.
fn tree(payload: &[u8]) -> Result<(&str, Map<String, Value>), Cause> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(Cause::TooLarge);
    }
    if payload.is_empty() {
        return Err(Cause::Empty);
    }
    let text = str::from_utf8(payload).map_err(|_| Cause::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = serde_json::from_str(text).map_err(|_| Cause::NotJson)?;
    Ok((text, tree))
}

/// What the tree has at a pointer. Pointers lead through objects only.
fn field_of(tree: &Map<String, Value>, pointer: &Pointer) -> Field {
    let (last, path) = pointer.members().split_last().expect("a pointer has a member");
    let object = path.iter().try_fold(tree, |object, name| object.get(&**name)?.as_object());
    match object.and_then(|object| object.get(&**last)) {
        None => Field::Missing,
        Some(Value::Null) => Field::Null,
        Some(Value::Bool(value)) => Field::Boolean(*value),
        Some(Value::String(text)) => Field::Text(text.clone()),
        Some(Value::Array(_)) => Field::Array,
        Some(Value::Object(_)) => Field::Object,
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64().expect("every number has one")) {
            (Some(integer), _) => Field::Integer(integer),
            (None, value) if value.fract() == 0.0 && value.abs() < EXACT => Field::Integer(value as i64),
            (None, value) => Field::Number(value),
        },
    }
}

/// The text of the value at a pointer.
fn raw<'a>(text: &'a str, pointer: &Pointer) -> Option<&'a str> {
    pointer.members().iter().try_fold(text, |text, name| member(&members(text)?, name))
}
