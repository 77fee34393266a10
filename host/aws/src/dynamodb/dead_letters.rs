//! Dead letters. They are in a separate table, where DynamoDB deletes them after `dead-letter-days`.
//!
//! The redrive sequence of a record is an item of its own. It stays when the letter is deleted, or stored once more because
//! its batch comes again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, PutRequest, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, WriteRequest,
};
use paceline_pipeline::dedup::LONGEST_RETENTION_DAYS;
use paceline_pipeline::model::DeadLetter;
use paceline_pipeline::store::{DeadLetterStore, Horizon, StoreError};

use super::DynamoDbStore;
use super::dead_letter_item::{self, EXPIRES, ID, REDRIVE, key_map};
use super::error::{TableError, TableErrorKind};
use super::item::Map;
use super::requests::ConcurrentRequests;

/// The key of the item that counts redrive sequences, and its attribute with the last one assigned.
const REDRIVE_COUNTER: &str = "@redrive-sequence";
const LAST: &str = "last";

/// DynamoDB's limit for the requests of a `BatchWriteItem`.
const LETTERS_PER_REQUEST: usize = 25;

/// Bytes of letters in one request. DynamoDB's limit is 16 MB, but a long upload would exceed `request-ms`.
const BYTES_PER_REQUEST: usize = 1 << 20;

/// Characters of an id that a message shows.
const MESSAGE_ID_CHARS: usize = 100;

/// A write and its size in bytes.
type SizedRequest = (usize, WriteRequest);

impl DeadLetterStore for DynamoDbStore {
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let expires = (self.dead_letter_days > 0).then(|| self.now() + u64::from(self.dead_letter_days) * 86_400);
        // A request can't contain a letter twice: the last one wins.
        let mut seen = HashSet::new();
        let requests = letters.iter().rev().filter(|letter| seen.insert(&letter.id)).map(|letter| {
            let map = dead_letter_item::encode(letter, expires);
            let bytes = dead_letter_item::size(&map);
            let put = PutRequest::builder().set_item(Some(map)).build().expect("the item is set");
            (bytes, WriteRequest::builder().put_request(put).build())
        });
        self.batch_write("storing dead letters", requests.collect()).await
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        let mut seen = HashSet::new();
        let requests = ids.iter().filter(|id| seen.insert(*id)).map(|id| {
            let delete = DeleteRequest::builder().set_key(Some(key_map(id))).build().expect("the key is set");
            (id.len(), WriteRequest::builder().delete_request(delete).build())
        });
        self.batch_write("deleting dead letters", requests.collect()).await
    }

    async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        Ok(self.get_dead_letters(&[id.to_owned()]).await?.pop())
    }

    async fn get_horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
        self.horizon(shard).await
    }

    async fn put_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
        self.write_horizon(shard, horizon).await
    }

    async fn known_dead_letters(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        // In this order: a redrive stores the sequence before it deletes the letter, so one of both is found whenever it runs.
        let mut known: HashSet<String> =
            self.get_dead_letters(ids).await?.into_iter().map(|letter| letter.id).collect();
        let unknown: Vec<String> = ids.iter().filter(|id| !known.contains(*id)).cloned().collect();
        known.extend(self.redrive_sequences(&unknown).await?.into_keys());
        Ok(known)
    }

    async fn scan_dead_letters(&self, mut each: impl FnMut(DeadLetter) + Send) -> Result<(), StoreError> {
        let mut start_key = None;
        loop {
            let (maps, next) = self.scan_page(&self.dead_letters, start_key).await?;
            let letters = maps.iter().filter(|map| !dead_letter_item::is_reserved(map));
            let mut letters = letters.map(|map| self.decode_dead_letter(map)).collect::<Result<Vec<_>, _>>()?;
            self.add_redrive_sequences(&mut letters).await?;
            letters.into_iter().for_each(&mut each);
            start_key = next;
            if start_key.is_none() {
                return Ok(());
            }
        }
    }

    async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        let mut letters = self.get_dead_letters(ids).await?;
        let unassigned: Vec<usize> = (0..letters.len()).filter(|&at| letters[at].redrive_sequence.is_none()).collect();
        if unassigned.is_empty() {
            return Ok(letters);
        }
        let count = unassigned.len() as u64;
        let first = self.reserve_redrive_sequences(count).await? - count + 1;
        let requests = unassigned.iter().zip(first..).map(|(&at, sequence)| {
            let request = self.put_redrive_sequence(&letters[at].id, sequence);
            async move { (at, request.await) }
        });
        let requests: Vec<_> = requests.collect();
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let mut last_error = None;
        while let Some((at, response)) = requests.next().await {
            match response {
                Ok(sequence) => letters[at].redrive_sequence = Some(sequence),
                Err(error) => last_error = Some(error),
            }
        }
        // The sequences that were assigned stay; the next attempt finds them.
        match last_error {
            Some(error) => Err(error.into()),
            None => Ok(letters),
        }
    }
}

