//! Pins of races and checkpoints of shards, in partitions of the items' table that no group can have.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use paceline_pipeline::model::Checkpoint;
use paceline_pipeline::model::{Key, SORT_BYTES};
use paceline_pipeline::store::{Pin, PinKey, StoreError};

use super::DynamoDbStore;
use super::error::{TableError, TableErrorKind};
use super::requests::ConcurrentRequests;
use super::item::{self, Map, PARTITION};

/// Before the race type, in the partition key of pins.
const PINS: &str = "@pin/";
/// The partition of all checkpoints.
const CHECKPOINTS: &str = "@checkpoint";

const VERSION: &str = "@version";
const DIGEST: &str = "@digest";
const SEQUENCE: &str = "@sequence";
const FINGERPRINT: &str = "@fingerprint";
const ARRIVAL: &str = "@arrival";
const ENDED: &str = "@ended";

impl DynamoDbStore {
    pub(super) async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        // The first pin of a race counts, also within this list.
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
                            let found = pin_of(map).ok_or_else(|| table.error(TableErrorKind::Fatal, unreadable(&key)))?;
                            Ok((key, found))
                        }
                        None => Err(table.error(TableErrorKind::Ambiguous, "a pin stands, but what it says was not answered")),
                    },
                    _ => Err(meter.sort(&table, "pinning a race", &error)),
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
            // What is pinned by now stays so, and is found at the next attempt.
            Some(error) => Err(error.into()),
            None => Ok(pins.iter().map(|(key, _)| found[key]).collect()),
        }
    }

    pub(super) async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        let mut wanted: HashMap<Key, &PinKey> = HashMap::new();
        wanted.extend(keys.iter().map(|key| (position(key), key)));
        let mut found: HashMap<&PinKey, Pin> = HashMap::new();
        let mut broken = None;
        let maps = wanted.keys().map(item::key_map);
        let error = self
            .get(&self.table, maps, |got| {
                for map in got.found {
                    let Some(key) = item::key_of(&map).and_then(|key| wanted.get(&key)) else { continue };
                    match pin_of(&map) {
                        Some(pin) => drop(found.insert(key, pin)),
                        None => broken = Some(self.table.error(TableErrorKind::Fatal, unreadable(key))),
                    }
                }
            })
            .await;
        match broken.or(error) {
            Some(error) => Err(error.into()),
            None => Ok(keys.iter().map(|key| found.get(key).copied()).collect()),
        }
    }

    pub(super) async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
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
            .map_err(|error| self.meter.sort(&self.table, "writing a checkpoint", &error))?;
        self.meter.writes(answer.consumed_capacity());
        Ok(())
    }

    pub(super) async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
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
                let text = format_args!("the checkpoint of shard `{shard}` (partition `{CHECKPOINTS}`) can't be read");
                Err(self.table.error(TableErrorKind::Fatal, text).into())
            }
        }
    }
}

/// Where a pin stands.
fn position(PinKey { race_type, value }: &PinKey) -> Key {
    Key { partition: format!("{PINS}{race_type}"), sort: format!("={}", short(value, SORT_BYTES - 1)) }
}

fn checkpoint_key(shard: &str) -> Key {
    Key { partition: CHECKPOINTS.to_owned(), sort: short(shard, SORT_BYTES) }
}

fn pin_map(key: &PinKey, pin: &Pin) -> Map {
    let mut map = item::key_map(&position(key));
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
    format!("the pin of race `{value}` of race type {race_type} can't be read; delete it, and the race is pinned anew")
}

/// A name of at most so many bytes. One that is longer keeps its beginning and gets a hash of the whole: a record
/// decides what is pinned, and an absurd one must not stop its neighbours. Should two such names ever meet, they share
/// a pin.
pub(super) fn short(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    // FNV-1a of 128 bits.
    let hash = name.bytes().fold(0x6c62272e07bb014262b821756295c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000000001000000000000000000013b)
    });
    let end = format!("~{}~{hash:032x}", name.len());
    let start = name.floor_char_boundary(most - end.len());
    format!("{}{end}", &name[..start])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_shortened_and_stays_itself() {
        assert_eq!(short("5403307", 1023), "5403307");
        let (a, b) = (format!("{}a", "é".repeat(600)), format!("{}b", "é".repeat(600)));
        for name in [&a, &b] {
            let short = short(name, 1023);
            assert!(short.len() <= 1023 && short.starts_with("éé") && short.contains("~1201~"), "{short}");
        }
        assert_ne!(short(&a, 1023), short(&b, 1023));
    }

    #[test]
    fn a_pin_comes_back() {
        let key = PinKey { race_type: "3".into(), value: String::new() };
        let pin = Pin { version: u64::MAX, rulebook: [9; 32] };
        let map = pin_map(&key, &pin);
        assert_eq!(item::key_of(&map), Some(Key { partition: "@pin/3".into(), sort: "=".into() }));
        assert_eq!(pin_of(&map), Some(pin));
    }
}
