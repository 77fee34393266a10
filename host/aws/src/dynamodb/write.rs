//! Conditional writes of items of their own.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum as Code, BatchStatementRequest, BatchStatementResponse,
    ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::store::{StoreError, Write, WriteOutcome};

use super::cache::CachedItem;
use super::error::{TableError, TableErrorKind, TableRef};
use super::item::{self, Map, PARTITION, REVISION};
use super::requests::ConcurrentRequests;
use super::statement::{encode_statement, is_table_supported};
use super::usage::UsageCounter;
use super::{DynamoDbStore, WriteWith};

/// DynamoDB's limit for the statements of a `BatchExecuteStatement`.
const STATEMENTS_PER_REQUEST: usize = 25;

/// Bytes of items in one request. DynamoDB's limit is 16 MB, but a long upload would exceed `request-ms`.
const BYTES_PER_REQUEST: usize = 1 << 20;

/// The result of the request for one write.
enum WriteResult {
    Written,
    /// The condition failed. This is the item in the table.
    ConflictWith(Map),
    /// The condition failed. The response does not contain the item in the table, or there is none.
    Conflict,
    /// DynamoDB does not accept the statement.
    Unsupported,
    Failed(TableError),
}

/// The results of a request's writes, by their index among all writes.
type WriteResults = Vec<(usize, WriteResult)>;
type Request = Pin<Box<dyn Future<Output = WriteResults> + Send>>;

/// What requests need, so that they can run in tasks of their own.
#[derive(Clone)]
struct Sender {
    client: Client,
    table: Arc<TableRef>,
    usage: Arc<UsageCounter>,
}

impl DynamoDbStore {
    /// Writes in rounds, because one request can't contain a key twice. There is nearly always one round.
    pub(super) async fn write_in_rounds(
        &self,
        writes: &[Write],
        mut pending: Vec<usize>,
        outcomes: &mut [Option<WriteOutcome>],
    ) -> Result<(), StoreError> {
        while !pending.is_empty() {
            let mut seen = HashSet::new();
            let round: Vec<usize>;
            (round, pending) = pending.into_iter().partition(|&at| seen.insert(&writes[at].key));
            self.write_round(writes, &round, outcomes).await?;
        }
        Ok(())
    }

    async fn write_round(
        &self,
        writes: &[Write],
        round: &[usize],
        outcomes: &mut [Option<WriteOutcome>],
    ) -> Result<(), StoreError> {
        // Not cached until the outcome of the write is known, because this future may be dropped before.
        let removed = self.cache.remove(round.iter().map(|&at| &writes[at].key));
        let mut cached: HashMap<usize, CachedItem> =
            round.iter().copied().zip(removed).filter_map(|(at, cached)| Some((at, cached?))).collect();

        let sender =
            Sender { client: self.client.clone(), table: Arc::clone(&self.table), usage: Arc::clone(&self.usage) };
        let requests = match self.write {
            WriteWith::Statements if is_table_supported(&self.table.table) => sender.statements(writes, round, &cached),
            _ => round.iter().map(|&at| sender.put(at, &writes[at])).collect(),
        };
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let mut conflicts = Vec::new();
        while let Some(results) = requests.next().await {
            for (at, result) in results {
                let write = &writes[at];
                match result {
                    WriteResult::Written => {
                        self.cache.insert_if_newer(&write.key, CachedItem::present(item::as_read(&write.item)));
                        outcomes[at] = Some(WriteOutcome::Done);
                    }
                    WriteResult::ConflictWith(map) => {
                        self.usage.add_refused(item::size(&write.key, &write.item));
                        outcomes[at] = Some(self.resolve_conflict(write, self.decode_group(map)?.1));
                    }
                    WriteResult::Conflict => {
                        self.usage.add_refused(item::size(&write.key, &write.item));
                        conflicts.push(at);
                    }
                    WriteResult::Unsupported => requests.push(sender.put(at, write)),
                    WriteResult::Failed(error) => {
                        // A throttled request had no effect, so the cached item is still valid.
                        if error.kind == TableErrorKind::Throttled
                            && let Some(cached) = cached.remove(&at)
                        {
                            self.cache.insert_if_newer(&write.key, cached);
                        }
                        outcomes[at] = Some(transient_outcome(error.into())?);
                    }
                }
            }
        }
        self.resolve_conflicts(writes, conflicts, outcomes).await
    }

    /// Reads the items whose conflicts came without the item.
    async fn resolve_conflicts(
        &self,
        writes: &[Write],
        conflicts: Vec<usize>,
        outcomes: &mut [Option<WriteOutcome>],
    ) -> Result<(), StoreError> {
        if conflicts.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = conflicts.iter().map(|&at| &writes[at].key).collect();
        match self.read_groups(&keys).await {
            Ok(groups) => {
                let mut groups: HashMap<_, _> = groups.into_iter().collect();
                for at in conflicts {
                    let cached = groups.remove(&writes[at].key).unwrap_or_else(CachedItem::absent);
                    outcomes[at] = Some(self.resolve_conflict(&writes[at], cached));
                }
            }
            Err(error) => {
                let outcome = transient_outcome(error)?;
                conflicts.into_iter().for_each(|at| outcomes[at] = Some(outcome.clone()));
            }
        }
        Ok(())
    }

