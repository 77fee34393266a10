//! Writes of items of packed groups.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::{Key, Packing};
use paceline_pipeline::store::{StoreError, Write, WriteOutcome};

use super::content::{Content, PackKey, REVISION};
use super::plan::{GroupWrite, Plan};
use super::known::Packs;
use super::decode;
use crate::dynamodb::DynamoDbStore;
use crate::dynamodb::error::{TableError, TableErrorKind, TableRef};
use crate::dynamodb::groups::get_batch;
use crate::dynamodb::item::{self, Map, PARTITION};
use crate::dynamodb::requests::ConcurrentRequests;
use crate::dynamodb::usage::UsageCounter;

/// How often an item that other hosts write is written again before its groups count as conflicts. The pipeline then
/// waits before it tries again.
const ATTEMPTS: u32 = 5;

/// The bound of the wait before the second attempt, in milliseconds: several times what a write takes. Each further bound is
/// twice as long. Without it, hosts that met once would meet again, and all but one of them would pay for nothing.
const FIRST_WAIT_MS: u64 = 16;

/// How the writes of one item ended.
#[derive(Default)]
struct Written {
    /// By the writes' indexes.
    outcomes: Vec<(usize, WriteOutcome)>,
    /// The indexes of writes whose groups have items of their own.
    alone: Vec<usize>,
    /// An error that fails all writes of the call.
    fatal: Option<StoreError>,
}

/// The result of one request.
enum PutResult {
    Written,
    /// The condition of the shared item failed. This is the item, if there is one.
    Changed(Option<Map>),
    Failed(TableError),
}

/// What requests need, so that they can run in tasks of their own.
#[derive(Clone)]
struct Sender {
    client: Client,
    table: Arc<TableRef>,
    usage: Arc<UsageCounter>,
    packs: Arc<Packs>,
}

impl DynamoDbStore {
    /// Writes packed groups. Fills in their outcomes, and returns the indexes of those that have items of their own.
    pub(in crate::dynamodb) async fn write_packed(
        &self,
        writes: &[Write],
        outcomes: &mut [Option<WriteOutcome>],
    ) -> Result<Vec<usize>, StoreError> {
        let mut packs: BTreeMap<PackKey, (Arc<Packing>, Vec<GroupWrite>)> = BTreeMap::new();
        for (at, write) in writes.iter().enumerate() {
            let Some(pack) = &write.key.pack else { continue };
            let key = PackKey::new(&write.key.partition, pack);
            let (sort, item) = (write.key.sort.as_str().into(), Arc::new(write.item.clone()));
            let of = packs.entry(key).or_insert_with(|| (Arc::clone(&pack.packing), Vec::new()));
            of.1.push(GroupWrite { at, sort, expected: write.expected, item });
        }
        let sender = Sender {
            client: self.client.clone(),
            table: Arc::clone(&self.table),
            usage: Arc::clone(&self.usage),
            packs: Arc::clone(&self.packs),
        };
        let requests = packs.into_iter().map(|(key, (packing, writes))| sender.clone().write(key, packing, writes));
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let (mut alone, mut fatal) = (Vec::new(), None);
        while let Some(written) = requests.next().await {
            written.outcomes.into_iter().for_each(|(at, outcome)| outcomes[at] = Some(outcome));
            alone.extend(written.alone);
            fatal = fatal.or(written.fatal);
        }
        match fatal {
            Some(error) => Err(error),
            None => Ok(alone),
        }
    }
}

