//! Project: reads from each JSON payload only the fields that are wanted, once, into cells.
//!
//! One pass of serde_json over each payload, without an allocation a record: a wanted member's value goes straight into
//! its cell, everything else is read and dropped. It is read, not skipped, so that a message is broken or sound
//! whatever the plugins of the day look at.

mod explain;

use std::fmt;

use paceline_engine::Kind;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::batch::{Batch, Span};
use crate::dead_letter::{Cause, Reason};
use crate::pointer::Pointer;

pub(crate) use explain::locate;

/// What a payload has at a pointer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldValue {
    /// No such member.
    Missing,
    /// `null`.
    Null,
    Boolean(bool),
    Integer(i64),
    /// Any other number: with a fraction, an exponent, or beyond 64 bits.
    Number(f64),
    /// A text without escapes, in the batch's bytes.
    Text(Span),
    /// A text whose escapes had to be resolved, in the cells' own bytes.
    Unescaped(Span),
    Array,
    Object,
}

/// The cells of a batch: a row a record, in each a cell for every pointer.
#[derive(Debug)]
pub(crate) struct ProjectedRows {
    rows_of_fields: Vec<FieldValue>,
    width: usize,
    unescaped: Vec<u8>,
}

impl ProjectedRows {
    pub(crate) fn get(&self, record: u32, index: FieldIndex) -> FieldValue {
        self.rows_of_fields[record as usize * self.width + index.0 as usize]
    }

    /// The bytes of a text.
    pub(crate) fn text<'a>(&'a self, batch: &'a Batch, value: FieldValue) -> Option<&'a [u8]> {
        match value {
            FieldValue::Text(span) => Some(batch.slice(span)),
            FieldValue::Unescaped(span) => Some(&self.unescaped[span.start as usize..span.end as usize]),
            _ => None,
        }
    }
}

/// Where a pointer's cell stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FieldIndex(u16);

/// The pointers that are wanted, as a tree of members.
#[derive(Debug, Default)]
pub(crate) struct Projection {
    nodes: Vec<Node>,
    pointers: Vec<Pointer>,
}

/// An object of which members are wanted.
#[derive(Debug, Default)]
struct Node {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: Box<str>,
    /// Its own cell.
    index: Option<FieldIndex>,
    /// Where the tree goes on.
    node: Option<usize>,
    /// Every cell in the tree below it.
    below: Vec<FieldIndex>,
}