    /// The outcome of a write whose condition failed. If the item in the table is the one to write, an earlier attempt
    /// wrote it and its response was lost.
    fn resolve_conflict(&self, write: &Write, found: CachedItem) -> WriteOutcome {
        let is_written = found.item.as_ref().is_some_and(|item| *item == item::as_read(&write.item));
        self.cache.replace(&write.key, found);
        if is_written { WriteOutcome::Done } else { WriteOutcome::Conflict }
    }
}

/// The outcome of a write that failed transiently. A fatal error fails all writes.
pub(super) fn transient_outcome(error: StoreError) -> Result<WriteOutcome, StoreError> {
    match error.is_transient() {
        true => Ok(WriteOutcome::Transient(ErrorChain(&error).to_string())),
        false => Err(error),
    }
}

impl Sender {
    /// Requests with as many statements as fit. A write without a statement gets a `PutItem`.
    fn statements(&self, writes: &[Write], round: &[usize], cached: &HashMap<usize, CachedItem>) -> Vec<Request> {
        let mut requests: Vec<Request> = Vec::new();
        let mut batch: Vec<(usize, BatchStatementRequest)> = Vec::new();
        let mut bytes = 0;
        for &at in round {
            let write = &writes[at];
            let Some(statement) = encode_statement(&self.table.table, write, cached.get(&at)) else {
                requests.push(self.put(at, write));
                continue;
            };
            let size = item::size(&write.key, &write.item);
            if batch.len() == STATEMENTS_PER_REQUEST || (bytes + size > BYTES_PER_REQUEST && !batch.is_empty()) {
                requests.push(self.execute(std::mem::take(&mut batch)));
                bytes = 0;
            }
            bytes += size;
            batch.push((at, statement));
        }
        if !batch.is_empty() {
            requests.push(self.execute(batch));
        }
        requests
    }

    /// Writes one item with `PutItem`.
    fn put(&self, at: usize, Write { key, expected, item }: &Write) -> Request {
        let Self { client, table, usage } = self.clone();
        let request = client
            .put_item()
            .table_name(&table.table)
            .set_item(Some(item::encode(key, item)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let request = match expected {
            None => {
                request.condition_expression("attribute_not_exists(#p)").expression_attribute_names("#p", PARTITION)
            }
            Some(revision) => request
                .condition_expression("#r = :r")
                .expression_attribute_names("#r", REVISION)
                .expression_attribute_values(":r", AttributeValue::N(revision.to_string())),
        };
        Box::pin(async move {
            usage.add_request();
            let result = match Box::pin(request.send()).await {
                Ok(response) => {
                    usage.add_writes(response.consumed_capacity());
                    WriteResult::Written
                }
                Err(error) => match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                        failed.item().cloned().map_or(WriteResult::Conflict, WriteResult::ConflictWith)
                    }
                    _ => WriteResult::Failed(usage.classify(&table, "a write", error)),
                },
            };
            vec![(at, result)]
        })
    }

    /// Writes up to 25 items with `BatchExecuteStatement`.
    fn execute(&self, batch: Vec<(usize, BatchStatementRequest)>) -> Request {
        let Self { client, table, usage } = self.clone();
        let (indexes, statements): (Vec<usize>, Vec<_>) = batch.into_iter().unzip();
        Box::pin(async move {
            usage.add_request();
            let request = client
                .batch_execute_statement()
                .set_statements(Some(statements))
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let response = match Box::pin(request.send()).await {
                Ok(response) => response,
                Err(error) => {
                    let error = usage.classify(&table, "a batch of writes", error);
                    return indexes.into_iter().map(|at| (at, failed_statement(error.clone()))).collect();
                }
            };
            usage.add_writes(response.consumed_capacity());
            let mut responses = response.responses.unwrap_or_default().into_iter();
            let result = |response: Option<BatchStatementResponse>| match response {
                Some(response) => statement_result(&table, &usage, response),
                None => WriteResult::Failed(table.error(
                    TableErrorKind::Ambiguous,
                    "a batch of writes got a response with fewer results than statements",
                )),
            };
            indexes.into_iter().map(|at| (at, result(responses.next()))).collect()
        })
    }
}

fn statement_result(table: &TableRef, usage: &UsageCounter, response: BatchStatementResponse) -> WriteResult {
    let Some(error) = response.error else { return WriteResult::Written };
    match error.code {
        // An update of an item that does not exist fails like this, too, and then there is no item to return.
        Some(Code::ConditionalCheckFailed | Code::DuplicateItem) => {
            error.item.map_or(WriteResult::Conflict, WriteResult::ConflictWith)
        }
        code => {
            let code = code.as_ref().map(Code::as_str);
            let error = table.classify_statement_error("a write in a batch", code, error.message.as_deref());
            usage.count_if_throttled(&error);
            failed_statement(error)
        }
    }
}

/// The result of a failed statement. `PutItem` may accept what a statement does not.
fn failed_statement(error: TableError) -> WriteResult {
    match error.kind {
        TableErrorKind::Invalid => WriteResult::Unsupported,
        _ => WriteResult::Failed(error),
    }
}
