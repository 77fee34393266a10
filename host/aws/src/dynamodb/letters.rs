//! Dead letters, in a separate table: one item for each, with an attribute for everything that people search for, and the
//! time when DynamoDB deletes it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, PutRequest, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, WriteRequest,
};
use paceline_pipeline::model::{Cause, DeadLetter, PARTITION_BYTES, RESERVED_PREFIX, Reason, RecordPosition};
use paceline_pipeline::store::{DeadLetterStore, StoreError};

use super::DynamoDbStore;
use super::error::{TableError, TableErrorKind};
use super::item::{MAX_ITEM_BYTES, Map};
use super::names::shorten;
use super::requests::ConcurrentRequests;

/// The hash key of the table.
pub(super) const ID: &str = "id";
/// When DynamoDB may delete a letter, in seconds since 1970.
pub(super) const EXPIRES: &str = "expires";
/// The id as it is, where it can't be the key.
const NAME: &str = "name";
const SHARD: &str = "shard";
const SEQUENCE: &str = "sequence";
const SUB: &str = "sub";
const KEY: &str = "key";
const ARRIVAL: &str = "arrival";
const PAYLOAD: &str = "payload";
const CUT_FROM: &str = "cut-from";
const CAUSE: &str = "cause";
const REASON: &str = "reason";
const FIELD: &str = "field";
const PLUGIN: &str = "plugin";
const RULEBOOK: &str = "rulebook";
const REDRIVE: &str = "redrive-sequence";
const FOLDED: &str = "folded";

/// The item that counts the redrive sequences, and its attribute with the last one.
const REDRIVE_SEQUENCE: &str = "@redrive-sequence";
const LAST: &str = "last";

/// DynamoDB's limit for the requests of a `BatchWriteItem`.
const LETTERS_A_REQUEST: usize = 25;

/// Bytes of letters in one request. DynamoDB takes 16 MB, but what is sent for long is cut off by `request-ms`.
const BYTES_A_REQUEST: usize = 1 << 20;

/// Bytes that are kept of each text of a letter, so that the payload finds room beside them.
const TEXT_BYTES: usize = 8 << 10;

impl DeadLetterStore for DynamoDbStore {
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let expires = (self.dead_letter_days > 0).then(|| now + u64::from(self.dead_letter_days) * 86_400);
        // One request must not name a letter twice: the last one wins.
        let mut seen = HashSet::new();
        let requests = letters.iter().rev().filter(|letter| seen.insert(&letter.id)).map(|letter| {
            let map = encode(letter, expires);
            let bytes = bytes(&map);
            let put = PutRequest::builder().set_item(Some(map)).build().expect("the item is set");
            (bytes, WriteRequest::builder().put_request(put).build())
        });
        self.write_letters("storing dead letters", requests.collect()).await
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        let mut seen = HashSet::new();
        let requests = ids.iter().filter(|id| seen.insert(*id)).map(|id| {
            let delete = DeleteRequest::builder().set_key(Some(key_map(id))).build().expect("the key is set");
            (id.len(), WriteRequest::builder().delete_request(delete).build())
        });
        self.write_letters("deleting dead letters", requests.collect()).await
    }

    async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        Ok(self.get_letters(&[id.to_owned()]).await?.pop())
    }

    async fn list_dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let mut letters = Vec::new();
        let mut from = None;
        loop {
            let (maps, next) = self.scan_page(&self.letters, from).await?;
            for map in maps.iter().filter(|map| !is_counter(map)) {
                letters.push(self.read_letter(map)?);
            }
            from = next;
            if from.is_none() {
                letters.sort_unstable_by(DeadLetter::by_position);
                return Ok(letters);
            }
        }
    }

    async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        let mut letters = self.get_letters(ids).await?;
        let without: Vec<usize> = (0..letters.len()).filter(|&at| letters[at].redrive_sequence.is_none()).collect();
        if !without.is_empty() {
            let last = self.next_redrive_sequences(without.len() as u64).await?;
            let first = last - without.len() as u64 + 1;
            let requests = without.iter().zip(first..).map(|(&at, redrive_sequence)| {
                let request = self.set_redrive_sequence(letters[at].id.clone(), redrive_sequence);
                async move { (at, request.await) }
            });
            let requests: Vec<_> = requests.collect();
            let mut requests = ConcurrentRequests::new(self.concurrency, requests);
            let mut gone = HashSet::new();
            let mut error = None;
            while let Some((at, answer)) = requests.next().await {
                match answer {
                    Ok(Some(redrive_sequence)) => letters[at].redrive_sequence = Some(redrive_sequence),
                    Ok(None) => drop(gone.insert(at)),
                    Err(this) => error = Some(this),
                }
            }
            // Sequences that were assigned stay, and are found at the next attempt.
            if let Some(error) = error {
                return Err(StoreError::from(error));
            }
            let mut at = 0..;
            letters.retain(|_| !at.next().is_some_and(|at| gone.contains(&at)));
        }
        letters.sort_by_key(|letter| letter.redrive_sequence);
        Ok(letters)
    }
}