impl Projection {
    /// The tree of these pointers.
    pub(crate) fn new<'p>(pointers: impl IntoIterator<Item = &'p Pointer>) -> Self {
        let mut projection = Self { nodes: vec![Node::default()], pointers: Vec::new() };
        for pointer in pointers {
            if !projection.pointers.contains(pointer) {
                projection.add(pointer);
            }
        }
        projection
    }

    fn add(&mut self, pointer: &Pointer) {
        let index = FieldIndex(u16::try_from(self.pointers.len()).expect("fields are bounded far below"));
        self.pointers.push(pointer.clone());
        let mut at = 0;
        for (depth, name) in pointer.members().iter().enumerate() {
            let members = &mut self.nodes[at].members;
            let index = members.iter().position(|member| member.name == *name).unwrap_or_else(|| {
                members.push(Member { name: name.clone(), index: None, node: None, below: Vec::new() });
                members.len() - 1
            });
            if depth + 1 == pointer.members().len() {
                self.nodes[at].members[index].index = Some(index);
            } else {
                self.nodes[at].members[index].below.push(index);
                let next = self.nodes[at].members[index].node.unwrap_or(self.nodes.len());
                if next == self.nodes.len() {
                    self.nodes[at].members[index].node = Some(next);
                    self.nodes.push(Node::default());
                }
                at = next;
            }
        }
    }

    /// Where a pointer's cell stands. Panics where the projection was not made with it.
    pub(crate) fn index(&self, pointer: &Pointer) -> FieldIndex {
        let at = self.pointers.iter().position(|other| other == pointer);
        FieldIndex(at.unwrap_or_else(|| panic!("{pointer} is not projected")) as u16)
    }

    /// The pointer of a cell.
    pub(crate) fn pointer(&self, index: FieldIndex) -> &Pointer {
        &self.pointers[index.0 as usize]
    }

    /// Reads the payloads of a batch. Records that can't be read come back with their reasons, in order.
    pub(crate) fn project(&self, batch: &Batch, max_payload_bytes: usize) -> (ProjectedRows, Vec<(u32, Reason)>) {
        let width = self.pointers.len();
        let mut rows_of_fields = ProjectedRows { rows_of_fields: vec![FieldValue::Missing; width * batch.records.len()], width, unescaped: Vec::new() };
        let mut dead = Vec::new();
        // Looked at as a whole: where all is UTF-8, so is whatever begins and ends between two characters.
        let whole = std::str::from_utf8(&batch.bytes).ok();
        let mut undecodable = batch.undecodable.iter().peekable();
        for (row, record) in batch.records.iter().enumerate() {
            if let Some((_, why)) = undecodable.next_if(|(record, _)| *record as usize == row) {
                dead.push((row as u32, Reason::new(Cause::Undecodable, why.clone())));
                continue;
            }
            let payload = batch.slice(record.payload);
            let text = whole.and_then(|whole| whole.get(record.payload.start as usize..record.payload.end as usize));
            let bytes = record.cut_from.unwrap_or(payload.len() as u64);
            let read = if bytes > max_payload_bytes as u64 {
                Err(Reason::new(
                    Cause::TooLarge,
                    format!("the payload has {bytes} bytes, {max_payload_bytes} are allowed (`max-payload-bytes`)"),
                ))
            } else {
                let mut reader = Reader {
                    projection: self,
                    rows_of_fields: &mut rows_of_fields.rows_of_fields[row * width..(row + 1) * width],
                    payload: payload.as_ptr() as usize,
                    offset: record.payload.start,
                    unescaped: &mut rows_of_fields.unescaped,
                };
                reader.read(payload, text)
            };
            if let Err(reason) = read {
                dead.push((row as u32, reason));
            }
        }
        (rows_of_fields, dead)
    }
}

/// Reads one payload into one row.
struct Reader<'a> {
    projection: &'a Projection,
    rows_of_fields: &'a mut [FieldValue],
    /// The address of the payload's first byte, by which a borrowed text is found in it again.
    payload: usize,
    /// Where the payload begins in the batch's bytes.
    offset: u32,
    unescaped: &'a mut Vec<u8>,
}

impl Reader<'_> {
    /// `text` is the payload as text where it is known to be one.
    fn read(&mut self, payload: &[u8], text: Option<&str>) -> Result<(), Reason> {
        if payload.is_empty() {
            return Err(Reason::new(Cause::Empty, "the payload is empty"));
        }
        let text = text.map_or_else(|| std::str::from_utf8(payload), Ok).map_err(|error| {
            Reason::new(Cause::NotUtf8, format!("the payload is not UTF-8 from byte {} on", error.valid_up_to()))
        })?;
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Object { reader: self, node: 0 }.deserialize(&mut json).and_then(|()| json.end());
        read.map_err(|error| explain::reason(text, &error))
    }
}

/// Reads an object whose members lie in a node of the tree.
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
        let members = &projection.nodes[self.node].members;
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
    /// The member that is likely: messages of one sort have their members in one order.
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

/// Reads the value of a wanted member.
struct Value<'r, 'a> {
    reader: &'r mut Reader<'a>,
    member: &'r Member,
}