impl DynamoDbStore {
    /// Writes in concurrent batches. Unprocessed writes are repeated as long as each response processes some.
    async fn batch_write(&self, doing: &'static str, writes: Vec<SizedRequest>) -> Result<(), StoreError> {
        let requests = into_batches(writes).into_iter().map(|batch| {
            let (client, table, usage) = (self.client.clone(), Arc::clone(&self.dead_letters), Arc::clone(&self.usage));
            async move {
                let mut pending = batch;
                while !pending.is_empty() {
                    let requested = pending.len();
                    usage.add_request();
                    let request = client
                        .batch_write_item()
                        .request_items(&table.table, pending)
                        .return_consumed_capacity(ReturnConsumedCapacity::Total);
                    let response =
                        Box::pin(request.send()).await.map_err(|error| usage.classify(&table, doing, error))?;
                    usage.add_writes(response.consumed_capacity());
                    // The request is for a single table.
                    pending = response.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
                    if pending.len() >= requested {
                        usage.add_unprocessed(&table);
                        let what = format_args!("{doing} is throttled: all {requested} writes were left unprocessed");
                        return Err(table.error(TableErrorKind::Throttled, what));
                    }
                }
                Ok(())
            }
        });
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let mut transient: Option<TableError> = None;
        while let Some(response) = requests.next().await {
            match response {
                Ok(()) => {}
                Err(error) if error.kind.is_transient() => transient = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        transient.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Those of the letters that exist, each once, in the order of `ids`.
    async fn get_dead_letters(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        let mut seen = HashSet::new();
        let ids: Vec<&String> = ids.iter().filter(|id| !id.is_empty() && seen.insert(*id)).collect();
        let mut maps = Vec::new();
        let keys = ids.iter().map(|id| key_map(id));
        self.batch_get(&self.dead_letters, keys, |batch| maps.extend(batch.items)).await?;
        let mut letters: HashMap<String, DeadLetter> = HashMap::new();
        for map in maps {
            let letter = self.decode_dead_letter(&map)?;
            letters.insert(letter.id.clone(), letter);
        }
        let mut letters: Vec<DeadLetter> = ids.into_iter().filter_map(|id| letters.remove(id)).collect();
        self.add_redrive_sequences(&mut letters).await?;
        Ok(letters)
    }

    async fn add_redrive_sequences(&self, letters: &mut [DeadLetter]) -> Result<(), StoreError> {
        let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
        let sequences = self.redrive_sequences(&ids).await?;
        letters.iter_mut().for_each(|letter| letter.redrive_sequence = sequences.get(&letter.id).copied());
        Ok(())
    }

    /// The redrive sequences of those of these letters that have one, or had one before they were deleted.
    async fn redrive_sequences(&self, ids: &[String]) -> Result<HashMap<String, u64>, StoreError> {
        let keys: BTreeMap<String, &String> =
            ids.iter().filter(|id| !id.is_empty()).map(|id| (dead_letter_item::redrive_key(id), id)).collect();
        let maps = keys.keys().map(|key| Map::from([(ID.to_owned(), AttributeValue::S(key.clone()))]));
        let mut sequences = HashMap::new();
        self.batch_get(&self.dead_letters, maps.collect::<Vec<_>>().into_iter(), |batch| {
            sequences.extend(batch.items.iter().filter_map(|map| {
                let key = dead_letter_item::text(map, ID)?;
                Some(((*keys.get(&key)?).clone(), redrive_sequence(map)?))
            }));
        })
        .await?;
        Ok(sequences)
    }

    /// Reserves `count` redrive sequences and returns the last of them. If the response is lost, they are never assigned.
    async fn reserve_redrive_sequences(&self, count: u64) -> Result<u64, StoreError> {
        self.usage.add_request();
        let request = self
            .client
            .update_item()
            .table_name(&self.dead_letters.table)
            .key(ID, AttributeValue::S(REDRIVE_COUNTER.to_owned()))
            .update_expression("ADD #last :count")
            .expression_attribute_names("#last", LAST)
            .expression_attribute_values(":count", AttributeValue::N(count.to_string()))
            .return_values(ReturnValue::UpdatedNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let response = Box::pin(request.send())
            .await
            .map_err(|error| self.usage.classify(&self.dead_letters, "reserving redrive sequences", error))?;
        self.usage.add_writes(response.consumed_capacity());
        let last = response.attributes().and_then(|attributes| attributes.get(LAST)?.as_n().ok()?.parse().ok());
        let invalid = format_args!("`{LAST}` of the counter `{REDRIVE_COUNTER}` is not a positive integer");
        last.filter(|last| *last >= count).ok_or_else(|| self.dead_letters.error(TableErrorKind::Fatal, invalid).into())
    }

    /// Assigns a redrive sequence to the record of a letter, unless it has one. Returns the one that it has then.
    fn put_redrive_sequence(
        &self,
        id: &str,
        sequence: u64,
    ) -> impl Future<Output = Result<u64, TableError>> + Send + use<> {
        let (table, usage) = (Arc::clone(&self.dead_letters), Arc::clone(&self.usage));
        let expires = self.now() + u64::from(LONGEST_RETENTION_DAYS) * 86_400;
        let request = self
            .client
            .put_item()
            .table_name(&table.table)
            .item(ID, AttributeValue::S(dead_letter_item::redrive_key(id)))
            .item(REDRIVE, AttributeValue::N(sequence.to_string()))
            .item(EXPIRES, AttributeValue::N(expires.to_string()))
            .condition_expression("attribute_not_exists(#id)")
            .expression_attribute_names("#id", ID)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        async move {
            usage.add_request();
            match Box::pin(request.send()).await {
                Ok(response) => {
                    usage.add_writes(response.consumed_capacity());
                    Ok(sequence)
                }
                Err(error) => match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                        let before = failed.item().and_then(redrive_sequence);
                        let what = "an item of a redrive sequence has none. Delete it";
                        before.ok_or_else(|| table.error(TableErrorKind::Fatal, format_args!("{what}")))
                    }
                    _ => Err(usage.classify(&table, "assigning a redrive sequence", error)),
                },
            }
        }
    }

    fn decode_dead_letter(&self, map: &Map) -> Result<DeadLetter, StoreError> {
        dead_letter_item::decode(map).ok_or_else(|| {
            let id: String = dead_letter_item::text(map, ID).unwrap_or_default();
            let id: String = id.chars().take(MESSAGE_ID_CHARS).collect();
            let what = format_args!("the item `{id}` is not a dead letter that paceline wrote. Delete it");
            self.dead_letters.error(TableErrorKind::Fatal, what).into()
        })
    }
}

fn redrive_sequence(map: &Map) -> Option<u64> {
    map.get(REDRIVE)?.as_n().ok()?.parse().ok()
}

/// Splits writes into batches within the limits of a request.
fn into_batches(writes: Vec<SizedRequest>) -> Vec<Vec<WriteRequest>> {
    let mut batches: Vec<Vec<WriteRequest>> = Vec::new();
    let mut bytes_left = 0;
    for (bytes, write) in writes {
        match batches.last_mut().filter(|batch| batch.len() < LETTERS_PER_REQUEST && bytes <= bytes_left) {
            Some(batch) => {
                batch.push(write);
                bytes_left -= bytes;
            }
            None => {
                batches.push(vec![write]);
                bytes_left = BYTES_PER_REQUEST.saturating_sub(bytes);
            }
        }
    }
    batches
}
