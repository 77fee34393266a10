//! Writing items, each on the condition that it is as it was read.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum as Code, BatchStatementRequest, BatchStatementResponse,
    ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
};
use paceline_pipeline::store::{StoreError, Write, WriteOutcome};

use super::cache::CachedItem;
use super::error::{TableError, TableErrorKind, TableRef};
use super::item::{self, Map, PARTITION, REVISION, SORT};
use super::requests::ConcurrentRequests;
use super::usage::Meter;
use super::{DynamoDbStore, WriteWith};

/// DynamoDB's limit for the statements of a `BatchExecuteStatement`.
const STATEMENTS_A_REQUEST: usize = 25;

/// DynamoDB's limit for the characters of a statement.
const MAX_STATEMENT_CHARS: usize = 8192;

/// Bytes of items in one request. DynamoDB takes 16 MB, but what is sent for long is cut off by `request-ms`.
const BYTES_A_REQUEST: usize = 1 << 20;

/// How one write ended, before it is known what stands there.
enum Ended {
    Done,
    /// The condition failed, and this stands there.
    Met(Map),
    /// The condition failed. What stands there, if anything, was not said.
    Unmet,
    /// The statement is not accepted.
    Unsupported,
    Failed(TableError),
}

type Answers = Vec<(usize, Ended)>;
type Request = Pin<Box<dyn Future<Output = Answers> + Send>>;

/// How items are sent.
#[derive(Clone)]
struct Sender {
    client: Client,
    table: Arc<TableRef>,
    meter: Arc<Meter>,
}

impl DynamoDbStore {
    /// Writes in rounds: one request must not name a key twice. There is nearly always one round.
    pub(super) async fn write_in_rounds(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        let mut ended: Vec<Option<WriteOutcome>> = vec![None; writes.len()];
        let mut open: Vec<usize> = (0..writes.len()).collect();
        while !open.is_empty() {
            let mut seen = HashSet::new();
            let (round, rest): (Vec<usize>, Vec<usize>) =
                open.into_iter().partition(|&at| seen.insert(&writes[at].key));
            self.write_round(writes, &round, &mut ended).await?;
            open = rest;
        }
        Ok(ended.into_iter().map(|ended| ended.expect("each was in a round")).collect())
    }

    async fn write_round(
        &self,
        writes: &[Write],
        round: &[usize],
        ended: &mut [Option<WriteOutcome>],
    ) -> Result<(), StoreError> {
        // Out of the cache until the fate of the write is known, also if this future is dropped meanwhile.
        let taken = self.cache.take(round.iter().map(|&at| &writes[at].key));
        let mut before: Vec<Option<CachedItem>> = vec![None; writes.len()];
        round.iter().zip(taken).for_each(|(&at, cached)| before[at] = cached);

        let sender =
            Sender { client: self.client.clone(), table: Arc::clone(&self.table), meter: Arc::clone(&self.meter) };
        let statements = self.write == WriteWith::Statements && is_plain(&self.table.table, "_-.");
        let mut requests =
            ConcurrentRequests::new(self.concurrency, sender.requests(writes, round, &before, statements));
        let mut unmet = Vec::new();
        while let Some(answers) = requests.next().await {
            for (at, end) in answers {
                let Write { key, item, .. } = &writes[at];
                ended[at] = Some(match end {
                    Ended::Done => {
                        self.cache.learn(key, CachedItem::of(item::as_read(item)));
                        WriteOutcome::Done
                    }
                    Ended::Met(map) => self.resolve_conflict(&writes[at], self.read(map)?.1),
                    Ended::Unmet => {
                        unmet.push(at);
                        continue;
                    }
                    // `PutItem` needs no name in a statement, so only its word counts.
                    Ended::Unsupported => {
                        requests.push(sender.put(at, &writes[at]));
                        continue;
                    }
                    Ended::Failed(error) => {
                        // Where nothing was written, what stood there still does.
                        if error.kind == TableErrorKind::Throttled
                            && let Some(cached) = before[at].take()
                        {
                            self.cache.learn(key, cached);
                        }
                        match StoreError::from(error) {
                            StoreError::Transient(why) => WriteOutcome::Transient(why.to_string()),
                            fatal => return Err(fatal),
                        }
                    }
                });
            }
        }
        self.resolve_unmet(writes, unmet, ended).await
    }

    /// Finds out what stands where a condition failed.
    async fn resolve_unmet(
        &self,
        writes: &[Write],
        unmet: Vec<usize>,
        ended: &mut [Option<WriteOutcome>],
    ) -> Result<(), StoreError> {
        if unmet.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = unmet.iter().map(|&at| &writes[at].key).collect();
        match self.fetch(&keys).await {
            Ok(found) => {
                let mut found: std::collections::HashMap<_, _> = found.into_iter().collect();
                for at in unmet {
                    let cached = found.remove(&writes[at].key).unwrap_or_else(CachedItem::nothing);
                    ended[at] = Some(self.resolve_conflict(&writes[at], cached));
                }
                Ok(())
            }
            Err(StoreError::Transient(why)) => {
                unmet.into_iter().for_each(|at| ended[at] = Some(WriteOutcome::Transient(why.to_string())));
                Ok(())
            }
            Err(fatal) => Err(fatal),
        }
    }

