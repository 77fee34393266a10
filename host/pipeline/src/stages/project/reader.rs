//! Reads one payload with serde_json, straight into its row.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::explain;
use crate::model::{Cause, Encoding, FieldValue, Reason, Span};
use crate::rules::{Member, Projection};

/// Reads a payload. `text` is the payload as text, if it is known to be UTF-8; `offset` is where the payload begins in
/// the batch's bytes.
pub(super) fn read(
    projection: &Projection,
    payload: &[u8],
    text: Option<&str>,
    offset: u32,
    (row, unescaped): (&mut [FieldValue], &mut Vec<u8>),
) -> Result<(), Reason> {
    if payload.is_empty() {
        return Err(Reason::new(Cause::Empty, "the payload is empty"));
    }
    let text = text.map_or_else(|| std::str::from_utf8(payload), Ok).map_err(|error| {
        let is = Encoding::of(payload).map_or(String::new(), |encoding| format!(": it is {encoding}"));
        Reason::new(Cause::NotUtf8, format!("the payload is not UTF-8 from byte {} on{is}", error.valid_up_to()))
    })?;
    // Files begin with a byte order mark on some systems. It says nothing about UTF-8.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { projection, row, payload: payload.as_ptr() as usize, offset, unescaped };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Object { reader: &mut reader, node: 0 }.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| explain::reason(text, &error))
}

/// Reads one payload into one row.
struct Reader<'a> {
    projection: &'a Projection,
    row: &'a mut [FieldValue],
    /// The address of the payload's first byte, to find a borrowed text's offset.
    payload: usize,
    /// Where the payload begins in the batch's bytes.
    offset: u32,
    unescaped: &'a mut Vec<u8>,
}

/// Reads an object whose members are a node of the tree.
struct Object<'r, 'a> {
    reader: &'r mut Reader<'a>,
    node: usize,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let projection = self.reader.projection;
        let members = projection.members(self.node);
        let mut guess = 0;
        while let Some(found) = map.next_key_seed(Name { members, guess })? {
            match found {
                Some(index) => {
                    guess = index + 1;
                    map.next_value_seed(Value { reader: &mut *self.reader, member: &members[index] })?;
                }
                None => map.next_value_seed(Drop)?,
            }
        }
        Ok(())
    }
}

/// Finds a member by its name.
struct Name<'a> {
    members: &'a [Member],
    /// The member that is likely next: messages have their members in the same order.
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        if self.members.get(self.guess).is_some_and(|member| *member.name == *name) {
            return Ok(Some(self.guess));
        }
        Ok(self.members.iter().position(|member| *member.name == *name))
    }
}

/// Reads the value of a projected member.
struct Value<'r, 'a> {
    reader: &'r mut Reader<'a>,
    member: &'r Member,
}

impl Value<'_, '_> {
    fn set(self, value: FieldValue) {
        // Duplicate members: the last one wins, and what was below the first is missing.
        for below in &self.member.below {
            self.reader.row[below.0 as usize] = FieldValue::Missing;
        }
        if let Some(field) = self.member.field {
            self.reader.row[field.0 as usize] = value;
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.set(FieldValue::Null);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.set(FieldValue::Boolean(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.set(FieldValue::Integer(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.set(i64::try_from(value).map_or(FieldValue::Number(value as f64), FieldValue::Integer));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.set(FieldValue::of_f64(value));
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<(), E> {
        let start = (value.as_ptr() as usize - self.reader.payload) as u32 + self.reader.offset;
        self.set(FieldValue::Text(Span { start, end: start + value.len() as u32 }));
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let start = self.reader.unescaped.len() as u32;
        self.reader.unescaped.extend_from_slice(value.as_bytes());
        self.set(FieldValue::Unescaped(Span { start, end: start + value.len() as u32 }));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Drop)?.is_some() {}
        self.set(FieldValue::Array);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Value { reader, member } = self;
        Value { reader: &mut *reader, member }.set(FieldValue::Object);
        match member.node {
            Some(node) => Object { reader, node }.visit_map(map),
            None => Drop.visit_map(map),
        }
    }
}

/// Reads a value that is not projected.
struct Drop;

impl<'de> DeserializeSeed<'de> for Drop {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // Not `deserialize_ignored_any`, which would accept bad escapes and bad numbers.
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Drop {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Drop)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Drop)?.is_some() {
            map.next_value_seed(Drop)?;
        }
        Ok(())
    }
}
