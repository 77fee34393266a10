//! What an item of packed groups holds, and its format.
//!
//! - `PK` is the groups' partition, `SK` is `@pack-` and the number.
//! - `@pack-revision` counts the writes.
//! - `@groups` has everything of every group, and which ones have moved out: a byte for the format, then a zlib stream.
//! - Each attribute that the rulebook shows is a map from the groups' sort keys to their values.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write as _};
use std::sync::Arc;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use paceline_pipeline::dedup::DedupState;
use paceline_pipeline::model::{Attribute, Item, Key, PACK_PREFIX, Pack, Packing, Provenance, SmolStr};
use serde::{Deserialize, Serialize};

use crate::dynamodb::error::{TableError, TableErrorKind, TableRef};
use crate::dynamodb::item::{self, Map, PARTITION, SORT};

pub(super) const REVISION: &str = "@pack-revision";
const GROUPS: &str = "@groups";

/// The format of `@groups`.
const FORMAT: u8 = 1;

/// The most bytes of groups that are decompressed: many times what fits into an item.
const MAX_DECOMPRESSED: u64 = 64 << 20;

/// Bytes that DynamoDB adds to a map, and to each of its members.
const MAP_BYTES: usize = 3;
const MEMBER_BYTES: usize = 1;

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

/// Which groups that belong into an item have items of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Moved {
    /// These.
    These(Arc<BTreeSet<Arc<str>>>),
    /// All that are not in the item: they are too many to be named.
    AllOthers,
}

impl Default for Moved {
    fn default() -> Self {
        Self::These(Arc::default())
    }
}

/// Of so many groups that have moved out, the item names each: some 100 KB.
const MAX_MOVED: usize = 20_000;

impl Moved {
    /// Whether a group that is not in the shared item has, or would get, an item of its own.
    pub(super) fn has(&self, sort: &str) -> bool {
        match self {
            Self::These(sorts) => sorts.contains(sort),
            Self::AllOthers => true,
        }
    }

    /// Adds a group that moves out.
    pub(super) fn add(&mut self, sort: &Arc<str>) {
        let Self::These(sorts) = self else { return };
        Arc::make_mut(sorts).insert(Arc::clone(sort));
        if sorts.len() > MAX_MOVED {
            *self = Self::AllOthers;
        }
    }
}