impl Sender {
    /// Writes the groups of one item.
    async fn write(self, key: PackKey, packing: Arc<Packing>, writes: Vec<GroupWrite>) -> Written {
        let _turn = self.packs.turn(&key).await;
        let mut written = Written::default();
        let mut pending = writes;
        let mut base = match self.packs.latest(&key) {
            Some(content) => content,
            None => match self.read(&key).await {
                Ok(content) => content,
                Err(error) => {
                    written.fail(pending, error);
                    return written;
                }
            },
        };
        let mut attempt = 0;
        while !pending.is_empty() {
            let plan = Plan::new(&base, &key, &packing, pending);
            written.all(&plan.done, &WriteOutcome::Done);
            written.all(&plan.conflicts, &WriteOutcome::Conflict);
            written.alone.extend(plan.alone.iter().map(|write| write.at));
            if plan.is_empty() {
                written.all(&plan.left, &WriteOutcome::Conflict);
                return written;
            }
            match self.put(&key, &base, &plan).await {
                PutResult::Written => {
                    base = Arc::new(plan.content);
                    self.packs.written(&key, &base);
                    written.all(&plan.taken, &WriteOutcome::Done);
                    pending = plan.left;
                }
                PutResult::Changed(map) => {
                    let found = match &map {
                        Some(map) => decode(&self.table, map).map(|(_, content)| Arc::new(content)),
                        None => self.read(&key).await,
                    };
                    base = match found {
                        Ok(found) => found,
                        Err(error) => {
                            written.fail([plan.taken, plan.left].concat(), error);
                            return written;
                        }
                    };
                    self.usage.add_refused(map.map_or(0, |map| base.size(&map, &packing)));
                    self.packs.overtaken(&key, &base);
                    pending = [plan.taken, plan.left].concat();
                    attempt += 1;
                    if attempt < ATTEMPTS {
                        base = self.read_later(&key, attempt, base).await;
                    } else {
                        let plan = Plan::new(&base, &key, &packing, pending);
                        written.all(&plan.done, &WriteOutcome::Done);
                        let rest = [plan.taken, plan.left, plan.conflicts, plan.alone].concat();
                        written.all(&rest, &WriteOutcome::Conflict);
                        return written;
                    }
                }
                PutResult::Failed(error) => {
                    written.fail([plan.taken, plan.left].concat(), error);
                    return written;
                }
            }
        }
        written
    }

    async fn read(&self, key: &PackKey) -> Result<Arc<Content>, TableError> {
        let (client, table, usage) = (self.client.clone(), Arc::clone(&self.table), Arc::clone(&self.usage));
        // The policies allow reads in batches only.
        let result = get_batch(client, table, usage, vec![item::key_map(&key.item_key())]).await;
        match (result.items.first(), result.error) {
            (Some(map), _) => decode(&self.table, map).map(|(_, content)| Arc::new(content)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Arc::default()),
        }
    }

    /// What the item holds after a random wait, in which other hosts write. `found` is what it held before.
    async fn read_later(&self, key: &PackKey, attempt: u32, found: Arc<Content>) -> Arc<Content> {
        let bound = FIRST_WAIT_MS << (attempt - 1);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=bound))).await;
        // Without an answer, the write shows whether the item has changed since.
        let Ok(content) = self.read(key).await else { return found };
        self.packs.found(key, &content);
        content
    }

    async fn put(&self, key: &PackKey, base: &Content, plan: &Plan) -> PutResult {
        match plan.moves.is_empty() {
            true => self.put_alone(base, plan).await,
            false => self.transact(key, base, plan).await,
        }
    }

    async fn put_alone(&self, base: &Content, plan: &Plan) -> PutResult {
        let condition = Condition::of(base);
        self.usage.add_request();
        let request = self
            .client
            .put_item()
            .table_name(&self.table.table)
            .set_item(Some(plan.map.clone()))
            .condition_expression(condition.expression)
            .expression_attribute_names("#c", condition.name)
            .set_expression_attribute_values(condition.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match request.send().await {
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

    async fn transact(&self, key: &PackKey, base: &Content, plan: &Plan) -> PutResult {
        let condition = Condition::of(base);
        let shared = Put::builder()
            .table_name(&self.table.table)
            .set_item(Some(plan.map.clone()))
            .condition_expression(condition.expression)
            .expression_attribute_names("#c", condition.name)
            .set_expression_attribute_values(condition.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let shared = shared.build().expect("table and item are set");
        let moves = plan.moves.iter().map(|write| self.own_item(key, write));
        self.usage.add_request();
        let request = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(shared).build())
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let response = moves.fold(request, |request, item| request.transact_items(item)).send().await;
        match response {
            Ok(response) => {
                self.usage.add_writes(response.consumed_capacity());
                PutResult::Written
            }
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    self.cancelled(key, &plan.moves, cancelled.cancellation_reasons())
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
            // Only another program can have written one.
            .condition_expression("attribute_not_exists(#p)")
            .expression_attribute_names("#p", PARTITION);
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

impl Written {
    fn all(&mut self, writes: &[GroupWrite], outcome: &WriteOutcome) {
        self.outcomes.extend(writes.iter().map(|write| (write.at, outcome.clone())));
    }

    /// A transient error is the outcome of its writes. Any other fails all writes of the call.
    fn fail(&mut self, writes: Vec<GroupWrite>, error: TableError) {
        let is_transient = error.kind != TableErrorKind::Fatal && error.kind != TableErrorKind::Invalid;
        let error = StoreError::from(error);
        match is_transient {
            true => self.all(&writes, &WriteOutcome::Transient(ErrorChain(&error).to_string())),
            false => self.fatal = Some(error),
        }
    }
}
