//! The text between a record's values. Lambda writes all records of an event alike: only partition key, sequence
//! number, data and arrival time differ, a little over half of the text. So the text between the values is inferred
//! from a record that was parsed, and the next record is compared with it. If that text is equal and each value is
//! plain, a parser would find the same values. Otherwise the record is parsed. Whether the data is plain is left to the
//! decoder of base64, which reads each of its bytes and accepts none that a JSON string escapes.

use memchr::memchr;

use super::record::RecordValues;

/// A value that differs from record to record.
#[derive(Clone, Copy, PartialEq)]
enum RecordField {
    PartitionKey,
    /// Occurs twice in a record: as `sequenceNumber`, and in `eventID`.
    Sequence,
    Data,
    Arrival,
}

/// The text of a record without its values.
pub(super) struct RecordLayout<'a> {
    /// The values in the order of the text, each with the text before it.
    fields: Vec<(&'a [u8], RecordField)>,
    /// The text after the last value.
    tail: &'a [u8],
}

impl<'a> RecordLayout<'a> {
    /// Infers the layout of a parsed record from its text and its values. `None` if a value has escapes, or if the
    /// event's id does not end in the sequence number.
    pub(super) fn infer(text: &'a [u8], values: &RecordValues<'_>, id: Option<&str>) -> Option<Self> {
        let RecordValues { partition_key, sequence, data, arrival } = *values;
        let in_id = match id {
            Some(id) => Some(id.split_once(':')?.1).filter(|of_id| *of_id == sequence).map(Some)?,
            None => None,
        };
        let values = [
            (partition_key.map(str::as_bytes), RecordField::PartitionKey),
            (Some(sequence.as_bytes()), RecordField::Sequence),
            (Some(data), RecordField::Data),
            (arrival.map(str::as_bytes), RecordField::Arrival),
            (in_id.map(str::as_bytes), RecordField::Sequence),
        ];
        let mut found = Vec::with_capacity(values.len());
        for (value, field) in values {
            if let Some(value) = value {
                // A value with escapes is not in the text.
                let start = (value.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
                let end = start.checked_add(value.len()).filter(|end| *end < text.len())?;
                found.push((start, end, field));
            }
        }
        found.sort_unstable_by_key(|(start, ..)| *start);
        let mut done = 0;
        let fields = found.into_iter().map(|(start, end, field)| {
            let before = &text[done..start];
            done = end;
            (before, field)
        });
        Some(Self { fields: fields.collect(), tail: &text[done..] })
    }

    /// The values and the length of the record at the start of the text, if it has this layout. They are those of a
    /// parser if the data is base64.
    pub(super) fn match_record<'t>(&self, text: &'t [u8]) -> Option<(RecordValues<'t>, usize)> {
        let mut values = RecordValues::default();
        let mut sequence = None;
        let mut rest = text;
        for (before, field) in &self.fields {
            rest = rest.strip_prefix(*before)?;
            let length = match (field, sequence) {
                (RecordField::Arrival, _) => number_length(rest)?,
                (RecordField::Sequence, Some(known)) if rest.starts_with(known) => known.len(),
                (RecordField::Sequence, Some(_)) => return None,
                (RecordField::Data, _) => memchr(b'"', rest)?,
                _ => plain_length(rest)?,
            };
            let (value, after) = rest.split_at(length);
            rest = after;
            let text = || str::from_utf8(value).ok();
            match field {
                RecordField::PartitionKey => values.partition_key = Some(text()?),
                RecordField::Data => values.data = value,
                RecordField::Arrival => values.arrival = Some(text()?),
                RecordField::Sequence if sequence.is_some() => (),
                RecordField::Sequence => (values.sequence, sequence) = (text()?, Some(value)),
            }
        }
        rest = rest.strip_prefix(self.tail)?;
        Some((values, text.len() - rest.len()))
    }
}

