//! Holds a part of a batch request back, and returns it as unprocessed or failed.

use std::collections::VecDeque;

use bytes::Bytes;
use fastrand::Rng;
use serde_json::{Map, Value, json};

/// A batch request of which a part is held back.
pub(super) struct PartialBatch {
    /// The request to forward, unless everything is held back.
    forwarded: Option<Bytes>,
    held_back: HeldBack,
}

enum HeldBack {
    /// Keys or writes, by table, in the structure of the request.
    Tables {
        /// Their name in the response: `UnprocessedKeys` or `UnprocessedItems`.
        name: &'static str,
        tables: Map<String, Value>,
    },
    /// The result of each statement of the request.
    Statements(Vec<StatementResult>),
}

/// What the response reports for a statement.
#[derive(Clone, Copy)]
enum StatementResult {
    /// DynamoDB's own result.
    Original,
    /// This code and message; the statement is not forwarded.
    Rejected(&'static str, &'static str),
    /// A server error, although the statement is forwarded.
    Ambiguous,
}

const SERVER_ERROR: (&str, &str) = ("InternalServerError", "Internal server error");
/// The codes of `BatchExecuteStatement` that a client retries, and their messages.
const ERRORS: [(&str, &str); 4] = [
    ("ThrottlingError", "Rate of requests exceeds the allowed throughput"),
    ("ProvisionedThroughputExceeded", "The provisioned throughput for the table was exceeded"),
    ("RequestLimitExceeded", "Throughput exceeds the current throughput limit for your account"),
    SERVER_ERROR,
];

impl PartialBatch {
    /// Holds back a random part of a request; nothing if the request is no batch or can't be split.
    pub(super) fn split(operation: &str, request: &[u8], rng: &mut Rng) -> Option<Self> {
        let name = match operation {
            "BatchGetItem" => "UnprocessedKeys",
            "BatchWriteItem" => "UnprocessedItems",
            "BatchExecuteStatement" => return Self::split_statements(request, rng),
            _ => return None,
        };
        let mut request: Value = serde_json::from_slice(request).ok()?;
        let tables = request.get_mut("RequestItems")?.as_object_mut()?;
        let total: usize = tables.values_mut().filter_map(entries).map(|entries| entries.len()).sum();
        if total < 2 {
            // If DynamoDB can process no entry it fails the whole request, which is another fault.
            return None;
        }
        let mut choice = choose(total, rng.usize(1..total), rng).into_iter();
        let mut held_tables = Map::new();
        tables.retain(|name, table| {
            let Some(list) = entries(table) else { return true };
            let (held, forwarded): (Vec<_>, Vec<_>) =
                std::mem::take(list).into_iter().partition(|_| choice.next().expect("as many as were counted"));
            // Settings beside the keys, for example `ConsistentRead`, belong to both parts.
            if !held.is_empty() {
                let mut copy = table.clone();
                *entries(&mut copy).expect("a copy of a table with a list") = held;
                held_tables.insert(name.clone(), copy);
            }
            let is_forwarded = !forwarded.is_empty();
            *entries(table).expect("a table with a list") = forwarded;
            is_forwarded
        });
        let forwarded = Some(request.to_string().into());
        Some(Self { forwarded, held_back: HeldBack::Tables { name, tables: held_tables } })
    }

    fn split_statements(request: &[u8], rng: &mut Rng) -> Option<Self> {
        let request: Value = serde_json::from_slice(request).ok()?;
        let statements = request.get("Statements")?.as_array()?;
        if statements.is_empty() {
            return None;
        }
        let results: Vec<StatementResult> = choose(statements.len(), rng.usize(1..=statements.len()), rng)
            .into_iter()
            .map(|held| match held.then(|| ERRORS[rng.usize(..ERRORS.len())]) {
                None => StatementResult::Original,
                Some(SERVER_ERROR) if rng.bool() => StatementResult::Ambiguous,
                Some((code, message)) => StatementResult::Rejected(code, message),
            })
            .collect();
        Self::with_results(request, results)
    }

    /// Rejects some statements of a request, each with a code and a message; nothing if the request has none.
    pub(super) fn reject(request: Value, errors: Vec<Option<(&'static str, &'static str)>>) -> Option<Self> {
        let result = |error: Option<(&'static str, &'static str)>| match error {
            Some((code, message)) => StatementResult::Rejected(code, message),
            None => StatementResult::Original,
        };
        Self::with_results(request, errors.into_iter().map(result).collect())
    }

    fn with_results(mut request: Value, results: Vec<StatementResult>) -> Option<Self> {
        let statements = request.get_mut("Statements")?.as_array_mut()?;
        let mut each = results.iter();
        statements.retain(|_| !matches!(each.next(), Some(StatementResult::Rejected(..))));
        let forwarded = (!statements.is_empty()).then(|| request.to_string().into());
        Some(Self { forwarded, held_back: HeldBack::Statements(results) })
    }

    /// The request to forward, unless everything is held back.
    pub(super) fn forwarded(&self) -> Option<Bytes> {
        self.forwarded.clone()
    }

    /// The number of keys, writes or statements that the response reports as failed.
    pub(super) fn held_back(&self) -> usize {
        match &self.held_back {
            HeldBack::Tables { tables, .. } => {
                tables.values().map(|table| table.get("Keys").unwrap_or(table).as_array().map_or(0, Vec::len)).sum()
            }
            HeldBack::Statements(results) => {
                results.iter().filter(|result| !matches!(result, StatementResult::Original)).count()
            }
        }
    }

    /// The response to the whole request, from DynamoDB's response to the forwarded part.
    pub(super) fn complete(&self, response: Option<&[u8]>) -> Bytes {
        let mut response: Value = match response {
            Some(response) => serde_json::from_slice(response).expect("a response of DynamoDB Local in JSON"),
            None => json!({}),
        };
        match &self.held_back {
            HeldBack::Tables { name, tables } => {
                let unprocessed = &mut response[*name];
                for (table, held) in tables {
                    // DynamoDB may have left entries unprocessed itself.
                    let mut held = held.clone();
                    if let Some(more) = entries(&mut unprocessed[table]) {
                        more.append(entries(&mut held).expect("a table with a list"));
                    } else {
                        unprocessed[table] = held;
                    }
                }
            }
            HeldBack::Statements(results) => {
                let mut originals: VecDeque<Value> = match response["Responses"].take() {
                    Value::Array(responses) => responses.into(),
                    _ => VecDeque::new(),
                };
                let error = |code: &str, message: &str| json!({ "Error": { "Code": code, "Message": message } });
                let responses = results.iter().map(|result| match result {
                    StatementResult::Original => originals.pop_front().expect("a response to each statement"),
                    StatementResult::Rejected(code, message) => error(code, message),
                    StatementResult::Ambiguous => {
                        originals.pop_front();
                        error(SERVER_ERROR.0, SERVER_ERROR.1)
                    }
                });
                response["Responses"] = responses.collect();
            }
        }
        response.to_string().into()
    }
}

/// The keys of a table in `BatchGetItem`, or its writes in `BatchWriteItem`.
fn entries(table: &mut Value) -> Option<&mut Vec<Value>> {
    match table {
        Value::Array(writes) => Some(writes),
        Value::Object(read) => read.get_mut("Keys")?.as_array_mut(),
        _ => None,
    }
}

/// A random choice of `chosen` out of `total`: for each, whether it is chosen.
fn choose(total: usize, chosen: usize, rng: &mut Rng) -> Vec<bool> {
    let mut choice: Vec<bool> = (0..total).map(|i| i < chosen).collect();
    rng.shuffle(&mut choice);
    choice
}
