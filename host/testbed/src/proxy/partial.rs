//! Takes a part out of a batch request, and gives it back as unprocessed.

use std::collections::VecDeque;

use bytes::Bytes;
use fastrand::Rng;
use serde_json::{Map, Value, json};

/// A batch request of which a part is held back.
pub(super) struct Part {
    /// What to forward; nothing where everything is held back.
    rest: Option<Bytes>,
    held: Held,
}

enum Held {
    /// Tables in the shape that the request had them in, with the keys or writes held back.
    Tables {
        /// Where the answer has them: `UnprocessedKeys` or `UnprocessedItems`.
        name: &'static str,
        tables: Map<String, Value>,
    },
    /// What becomes of each statement.
    Statements(Vec<Told>),
}

/// What is told of a statement.
#[derive(Clone, Copy)]
enum Told {
    /// DynamoDB's own answer.
    Truth,
    /// That it failed; it was not forwarded.
    Refused(&'static str, &'static str),
    /// That the server failed; it was forwarded.
    Lost,
}

const SERVER_ERROR: (&str, &str) = ("InternalServerError", "Internal server error");
/// Codes that an answer to a batch of statements has for one worth trying again, and their messages.
const ERRORS: [(&str, &str); 4] = [
    ("ThrottlingError", "Rate of requests exceeds the allowed throughput"),
    ("ProvisionedThroughputExceeded", "The provisioned throughput for the table was exceeded"),
    ("RequestLimitExceeded", "Throughput exceeds the current throughput limit for your account"),
    SERVER_ERROR,
];

impl Part {
    /// Takes a part out of a request; nothing where it has no parts.
    pub(super) fn take(operation: &str, request: &[u8], rng: &mut Rng) -> Option<Self> {
        let name = match operation {
            "BatchGetItem" => "UnprocessedKeys",
            "BatchWriteItem" => "UnprocessedItems",
            "BatchExecuteStatement" => return Self::take_statements(request, rng),
            _ => return None,
        };
        let mut request: Value = serde_json::from_slice(request).ok()?;
        let tables = request.get_mut("RequestItems")?.as_object_mut()?;
        let total: usize = tables.values_mut().filter_map(entries).map(|entries| entries.len()).sum();
        if total < 2 {
            // Where nothing can be processed DynamoDB refuses the whole request, and that is another fault.
            return None;
        }
        let mut held = choose(total, rng.usize(1..total), rng).into_iter();
        let mut held_tables = Map::new();
        tables.retain(|table, of_table| {
            let Some(list) = entries(of_table) else { return true };
            let (back, on): (Vec<_>, Vec<_>) =
                std::mem::take(list).into_iter().partition(|_| held.next().expect("as many as were counted"));
            // What stands beside the keys, `ConsistentRead` say, belongs to both halves.
            if !back.is_empty() {
                let mut copy = of_table.clone();
                *entries(&mut copy).expect("a copy of a table with a list") = back;
                held_tables.insert(table.clone(), copy);
            }
            let goes_on = !on.is_empty();
            *entries(of_table).expect("it had a list") = on;
            goes_on
        });
        let rest = Some(request.to_string().into());
        Some(Self { rest, held: Held::Tables { name, tables: held_tables } })
    }

    fn take_statements(request: &[u8], rng: &mut Rng) -> Option<Self> {
        let mut request: Value = serde_json::from_slice(request).ok()?;
        let statements = request.get_mut("Statements")?.as_array_mut()?;
        if statements.is_empty() {
            return None;
        }
        let told: Vec<Told> = choose(statements.len(), rng.usize(1..=statements.len()), rng)
            .into_iter()
            .map(|held| match held.then(|| ERRORS[rng.usize(..ERRORS.len())]) {
                None => Told::Truth,
                Some(SERVER_ERROR) if rng.bool() => Told::Lost,
                Some((code, message)) => Told::Refused(code, message),
            })
            .collect();
        let mut each = told.iter();
        statements.retain(|_| !matches!(each.next(), Some(Told::Refused(..))));
        let rest = (!statements.is_empty()).then(|| request.to_string().into());
        Some(Self { rest, held: Held::Statements(told) })
    }

    /// What to forward; nothing where everything is held back.
    pub(super) fn rest(&self) -> Option<Bytes> {
        self.rest.clone()
    }

    /// How much is held back: keys, writes, statements that are told to have failed.
    pub(super) fn held(&self) -> usize {
        match &self.held {
            Held::Tables { tables, .. } => {
                tables.values().map(|table| table.get("Keys").unwrap_or(table).as_array().map_or(0, Vec::len)).sum()
            }
            Held::Statements(told) => told.iter().filter(|told| !matches!(told, Told::Truth)).count(),
        }
    }

    /// The answer to the whole request, from DynamoDB's to the rest of it.
    pub(super) fn complete(&self, answer: Option<&[u8]>) -> Bytes {
        let mut answer: Value = match answer {
            Some(answer) => serde_json::from_slice(answer).expect("DynamoDB answers in JSON"),
            None => json!({}),
        };
        match &self.held {
            Held::Tables { name, tables } => {
                let unprocessed = &mut answer[*name];
                for (table, held) in tables {
                    // DynamoDB may have left some of its own.
                    let mut held = held.clone();
                    if let Some(more) = entries(&mut unprocessed[table]) {
                        more.append(entries(&mut held).expect("what is held back has a list"));
                    } else {
                        unprocessed[table] = held;
                    }
                }
            }
            Held::Statements(told) => {
                let mut true_ones: VecDeque<Value> = match answer["Responses"].take() {
                    Value::Array(responses) => responses.into(),
                    _ => VecDeque::new(),
                };
                let error = |code: &str, message: &str| json!({ "Error": { "Code": code, "Message": message } });
                let each = told.iter().map(|told| match told {
                    Told::Truth => true_ones.pop_front().expect("an answer to each statement"),
                    Told::Refused(code, message) => error(code, message),
                    Told::Lost => {
                        true_ones.pop_front();
                        error(SERVER_ERROR.0, SERVER_ERROR.1)
                    }
                });
                answer["Responses"] = each.collect();
            }
        }
        answer.to_string().into()
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

/// Which of `total` are among a random choice of `chosen`.
fn choose(total: usize, chosen: usize, rng: &mut Rng) -> Vec<bool> {
    let mut choice: Vec<bool> = (0..total).map(|i| i < chosen).collect();
    rng.shuffle(&mut choice);
    choice
}
