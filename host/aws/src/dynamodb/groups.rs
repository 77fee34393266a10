//! Groups, packed or not: reads, writes, and the lists of a partition and of the table.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use paceline_pipeline::model::{Item, Key, PARTITION_BYTES, RESERVED_PREFIX};
use paceline_pipeline::store::{GroupStore, StoreError, UnstorableItem, Write, WriteOutcome};

use super::DynamoDbStore;
use super::batch_get::{BatchGetResult, get_batch};
use super::cache::CachedItem;
use super::error::{TableError, TableErrorKind, TableRef};
use super::item::{self, Map, PARTITION};
use super::packs;
use super::requests::ConcurrentRequests;

/// DynamoDB's limit for the keys of a `BatchGetItem`.
const KEYS_PER_REQUEST: usize = 100;

impl GroupStore for DynamoDbStore {
    fn check_item(&self, key: &Key, item: &Item) -> Result<(), UnstorableItem> {
        item::check(key, item, &self.index_attribute)
    }

    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        let (packed, mut own): (Vec<usize>, Vec<usize>) = (0..keys.len()).partition(|&at| keys[at].pack.is_some());
        if packed.is_empty() {
            return self.load_own(&keys.iter().collect::<Vec<_>>()).await;
        }
        let keys_of = |indexes: &[usize]| -> Vec<&Key> { indexes.iter().map(|&at| &keys[at]).collect() };
        let (packed_keys, own_keys) = (keys_of(&packed), keys_of(&own));
        let (in_packs, mut in_own) = tokio::try_join!(self.load_packed(&packed_keys), self.load_own(&own_keys))?;
        let (in_packs, elsewhere) = in_packs;
        let mut loaded = vec![None; keys.len()];
        packed.iter().zip(in_packs).for_each(|(&at, item)| loaded[at] = item);
        let elsewhere: Vec<usize> = elsewhere.into_iter().map(|nth| packed[nth]).collect();
        in_own.extend(self.load_own(&keys_of(&elsewhere)).await?);
        own.extend(elsewhere);
        own.into_iter().zip(in_own).for_each(|(at, item)| loaded[at] = item);
        Ok(loaded)
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        let mut outcomes: Vec<Option<WriteOutcome>> = vec![None; writes.len()];
        let alone = self.write_packed(writes, &mut outcomes).await?;
        let own = (0..writes.len()).filter(|&at| writes[at].key.pack.is_none());
        self.write_in_rounds(writes, own.chain(alone).collect(), &mut outcomes).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome.expect("each write was in a round")).collect())
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        // No group has such a key, and DynamoDB does not accept an empty or an overlong one in a query.
        if partition.is_empty() || partition.len() > PARTITION_BYTES || partition.starts_with(RESERVED_PREFIX) {
            return Ok(Vec::new());
        }
        let mut groups = Vec::new();
        let mut start_key = None;
        loop {
            let (maps, next) = self.query_page(partition, start_key).await?;
            self.decode_groups(maps, &mut groups)?;
            start_key = next;
            if start_key.is_none() {
                return Ok(by_key(groups));
            }
        }
    }

    async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        let mut groups = Vec::new();
        let mut start_key = None;
        loop {
            let (maps, next) = self.scan_page(&self.table, start_key).await?;
            self.decode_groups(maps, &mut groups)?;
            start_key = next;
            if start_key.is_none() {
                return Ok(by_key(groups));
            }
        }
    }
}

impl DynamoDbStore {
    /// The items of groups that have items of their own.
    async fn load_own(&self, keys: &[&Key]) -> Result<Vec<Option<Item>>, StoreError> {
        let mut loaded: Vec<Option<Item>> = Vec::with_capacity(keys.len());
        let mut misses: HashMap<&Key, Vec<usize>> = HashMap::new();
        for (at, (&key, cached)) in keys.iter().zip(self.cache.get(keys.iter().copied())).enumerate() {
            // There is no item at a key that DynamoDB can't hold, and such a key would fail the whole request.
            if cached.is_none() && Key::check(&key.partition, &key.sort).is_ok() {
                misses.entry(key).or_default().push(at);
            }
            loaded.push(cached.flatten());
        }
        let missed: usize = misses.values().map(Vec::len).sum();
        self.usage.add_lookups((keys.len() - missed) as u64, missed as u64);
        // In their order, so that the same keys make the same requests.
        let mut unique: Vec<&Key> = misses.keys().copied().collect();
        unique.sort_unstable();
        for (key, cached) in self.read_groups(&unique).await? {
            for &at in &misses[&key] {
                loaded[at] = cached.item.clone();
            }
        }
        Ok(loaded)
    }