impl Value<'_, '_> {
    fn set(self, value: FieldValue) {
        // A member that comes twice: the last counts, with all that was below the first.
        for below in &self.member.below {
            self.reader.rows_of_fields[below.0 as usize] = FieldValue::Missing;
        }
        if let Some(index) = self.member.index {
            self.reader.rows_of_fields[index.0 as usize] = value;
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
        self.set(FieldValue::Number(value));
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

/// Reads a value that nobody wants.
struct Drop;

impl<'de> DeserializeSeed<'de> for Drop {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // Not `deserialize_ignored_any`, which would let bad escapes and bad numbers through.
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

/// The reason for a cell that is not of the kind that is wanted, with the place where it stands.
pub(crate) fn mismatch(batch: &Batch, record: u32, pointer: &Pointer, value: FieldValue, wanted: &str) -> Reason {
    let found = match value {
        FieldValue::Missing => {
            return Reason::new(Cause::MissingField, format!("the field `{pointer}` is missing")).at(pointer);
        }
        FieldValue::Null => "null",
        FieldValue::Boolean(_) => "a boolean",
        FieldValue::Integer(_) => "an integer",
        FieldValue::Number(value) if value.abs() >= 9.2e18 => "a number beyond 64 bits",
        FieldValue::Number(_) => "a number with a fraction or an exponent",
        FieldValue::Text(_) | FieldValue::Unescaped(_) => "a text",
        FieldValue::Array => "an array",
        FieldValue::Object => "an object",
    };
    // `null` says that there is no value, which is what a missing member says.
    let cause = if value == FieldValue::Null { Cause::MissingField } else { Cause::WrongType };
    let position = locate(batch.payload(record as usize), pointer).map_or(String::new(), |at| format!(" at byte {at}"));
    Reason::new(cause, format!("the field `{pointer}` is {found}{position}, not {wanted}")).at(pointer)
}

/// A kind with its article.
pub(crate) fn a(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "a boolean",
        Kind::Integer => "an integer",
        Kind::Number => "a number",
        Kind::Text => "a text",
        Kind::Blob => "a blob",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `payload` has at `pointers`, written out, or the reason why it can't be read.
    fn read(payload: &[u8], pointers: &[&str]) -> Result<Vec<String>, String> {
        let pointers: Vec<_> = pointers.iter().map(|pointer| Pointer::parse(pointer).unwrap()).collect();
        let projection = Projection::new(&pointers);
        let mut batch = Batch::new("test".into());
        batch.push(br#"{"a":"a neighbour","x":1}"#, 0.into());
        batch.push(payload, 1.into());
        let (rows_of_fields, dead) = projection.project(&batch, 1 << 20);
        match dead.as_slice() {
            [] => Ok(pointers
                .iter()
                .map(|pointer| {
                    let value = rows_of_fields.get(1, projection.index(pointer));
                    match rows_of_fields.text(&batch, value) {
                        Some(text) => format!("{:?}", std::str::from_utf8(text).unwrap()),
                        None => format!("{value:?}"),
                    }
                })
                .collect()),
            [(1, reason)] => Err(format!("{} {}", reason.cause, reason.text)),
            more => panic!("{more:?}"),
        }
    }

    #[test]
    fn wanted_members_land_in_their_cells() {
        let payload = r#"{"b":{"c":-7,"d":[1]},"e":"x\ty","name":"Zoë","f":1e2,"g":true,"h":null,"i":{}}"#;
        let pointers = ["/b/c", "/b", "/e", "/f", "/g", "/h", "/i", "/b/d", "/b/d/e", "/none", "/name"];
        let rows_of_fields = read(payload.as_bytes(), &pointers).unwrap();
        let expected = [
            "Integer(-7)",
            "Object",
            r#""x\ty""#,
            "Number(100.0)",
            "Boolean(true)",
            "Null",
            "Object",
            "Array",
            "Missing",
            "Missing",
            r#""Zoë""#,
        ];
        assert_eq!(rows_of_fields, expected);
    }

    #[test]
    fn of_a_member_that_comes_twice_the_last_counts_with_all_below_it() {
        let twice = br#"{"a":{"b":1,"c":2},"x":1,"a":{"b":3},"x":"y"}"#;
        assert_eq!(read(twice, &["/a/b", "/a/c", "/x"]).unwrap(), ["Integer(3)", "Missing", "\"y\""]);
        assert_eq!(read(br#"{"a":{"b":1},"a":5}"#, &["/a/b", "/a"]).unwrap(), ["Missing", "Integer(5)"]);
    }

    #[test]
    fn numbers_keep_their_bits() {
        let payload = br#"{"a":45.233333333333334,"b":9223372036854775807,"c":9223372036854775808,"d":-0.0}"#;
        let rows_of_fields = read(payload, &["/a", "/b", "/c", "/d"]).unwrap();
        let expected = [
            "Number(45.233333333333334)",
            "Integer(9223372036854775807)",
            "Number(9.223372036854776e18)",
            "Number(-0.0)",
        ];
        assert_eq!(rows_of_fields, expected);
    }

    #[test]
    fn what_is_no_message_has_a_reason_with_field_and_position() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let cases: [(&[u8], &str); 14] = [
            (b"", "empty the payload is empty"),
            (b"hello", "not-json not JSON: expected value at line 1 column 1"),
            (br#"{"a":1,"b"#, "not-json not JSON: EOF while parsing a string at line 1 column 9"),
            (br#"{"a":1,"b":2"#, "not-json not JSON: EOF while parsing an object at line 1 column 12"),
            (b"[1]", "not-json a JSON object is wanted, not an array"),
            (b"5", "not-json a JSON object is wanted, not a number"),
            (b"\"x\"", "not-json a JSON object is wanted, not a text"),
            (b"{} {}", "not-json not JSON: trailing characters at line 1 column 4"),
            (br#"{"a":NaN}"#, "not-json not JSON, in the field `/a`: expected value at line 1 column 6"),
            (
                br#"{"a":{"b":1e400}}"#,
                "not-json not JSON, in the field `/a/b`: number out of range at line 1 column 15",
            ),
            (b"{\"a\":\"\xff\"}", "not-utf8 the payload is not UTF-8 from byte 6 on"),
            (
                br#"{"name":"\ud800"}"#,
                "not-json not JSON, in the field `/name`: unexpected end of hex escape at line 1 column 16",
            ),
            (br#"{"a":01}"#, "not-json not JSON, in the field `/a`: invalid number at line 1 column 7"),
            (deep.as_bytes(), "not-json not JSON, in the field `/a`: recursion limit exceeded at line 1 column 132"),
        ];
        for (payload, reason) in cases {
            let payload_text = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
            assert_eq!(read(payload, &["/a"]), Err(reason.to_owned()), "{payload_text}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Into::into),
            "[a-zé\"\\\\\n]{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
                prop::collection::btree_map("[abc]", inner, 0..3)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Cells are what serde_json's own tree has at the same pointers.
        #[test]
        fn cells_are_what_stands_at_the_pointer(members in prop::collection::btree_map("[abc]", json(), 0..4)) {
            let value = serde_json::Value::Object(members.into_iter().collect());
            let pointers = ["/a", "/b", "/a/b", "/a/c", "/a/b/c", "/c/a"];
            let expected: Vec<_> = pointers.iter().map(|pointer| {
                let mut objects = Some(&value);
                for member in pointer[1..].split('/') {
                    objects = objects.and_then(|value| value.as_object()).and_then(|object| object.get(member));
                }
                match objects {
                    None => "Missing".to_owned(),
                    Some(serde_json::Value::Null) => "Null".to_owned(),
                    Some(serde_json::Value::Bool(value)) => format!("Boolean({value})"),
                    Some(serde_json::Value::Number(number)) => match number.as_i64() {
                        Some(value) => format!("Integer({value})"),
                        None => format!("Number({:?})", number.as_f64().unwrap()),
                    },
                    Some(serde_json::Value::String(text)) => format!("{text:?}"),
                    Some(serde_json::Value::Array(_)) => "Array".to_owned(),
                    Some(serde_json::Value::Object(_)) => "Object".to_owned(),
                }
            }).collect();
            prop_assert_eq!(read(value.to_string().as_bytes(), &pointers), Ok(expected));
        }

        /// Whatever the bytes, there is an answer.
        #[test]
        fn no_bytes_bring_it_down(payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[{}\\[\\]:,\"a0-9eE.+\\\\u-]{0,60}".prop_map(String::into_bytes),
        ]) {
            let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&payload).is_ok();
            prop_assert_eq!(read(&payload, &["/a", "/a/b"]).is_ok(), is_object);
        }
    }
}
