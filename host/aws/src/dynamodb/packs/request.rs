//! Requests for items of packed groups.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use paceline_pipeline::model::Key;
use tokio::time::Instant;

use super::content::{self, Content, PackKey, REVISION, decode};
use super::known::Packs;
use super::plan::GroupWrite;
use crate::dynamodb::DynamoDbStore;
use crate::dynamodb::batch_get::get_batch;
use crate::dynamodb::error::{TableError, TableErrorKind, TableRef};
use crate::dynamodb::item::{self, Map, PARTITION};
use crate::dynamodb::usage::UsageCounter;

/// How often an item that other hosts write is written again before its groups count as conflicts. The pipeline then
/// waits before it tries again.
const ATTEMPTS: u32 = 5;

/// The bound of the wait before another attempt, relative to what the one before took. Without a wait, hosts that met once
/// would meet again, and all but one of them would pay for nothing.
const WAIT_OVER_ATTEMPT: u32 = 4;

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// An attempt to write an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// From 1.
    number: u32,
    began: Instant,
}

impl Attempt {
    pub(super) fn first() -> Self {
        Self { number: 1, began: Instant::now() }
    }

    /// The one after it, which begins now.
    fn next(self) -> Self {
        Self { number: self.number + 1, began: Instant::now() }
    }

    /// Whether there were as many as there may be.
    pub(super) fn is_beyond(self) -> bool {
        self.number > ATTEMPTS
    }

    /// How long to wait before the next one: random, and each bound is twice as long.
    fn wait(self) -> Duration {
        let bound = (self.began.elapsed() * (WAIT_OVER_ATTEMPT << (self.number - 1))).min(LONGEST_WAIT);
        bound.mul_f64(fastrand::f64())
    }
}

/// The result of one write.
pub(super) enum PutResult {
    Written,
    /// The condition of the shared item failed. This is the item, if there is one.
    Changed(Option<Map>),
    Failed(TableError),
}

/// What requests need, so that they can run in tasks of their own.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) table: Arc<TableRef>,
    pub(super) usage: Arc<UsageCounter>,
    pub(super) packs: Arc<Packs>,
}

impl Sender {
    pub(super) fn of(store: &DynamoDbStore) -> Self {
        Self {
            client: store.client.clone(),
            table: Arc::clone(&store.table),
            usage: Arc::clone(&store.usage),
            packs: Arc::clone(&store.packs),
        }
    }

    /// The cached copy, or what is in the table.
    pub(super) async fn latest(&self, key: &PackKey) -> Result<Arc<Content>, TableError> {
        match self.packs.latest(key) {
            Some(content) => Ok(content),
            None => self.read(key).await,
        }
    }

    pub(super) async fn read(&self, key: &PackKey) -> Result<Arc<Content>, TableError> {
        let (client, table, usage) = (self.client.clone(), Arc::clone(&self.table), Arc::clone(&self.usage));
        // The policies allow reads in batches only.
        let result = get_batch(client, table, usage, vec![item::key_map(&key.item_key())]).await;
        match (result.items.first(), result.error) {
            (Some(map), _) => decode(&self.table, map).map(|(_, content)| Arc::new(content)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Arc::default()),
        }
    }

    /// What an item holds whose condition has failed in an attempt, and the next attempt. Before that there is a random wait,
    /// in which other hosts write.
    pub(super) async fn changed(
        &self,
        key: &PackKey,
        map: Option<Map>,
        attempt: Attempt,
    ) -> Result<(Arc<Content>, Attempt), TableError> {
        let mut found = match &map {
            Some(map) => decode(&self.table, map).map(|(_, content)| Arc::new(content))?,
            None => self.read(key).await?,
        };
        self.usage.add_refused(map.as_ref().map_or(0, content::size));
        self.packs.overtaken(key, &found);
        if attempt.number < ATTEMPTS {
            tokio::time::sleep(attempt.wait()).await;
            // Without an answer, the write shows whether the item has changed since.
            if let Ok(content) = self.read(key).await {
                self.packs.found(key, &content);
                found = content;
            }
        }
        Ok((found, attempt.next()))
    }

    /// Other hosts were first in all attempts.
    pub(super) fn contended(&self, key: &PackKey) -> TableError {
        let key = key.item_key();
        let what = format_args!("other hosts changed the item {key} before each of {ATTEMPTS} writes");
        self.table.error(TableErrorKind::Throttled, what)
    }

