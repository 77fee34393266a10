//! The open shards of streams, and which of them takes a record.

use std::collections::HashMap;

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::super::call::Call;
use super::super::lock;

/// An open shard.
#[derive(Clone, Debug)]
pub(super) struct OpenShard {
    pub(super) id: String,
    first: u128,
    last: u128,
}

/// The open shards of each stream that was written to.
#[derive(Default)]
pub(super) struct ShardMap {
    streams: HashMap<String, Vec<OpenShard>>,
}

impl ShardMap {
    /// They are no longer as they were: they are asked for again.
    pub(super) fn forget(&mut self, stream: &str) {
        self.streams.remove(stream);
    }
}

/// The open shards of a stream, as the service says or has said. None if it does not say.
pub(super) async fn open_shards(call: &Call, stream: &str) -> Vec<OpenShard> {
    if let Some(known) = lock(&call.shared.kinesis).shards.streams.get(stream) {
        return known.clone();
    }
    let mut shards = Vec::new();
    let mut question = json!({ "StreamName": stream });
    while let Some(answer) = call.ask("ListShards", &question).await {
        shards.extend(answer["Shards"].as_array().into_iter().flatten().filter_map(open_shard));
        match answer["NextToken"].as_str() {
            Some(next) => question = json!({ "NextToken": next }),
            None => break,
        }
    }
    if !shards.is_empty() {
        lock(&call.shared.kinesis).shards.streams.insert(stream.to_owned(), shards.clone());
    }
    shards
}

fn open_shard(shard: &Value) -> Option<OpenShard> {
    if shard["SequenceNumberRange"]["EndingSequenceNumber"].is_string() {
        return None;
    }
    let hash = |name: &str| shard["HashKeyRange"][name].as_str()?.parse().ok();
    let id = shard["ShardId"].as_str()?.to_owned();
    Some(OpenShard { id, first: hash("StartingHashKey")?, last: hash("EndingHashKey")? })
}

/// The shard that takes a record with this key: by its MD5, unless a hash is given.
pub(super) fn taking<'a>(shards: &'a [OpenShard], key: &str, hash: Option<&str>) -> Option<&'a OpenShard> {
    let hash = match hash {
        Some(hash) => hash.parse().ok()?,
        None => u128::from_be_bytes(Md5::digest(key).into()),
    };
    shards.iter().find(|shard| (shard.first..=shard.last).contains(&hash))
}
