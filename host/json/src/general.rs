//! Reads any payload with serde_json, straight into its row.
//!
//! One pass, without an allocation for each record: a declared member's value goes into its field, everything else is
//! parsed and dropped. It is parsed, not skipped, so that a message is valid or not whatever fields are declared.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::projection::{Member, Projection};
use crate::value::{FieldValue, Row, Span};

/// Reads a JSON object. `offset` is where it begins in the bytes that hold the payloads.
pub(crate) fn read(projection: &Projection, json: &str, offset: u32, row: &mut Row<'_>) -> serde_json::Result<()> {
    let mut reader = Reader { projection, row, json: json.as_ptr() as usize, offset };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Object { reader: &mut reader, node: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Reads one value and nothing else, as [`read`] reads it within an object: that of a declared member, or of another one.
pub(crate) fn read_value(
    (projection, member): (&Projection, Option<&Member>),
    json: &str,
    offset: u32,
    row: &mut Row<'_>,
) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    match member {
        Some(member) => {
            let mut reader = Reader { projection, row, json: json.as_ptr() as usize, offset };
            Value { reader: &mut reader, member }.deserialize(&mut deserializer)?;
        }
        None => Drop.deserialize(&mut deserializer)?,
    }
    deserializer.end()
}

/// Reads JSON into one row.
struct Reader<'a, 'r> {
    projection: &'a Projection,
    row: &'a mut Row<'r>,
    /// The address of the first byte, to find a borrowed text's offset.
    json: usize,
    /// Where the first byte is in the bytes that hold the payloads.
    offset: u32,
}

/// Reads an object whose members are a node of the tree.
struct Object<'o, 'a, 'r> {
    reader: &'o mut Reader<'a, 'r>,
    node: usize,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let projection = self.reader.projection;
        let mut guess = 0;
        while let Some(found) = map.next_key_seed(Name { projection, node: self.node, guess })? {
            match found {
                Some(index) => {
                    guess = index + 1;
                    map.next_value_seed(Value {
                        reader: &mut *self.reader,
                        member: &projection.members(self.node)[index],
                    })?;
                }
                None => map.next_value_seed(Drop)?,
            }
        }
        Ok(())
    }
}

/// Finds a member by its name.
struct Name<'a> {
    projection: &'a Projection,
    node: usize,
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
        Ok(self.projection.find(self.node, name.as_bytes(), self.guess))
    }
}

/// Reads the value of a projected member.
struct Value<'v, 'a, 'r> {
    reader: &'v mut Reader<'a, 'r>,
    member: &'v Member,
}

impl Value<'_, '_, '_> {
    fn set(self, value: FieldValue) {
        // Duplicate members: the last one wins, and what was below the first is missing.
        for below in &self.member.below {
            self.reader.row.values[below.0 as usize] = FieldValue::Missing;
        }
        if let Some(field) = self.member.field {
            self.reader.row.values[field.0 as usize] = value;
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_, '_> {
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
        let start = (value.as_ptr() as usize - self.reader.json) as u32 + self.reader.offset;
        self.set(FieldValue::Text(Span { start, end: start + value.len() as u32 }));
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let start = self.reader.row.unescaped.len() as u32;
        self.reader.row.unescaped.extend_from_slice(value.as_bytes());
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