/// The length of a string up to its closing quote, if it has no escapes and no control characters.
fn plain_length(text: &[u8]) -> Option<usize> {
    /// The bytes that a processor compares at once.
    const STEP: usize = 16;

    // Without short circuits: they would make the compiler compare byte by byte.
    let special = |byte: &u8| (*byte == b'"') | (*byte == b'\\') | (*byte < b' ');
    let (steps, _) = text.as_chunks::<STEP>();
    let plain = steps.iter().take_while(|step| !step.iter().fold(false, |any, byte| any | special(byte)));
    let start = plain.count() * STEP;
    let length = start + text[start..].iter().position(special)?;
    (text[length] == b'"').then_some(length)
}

/// The length of a JSON number without a sign.
fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let count = text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let mut end = digits(0).filter(|end| *end == 1 || text[0] != b'0')?;
    if text.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let signed = matches!(text.get(end + 1), Some(b'+' | b'-'));
        end = digits(end + 1 + usize::from(signed))?;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_string_ends_at_its_quote() {
        let long = "a".repeat(50);
        assert_eq!(plain_length(b"\"rest"), Some(0));
        assert_eq!(plain_length(b"abc\","), Some(3));
        assert_eq!(plain_length(format!("{long}\" and more than one step of other text").as_bytes()), Some(50));
        assert_eq!(plain_length(long.as_bytes()), None, "no closing quote");
        assert_eq!(plain_length(b"a\\\"b\""), None, "an escape");
        assert_eq!(plain_length(b"a\nb\""), None, "a control character");
        assert_eq!(plain_length("é\"".as_bytes()), Some(2));
    }

    #[test]
    fn a_number_follows_the_grammar_of_json() {
        for (text, length) in
            [("0}", 1), ("0.5,", 3), ("1545084650.987}", 14), ("1.545E9}", 7), ("1e-3 ", 4), ("12", 2)]
        {
            assert_eq!(number_length(text.as_bytes()), Some(length), "{text}");
        }
        for text in ["", ".5", "1.", "1.e3", "1e", "1e+", "01", "-1", "NaN", "\"1\""] {
            assert_eq!(number_length(text.as_bytes()), None, "{text}");
        }
    }

    fn values(text: &'static str) -> RecordValues<'static> {
        let at = |value: &str| text.find(value).map(|at| &text[at..at + value.len()]);
        RecordValues {
            partition_key: at("key"),
            sequence: at("42").unwrap(),
            data: at("data").unwrap().as_bytes(),
            arrival: at("1.5"),
        }
    }

    #[test]
    fn the_text_between_the_values_must_be_equal() {
        let text = r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:42"} ]"#;
        let record = &text.as_bytes()[..text.len() - 2];
        let id = &text[text.find("shard").unwrap()..][..8];
        let layout = RecordLayout::infer(record, &values(text), Some(id)).unwrap();
        assert_eq!(layout.match_record(text.as_bytes()), Some((values(text), record.len())));

        let other = r#"{"k":"","s":"7","t":20,"d":"no data here","id":"shard:7"}, {"#;
        let found = RecordValues { partition_key: Some(""), sequence: "7", data: b"no data here", arrival: Some("20") };
        assert_eq!(layout.match_record(other.as_bytes()), Some((found, other.len() - 3)));

        for other in [
            r#"{"k":null,"s":"42","t":1.5,"d":"data","id":"shard:42"}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:41"}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"other:42"}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:42","more":0}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"da\"ta","id":"shard:42"}"#,
            r#"{"k":"key","s":"42","t":"1.5","d":"data","id":"shard:42"}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:42""#,
            "",
        ] {
            assert_eq!(layout.match_record(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn values_with_escapes_and_other_ids_have_no_layout() {
        let text = r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:42"}"#;
        let escaped = "key".to_owned();
        let values = RecordValues { partition_key: Some(&escaped), ..values(text) };
        assert!(RecordLayout::infer(text.as_bytes(), &values, None).is_none(), "a key that is not in the text");
        assert!(
            RecordLayout::infer(text.as_bytes(), &self::values(text), Some("shard:41")).is_none(),
            "another number"
        );
    }
}
