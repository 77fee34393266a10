//! Reading items.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use paceline_pipeline::model::{Item, Key, PARTITION_BYTES, RESERVED_PREFIX};
use paceline_pipeline::store::{GroupStore, StoreError, UnstorableItem, Write, WriteOutcome};

use super::DynamoDbStore;
use super::cache::CachedItem;
use super::error::{TableError, TableErrorKind, TableRef};
use super::item::{self, Map, PARTITION};
use super::requests::ConcurrentRequests;
use super::usage::Meter;

/// DynamoDB's limit for the keys of a `BatchGetItem`.
const KEYS_A_REQUEST: usize = 100;

/// The answer to a `BatchGetItem`, as far as there is one.
pub(super) struct Got {
    /// The items that there are.
    pub(super) found: Vec<Map>,
    /// The keys at which there is none.
    pub(super) absent: Vec<Map>,
    /// Why there is no answer for the others.
    pub(super) error: Option<TableError>,
}

impl GroupStore for DynamoDbStore {
    fn check_item(&self, key: &Key, item: &Item) -> Result<(), UnstorableItem> {
        item::check(key, item, &self.index)
    }

    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        let mut loaded: Vec<Option<Item>> = Vec::with_capacity(keys.len());
        let mut wanted: HashMap<&Key, Vec<usize>> = HashMap::new();
        for (at, (key, known)) in keys.iter().zip(self.cache.get(keys.iter())).enumerate() {
            // No item can stand at a key that DynamoDB does not hold; asking would fail for the whole request.
            if known.is_none() && Key::check(&key.partition, &key.sort).is_ok() {
                wanted.entry(key).or_default().push(at);
            }
            loaded.push(known.flatten());
        }
        let missed: usize = wanted.values().map(Vec::len).sum();
        self.meter.lookups((keys.len() - missed) as u64, missed as u64);
        let unique: Vec<&Key> = wanted.keys().copied().collect();
        for (key, cached) in self.fetch(&unique).await? {
            for &at in &wanted[&key] {
                loaded[at] = cached.item.clone();
            }
        }
        Ok(loaded)
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        self.write_in_rounds(writes).await
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        // At such keys stands nothing of a group, and an empty one would be refused.
        if partition.is_empty() || partition.len() > PARTITION_BYTES || partition.starts_with(RESERVED_PREFIX) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut from = None;
        loop {
            self.meter.request();
            let page = self
                .client
                .query()
                .table_name(&self.table.table)
                .consistent_read(true)
                .key_condition_expression("#p = :p")
                .expression_attribute_names("#p", PARTITION)
                .expression_attribute_values(":p", AttributeValue::S(partition.to_owned()))
                .set_exclusive_start_key(from)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(|error| self.meter.classify(&self.table, "a query", error))?;
            self.meter.reads(&page.consumed_capacity);
            self.collect(page.items.unwrap_or_default(), &mut found)?;
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(found);
            }
        }
    }

    async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let (items, next) = self.scan_page(&self.table, from).await?;
            self.collect(items, &mut found)?;
            from = next;
            if from.is_none() {
                found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                return Ok(found);
            }
        }
    }
}

impl DynamoDbStore {
    /// What stands at these keys, past the cache, but into it. No key may occur twice.
    pub(super) async fn fetch(&self, keys: &[&Key]) -> Result<Vec<(Key, CachedItem)>, StoreError> {
        let mut all = Vec::with_capacity(keys.len());
        let mut fatal = None;
        let maps = keys.iter().map(|key| item::key_map(key));
        let error = self
            .get(&self.table, maps, |got| {
                for map in got.absent {
                    if let Some(key) = item::key_of(&map) {
                        self.cache.learn(&key, CachedItem::nothing());
                        all.push((key, CachedItem::nothing()));
                    }
                }
                for map in got.found {
                    match self.read(map) {
                        Ok((key, cached)) => {
                            self.cache.learn(&key, cached.clone());
                            all.push((key, cached));
                        }
                        Err(error) => fatal = Some(error),
                    }
                }
            })
            .await;
        match (fatal, error) {
            (Some(error), _) => Err(error),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(all),
        }
    }

