//! Shards and records in the JSON of Kinesis.

use paceline_aws::base64;
use paceline_aws::kinesis::{PolledRecord, PolledShard};
use serde_json::{Map, Value, json};

/// A time.
pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

fn hash_range((first, last): (u128, u128)) -> Value {
    json!({ "StartingHashKey": first.to_string(), "EndingHashKey": last.to_string() })
}

/// A shard in a list of all.
pub(crate) fn listed(shard: &PolledShard) -> Value {
    let mut listed = json!({
        "ShardId": shard.id,
        "HashKeyRange": hash_range(shard.hash_range),
        "SequenceNumberRange": { "StartingSequenceNumber": "1" },
    });
    for (name, parent) in ["ParentShardId", "AdjacentParentShardId"].into_iter().zip(&shard.parents) {
        listed[name] = parent.as_str().into();
    }
    if shard.closed {
        listed["SequenceNumberRange"]["EndingSequenceNumber"] = "9".into();
    }
    listed
}

/// A shard at the end of its parent.
pub(crate) fn child(shard: &PolledShard) -> Value {
    json!({ "ShardId": shard.id, "ParentShards": shard.parents, "HashKeyRange": hash_range(shard.hash_range) })
}

/// A stream record.
pub(crate) fn record(record: &PolledRecord) -> Value {
    Value::Object(Map::from_iter([
        ("SequenceNumber".to_owned(), record.sequence.as_str().into()),
        ("PartitionKey".to_owned(), record.partition_key.as_str().into()),
        ("Data".to_owned(), base64::encode(&record.data).into()),
        ("ApproximateArrivalTimestamp".to_owned(), seconds(record.arrival_ms).into()),
    ]))
}