    /// The condition failed, and it is known what stands there. If that is what was to be written, an earlier attempt
    /// has come through whose answer was lost.
    fn resolve_conflict(&self, write: &Write, cached: CachedItem) -> WriteOutcome {
        let ours = cached.item.as_ref().is_some_and(|found| *found == item::as_read(&write.item));
        self.cache.correct(&write.key, cached);
        if ours { WriteOutcome::Done } else { WriteOutcome::Conflict }
    }
}

impl Sender {
    /// The requests of a round.
    fn requests(
        &self,
        writes: &[Write],
        round: &[usize],
        before: &[Option<CachedItem>],
        statements: bool,
    ) -> Vec<Request> {
        let mut requests: Vec<Request> = Vec::new();
        let mut batch: Vec<(usize, BatchStatementRequest)> = Vec::new();
        let mut bytes = 0;
        for &at in round {
            let Write { key, item, .. } = &writes[at];
            let statement =
                statements.then(|| statement(&self.table.table, &writes[at], before[at].as_ref())).flatten();
            let Some(statement) = statement else {
                requests.push(self.put(at, &writes[at]));
                continue;
            };
            let size = item::size(key, item);
            if batch.len() == STATEMENTS_A_REQUEST || (bytes + size > BYTES_A_REQUEST && !batch.is_empty()) {
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
        let Self { client, table, meter } = self.clone();
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
            meter.request();
            let end = match request.send().await {
                Ok(answer) => {
                    meter.writes(answer.consumed_capacity());
                    Ended::Done
                }
                Err(error) => match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                        failed.item().cloned().map_or(Ended::Unmet, Ended::Met)
                    }
                    _ => Ended::Failed(meter.classify(&table, "a write", error)),
                },
            };
            vec![(at, end)]
        })
    }

    /// Writes up to 25 items with `BatchExecuteStatement`.
    fn execute(&self, batch: Vec<(usize, BatchStatementRequest)>) -> Request {
        let Self { client, table, meter } = self.clone();
        let (places, statements): (Vec<usize>, Vec<_>) = batch.into_iter().unzip();
        Box::pin(async move {
            meter.request();
            let request = client
                .batch_execute_statement()
                .set_statements(Some(statements))
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    let error = meter.classify(&table, "a batch of writes", error);
                    let end = || match error.kind {
                        TableErrorKind::Invalid => Ended::Unsupported,
                        _ => Ended::Failed(error.clone()),
                    };
                    return places.into_iter().map(|at| (at, end())).collect();
                }
            };
            meter.writes(answer.consumed_capacity());
            let mut answers = answer.responses.unwrap_or_default().into_iter();
            let end = |answer: Option<BatchStatementResponse>| match answer {
                Some(answer) => statement_end(&table, &meter, answer),
                None => Ended::Failed(
                    table.error(TableErrorKind::Ambiguous, "a batch of writes got an answer for only some"),
                ),
            };
            places.into_iter().map(|at| (at, end(answers.next()))).collect()
        })
    }
}

fn statement_end(table: &TableRef, meter: &Meter, answer: BatchStatementResponse) -> Ended {
    let Some(error) = answer.error else { return Ended::Done };
    match error.code {
        // An update fails as well where there is no item, so without one it has to be looked at.
        Some(Code::ConditionalCheckFailed | Code::DuplicateItem) => error.item.map_or(Ended::Unmet, Ended::Met),
        code => {
            // The status is that of the whole answer, so codes that are not known count as passing.
            let code = code.as_ref().map(Code::as_str);
            let error = table.classify_code("a write in a batch", code, error.message.as_deref(), 200, &[]);
            if error.kind == TableErrorKind::Throttled {
                meter.throttle();
            }
            match error.kind {
                TableErrorKind::Invalid => Ended::Unsupported,
                _ => Ended::Failed(error),
            }
        }
    }
}