impl DynamoDbStore {
    /// Writes in batches. Unprocessed items are sent again as long as some are processed each time.
    async fn write_letters(&self, doing: &'static str, all: Vec<(usize, WriteRequest)>) -> Result<(), StoreError> {
        let mut batches: Vec<Vec<WriteRequest>> = Vec::new();
        let mut room = 0;
        for (bytes, request) in all {
            match batches.last_mut().filter(|batch| batch.len() < LETTERS_A_REQUEST && bytes <= room) {
                Some(batch) => {
                    batch.push(request);
                    room -= bytes;
                }
                None => {
                    batches.push(vec![request]);
                    room = BYTES_A_REQUEST.saturating_sub(bytes);
                }
            }
        }
        let requests = batches.into_iter().map(|batch| {
            let (client, table, meter) = (self.client.clone(), Arc::clone(&self.letters), Arc::clone(&self.meter));
            async move {
                let mut open = batch;
                while !open.is_empty() {
                    let before = open.len();
                    meter.request();
                    let answer = client
                        .batch_write_item()
                        .request_items(&table.table, open)
                        .return_consumed_capacity(ReturnConsumedCapacity::Total)
                        .send()
                        .await
                        .map_err(|error| meter.classify(&table, doing, error))?;
                    meter.writes(answer.consumed_capacity());
                    // The request names a single table.
                    open = answer.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
                    if open.len() >= before {
                        meter.throttle();
                        let text = format_args!("{doing} is throttled: {before} items were unprocessed");
                        return Err(table.error(TableErrorKind::Throttled, text));
                    }
                }
                Ok(())
            }
        });
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let mut error: Option<TableError> = None;
        while let Some(answer) = requests.next().await {
            if let Err(this) = answer {
                match this.kind {
                    TableErrorKind::Throttled | TableErrorKind::Ambiguous => error = Some(this),
                    TableErrorKind::Invalid | TableErrorKind::Fatal => return Err(this.into()),
                }
            }
        }
        error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The letters that there are of these, in their order, each once.
    async fn get_letters(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        let mut seen = HashSet::new();
        let ids: Vec<&String> = ids.iter().filter(|id| !id.is_empty() && seen.insert(*id)).collect();
        let mut maps = Vec::new();
        let keys = ids.iter().map(|id| key_map(id));
        if let Some(error) = self.get(&self.letters, keys, |got| maps.extend(got.found)).await {
            return Err(error.into());
        }
        let mut found: HashMap<String, DeadLetter> = HashMap::new();
        for map in maps {
            let letter = self.read_letter(&map)?;
            found.insert(letter.id.clone(), letter);
        }
        Ok(ids.into_iter().filter_map(|id| found.remove(id)).collect())
    }

    /// Reserves redrive sequences and returns the last of them. If the answer is lost, they are skipped.
    async fn next_redrive_sequences(&self, more: u64) -> Result<u64, StoreError> {
        self.meter.request();
        let answer = self
            .client
            .update_item()
            .table_name(&self.letters.table)
            .key(ID, AttributeValue::S(REDRIVE_SEQUENCE.to_owned()))
            .update_expression("ADD #last :more")
            .expression_attribute_names("#last", LAST)
            .expression_attribute_values(":more", AttributeValue::N(more.to_string()))
            .return_values(ReturnValue::UpdatedNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| self.meter.classify(&self.letters, "assigning redrive sequences", error))?;
        self.meter.writes(answer.consumed_capacity());
        let last = answer.attributes().and_then(|all| all.get(LAST)?.as_n().ok()?.parse().ok());
        let unclear = format_args!("the counter `{REDRIVE_SEQUENCE}` holds no number in `{LAST}`");
        last.filter(|last| *last >= more).ok_or_else(|| self.letters.error(TableErrorKind::Fatal, unclear).into())
    }

    /// Assigns a redrive sequence to a letter, unless it has one. Returns the sequence that it has then, or `None` if the
    /// letter is gone. A letter that is being redriven does not expire.
    fn set_redrive_sequence(
        &self,
        id: String,
        redrive_sequence: u64,
    ) -> impl Future<Output = Result<Option<u64>, TableError>> + Send + 'static {
        let (table, meter) = (Arc::clone(&self.letters), Arc::clone(&self.meter));
        let request = self
            .client
            .update_item()
            .table_name(&table.table)
            .set_key(Some(key_map(&id)))
            .update_expression("SET #sequence = :sequence REMOVE #expires")
            .condition_expression("attribute_exists(#id) AND attribute_not_exists(#sequence)")
            .expression_attribute_names("#id", ID)
            .expression_attribute_names("#sequence", REDRIVE)
            .expression_attribute_names("#expires", EXPIRES)
            .expression_attribute_values(":sequence", AttributeValue::N(redrive_sequence.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        async move {
            meter.request();
            match request.send().await {
                Ok(answer) => {
                    meter.writes(answer.consumed_capacity());
                    Ok(Some(redrive_sequence))
                }
                Err(error) => match error.as_service_error() {
                    Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                        Ok(failed.item().and_then(|map| map.get(REDRIVE)?.as_n().ok()?.parse().ok()))
                    }
                    _ => Err(meter.classify(&table, "assigning a redrive sequence", error)),
                },
            }
        }
    }

    fn read_letter(&self, map: &Map) -> Result<DeadLetter, StoreError> {
        decode(map).ok_or_else(|| {
            let id: String = text(map, ID).unwrap_or_default().chars().take(100).collect();
            let what = format_args!("the item `{id}` is not a dead letter that paceline wrote. Delete it");
            self.letters.error(TableErrorKind::Fatal, what).into()
        })
    }
}

fn is_counter(map: &Map) -> bool {
    text(map, ID).is_some_and(|id| id.starts_with(RESERVED_PREFIX))
}

/// The key of a letter: its id, but for one that is too long, or that would be taken for an item of ours.
fn key(id: &str) -> String {
    match id.starts_with([RESERVED_PREFIX, '~']) {
        true => shorten(&format!("~{id}"), PARTITION_BYTES),
        false => shorten(id, PARTITION_BYTES),
    }
}

fn key_map(id: &str) -> Map {
    Map::from([(ID.to_owned(), AttributeValue::S(key(id)))])
}

fn text(map: &Map, name: &str) -> Option<String> {
    map.get(name)?.as_s().ok().cloned()
}

/// What a letter's item takes, at least nearly: numbers are few and small.
fn bytes(map: &Map) -> usize {
    map.iter()
        .map(|(name, value)| {
            name.len()
                + match value {
                    AttributeValue::S(text) => text.len(),
                    AttributeValue::B(bytes) => bytes.as_ref().len(),
                    _ => 24,
                }
        })
        .sum()
}

fn encode(letter: &DeadLetter, expires: Option<u64>) -> Map {
    let cut = |text: &str| text[..text.floor_char_boundary(TEXT_BYTES)].to_owned();
    let mut map = key_map(&letter.id);
    let mut set = |name: &str, value: AttributeValue| drop(map.insert(name.to_owned(), value));
    if key(&letter.id) != letter.id {
        set(NAME, AttributeValue::S(letter.id.clone()));
    }
    set(SHARD, AttributeValue::S(letter.shard.clone()));
    set(SEQUENCE, AttributeValue::S(letter.position.sequence.to_string()));
    set(SUB, AttributeValue::N(letter.position.sub_sequence.to_string()));
    if let Some(key) = &letter.partition_key {
        set(KEY, AttributeValue::S(cut(key)));
    }
    if let Some(arrival) = letter.arrival_ms {
        set(ARRIVAL, AttributeValue::N(arrival.to_string()));
    }
    let Reason { cause, text, field, plugin, rulebook } = &letter.reason;
    set(CAUSE, AttributeValue::S(cause.as_str().to_owned()));
    set(REASON, AttributeValue::S(cut(text)));
    if let Some(field) = field {
        set(FIELD, AttributeValue::S(cut(field)));
    }
    if let Some(plugin) = plugin {
        set(PLUGIN, AttributeValue::B(Blob::new(plugin)));
    }
    if let Some((race_type, version)) = rulebook {
        set(RULEBOOK, AttributeValue::S(format!("{race_type}/{version}")));
    }
    if let Some(redrive_sequence) = letter.redrive_sequence {
        set(REDRIVE, AttributeValue::N(redrive_sequence.to_string()));
    }
    if !letter.folded.is_empty() {
        let folded = postcard::to_allocvec(&letter.folded).expect("a key has no part that can't be encoded");
        set(FOLDED, AttributeValue::B(Blob::new(folded)));
    }
    // A letter that is being driven through again does not expire.
    if let Some(expires) = expires
        && letter.redrive_sequence.is_none()
    {
        set(EXPIRES, AttributeValue::N(expires.to_string()));
    }
    // The payload takes what is left.
    let taken = bytes(&map) + PAYLOAD.len() + CUT_FROM.len() + 24;
    let room = MAX_ITEM_BYTES.saturating_sub(taken);
    let whole = letter.payload.len() <= room;
    let payload = if whole { &letter.payload[..] } else { &letter.payload[..room] };
    let cut_from = letter.cut_from.or_else(|| (!whole).then_some(letter.payload.len() as u64));
    map.insert(PAYLOAD.to_owned(), AttributeValue::B(Blob::new(payload)));
    if let Some(length) = cut_from {
        map.insert(CUT_FROM.to_owned(), AttributeValue::N(length.to_string()));
    }
    map
}

fn decode(map: &Map) -> Option<DeadLetter> {
    // Nothing where there is no such attribute, but an error where there is one that can't be read.
    fn maybe<T>(map: &Map, name: &str, read: impl FnOnce(&AttributeValue) -> Option<T>) -> Option<Option<T>> {
        match map.get(name) {
            Some(value) => read(value).map(Some),
            None => Some(None),
        }
    }
    fn number<T: std::str::FromStr>(value: &AttributeValue) -> Option<T> {
        value.as_n().ok()?.parse().ok()
    }
    let string = |value: &AttributeValue| value.as_s().ok().cloned();
    Some(DeadLetter {
        id: text(map, NAME).or_else(|| text(map, ID))?,
        shard: text(map, SHARD)?,
        position: RecordPosition { sequence: text(map, SEQUENCE)?.parse().ok()?, sub_sequence: number(map.get(SUB)?)? },
        partition_key: maybe(map, KEY, string)?,
        arrival_ms: maybe(map, ARRIVAL, number)?,
        payload: map.get(PAYLOAD)?.as_b().ok()?.as_ref().to_vec(),
        cut_from: maybe(map, CUT_FROM, number)?,
        reason: Reason {
            cause: text(map, CAUSE)?.parse::<Cause>().ok()?,
            text: text(map, REASON)?,
            field: maybe(map, FIELD, string)?,
            plugin: maybe(map, PLUGIN, |value| value.as_b().ok()?.as_ref().try_into().ok())?,
            rulebook: maybe(map, RULEBOOK, |value| {
                let (race_type, version) = value.as_s().ok()?.rsplit_once('/')?;
                Some((race_type.to_owned(), version.parse().ok()?))
            })?,
        },
        redrive_sequence: maybe(map, REDRIVE, number)?,
        folded: maybe(map, FOLDED, |value| postcard::from_bytes(value.as_b().ok()?.as_ref()).ok())?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::model::Key;
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn letters()(
            (id, shard) in (".{1,40}", ".{1,20}"),
            (sequence, sub_sequence) in (any::<u64>(), any::<u64>()),
            partition_key in prop::option::of(".{0,9}"),
            arrival_ms in any::<Option<i64>>(),
            payload in any::<Vec<u8>>(),
            cut_from in any::<Option<u64>>(),
            cause in prop::sample::select(Cause::ALL.to_vec()),
            text in ".{0,30}",
            field in prop::option::of(".{0,9}"),
            plugin in any::<Option<[u8; 32]>>(),
            rulebook in prop::option::of((".{0,5}", any::<u64>())),
            redrive_sequence in any::<Option<u64>>(),
            folded in prop::collection::vec((".{0,9}", ".{0,9}"), 0..3),
        ) -> DeadLetter {
            let folded = folded.into_iter().map(|(partition, sort)| Key { partition, sort }).collect();
            let position = RecordPosition { sequence: sequence.into(), sub_sequence };
            let reason = Reason { cause, text, field, plugin, rulebook };
            DeadLetter { id, shard, position, partition_key, arrival_ms, payload, cut_from, reason, redrive_sequence, folded }
        }
    }

    proptest! {
        #[test]
        fn a_letter_comes_back_as_it_went(letter in letters()) {
            prop_assert_eq!(decode(&encode(&letter, Some(1))), Some(letter));
        }
    }

    #[test]
    fn a_letter_always_fits_and_says_what_was_cut() {
        let reason = Reason::new(Cause::TooLarge, "é".repeat(100_000)).at("/x".repeat(100_000));
        let letter = DeadLetter {
            id: "@".repeat(5000),
            shard: "s".into(),
            position: RecordPosition { sequence: 7.into(), sub_sequence: 0 },
            partition_key: Some("k".repeat(100_000)),
            arrival_ms: None,
            payload: vec![7; 500_000],
            cut_from: None,
            reason,
            redrive_sequence: None,
            folded: vec![],
        };
        let map = encode(&letter, Some(1));
        assert!(bytes(&map) <= MAX_ITEM_BYTES, "{}", bytes(&map));
        let read = decode(&map).unwrap();
        assert_eq!((&read.id, read.cut_from), (&letter.id, Some(500_000)));
        assert!(read.payload.len() > 350_000, "{}", read.payload.len());
        let key = text(&map, ID).unwrap();
        assert!(key.starts_with("~@") && key.len() <= PARTITION_BYTES && !is_counter(&map));
        // A length that was known before is kept: the payload had been cut already.
        assert_eq!(
            decode(&encode(&DeadLetter { cut_from: Some(1 << 30), ..letter }, None)).unwrap().cut_from,
            Some(1 << 30)
        );
    }

    #[test]
    fn what_is_under_redrive_does_not_expire() {
        let reason = Reason::new(Cause::Empty, "empty");
        let position = RecordPosition::default();
        let letter = DeadLetter {
            id: "s:0".into(),
            shard: "s".into(),
            position,
            partition_key: None,
            arrival_ms: None,
            payload: vec![],
            cut_from: None,
            reason,
            redrive_sequence: Some(3),
            folded: vec![],
        };
        assert!(!encode(&letter, Some(1)).contains_key(EXPIRES));
        assert!(encode(&DeadLetter { redrive_sequence: None, ..letter }, Some(1)).contains_key(EXPIRES));
    }
}