/// An item of packed groups that can't be decoded.
#[derive(Debug, thiserror::Error)]
pub(in crate::dynamodb) enum InvalidPack {
    #[error("its `{0}` is missing or has a value that paceline does not write")]
    Attribute(&'static str),
    #[error("its `{GROUPS}` has the format {0}; this program reads {FORMAT}")]
    Format(u8),
    #[error("its `{GROUPS}` can't be decompressed")]
    Compression(#[source] std::io::Error),
    #[error("its `{GROUPS}` can't be decoded")]
    Encoding(#[source] postcard::Error),
}

/// The groups as they are encoded. Neighbours have nearly everything in common but their numbers: what repeats is there
/// once, and the rest compresses well.
#[derive(Serialize, Deserialize)]
struct Stored {
    provenances: Vec<Arc<Provenance>>,
    /// The names of attributes, of groups that have the same.
    layouts: Vec<Vec<SmolStr>>,
    groups: Vec<StoredGroup>,
    moved: Moved,
}

#[derive(Serialize, Deserialize)]
struct StoredGroup {
    sort: Arc<str>,
    revision: u64,
    provenance: u32,
    layout: u32,
    reruled: bool,
    dedup: DedupState,
    state: Vec<u8>,
    values: Vec<Attribute>,
}

/// Whether an item has packed groups.
pub(in crate::dynamodb) fn is_pack(map: &Map) -> bool {
    map.contains_key(REVISION)
}

impl Content {
    /// The item, with its key.
    pub(super) fn encode(&self, key: &PackKey, packing: &Packing) -> Map {
        let mut map = item::key_map(&key.item_key());
        map.insert(REVISION.to_owned(), AttributeValue::N(self.revision.to_string()));
        map.insert(GROUPS.to_owned(), AttributeValue::B(Blob::new(self.groups_bytes())));
        for name in &packing.show {
            let shown = self.shown(name).map(|(sort, value)| (sort.to_owned(), item::attribute_value(value)));
            map.insert(name.clone(), AttributeValue::M(shown.collect()));
        }
        map
    }

    /// An upper bound of the size of an encoded item, as DynamoDB counts it.
    pub(super) fn size(&self, map: &Map, packing: &Packing) -> usize {
        let bytes = |name: &str| match map.get(name) {
            Some(AttributeValue::B(bytes)) => name.len() + bytes.as_ref().len(),
            Some(AttributeValue::S(text)) => name.len() + text.len(),
            // A number of 64 bits.
            Some(_) => name.len() + 12,
            None => 0,
        };
        let shown = packing.show.iter().map(|name| {
            let member = |(sort, value): (&str, &Attribute)| sort.len() + item::value_size(value) + MEMBER_BYTES;
            name.len() + MAP_BYTES + self.shown(name).map(member).sum::<usize>()
        });
        [PARTITION, SORT, REVISION, GROUPS].into_iter().map(bytes).sum::<usize>() + shown.sum::<usize>()
    }

    fn shown<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Attribute)> {
        self.groups.iter().filter_map(move |(sort, item)| Some((&**sort, item.attribute(name)?)))
    }

    fn groups_bytes(&self) -> Vec<u8> {
        let moved = self.moved.clone();
        let mut stored = Stored { provenances: Vec::new(), layouts: Vec::new(), groups: Vec::new(), moved };
        for (sort, item) in &self.groups {
            // The same one mostly, so the last one is looked at first.
            let provenance =
                index_of(&mut stored.provenances, |other| **other == *item.provenance, || Arc::clone(&item.provenance));
            let names = || item.attributes.iter().map(|(name, _)| name);
            let layout = index_of(&mut stored.layouts, |other| other.iter().eq(names()), || names().cloned().collect());
            stored.groups.push(StoredGroup {
                sort: Arc::clone(sort),
                revision: item.revision,
                provenance,
                layout,
                reruled: item.reruled,
                dedup: item.dedup.clone(),
                state: item.state.clone(),
                values: item.attributes.iter().map(|(_, value)| value.clone()).collect(),
            });
        }
        let plain = postcard::to_allocvec(&stored).expect("groups can always be encoded");
        let mut encoder = ZlibEncoder::new(vec![FORMAT], Compression::new(4));
        encoder.write_all(&plain).expect("memory can always be written");
        encoder.finish().expect("memory can always be written")
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
            Some((&FORMAT, compressed)) => decode_groups(compressed)?,
            Some((&other, _)) => return Err(InvalidPack::Format(other)),
            None => return Err(InvalidPack::Attribute(GROUPS)),
        };
        Ok((key, Self { revision, groups, moved }))
    }
}

type Groups = BTreeMap<Arc<str>, Arc<Item>>;

fn decode_groups(compressed: &[u8]) -> Result<(Groups, Moved), InvalidPack> {
    let mut plain = Vec::new();
    let mut decoder = ZlibDecoder::new(compressed).take(MAX_DECOMPRESSED);
    decoder.read_to_end(&mut plain).map_err(InvalidPack::Compression)?;
    let stored: Stored = postcard::from_bytes(&plain).map_err(InvalidPack::Encoding)?;
    let Stored { provenances, layouts, groups, moved } = stored;
    let group = |group: StoredGroup| {
        let provenance = provenances.get(group.provenance as usize)?;
        let names = layouts.get(group.layout as usize).filter(|names| names.len() == group.values.len())?;
        let item = Item {
            revision: group.revision,
            state: group.state,
            dedup: group.dedup,
            attributes: names.iter().cloned().zip(group.values).collect(),
            provenance: Arc::clone(provenance),
            reruled: group.reruled,
        };
        Some((group.sort, Arc::new(item)))
    };
    let groups = groups.into_iter().map(group).collect::<Option<_>>().ok_or(InvalidPack::Attribute(GROUPS))?;
    Ok((groups, moved))
}

/// The index of an entry, which is added if it is missing.
fn index_of<T>(entries: &mut Vec<T>, is_it: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> u32 {
    let found = entries.iter().rposition(is_it).unwrap_or_else(|| {
        entries.push(new());
        entries.len() - 1
    });
    found as u32
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
