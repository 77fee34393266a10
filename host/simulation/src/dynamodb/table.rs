//! A table: items by key, by DynamoDB's rules for keys, values and sizes.

use std::collections::BTreeMap;

use paceline_aws::base64;
use serde_json::{Map, Value};

use super::failure::Failure;

/// Attributes by name, each an object such as `{"N":"7"}`.
pub(super) type Item = Map<String, Value>;
/// The values of the hash key and the range key; the latter is empty if there is none.
pub(super) type Key = (String, String);

/// The most bytes of an item.
const ITEM_BYTES: usize = 400 * 1024;
/// The most bytes of the hash key and of the range key.
const HASH_BYTES: usize = 2048;
const RANGE_BYTES: usize = 1024;

/// Items by key.
pub(super) struct Table {
    hash: &'static str,
    range: Option<&'static str>,
    pub(super) items: BTreeMap<Key, Item>,
}

impl Table {
    pub(super) fn new(hash: &'static str, range: Option<&'static str>) -> Self {
        Self { hash, range, items: BTreeMap::new() }
    }

    pub(super) fn is_key(&self, name: &str) -> bool {
        name == self.hash || Some(name) == self.range
    }

    /// The key of an item or of attributes that contain one.
    pub(super) fn key_of(&self, item: &Item) -> Result<Key, Failure> {
        let text = |name: &str, most: usize| match item.get(name).and_then(|value| value.get("S")?.as_str()) {
            None => Err(Failure::invalid(format!("One of the required keys was not given a value: {name}"))),
            Some("") => {
                Err(Failure::invalid(format!("The AttributeValue for a key attribute cannot be empty: {name}")))
            }
            Some(text) if text.len() > most => {
                Err(Failure::invalid(format!("The size of the key {name} exceeds the maximum of {most} bytes")))
            }
            Some(text) => Ok(text.to_owned()),
        };
        let range = self.range.map(|range| text(range, RANGE_BYTES)).transpose()?;
        Ok((text(self.hash, HASH_BYTES)?, range.unwrap_or_default()))
    }

    /// A key that comes without other attributes.
    pub(super) fn bare_key(&self, key: &Item) -> Result<Key, Failure> {
        if !key.keys().all(|name| self.is_key(name)) {
            return Err(Failure::invalid("The provided key element does not match the schema"));
        }
        self.key_of(key)
    }

    /// The attributes of a key.
    pub(super) fn key_item(&self, (hash, range): &Key) -> Item {
        let text = |text: &String| Value::Object(Map::from_iter([("S".to_owned(), Value::String(text.clone()))]));
        let range = self.range.map(|name| (name.to_owned(), text(range)));
        [(self.hash.to_owned(), text(hash))].into_iter().chain(range).collect()
    }

    pub(super) fn put(&mut self, item: Item) -> Result<(), Failure> {
        let key = self.key_of(&item)?;
        let mut bytes = 0;
        for (name, value) in &item {
            bytes += name.len() + size(name, value)?;
        }
        if bytes > ITEM_BYTES {
            return Err(Failure::invalid("Item size has exceeded the maximum allowed size"));
        }
        self.items.insert(key, item);
        Ok(())
    }
}

/// The bytes of a value.
fn size(name: &str, value: &Value) -> Result<usize, Failure> {
    let invalid = || Failure::invalid(format!("Supplied AttributeValue of {name} is not supported: {value}"));
    let mut kinds = value.as_object().ok_or_else(invalid)?.iter();
    let (Some((kind, value)), None) = (kinds.next(), kinds.next()) else { return Err(invalid()) };
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => Ok(text.len()),
        ("N", Value::String(text)) if text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(text.len() / 2 + 2),
        ("B", Value::String(text)) => base64::decode(text.as_bytes()).map(|bytes| bytes.len()).map_err(|_| invalid()),
        ("BOOL", Value::Bool(_)) => Ok(1),
        ("M", Value::Object(members)) => {
            members.iter().try_fold(3, |bytes, (name, value)| Ok(bytes + 1 + name.len() + size(name, value)?))
        }
        _ => Err(invalid()),
    }
}