    /// Gets many items, several requests at once. Each answer is handed out as it comes, so that a fault in the middle
    /// loses nothing of the others. The worst fault is what is left.
    pub(super) async fn get(
        &self,
        table: &Arc<TableRef>,
        keys: impl Iterator<Item = Map>,
        mut take: impl FnMut(Got),
    ) -> Option<TableError> {
        let keys: Vec<Map> = keys.collect();
        let requests = keys.chunks(KEYS_A_REQUEST).map(|keys| {
            let (client, table, meter) = (self.client.clone(), Arc::clone(table), Arc::clone(&self.meter));
            get_batch(client, table, meter, keys.to_vec())
        });
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let mut worst: Option<TableError> = None;
        while let Some(mut got) = requests.next().await {
            if let Some(error) = got.error.take()
                && worst
                    .as_ref()
                    .is_none_or(|worst| matches!(worst.kind, TableErrorKind::Throttled | TableErrorKind::Ambiguous))
            {
                worst = Some(error);
            }
            take(got);
        }
        worst
    }

    /// Reads an item of a group, or says what is wrong with it.
    pub(super) fn read(&self, map: Map) -> Result<(Key, CachedItem), StoreError> {
        let fatal = |key: &dyn std::fmt::Display, what: &str| {
            let text = format_args!(
                "the item {key} {what}. Nothing of its shard goes on before it is moved out of the way or the \
                 rulebook's key is changed"
            );
            StoreError::from(self.table.error(TableErrorKind::Fatal, text))
        };
        let Some(key) = item::key_of(&map) else { return Err(fatal(&"without texts for keys", "can't be ours")) };
        if !item::is_ours(&map) {
            return Err(fatal(&key, "stands at a group's key but was not written by paceline (it has no `@revision`)"));
        }
        match item::decode(map) {
            Ok(cached) => Ok((key, cached)),
            Err(what) => Err(fatal(&key, &format!("can't be read: {what}"))),
        }
    }

    /// A page of a whole table, and where the next one begins.
    pub(super) async fn scan_page(
        &self,
        table: &TableRef,
        from: Option<Map>,
    ) -> Result<(Vec<Map>, Option<Map>), StoreError> {
        self.meter.request();
        let page = self
            .client
            .scan()
            .table_name(&table.table)
            .consistent_read(true)
            .set_exclusive_start_key(from)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| self.meter.classify(table, "a scan", error))?;
        self.meter.reads(&page.consumed_capacity);
        Ok((page.items.unwrap_or_default(), page.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    /// Reads the items of groups among others.
    fn collect(&self, maps: Vec<Map>, into: &mut Vec<(Key, Item)>) -> Result<(), StoreError> {
        for map in maps.into_iter().filter(item::is_ours) {
            let (key, cached) = self.read(map)?;
            if let Some(item) = cached.item
                && !key.partition.starts_with(RESERVED_PREFIX)
            {
                into.push((key, item));
            }
        }
        Ok(())
    }
}

/// Gets up to 100 items. What DynamoDB leaves over (it answers with 16 MB at most, and with less when it throttles) is
/// asked for again as long as that gets anywhere.
async fn get_batch(client: Client, table: Arc<TableRef>, meter: Arc<Meter>, keys: Vec<Map>) -> Got {
    let mut got = Got { found: Vec::new(), absent: Vec::new(), error: None };
    let mut open = keys;
    while !open.is_empty() {
        let request = KeysAndAttributes::builder().set_keys(Some(open.clone())).consistent_read(true).build();
        let request = request.expect("the keys are set");
        meter.request();
        let answer = client
            .batch_get_item()
            .request_items(&table.table, request)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                got.error = Some(meter.classify(&table, "a batch of reads", error));
                return got;
            }
        };
        meter.reads(answer.consumed_capacity());
        // Only one table was asked.
        let left = answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys);
        let found: Vec<Map> = answer.responses.unwrap_or_default().into_values().flatten().collect();

        let before = open.len();
        let mut names: Vec<String> = open[0].keys().cloned().collect();
        names.sort_unstable();
        let left: HashSet<Vec<String>> = left.map(|key| texts(&key, &names)).collect();
        let there: HashSet<Vec<String>> = found.iter().map(|map| texts(map, &names)).collect();
        open.retain(|key| !there.contains(&texts(key, &names)));
        let (rest, absent): (Vec<Map>, Vec<Map>) = open.into_iter().partition(|key| left.contains(&texts(key, &names)));
        open = rest;
        got.absent.extend(absent);
        got.found.extend(found);
        if open.len() == before {
            meter.throttle();
            let text = format_args!("a batch of reads is throttled: {before} keys were left over");
            got.error = Some(table.error(TableErrorKind::Throttled, text));
            return got;
        }
    }
    got
}

/// The key of an item, whose attributes have these names.
fn texts(map: &Map, names: &[String]) -> Vec<String> {
    let text = |name: &String| map.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    names.iter().map(text).collect()
}
