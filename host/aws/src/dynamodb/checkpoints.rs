//! Checkpoints of shards. They are in the table of items, in a partition that no group can have.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use paceline_pipeline::dedup::LONGEST_RETENTION_DAYS;
use paceline_pipeline::model::{Checkpoint, Key, SORT_BYTES};
use paceline_pipeline::store::{CheckpointStore, StoreError};

use super::DynamoDbStore;
use super::error::TableErrorKind;
use super::item::{self, Map};
use super::names::shorten;
use super::notices::EXPIRES;

/// The partition of all checkpoints.
const CHECKPOINTS: &str = "@checkpoint";

const SEQUENCE: &str = "@sequence";
const FINGERPRINT: &str = "@fingerprint";
const ARRIVAL: &str = "@arrival";
const ENDED: &str = "@ended";

impl CheckpointStore for DynamoDbStore {
    async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.usage.add_request();
        let request = self
            .client
            .put_item()
            .table_name(&self.table.table)
            .set_item(Some(encode(shard, checkpoint, self.now())))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let response = Box::pin(request.send())
            .await
            .map_err(|error| self.usage.classify(&self.table, "writing a checkpoint", error))?;
        self.usage.add_writes(response.consumed_capacity());
        Ok(())
    }

    async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        let mut found = None;
        let key = item::key_map(&checkpoint_key(shard));
        self.batch_get(&self.table, [key].into_iter(), |batch| found = batch.items.into_iter().next()).await?;
        let Some(map) = found else { return Ok(None) };
        match decode(&map) {
            Some(checkpoint) => Ok(Some(checkpoint)),
            None => {
                let what =
                    format_args!("the checkpoint of shard `{shard}` (partition `{CHECKPOINTS}`) can't be decoded");
                Err(self.table.error(TableErrorKind::Fatal, what).into())
            }
        }
    }

    /// Does nothing: every write is durable once DynamoDB has responded.
    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn checkpoint_key(shard: &str) -> Key {
    Key::new(CHECKPOINTS, shorten(shard, SORT_BYTES))
}

fn encode(shard: &str, checkpoint: &Checkpoint, now: u64) -> Map {
    let mut map = item::key_map(&checkpoint_key(shard));
    map.insert(SEQUENCE.to_owned(), AttributeValue::S(checkpoint.sequence.to_string()));
    if let Some(fingerprint) = checkpoint.fingerprint {
        map.insert(FINGERPRINT.to_owned(), AttributeValue::B(Blob::new(fingerprint)));
    }
    if let Some(arrival_ms) = checkpoint.arrival_ms {
        map.insert(ARRIVAL.to_owned(), AttributeValue::N(arrival_ms.to_string()));
    }
    if checkpoint.ended {
        map.insert(ENDED.to_owned(), AttributeValue::Bool(true));
        // By then the stream does not list the shard any more.
        let expires = now + u64::from(LONGEST_RETENTION_DAYS) * 86_400;
        map.insert(EXPIRES.to_owned(), AttributeValue::N(expires.to_string()));
    }
    map
}

fn decode(map: &Map) -> Option<Checkpoint> {
    let sequence = map.get(SEQUENCE)?.as_s().ok()?.parse().ok()?;
    let fingerprint = match map.get(FINGERPRINT) {
        Some(fingerprint) => Some(fingerprint.as_b().ok()?.as_ref().try_into().ok()?),
        None => None,
    };
    let arrival_ms = match map.get(ARRIVAL) {
        Some(arrival_ms) => Some(arrival_ms.as_n().ok()?.parse().ok()?),
        None => None,
    };
    Some(Checkpoint { sequence, fingerprint, arrival_ms, ended: map.contains_key(ENDED) })
}
