//! Pins of races, in partitions of the items' table that no group can have.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use paceline_pipeline::model::{Key, SORT_BYTES};
use paceline_pipeline::store::{Pin, PinKey, PinStore, StoreError};

use super::DynamoDbStore;
use super::error::{TableError, TableErrorKind};
use super::item::{self, Map, PARTITION};
use super::names::shorten;
use super::requests::ConcurrentRequests;

/// The prefix of the partition keys of pins; the race type follows.
const PINS: &str = "@pin/";

const VERSION: &str = "@version";
const DIGEST: &str = "@digest";

impl PinStore for DynamoDbStore {
    async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        let mut wanted: HashMap<Key, &PinKey> = HashMap::new();
        wanted.extend(keys.iter().map(|key| (pin_key(key), key)));
        let mut found: HashMap<&PinKey, Pin> = HashMap::new();
        let mut fatal = None;
        let maps = wanted.keys().map(item::key_map);
        let error = self
            .get(&self.table, maps, |got| {
                for map in got.found {
                    let Some(key) = item::key_of(&map).and_then(|key| wanted.get(&key)) else { continue };
                    match pin_of(&map) {
                        Some(pin) => drop(found.insert(key, pin)),
                        None => fatal = Some(self.table.error(TableErrorKind::Fatal, unreadable(key))),
                    }
                }
            })
            .await;
        match fatal.or(error) {
            Some(error) => Err(error.into()),
            None => Ok(keys.iter().map(|key| found.get(key).copied()).collect()),
        }
    }

    async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        // The first pin of a race wins, within this list too.
        let mut seen: HashSet<&PinKey> = HashSet::new();
        let mut requests = Vec::new();
        for (key, pin) in pins {
            if !seen.insert(key) {
                continue;
            }
            let request = self
                .client
                .put_item()
                .table_name(&self.table.table)
                .set_item(Some(pin_map(key, pin)))
                .condition_expression("attribute_not_exists(#p)")
                .expression_attribute_names("#p", PARTITION)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let (key, pin) = (key.clone(), *pin);
            let (table, meter) = (Arc::clone(&self.table), Arc::clone(&self.meter));
            requests.push(async move {
                meter.request();
                let error = match request.send().await {
                    Ok(answer) => {
                        meter.writes(answer.consumed_capacity());
                        return Ok((key, pin));
                    }
                    Err(error) => error,
                };
                match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(failed)) => match failed.item() {
                        Some(map) => {
                            let found =
                                pin_of(map).ok_or_else(|| table.error(TableErrorKind::Fatal, unreadable(&key)))?;
                            Ok((key, found))
                        }
                        None => Err(table
                            .error(TableErrorKind::Ambiguous, "there is a pin, but the answer does not contain it")),
                    },
                    _ => Err(meter.classify(&table, "pinning a race", error)),
                }
            });
        }
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let mut found: HashMap<PinKey, Pin> = HashMap::new();
        let mut error: Option<TableError> = None;
        while let Some(answer) = requests.next().await {
            match answer {
                Ok((key, pin)) => drop(found.insert(key, pin)),
                Err(this) => error = Some(this),
            }
        }
        match error {
            // Pins that were written stay, and are found at the next attempt.
            Some(error) => Err(error.into()),
            None => Ok(pins.iter().map(|(key, _)| found[key]).collect()),
        }
    }
}

/// The key of a pin's item.
fn pin_key(PinKey { race_type, value }: &PinKey) -> Key {
    Key { partition: format!("{PINS}{race_type}"), sort: format!("={}", shorten(value, SORT_BYTES - 1)) }
}

fn pin_map(key: &PinKey, pin: &Pin) -> Map {
    let mut map = item::key_map(&pin_key(key));
    map.insert(VERSION.to_owned(), AttributeValue::N(pin.version.to_string()));
    map.insert(DIGEST.to_owned(), AttributeValue::B(Blob::new(pin.rulebook)));
    map
}

fn pin_of(map: &Map) -> Option<Pin> {
    let version = map.get(VERSION)?.as_n().ok()?.parse().ok()?;
    Some(Pin { version, rulebook: map.get(DIGEST)?.as_b().ok()?.as_ref().try_into().ok()? })
}

fn unreadable(PinKey { race_type, value }: &PinKey) -> String {
    let value: String = value.chars().take(100).collect();
    format!(
        "the pin of race `{value}` of race type {race_type} can't be decoded. Delete it, and the race is pinned again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_round_trips() {
        let key = PinKey { race_type: "3".into(), value: String::new() };
        let pin = Pin { version: u64::MAX, rulebook: [9; 32] };
        let map = pin_map(&key, &pin);
        assert_eq!(item::key_of(&map), Some(Key { partition: "@pin/3".into(), sort: "=".into() }));
        assert_eq!(pin_of(&map), Some(pin));
    }
}
