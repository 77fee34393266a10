//! Why a payload can't be read, and where: a slow second pass that only dead letters need.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::pointer::{Pointer, escape};

/// Why a payload can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has no bytes.
    #[error("the payload is empty")]
    Empty,
    /// It is not UTF-8.
    #[error("the payload is not UTF-8 from byte {valid_bytes} on")]
    NotUtf8 {
        /// The first bytes that are.
        valid_bytes: usize,
    },
    /// It is not a JSON object.
    #[error("{why}")]
    NotJson {
        /// The reason in words, with field, line and column.
        why: String,
        /// The pointer of the value in which reading stops.
        field: Option<String>,
    },
}

/// The reason for an error of serde_json.
pub(crate) fn not_json(payload: &str, error: &serde_json::Error) -> Unreadable {
    if error.classify() == Category::Data {
        // The reader requires nothing of the data but an object at the top.
        let found = match payload.trim_start().as_bytes().first() {
            Some(b'[') => "an array",
            Some(b'"') => "a text",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        };
        return Unreadable::NotJson { why: format!("a JSON object is wanted, not {found}"), field: None };
    }
    match path_of_error(payload) {
        path if path.is_empty() => Unreadable::NotJson { why: format!("not JSON: {error}"), field: None },
        path => {
            let path: String = path.chars().take(200).collect();
            Unreadable::NotJson { why: format!("not JSON, in the field `{path}`: {error}"), field: Some(path) }
        }
    }
}

/// The pointer of the value in which reading stops; empty if it stops outside of any.
fn path_of_error(payload: &str) -> String {
    let path = RefCell::new(Vec::new());
    let mut json = serde_json::Deserializer::from_str(payload);
    match Walk(&path).deserialize(&mut json) {
        // The object is complete: what follows it is wrong.
        Ok(()) => String::new(),
        // Deep nesting repeats itself; the first members are enough.
        Err(_) => path.borrow().iter().take(8).map(|name| format!("/{}", escape(name))).collect(),
    }
}

/// The byte where a pointer's value begins in the payload, from 0.
pub fn locate(payload: &[u8], pointer: &Pointer) -> Option<usize> {
    let payload = std::str::from_utf8(payload).ok()?;
    let mut found = payload;
    for member in pointer.members() {
        let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(found).ok()?;
        found = members.get(&**member)?.get();
    }
    Some(found.as_ptr() as usize - payload.as_ptr() as usize)
}

/// Reads a value and keeps the names of the enclosing members. After an error they stay as they were.
struct Walk<'a>(&'a RefCell<Vec<String>>);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
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
        while seq.next_element_seed(Walk(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.0.borrow().len();
        while let Some(name) = map.next_key::<String>()? {
            self.0.borrow_mut().push(name);
            map.next_value_seed(Walk(self.0))?;
            self.0.borrow_mut().truncate(depth);
        }
        Ok(())
    }
}
