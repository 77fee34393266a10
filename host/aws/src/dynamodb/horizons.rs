//! The position up to which records of a shard may have a dead letter.
//!
//! It is in the table of items, in a partition that no group can have: a batch without dead letters does not need their table.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use paceline_pipeline::model::{DeadLetter, Key, RecordPosition, SORT_BYTES};
use paceline_pipeline::store::StoreError;

use super::DynamoDbStore;
use super::dead_letters::{LONGEST_RETENTION_DAYS, now};
use super::error::{TableError, TableErrorKind};
use super::item::{self, Map};
use super::names::shorten;

/// The partition of all horizons.
const HORIZONS: &str = "@horizon";

const POSITION: &str = "@position";
/// The attribute for the time to live, in seconds since 1970.
const EXPIRES: &str = "@expires";

impl DynamoDbStore {
    /// The horizon of a shard.
    pub(super) async fn horizon(&self, shard: &str) -> Result<Option<RecordPosition>, StoreError> {
        let mut found = None;
        let key = item::key_map(&key(shard));
        self.batch_get(&self.table, [key].into_iter(), |batch| found = batch.items.into_iter().next()).await?;
        let Some(map) = found else { return Ok(None) };
        decode(&map).map(Some).ok_or_else(|| {
            let what = format_args!("the item of shard `{shard}` in the partition `{HORIZONS}` can't be decoded");
            self.table.error(TableErrorKind::Fatal, what).into()
        })
    }

    /// Raises the horizons of the letters' shards to the letters. It comes before they are stored.
    pub(super) async fn raise_horizons(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let mut highest: HashMap<&str, RecordPosition> = HashMap::new();
        for letter in letters {
            let position = highest.entry(&letter.shard).or_default();
            *position = (*position).max(letter.position);
        }
        for (shard, position) in highest {
            self.raise_horizon(shard, position).await?;
        }
        Ok(())
    }

    async fn raise_horizon(&self, shard: &str, position: RecordPosition) -> Result<(), TableError> {
        self.usage.add_request();
        let mut map = item::key_map(&key(shard));
        map.insert(POSITION.to_owned(), AttributeValue::S(encode(position)));
        let expires = now() + LONGEST_RETENTION_DAYS * 86_400;
        map.insert(EXPIRES.to_owned(), AttributeValue::N(expires.to_string()));
        let response = self
            .client
            .put_item()
            .table_name(&self.table.table)
            .set_item(Some(map))
            .condition_expression("attribute_not_exists(#position) OR #position < :position")
            .expression_attribute_names("#position", POSITION)
            .expression_attribute_values(":position", AttributeValue::S(encode(position)))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match response {
            Ok(response) => self.usage.add_writes(response.consumed_capacity()),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
            }
            Err(error) => return Err(self.usage.classify(&self.table, "raising a shard's horizon", error)),
        }
        Ok(())
    }
}

fn key(shard: &str) -> Key {
    Key { partition: HORIZONS.to_owned(), sort: shorten(shard, SORT_BYTES) }
}

/// A position as a text that is ordered as positions are: a sequence number has at most 58 digits, a sub-sequence number
/// 20.
fn encode(RecordPosition { sequence, sub_sequence }: RecordPosition) -> String {
    format!("{:0>58}.{sub_sequence:020}", sequence.to_string())
}

fn decode(map: &Map) -> Option<RecordPosition> {
    let (sequence, sub_sequence) = map.get(POSITION)?.as_s().ok()?.split_once('.')?;
    // A sequence number has no zeros before it.
    let sequence = match sequence.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    Some(RecordPosition { sequence: sequence.parse().ok()?, sub_sequence: sub_sequence.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Texts are compared as positions are, and are read as they were written.
        #[test]
        fn texts_are_ordered_as_positions_are(
            a in ("0|[1-9][0-9]{0,56}", any::<u64>()),
            b in ("0|[1-9][0-9]{0,56}", any::<u64>()),
        ) {
            let position = |(sequence, sub_sequence): &(String, u64)| RecordPosition {
                sequence: sequence.parse().unwrap(),
                sub_sequence: *sub_sequence,
            };
            let (a, b) = (position(&a), position(&b));
            prop_assert_eq!(encode(a).cmp(&encode(b)), a.cmp(&b));
            let map = Map::from([(POSITION.to_owned(), AttributeValue::S(encode(a)))]);
            prop_assert_eq!(decode(&map), Some(a));
        }
    }
}
