//! What an item of packed groups holds, and its format.
//!
//! - `PK` is the groups' partition, `SK` is `@pack-` and the number.
//! - `@pack-revision` counts the writes.
//! - `@groups` has everything of every group, and which ones have moved out, behind a byte for the format.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use paceline_pipeline::model::{Key, PACK_PREFIX, Pack};

use super::groups::{Groups, Moved};
use super::groups_format::{self, EncodedGroups, InvalidGroups};
use crate::dynamodb::error::{TableError, TableErrorKind, TableRef};
use crate::dynamodb::item::{self, Map, SORT};

pub(super) const REVISION: &str = "@pack-revision";
const GROUPS: &str = "@groups";

/// The format of `@groups`.
const FORMAT: u8 = 2;

/// The key of an item of packed groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::dynamodb) struct PackKey {
    pub(super) partition: String,
    pub(super) number: u16,
}

impl PackKey {
    pub(super) fn new(partition: &str, pack: &Pack) -> Self {
        Self { partition: partition.to_owned(), number: pack.number() }
    }

    pub(super) fn item_key(&self) -> Key {
        Key::new(self.partition.as_str(), format!("{PACK_PREFIX}{:03}", self.number))
    }
}

/// The groups that share an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::dynamodb) struct Content {
    /// Counts the writes of the item; 0 if there is none.
    pub(super) revision: u64,
    /// The groups, by sort key.
    pub(super) groups: Groups,
    pub(super) moved: Moved,
}

/// An item as it is written.
pub(super) struct EncodedItem {
    pub(super) map: Map,
    can_be_decoded: bool,
}

impl EncodedItem {
    /// Whether the item has at most so many bytes, and can be read again.
    pub(super) fn fits(&self, most_bytes: usize) -> bool {
        self.can_be_decoded && size(&self.map) <= most_bytes
    }
}

/// An item of packed groups that can't be decoded.
#[derive(Debug, thiserror::Error)]
pub(in crate::dynamodb) enum InvalidPack {
    #[error("its `{0}` is missing or has a value that paceline does not write")]
    Attribute(&'static str),
    #[error("its `{GROUPS}` has the format {0}; this program reads {FORMAT}")]
    Format(u8),
    #[error("its `{GROUPS}` can't be decoded")]
    Groups(#[source] InvalidGroups),
}

/// Whether an item has packed groups.
pub(in crate::dynamodb) fn is_pack(map: &Map) -> bool {
    map.contains_key(REVISION)
}

impl Content {
    /// The item, with its key.
    pub(super) fn encode(&self, key: &PackKey) -> EncodedItem {
        let mut map = item::key_map(&key.item_key());
        map.insert(REVISION.to_owned(), AttributeValue::N(self.revision.to_string()));
        let EncodedGroups { bytes, can_be_decoded } = groups_format::encode(&self.groups, &self.moved);
        map.insert(GROUPS.to_owned(), AttributeValue::B(Blob::new([&[FORMAT], &*bytes].concat())));
        EncodedItem { map, can_be_decoded }
    }

    /// Decodes an item.
    pub(super) fn decode(map: &Map) -> Result<(PackKey, Self), InvalidPack> {
        let key = item::key_of(map).ok_or(InvalidPack::Attribute(SORT))?;
        let number = key.sort.strip_prefix(PACK_PREFIX).and_then(|number| number.parse().ok());
        let key = PackKey { partition: key.partition.into(), number: number.ok_or(InvalidPack::Attribute(SORT))? };
        let revision = map.get(REVISION).and_then(|value| value.as_n().ok()?.parse().ok());
        let revision = revision.ok_or(InvalidPack::Attribute(REVISION))?;
        let bytes = match map.get(GROUPS) {
            Some(AttributeValue::B(bytes)) => bytes.as_ref(),
            _ => return Err(InvalidPack::Attribute(GROUPS)),
        };
        let (groups, moved) = match bytes.split_first() {
            Some((&FORMAT, compressed)) => groups_format::decode(compressed).map_err(InvalidPack::Groups)?,
            Some((&other, _)) => return Err(InvalidPack::Format(other)),
            None => return Err(InvalidPack::Attribute(GROUPS)),
        };
        Ok((key, Self { revision, groups, moved }))
    }
}

/// Bytes that DynamoDB adds to a map, and to each of its members.
const MAP_BYTES: usize = 3;
const MEMBER_BYTES: usize = 1;

/// An upper bound of the size of an encoded item, as DynamoDB counts it.
pub(super) fn size(map: &Map) -> usize {
    fn bytes(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            AttributeValue::S(text) => text.len(),
            AttributeValue::M(members) => MAP_BYTES + MEMBER_BYTES * members.len() + size(members),
            _ => item::NUMBER_BYTES,
        }
    }
    map.iter().map(|(name, value)| name.len() + bytes(value)).sum()
}

/// The groups of an item that was read from this table.
pub(super) fn decode(table: &TableRef, map: &Map) -> Result<(PackKey, Content), TableError> {
    Content::decode(map).map_err(|error| {
        let key = item::key_of(map).map_or_else(|| "without a key".to_owned(), |key| key.to_string());
        let what = format_args!(
            "the item {key} of packed groups can't be decoded. Its shard waits until you restore the item or change the \
             rulebook's key"
        );
        table.error(TableErrorKind::Fatal, what).caused_by(error)
    })
}
