//! Reads payloads with templates and without.

use paceline_json::{FieldValue, PayloadReader, Pointer, Projection, Row, Span, Unreadable};

/// What a payload is read as: its fields, texts among them, or why it can't be read.
pub(crate) type Outcome = Result<Vec<Field>, Unreadable>;

/// A field whose numbers are compared by their bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Plain(String),
    Integer(i64),
    Number(u64),
    Text(String),
}

/// What a reader makes of payloads.
pub(crate) struct Read {
    pub(crate) outcomes: Vec<Outcome>,
    /// All values, also those of payloads that can't be read, and the unescaped bytes.
    pub(crate) raw: (Vec<String>, Vec<u8>),
    pub(crate) by_template: usize,
}

pub(crate) fn projection(pointers: &[&str]) -> Projection {
    let pointers: Vec<Pointer> = pointers.iter().map(|pointer| Pointer::parse(pointer).unwrap()).collect();
    Projection::new(&pointers)
}

fn read(projection: &Projection, payloads: &[Vec<u8>], with_templates: bool) -> Read {
    let bytes = payloads.concat();
    let mut reader = match with_templates {
        true => PayloadReader::new(projection, &bytes),
        false => PayloadReader::without_templates(projection, &bytes),
    };
    let (mut outcomes, mut raw, mut unescaped) = (Vec::new(), Vec::new(), Vec::new());
    let mut start = 0;
    for payload in payloads {
        let end = start + payload.len() as u32;
        let mut values = vec![FieldValue::Missing; projection.width()];
        let row = Row { values: &mut values, unescaped: &mut unescaped };
        let read = reader.read(Span { start, end }, row);
        outcomes.push(read.map(|()| values.iter().map(|value| field(*value, &bytes, &unescaped)).collect()));
        // `{:?}` of an f64 is different for each bit pattern that JSON can have.
        raw.extend(values.iter().map(|value| format!("{value:?}")));
        start = end;
    }
    Read { outcomes, raw: (raw, unescaped), by_template: reader.by_template() }
}

fn field(value: FieldValue, bytes: &[u8], unescaped: &[u8]) -> Field {
    let text = |bytes: &[u8], span: Span| {
        let text = bytes[span.start as usize..span.end as usize].to_vec();
        Field::Text(String::from_utf8(text).expect("texts are UTF-8"))
    };
    match value {
        FieldValue::Integer(value) => Field::Integer(value),
        FieldValue::Number(value) => Field::Number(value.to_bits()),
        FieldValue::Text(span) => text(bytes, span),
        FieldValue::Unescaped(span) => text(unescaped, span),
        other => Field::Plain(format!("{other:?}")),
    }
}

/// Reads payloads both ways and compares. Returns what they are read as, and how many were read by a template.
#[track_caller]
pub(crate) fn read_both_ways(projection: &Projection, payloads: &[Vec<u8>]) -> (Vec<Outcome>, usize) {
    let with = read(projection, payloads, true);
    let without = read(projection, payloads, false);
    for ((payload, with), without) in payloads.iter().zip(&with.outcomes).zip(&without.outcomes) {
        assert_eq!(with, without, "{}", String::from_utf8_lossy(payload));
    }
    assert_eq!(with.raw, without.raw);
    assert_eq!(without.by_template, 0);
    (with.outcomes, with.by_template)
}

/// [`read_both_ways`] for texts.
#[track_caller]
pub(crate) fn read_texts(pointers: &[&str], payloads: &[&str]) -> (Vec<Outcome>, usize) {
    let payloads: Vec<Vec<u8>> = payloads.iter().map(|payload| payload.as_bytes().to_vec()).collect();
    read_both_ways(&projection(pointers), &payloads)
}
