//! The horizons of shards: up to where records may have a dead letter, and by which rules they are evaluated.
//!
//! They are in the table of items, in a partition that no group can have: a batch without dead letters does not need their
//! table.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use paceline_pipeline::dedup::LONGEST_RETENTION_DAYS;
use paceline_pipeline::model::{Key, RecordPosition, RulesRevision, SORT_BYTES};
use paceline_pipeline::store::{Horizon, StoreError};

use super::DynamoDbStore;
use super::error::TableErrorKind;
use super::item::{self, Map};
use super::names::shorten;
use super::notices::EXPIRES;

/// The partition of all horizons.
const HORIZONS: &str = "@horizon";

const VERSION: &str = "@version";
const SEQUENCE: &str = "@sequence";
const SUB_SEQUENCE: &str = "@sub-sequence";
// An item with `@revision` would be one of a group.
const REGISTRY: &str = "@rules-registry";
const REVISION: &str = "@rules-revision";
const VETOES: &str = "@rules-vetoes";
const SINCE: &str = "@since-ms";

impl DynamoDbStore {
    /// The horizon of a shard.
    pub(super) async fn horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
        let mut found = None;
        let key = item::key_map(&key(shard));
        self.batch_get(&self.table, [key].into_iter(), |batch| found = batch.items.into_iter().next()).await?;
        let Some(map) = found else { return Ok(None) };
        decode(&map).map(Some).ok_or_else(|| {
            let what = format_args!("the item of shard `{shard}` in the partition `{HORIZONS}` can't be decoded");
            self.table.error(TableErrorKind::Fatal, what).into()
        })
    }

    /// Writes the horizon of a shard if the stored one has the version before.
    pub(super) async fn write_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
        self.usage.add_request();
        let mut map = encode(horizon);
        map.extend(item::key_map(&key(shard)));
        let expires = self.now() + u64::from(LONGEST_RETENTION_DAYS) * 86_400;
        map.insert(EXPIRES.to_owned(), AttributeValue::N(expires.to_string()));
        let put = self.client.put_item().table_name(&self.table.table).set_item(Some(map));
        let put = put.expression_attribute_names("#version", VERSION);
        let put = match horizon.version.saturating_sub(1) {
            0 => put.condition_expression("attribute_not_exists(#version)"),
            before => put
                .condition_expression("#version = :before")
                .expression_attribute_values(":before", AttributeValue::N(before.to_string())),
        };
        match Box::pin(put.return_consumed_capacity(ReturnConsumedCapacity::Total).send()).await {
            Ok(response) => {
                self.usage.add_writes(response.consumed_capacity());
                Ok(true)
            }
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(false)
            }
            Err(error) => Err(self.usage.classify(&self.table, "writing a shard's horizon", error).into()),
        }
    }
}

fn key(shard: &str) -> Key {
    Key::new(HORIZONS, shorten(shard, SORT_BYTES))
}

fn encode(Horizon { version, letters, rules, since_ms }: &Horizon) -> Map {
    let mut map = Map::from([(VERSION.to_owned(), AttributeValue::N(version.to_string()))]);
    if let Some(RecordPosition { sequence, sub_sequence }) = letters {
        map.insert(SEQUENCE.to_owned(), AttributeValue::S(sequence.to_string()));
        map.insert(SUB_SEQUENCE.to_owned(), AttributeValue::N(sub_sequence.to_string()));
    }
    if let Some(RulesRevision { registry, revision, vetoes }) = rules {
        map.insert(REGISTRY.to_owned(), AttributeValue::S(registry.clone()));
        map.insert(REVISION.to_owned(), AttributeValue::N(revision.to_string()));
        map.insert(VETOES.to_owned(), AttributeValue::N(vetoes.to_string()));
        map.insert(SINCE.to_owned(), AttributeValue::N(since_ms.to_string()));
    }
    map
}

fn decode(map: &Map) -> Option<Horizon> {
    let text = |name: &str| map.get(name)?.as_s().ok();
    let number = |name: &str| map.get(name)?.as_n().ok();
    let letters = match text(SEQUENCE) {
        Some(sequence) => {
            Some(RecordPosition { sequence: sequence.parse().ok()?, sub_sequence: number(SUB_SEQUENCE)?.parse().ok()? })
        }
        None => None,
    };
    let rules = match text(REGISTRY) {
        Some(registry) => Some(RulesRevision {
            registry: registry.clone(),
            revision: number(REVISION)?.parse().ok()?,
            vetoes: number(VETOES)?.parse().ok()?,
        }),
        None => None,
    };
    let since_ms = match number(SINCE) {
        Some(since) => since.parse().ok()?,
        None => 0,
    };
    Some(Horizon { version: number(VERSION)?.parse().ok()?, letters, rules, since_ms })
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Horizons are read as they were written.
        #[test]
        fn horizons_are_read_as_they_were_written(
            version in 1_u64..,
            letters in option::of(("0|[1-9][0-9]{0,56}", any::<u64>())),
            rules in option::of(("[0-9a-f]{0,16}", any::<u64>(), any::<u32>(), any::<u64>())),
        ) {
            let letters = letters.map(|(sequence, sub_sequence)| {
                RecordPosition { sequence: sequence.parse().unwrap(), sub_sequence }
            });
            let since_ms = rules.as_ref().map_or(0, |(.., since_ms)| *since_ms);
            let rules = rules.map(|(registry, revision, vetoes, _)| RulesRevision { registry, revision, vetoes });
            let horizon = Horizon { version, letters, rules, since_ms };
            prop_assert_eq!(decode(&encode(&horizon)), Some(horizon));
        }
    }
}
