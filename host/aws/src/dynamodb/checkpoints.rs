//! Checkpoints of shards, in a partition of the items' table that no group can have.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use paceline_pipeline::model::{Checkpoint, Key, SORT_BYTES};
use paceline_pipeline::store::{CheckpointStore, StoreError};

use super::DynamoDbStore;
use super::error::TableErrorKind;
use super::item;
use super::names::shorten;

/// The partition of all checkpoints.
const CHECKPOINTS: &str = "@checkpoint";

const SEQUENCE: &str = "@sequence";
const FINGERPRINT: &str = "@fingerprint";
const ARRIVAL: &str = "@arrival";
const ENDED: &str = "@ended";

impl CheckpointStore for DynamoDbStore {
    async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let mut map = item::key_map(&checkpoint_key(shard));
        map.insert(SEQUENCE.to_owned(), AttributeValue::S(checkpoint.sequence.to_string()));
        if let Some(fingerprint) = checkpoint.fingerprint {
            map.insert(FINGERPRINT.to_owned(), AttributeValue::B(Blob::new(fingerprint)));
        }
        if let Some(arrival) = checkpoint.arrival_ms {
            map.insert(ARRIVAL.to_owned(), AttributeValue::N(arrival.to_string()));
        }
        if checkpoint.ended {
            map.insert(ENDED.to_owned(), AttributeValue::Bool(true));
        }
        self.meter.request();
        let answer = self
            .client
            .put_item()
            .table_name(&self.table.table)
            .set_item(Some(map))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| self.meter.classify(&self.table, "writing a checkpoint", error))?;
        self.meter.writes(answer.consumed_capacity());
        Ok(())
    }

    async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        let mut found = None;
        let key = item::key_map(&checkpoint_key(shard));
        let error = self.get(&self.table, [key].into_iter(), |got| found = got.found.into_iter().next()).await;
        if let Some(error) = error {
            return Err(error.into());
        }
        let Some(map) = found else { return Ok(None) };
        let read = || {
            let sequence = map.get(SEQUENCE)?.as_s().ok()?.parse().ok()?;
            let fingerprint = match map.get(FINGERPRINT) {
                Some(fingerprint) => Some(fingerprint.as_b().ok()?.as_ref().try_into().ok()?),
                None => None,
            };
            let arrival_ms = match map.get(ARRIVAL) {
                Some(arrival) => Some(arrival.as_n().ok()?.parse().ok()?),
                None => None,
            };
            Some(Checkpoint { sequence, fingerprint, arrival_ms, ended: map.contains_key(ENDED) })
        };
        match read() {
            Some(checkpoint) => Ok(Some(checkpoint)),
            None => {
                let text =
                    format_args!("the checkpoint of shard `{shard}` (partition `{CHECKPOINTS}`) can't be decoded");
                Err(self.table.error(TableErrorKind::Fatal, text).into())
            }
        }
    }

    /// Every write is durable once it is answered.
    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn checkpoint_key(shard: &str) -> Key {
    Key { partition: CHECKPOINTS.to_owned(), sort: shorten(shard, SORT_BYTES) }
}