    /// Writes the item if it is as it was read.
    pub(super) async fn put(&self, base: &Content, map: &Map) -> PutResult {
        let condition = Condition::of(base);
        self.usage.add_request();
        let request = self
            .client
            .put_item()
            .table_name(&self.table.table)
            .set_item(Some(map.clone()))
            .condition_expression(condition.expression)
            .expression_attribute_names("#c", condition.name)
            .set_expression_attribute_values(condition.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match Box::pin(request.send()).await {
            Ok(response) => {
                self.usage.add_writes(response.consumed_capacity());
                PutResult::Written
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    PutResult::Changed(failed.item().cloned())
                }
                _ => PutResult::Failed(self.usage.classify(&self.table, "a write of packed groups", error)),
            },
        }
    }

    /// Writes the item and groups that move out, or nothing.
    pub(super) async fn transact(&self, key: &PackKey, base: &Content, map: &Map, moves: &[GroupWrite]) -> PutResult {
        let condition = Condition::of(base);
        let shared = Put::builder()
            .table_name(&self.table.table)
            .set_item(Some(map.clone()))
            .condition_expression(condition.expression)
            .expression_attribute_names("#c", condition.name)
            .set_expression_attribute_values(condition.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let shared = shared.build().expect("table and item are set");
        let own = moves.iter().map(|write| self.own_item(key, write));
        self.usage.add_request();
        let request = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(shared).build())
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let response = Box::pin(own.fold(request, |request, item| request.transact_items(item)).send()).await;
        match response {
            Ok(response) => {
                self.usage.add_writes(response.consumed_capacity());
                PutResult::Written
            }
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    self.cancelled(key, moves, cancelled.cancellation_reasons())
                }
                _ => PutResult::Failed(self.usage.classify(&self.table, "a transaction of packed groups", error)),
            },
        }
    }

    fn own_item(&self, key: &PackKey, write: &GroupWrite) -> TransactWriteItem {
        let own = Key::new(key.partition.as_str(), &*write.sort);
        let put = Put::builder()
            .table_name(&self.table.table)
            .set_item(Some(item::encode(&own, &write.item)))
            // A copy of a result, which a rulebook without results has changed in the shared item since, is not as late. Only
            // another program can have written anything else.
            .condition_expression("attribute_not_exists(#p) OR #r < :r")
            .expression_attribute_names("#p", PARTITION)
            .expression_attribute_names("#r", item::REVISION)
            .expression_attribute_values(":r", AttributeValue::N(write.item.revision.to_string()));
        TransactWriteItem::builder().put(put.build().expect("table and item are set")).build()
    }

    /// The result of a transaction that was cancelled. The first reason is that of the shared item, the others are those
    /// of the groups that move out.
    fn cancelled(&self, key: &PackKey, moves: &[GroupWrite], reasons: &[CancellationReason]) -> PutResult {
        let has_failed = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
        if let Some(shared) = reasons.first().filter(|reason| has_failed(reason)) {
            return PutResult::Changed(shared.item().cloned());
        }
        if let Some((group, _)) = moves.iter().zip(reasons.iter().skip(1)).find(|(_, reason)| has_failed(reason)) {
            let own = Key::new(key.partition.as_str(), &*group.sort);
            let what = format_args!(
                "the item {own} has the key of a group that is packed into {}, so another program wrote it. Its shard \
                 waits until you move the item or change the rulebook's key",
                key.item_key()
            );
            return PutResult::Failed(self.table.error(TableErrorKind::Fatal, what));
        }
        let reason = reasons.iter().find(|reason| reason.code().is_some_and(|code| code != "None"));
        let (code, message) = reason.map_or((None, None), |reason| (reason.code(), reason.message()));
        let error = self.table.classify_statement_error("a transaction of packed groups", code, message);
        self.usage.count_if_throttled(&error);
        PutResult::Failed(error)
    }
}

/// That the shared item is as it was read.
struct Condition {
    expression: &'static str,
    name: &'static str,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Condition {
    fn of(base: &Content) -> Self {
        match base.revision {
            0 => Self { expression: "attribute_not_exists(#c)", name: PARTITION, values: None },
            revision => Self {
                expression: "#c = :c",
                name: REVISION,
                values: Some([(":c".to_owned(), AttributeValue::N(revision.to_string()))].into()),
            },
        }
    }
}
