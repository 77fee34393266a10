//! Pins of races. They are in the table of items, in partitions that no group can have, and expire after `pin-days`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use paceline_pipeline::model::{Key, SORT_BYTES};
use paceline_pipeline::store::{Pin, PinKey, PinStore, StoreError};

use super::DynamoDbStore;
use super::error::{TableError, TableErrorKind, TableRef};
use super::item::{self, Map, PARTITION};
use super::names::shorten;
use super::notices::EXPIRES;
use super::requests::ConcurrentRequests;

/// The prefix of the partition keys of pins; the race type follows.
const PINS: &str = "@pin/";

const RULEBOOK: &str = "@rulebook";
const RULES: &str = "@rules";

/// Characters of a pinned value that a message shows. A record chooses the value, and its length.
const MESSAGE_VALUE_CHARS: usize = 100;

impl PinStore for DynamoDbStore {
    async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        let requested: HashMap<Key, &PinKey> = keys.iter().map(|key| (pin_key(key), key)).collect();
        let mut pins: HashMap<&PinKey, Pin> = HashMap::new();
        let mut decode_error = None;
        let mut seen = HashSet::new();
        let asked = keys.iter().map(pin_key).filter(|key| seen.insert(key.clone()));
        let maps = asked.map(|key| item::key_map(&key));
        let read = self
            .batch_get(&self.table, maps, |batch| {
                for map in batch.items {
                    let Some(key) = item::key_of(&map).and_then(|key| requested.get(&key)) else { continue };
                    match decode_pin(&self.table, key, &map) {
                        Ok(pin) => drop(pins.insert(key, pin)),
                        Err(error) => decode_error = Some(error),
                    }
                }
            })
            .await;
        // A retry does not resolve an error of decoding.
        if let Some(error) = decode_error {
            return Err(error.into());
        }
        read?;
        Ok(keys.iter().map(|key| pins.get(key).copied()).collect())
    }

    async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        // The first pin of a race wins, also among these.
        let mut seen: HashSet<&PinKey> = HashSet::new();
        let requests =
            pins.iter().filter(|(key, _)| seen.insert(key)).map(|(key, pin)| self.put_pin(key.clone(), *pin));
        let mut requests = ConcurrentRequests::new(self.concurrency, requests.collect::<Vec<_>>());
        let mut held: HashMap<PinKey, Pin> = HashMap::new();
        let mut last_error: Option<TableError> = None;
        while let Some(response) = requests.next().await {
            match response {
                Ok((key, pin)) => drop(held.insert(key, pin)),
                Err(error) => last_error = Some(error),
            }
        }
        match last_error {
            // The pins that were written stay; the next attempt finds them.
            Some(error) => Err(error.into()),
            None => Ok(pins.iter().map(|(key, _)| held[key]).collect()),
        }
    }

    /// A value that is longer than a sort key comes shortened.
    async fn list_pins(&self, race_type: &str, limit: usize) -> Result<Vec<(PinKey, Pin)>, StoreError> {
        let partition = format!("{PINS}{race_type}");
        let mut pins = Vec::new();
        let mut start_key = None;
        loop {
            let (maps, next) = self.query_page(&partition, start_key).await?;
            for map in maps {
                let value = item::key_of(&map).and_then(|key| key.sort.strip_prefix('=').map(str::to_owned));
                let key = PinKey { race_type: race_type.to_owned(), value: value.unwrap_or_default() };
                let pin = decode_pin(&self.table, &key, &map)?;
                pins.push((key, pin));
            }
            start_key = next;
            if start_key.is_none() || pins.len() >= limit {
                pins.truncate(limit);
                return Ok(pins);
            }
        }
    }
}

impl DynamoDbStore {
    /// Pins a race, unless it is pinned. Returns the pin that holds.
    fn put_pin(
        &self,
        key: PinKey,
        pin: Pin,
    ) -> impl Future<Output = Result<(PinKey, Pin), TableError>> + Send + 'static {
        let (table, usage) = (Arc::clone(&self.table), Arc::clone(&self.usage));
        let mut map = pin_map(&key, &pin);
        if self.pin_days > 0 {
            let expires = self.now() + u64::from(self.pin_days) * 86_400;
            map.insert(EXPIRES.to_owned(), AttributeValue::N(expires.to_string()));
        }
        let request = self
            .client
            .put_item()
            .table_name(&table.table)
            .set_item(Some(map))
            .condition_expression("attribute_not_exists(#p)")
            .expression_attribute_names("#p", PARTITION)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        async move {
            usage.add_request();
            let error = match Box::pin(request.send()).await {
                Ok(response) => {
                    usage.add_writes(response.consumed_capacity());
                    return Ok((key, pin));
                }
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => match failed.item() {
                    Some(map) => {
                        let earlier = decode_pin(&table, &key, map)?;
                        Ok((key, earlier))
                    }
                    None => Err(table.error(
                        TableErrorKind::Ambiguous,
                        "pinning a race found an earlier pin, but the response does not contain it",
                    )),
                },
                _ => Err(usage.classify(&table, "pinning a race", error)),
            }
        }
    }
}

fn pin_key(PinKey { race_type, value }: &PinKey) -> Key {
    Key::new(format!("{PINS}{race_type}"), format!("={}", shorten(value, SORT_BYTES - 1)))
}

fn pin_map(key: &PinKey, pin: &Pin) -> Map {
    let mut map = item::key_map(&pin_key(key));
    map.insert(RULEBOOK.to_owned(), AttributeValue::S(pin.rulebook.to_string()));
    map.insert(RULES.to_owned(), AttributeValue::N(pin.revision.to_string()));
    map
}

fn pin_of(map: &Map) -> Option<Pin> {
    let rulebook = map.get(RULEBOOK)?.as_s().ok()?.parse().ok()?;
    Some(Pin { rulebook, revision: map.get(RULES)?.as_n().ok()?.parse().ok()? })
}

fn decode_pin(table: &TableRef, key: &PinKey, map: &Map) -> Result<Pin, TableError> {
    pin_of(map).ok_or_else(|| {
        let PinKey { race_type, value } = key;
        let value: String = value.chars().take(MESSAGE_VALUE_CHARS).collect();
        table.error(
            TableErrorKind::Fatal,
            format_args!(
                "the pin of race `{value}` of race type {race_type} can't be decoded. Delete it to have the race pinned \
                 again"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_round_trips() {
        let key = PinKey { race_type: "3".into(), value: String::new() };
        let pin = Pin { rulebook: [9; 32].into(), revision: u64::MAX };
        let map = pin_map(&key, &pin);
        assert_eq!(item::key_of(&map), Some(Key::new("@pin/3", "=")));
        assert_eq!(pin_of(&map), Some(pin));
    }
}