    /// Reads groups from the table, not from the cache, and caches them. `keys` must not contain duplicates.
    pub(super) async fn read_groups(&self, keys: &[&Key]) -> Result<Vec<(Key, CachedItem)>, StoreError> {
        let mut groups = Vec::with_capacity(keys.len());
        let mut decode_error = None;
        let maps = keys.iter().map(|key| item::key_map(key));
        let read = self
            .batch_get(&self.table, maps, |batch| {
                for map in batch.absent {
                    if let Some(key) = item::key_of(&map) {
                        self.cache.insert_if_newer(&key, CachedItem::absent());
                        groups.push((key, CachedItem::absent()));
                    }
                }
                for map in batch.items {
                    match self.decode_group(map) {
                        Ok((key, cached)) => {
                            self.cache.insert_if_newer(&key, cached.clone());
                            groups.push((key, cached));
                        }
                        Err(error) => decode_error = Some(error),
                    }
                }
            })
            .await;
        // A retry does not resolve an error of decoding.
        if let Some(error) = decode_error {
            return Err(error);
        }
        read?;
        Ok(groups)
    }

    /// Gets any number of items by concurrent requests. Calls `on_batch` with each result as it arrives, so that an
    /// error of one request loses nothing of the others. Returns a fatal error, if there is one, before a transient one.
    pub(super) async fn batch_get(
        &self,
        table: &Arc<TableRef>,
        keys: impl Iterator<Item = Map>,
        mut on_batch: impl FnMut(BatchGetResult),
    ) -> Result<(), TableError> {
        let keys: Vec<Map> = keys.collect();
        let requests = keys.chunks(KEYS_PER_REQUEST).map(|keys| {
            let (client, table, usage) = (self.client.clone(), Arc::clone(table), Arc::clone(&self.usage));
            get_batch(client, table, usage, keys.to_vec())
        });
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let mut worst: Option<TableError> = None;
        while let Some(mut batch) = requests.next().await {
            if let Some(error) = batch.error.take()
                && worst.as_ref().is_none_or(|worst| worst.kind.is_transient())
            {
                worst = Some(error);
            }
            on_batch(batch);
        }
        worst.map_or(Ok(()), Err)
    }

    /// Decodes the item of a group.
    pub(super) fn decode_group(&self, map: Map) -> Result<(Key, CachedItem), StoreError> {
        let fatal = |key: &dyn fmt::Display, what: &dyn fmt::Display| {
            self.table.error(
                TableErrorKind::Fatal,
                format_args!(
                    "the item {key} {what}. Its shard waits until you move the item or change the rulebook's key"
                ),
            )
        };
        let Some(key) = item::key_of(&map) else {
            return Err(fatal(&"without a key", &"was not written by paceline").into());
        };
        if !item::is_group(&map) {
            return Err(fatal(&key, &"has the key of a group but was not written by paceline (no `@revision`)").into());
        }
        match item::decode(map) {
            Ok(cached) => Ok((key, cached)),
            Err(error) => Err(fatal(&key, &format_args!("can't be decoded: {error}")).into()),
        }
    }

    /// A page of a partition of the table of items, and the start key of the next page.
    pub(super) async fn query_page(
        &self,
        partition: &str,
        start_key: Option<Map>,
    ) -> Result<(Vec<Map>, Option<Map>), TableError> {
        self.usage.add_request();
        let request = self
            .client
            .query()
            .table_name(&self.table.table)
            .consistent_read(true)
            .key_condition_expression("#p = :p")
            .expression_attribute_names("#p", PARTITION)
            .expression_attribute_values(":p", AttributeValue::S(partition.to_owned()))
            .set_exclusive_start_key(start_key)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page =
            Box::pin(request.send()).await.map_err(|error| self.usage.classify(&self.table, "a query", error))?;
        self.usage.add_reads(&page.consumed_capacity);
        Ok((page.items.unwrap_or_default(), page.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    /// A page of a table, and the start key of the next page.
    pub(super) async fn scan_page(
        &self,
        table: &TableRef,
        start_key: Option<Map>,
    ) -> Result<(Vec<Map>, Option<Map>), TableError> {
        self.usage.add_request();
        let request = self
            .client
            .scan()
            .table_name(&table.table)
            .consistent_read(true)
            .set_exclusive_start_key(start_key)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = Box::pin(request.send()).await.map_err(|error| self.usage.classify(table, "a scan", error))?;
        self.usage.add_reads(&page.consumed_capacity);
        Ok((page.items.unwrap_or_default(), page.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    /// Decodes the items of groups; leaves out pins, checkpoints, notices and the items of other programs.
    fn decode_groups(&self, maps: Vec<Map>, groups: &mut Vec<(Key, Item)>) -> Result<(), StoreError> {
        for map in maps {
            if packs::is_pack(&map) {
                groups.extend(self.unpack(&map)?);
            }
            if !item::is_group(&map) {
                continue;
            }
            let (key, cached) = self.decode_group(map)?;
            if let Some(item) = cached.item
                && !key.partition.starts_with(RESERVED_PREFIX)
            {
                groups.push((key, item));
            }
        }
        Ok(())
    }
}

/// Groups by key, each once: a list is no snapshot, so a group that moves out of a shared item meanwhile may be seen there
/// and at its own place.
fn by_key(mut groups: Vec<(Key, Item)>) -> Vec<(Key, Item)> {
    groups.sort_by(|(a, one), (b, other)| a.cmp(b).then(other.revision.cmp(&one.revision)));
    groups.dedup_by(|(later, _), (first, _)| later == first);
    groups
}