/// A write as a PartiQL statement; nothing where only `PutItem` can do it. It leaves what `PutItem` would leave: what
/// the item had before and has no longer is removed by name, so what it had must be known.
fn statement(table: &str, write: &Write, before: Option<&CachedItem>) -> Option<BatchStatementRequest> {
    let Write { key, expected, item } = write;
    let attributes = item::attributes(item);
    // What else a quoted name may hold is not documented.
    let plain = |name: &str| is_plain(name, "_-@ ");
    if !attributes.iter().all(|(name, _)| plain(name)) {
        return None;
    }
    let keys = [AttributeValue::S(key.partition.clone()), AttributeValue::S(key.sort.clone())];
    let mut text = String::with_capacity(512);
    let (text, parameters): (String, Vec<AttributeValue>) = match expected {
        None => {
            let _ = write!(text, "INSERT INTO \"{table}\" VALUE {{'{PARTITION}':?,'{SORT}':?");
            for (name, _) in &attributes {
                let _ = write!(text, ",'{name}':?");
            }
            text.push('}');
            (text, keys.into_iter().chain(attributes.into_iter().map(|(_, value)| value)).collect())
        }
        Some(revision) => {
            let before = before.filter(|before| before.revision() == Some(*revision))?;
            let had = before.item.iter().flat_map(|item| &item.attributes).map(|(name, _)| &**name);
            let had = had.chain(before.unknown.iter().map(String::as_str));
            let has: HashSet<&str> = attributes.iter().map(|(name, _)| *name).collect();
            let gone: Vec<&str> = had.filter(|name| !has.contains(name)).collect();
            if !gone.iter().all(|name| plain(name)) {
                return None;
            }
            let _ = write!(text, "UPDATE \"{table}\"");
            for (name, _) in &attributes {
                let _ = write!(text, " SET \"{name}\"=?");
            }
            for name in gone {
                let _ = write!(text, " REMOVE \"{name}\"");
            }
            let _ = write!(text, " WHERE \"{PARTITION}\"=? AND \"{SORT}\"=? AND \"{REVISION}\"=?");
            let values = attributes.into_iter().map(|(_, value)| value);
            let condition = keys.into_iter().chain([AttributeValue::N(revision.to_string())]);
            (text, values.chain(condition).collect())
        }
    };
    if text.len() > MAX_STATEMENT_CHARS {
        return None;
    }
    let request = BatchStatementRequest::builder()
        .statement(text)
        .set_parameters(Some(parameters))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    Some(request.build().expect("the statement is set"))
}

/// Whether a name has only letters, digits and these.
fn is_plain(name: &str, others: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || others.contains(char))
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::dedup::{DedupState, OrdinalSet};
    use paceline_pipeline::model::{Attribute, Item, Key, Provenance};

    use super::*;

    fn item(revision: u64, names: &[&str]) -> Item {
        let provenance = Arc::new(Provenance { race_type: "3".into(), version: 1, plugins: vec![] });
        let attributes = names.iter().map(|name| ((*name).into(), Attribute::Integer(1))).collect();
        Item { revision, state: vec![], dedup: DedupState::Ordinal(OrdinalSet::default()), attributes, provenance }
    }

    fn text(expected: Option<u64>, names: &[&str], before: Option<CachedItem>) -> Option<String> {
        let key = Key { partition: "p".into(), sort: "s".into() };
        let write = Write { key, expected, item: item(expected.unwrap_or(0) + 1, names) };
        statement("races", &write, before.as_ref()).map(|statement| statement.statement)
    }

    #[test]
    fn a_new_item_is_inserted_and_an_old_one_updated() {
        assert_eq!(
            text(None, &["GSI"], None).unwrap(),
            "INSERT INTO \"races\" VALUE {'PK':?,'SK':?,'@revision':?,'@state':?,'@dedup':?,'@rulebook':?,\
             '@plugins':?,'GSI':?}"
        );
        let mut before = CachedItem::of(item(4, &["GSI", "old"]));
        before.unknown.push("tags".into());
        assert_eq!(
            text(Some(4), &["GSI", "new one"], Some(before)).unwrap(),
            "UPDATE \"races\" SET \"@revision\"=? SET \"@state\"=? SET \"@dedup\"=? SET \"@rulebook\"=? \
             SET \"@plugins\"=? SET \"GSI\"=? SET \"new one\"=? REMOVE \"old\" REMOVE \"tags\" WHERE \"PK\"=? AND \
             \"SK\"=? AND \"@revision\"=?"
        );
    }

    #[test]
    fn what_a_statement_can_not_say_is_left_to_put_item() {
        for name in ["it's", "say \"so\"", "#1", "a.b", "naïve", ""] {
            assert_eq!(text(None, &[name], None), None, "{name}");
            let before = Some(CachedItem::of(item(4, &[name])));
            assert_eq!(text(Some(4), &["GSI"], before), None, "{name}");
        }
        let many: Vec<String> = (0..100).map(|number| format!("{number:0100}")).collect();
        assert_eq!(text(None, &many.iter().map(String::as_str).collect::<Vec<_>>(), None), None);
        // Without what stood there before, nobody knows what to remove.
        assert_eq!(text(Some(4), &["GSI"], None), None);
        assert_eq!(text(Some(4), &["GSI"], Some(CachedItem::of(item(3, &["GSI"])))), None);
    }
}
