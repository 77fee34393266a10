//! What a KPL aggregate contains, by prost: a second reader of the format.

use md5::{Digest, Md5};
use prost::Message;

/// The first bytes of an aggregate.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

// Keys are bytes: one that is not UTF-8 concerns its user records alone.
#[derive(Clone, PartialEq, Message)]
struct Aggregate {
    #[prost(bytes = "vec", repeated, tag = "1")]
    partition_keys: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    hash_keys: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Inner>,
}

// Fields that the format requires are optional here: prost would take a missing one for an empty one.
#[derive(Clone, PartialEq, Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    partition_key: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    hash_key: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "3")]
    data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    tags: Vec<Tag>,
}

#[derive(Clone, PartialEq, Message)]
struct Tag {
    #[prost(bytes = "vec", optional, tag = "1")]
    key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

/// A user record of an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserRecord {
    /// `None` if it is not in the table, or not UTF-8.
    pub(crate) key: Option<String>,
    /// The hash key that decides its shard; `None` if it can't be read.
    pub(crate) hash: Option<u128>,
    pub(crate) data: Vec<u8>,
}

/// The MD5 of some bytes.
pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// The aggregate with this message.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&MAGIC, message, &md5(message)].concat()
}

/// The message of an aggregate; `None` for other payloads.
pub(crate) fn message(payload: &[u8]) -> Option<&[u8]> {
    let (message, digest) = payload.strip_prefix(&MAGIC)?.split_last_chunk::<16>()?;
    (!message.is_empty() && md5(message) == *digest).then_some(message)
}

/// The user records of an aggregate; `None` if the payload is an ordinary record.
pub(crate) fn user_records(payload: &[u8]) -> Option<Vec<UserRecord>> {
    let Aggregate { partition_keys, hash_keys, records } = Aggregate::decode(message(payload)?).ok()?;
    let at = |table: &[Vec<u8>], index: u64| {
        let key = usize::try_from(index).ok().and_then(|index| table.get(index))?;
        String::from_utf8(key.clone()).ok()
    };
    let user_record = |Inner { partition_key, hash_key, data, tags }: Inner| {
        if tags.iter().any(|tag| tag.key.is_none()) {
            return None;
        }
        let key = at(&partition_keys, partition_key?);
        let hash = match hash_key {
            Some(index) => at(&hash_keys, index).and_then(|decimal| decimal.parse().ok()),
            None => key.as_ref().map(|key| u128::from_be_bytes(md5(key.as_bytes()))),
        };
        Some(UserRecord { key, hash, data: data? })
    };
    records.into_iter().map(user_record).collect()
}
