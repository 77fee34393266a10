//! The open shards of streams, and which of them takes a record.

use std::collections::HashMap;

use md5::{Digest, Md5};
use serde_json::Value;

/// A shard that takes records.
#[derive(Clone, Debug)]
pub(super) struct OpenShard {
    pub(super) id: String,
    first_hash: u128,
    last_hash: u128,
}

impl OpenShard {
    /// An entry of a `ListShards` response; nothing for a closed shard.
    pub(super) fn from_json(shard: &Value) -> Option<Self> {
        if shard["SequenceNumberRange"]["EndingSequenceNumber"].is_string() {
            return None;
        }
        let hash = |name: &str| shard["HashKeyRange"][name].as_str()?.parse().ok();
        let id = shard["ShardId"].as_str()?.to_owned();
        Some(Self { id, first_hash: hash("StartingHashKey")?, last_hash: hash("EndingHashKey")? })
    }
}

/// The open shards of each stream that was written to.
#[derive(Default)]
pub(super) struct ShardMap {
    streams: HashMap<String, Vec<OpenShard>>,
}

impl ShardMap {
    pub(super) fn get(&self, stream: &str) -> Option<&Vec<OpenShard>> {
        self.streams.get(stream)
    }

    pub(super) fn insert(&mut self, stream: &str, shards: Vec<OpenShard>) {
        self.streams.insert(stream.to_owned(), shards);
    }

    /// Removes a stream whose shards have changed: the next put lists them anew.
    pub(super) fn invalidate(&mut self, stream: &str) {
        self.streams.remove(stream);
    }
}

/// The shard that takes a record: by the explicit hash, else by the key's MD5.
pub(super) fn shard_for<'a>(
    shards: &'a [OpenShard],
    partition_key: &str,
    explicit_hash: Option<&str>,
) -> Option<&'a OpenShard> {
    let hash = match explicit_hash {
        Some(hash) => hash.parse().ok()?,
        None => u128::from_be_bytes(Md5::digest(partition_key).into()),
    };
    shards.iter().find(|shard| (shard.first_hash..=shard.last_hash).contains(&hash))
}
