//! Records that are written like the one before. Lambda writes all records of an event alike: only the key, the
//! sequence number, the data and the time differ, which are a little over half of the text. So what stands between them is taken
//! from a record that was parsed, and the next is compared with it. If that is the same, and each value is plain, then
//! a parser would find the same too; if anything differs, the record is parsed like the first.

use super::record::Values;

/// A value that differs from record to record.
#[derive(Clone, Copy, PartialEq)]
enum Slot {
    PartitionKey,
    /// Stands twice in a record: on its own, and within the event's id.
    Sequence,
    Data,
    Arrival,
}

/// How a record is written.
pub(super) struct Shape<'a> {
    /// The values in the order in which they stand, each with the text before it.
    slots: Vec<(&'a [u8], Slot)>,
    /// What comes after the last value.
    tail: &'a [u8],
}

impl<'a> Shape<'a> {
    /// The shape of a record that was parsed: its text, and what was found there. Nothing if a value is written with
    /// escapes, or the id ends in something else than the sequence number.
    pub(super) fn learn(text: &'a [u8], values: &Values<'_>, id: Option<&str>) -> Option<Self> {
        let Values { partition_key, sequence, data, arrival } = *values;
        let in_id = match id {
            Some(id) => Some(id.split_once(':')?.1).filter(|of_id| *of_id == sequence).map(Some)?,
            None => None,
        };
        let values = [
            (partition_key, Slot::PartitionKey),
            (Some(sequence), Slot::Sequence),
            (Some(data), Slot::Data),
            (arrival, Slot::Arrival),
            (in_id, Slot::Sequence),
        ];
        let mut found = Vec::with_capacity(values.len());
        for (value, slot) in values {
            if let Some(value) = value {
                // One that had escapes was borrowed from elsewhere.
                let start = (value.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
                let end = start.checked_add(value.len()).filter(|end| *end < text.len())?;
                found.push((start, end, slot));
            }
        }
        found.sort_unstable_by_key(|(start, ..)| *start);
        let mut done = 0;
        let slots = found.into_iter().map(|(start, end, slot)| {
            let before = &text[done..start];
            done = end;
            (before, slot)
        });
        Some(Self { slots: slots.collect(), tail: &text[done..] })
    }

    /// Finds the values of a record of this shape at the text's start, and how long the record is.
    pub(super) fn follow<'t>(&self, text: &'t [u8]) -> Option<(Values<'t>, usize)> {
        let mut values = Values::default();
        let mut sequence = None;
        let mut rest = text;
        for (before, slot) in &self.slots {
            rest = rest.strip_prefix(*before)?;
            let length = match (slot, sequence) {
                (Slot::Arrival, _) => number(rest)?,
                (Slot::Sequence, Some(known)) if rest.starts_with(known) => known.len(),
                (Slot::Sequence, Some(_)) => return None,
                _ => plain(rest)?,
            };
            let (value, after) = rest.split_at(length);
            rest = after;
            let text = str::from_utf8(value).ok()?;
            match slot {
                Slot::PartitionKey => values.partition_key = Some(text),
                Slot::Data => values.data = text,
                Slot::Arrival => values.arrival = Some(text),
                Slot::Sequence => (values.sequence, sequence) = (text, Some(value)),
            }
        }
        rest = rest.strip_prefix(self.tail)?;
        Some((values, text.len() - rest.len()))
    }
}

/// The length of a text up to its closing quote, if what is between is nothing but itself.
fn plain(text: &[u8]) -> Option<usize> {
    /// As many bytes as the processor compares at once.
    const STEP: usize = 16;

    // Without short cuts, or the compiler would compare byte by byte.
    let special = |byte: &u8| (*byte == b'"') | (*byte == b'\\') | (*byte < b' ');
    let (steps, _) = text.as_chunks::<STEP>();
    let plain = steps.iter().take_while(|step| !step.iter().fold(false, |any, byte| any | special(byte)));
    let start = plain.count() * STEP;
    let length = start + text[start..].iter().position(special)?;
    (text[length] == b'"').then_some(length)
}

/// The length of a number as JSON writes it, if it has no sign.
fn number(text: &[u8]) -> Option<usize> {
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
    fn a_plain_text_ends_at_its_quote() {
        let long = "a".repeat(50);
        assert_eq!(plain(b"\"rest"), Some(0));
        assert_eq!(plain(b"abc\","), Some(3));
        assert_eq!(plain(format!("{long}\" and more than one step of other text").as_bytes()), Some(50));
        assert_eq!(plain(long.as_bytes()), None, "it does not end");
        assert_eq!(plain(b"a\\\"b\""), None, "an escape");
        assert_eq!(plain(b"a\nb\""), None, "a control character");
        assert_eq!(plain("é\"".as_bytes()), Some(2));
    }

    #[test]
    fn a_number_is_one_of_json() {
        for (text, length) in
            [("0}", 1), ("0.5,", 3), ("1545084650.987}", 14), ("1.545E9}", 7), ("1e-3 ", 4), ("12", 2)]
        {
            assert_eq!(number(text.as_bytes()), Some(length), "{text}");
        }
        for text in ["", ".5", "1.", "1.e3", "1e", "1e+", "01", "-1", "NaN", "\"1\""] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    fn values(text: &'static str) -> Values<'static> {
        let at = |value: &str| text.find(value).map(|at| &text[at..at + value.len()]);
        Values { partition_key: at("key"), sequence: at("42").unwrap(), data: at("data").unwrap(), arrival: at("1.5") }
    }

    #[test]
    fn what_stands_between_the_values_must_be_the_same() {
        let text = r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:42"} ]"#;
        let record = &text.as_bytes()[..text.len() - 2];
        let id = &text[text.find("shard").unwrap()..][..8];
        let shape = Shape::learn(record, &values(text), Some(id)).unwrap();
        assert_eq!(shape.follow(text.as_bytes()), Some((values(text), record.len())));

        let other = r#"{"k":"","s":"7","t":20,"d":"no data here","id":"shard:7"}, {"#;
        let found = Values { partition_key: Some(""), sequence: "7", data: "no data here", arrival: Some("20") };
        assert_eq!(shape.follow(other.as_bytes()), Some((found, other.len() - 3)));

        for other in [
            r#"{"k":null,"s":"42","t":1.5,"d":"data","id":"shard:42"}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:41"}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"other:42"}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:42","more":0}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"data\n","id":"shard:42"}"#,
            r#"{"k":"key","s":"42","t":"1.5","d":"data","id":"shard:42"}"#,
            r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:42""#,
            "",
        ] {
            assert_eq!(shape.follow(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn only_what_is_written_as_it_reads_has_a_shape() {
        let text = r#"{"k":"key","s":"42","t":1.5,"d":"data","id":"shard:42"}"#;
        let escaped = "key".to_owned();
        let values = Values { partition_key: Some(&escaped), ..values(text) };
        assert!(Shape::learn(text.as_bytes(), &values, None).is_none(), "a key from elsewhere");
        assert!(Shape::learn(text.as_bytes(), &self::values(text), Some("shard:41")).is_none(), "another number");
    }
}
