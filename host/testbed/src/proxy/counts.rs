//! What went through, and what capacity it took.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hyper::Version;
use serde::Deserialize;
use serde_json::Value;

use super::faults::{Fate, Plan};

/// What a proxy has seen and done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests that came in, by operation.
    pub by_operation: BTreeMap<String, u64>,
    /// Requests that came in, by the version of HTTP that they came by: `HTTP/1.1`, `HTTP/2.0`.
    pub by_version: BTreeMap<String, u64>,
    /// What went wrong on purpose.
    pub injected: Injected,
    /// Write capacity that DynamoDB says it took, of requests that asked for `ReturnConsumedCapacity`. Those whose
    /// answers were kept from the caller count too: the capacity is gone. Failed conditions are missing, for DynamoDB
    /// does not say what they took.
    pub write_units: f64,
    /// Likewise read capacity.
    pub read_units: f64,
}

/// Requests that met each kind of fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// Refused as too many.
    pub throttles: u64,
    /// Answered by a server error without having taken effect.
    pub errors_before: u64,
    /// Answered by a server error after having taken effect.
    pub errors_after: u64,
    /// Not forwarded, and the connection reset.
    pub resets_before: u64,
    /// Forwarded, and the connection reset without an answer.
    pub resets_after: u64,
    /// Made to wait.
    pub delays: u64,
    /// Done in part.
    pub partials: u64,
    /// The keys, puts, deletes, statements and records that were given back undone, over all the requests done in part.
    pub held_back: u64,
    /// Requests, and records of a `PutRecords`, that a shard of Kinesis' had no room for.
    pub over_limit: u64,
    /// Told that their iterator is too old.
    pub expired_iterators: u64,
    /// Subscriptions cut in the middle.
    pub cut_subscriptions: u64,
    /// Subscriptions ended in good order, as Kinesis does after five minutes.
    pub ended_subscriptions: u64,
    /// Subscriptions ended because their shard did, with its children.
    pub ended_shards: u64,
}

impl Injected {
    /// All requests that were not answered as the service would have on a good day: each but those that just waited,
    /// and subscriptions, which got an answer first.
    pub fn total(&self) -> u64 {
        let errors = self.throttles + self.errors_before + self.errors_after + self.expired_iterators;
        errors + self.resets_before + self.resets_after + self.partials
    }
}

impl Counts {
    /// The requests for an operation.
    pub fn requests(&self, operation: &str) -> u64 {
        self.by_operation.get(operation).copied().unwrap_or(0)
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.by_operation.values().sum()
    }

    /// Counts a request. The how many-th it is.
    pub(super) fn arrived(&mut self, operation: &str, version: Version) -> u64 {
        count(&mut self.by_operation, operation);
        count(&mut self.by_version, &format!("{version:?}"));
        self.total()
    }

    /// Counts what will happen to a request, but for parts held back, which shows only when it is read.
    pub(super) fn plan(&mut self, plan: &Plan) {
        let injected = &mut self.injected;
        injected.delays += u64::from(plan.delay.is_some());
        match plan.fate {
            Fate::Forward => {}
            Fate::Throttle => injected.throttles += 1,
            Fate::ErrorBefore => injected.errors_before += 1,
            Fate::ErrorAfter => injected.errors_after += 1,
            Fate::ResetBefore => injected.resets_before += 1,
            Fate::ResetAfter => injected.resets_after += 1,
        }
    }

    /// Counts a request done in part.
    pub(super) fn held_back(&mut self, parts: usize) {
        self.injected.partials += 1;
        self.injected.held_back += parts as u64;
    }

    /// Adds the capacity that an answer speaks of.
    pub(super) fn capacity(&mut self, operation: &str, request: &[u8], answer: &[u8]) {
        #[derive(Deserialize)]
        struct Consumed {
            #[serde(rename = "ConsumedCapacity")]
            capacity: Option<Value>,
        }
        let Ok(Consumed { capacity: Some(capacity) }) = serde_json::from_slice(answer) else { return };
        let units: f64 = match &capacity {
            Value::Array(tables) => tables.iter().map(units).sum(),
            table => units(table),
        };
        if writes(operation, request) {
            self.write_units += units;
        } else {
            self.read_units += units;
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

fn units(table: &Value) -> f64 {
    table["CapacityUnits"].as_f64().unwrap_or(0.0)
}

/// Whether a request writes. Statements do unless they begin with `SELECT`; a batch has only one sort.
pub(super) fn writes(operation: &str, request: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Statement<'a> {
        #[serde(rename = "Statement", borrow)]
        text: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Statements<'a> {
        #[serde(rename = "Statements", alias = "TransactStatements", borrow)]
        statements: Vec<Statement<'a>>,
    }
    let selects = |statement: &Statement<'_>| {
        statement.text.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"))
    };
    match operation {
        "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems" => true,
        "ExecuteStatement" => serde_json::from_slice(request).is_ok_and(|statement| !selects(&statement)),
        "BatchExecuteStatement" | "ExecuteTransaction" => serde_json::from_slice(request)
            .is_ok_and(|Statements { statements }| statements.first().is_some_and(|first| !selects(first))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_counted_for_writes_and_reads_apart() {
        let mut counts = Counts::default();
        let one = br#"{"ConsumedCapacity":{"TableName":"a","CapacityUnits":2.5}}"#;
        let list = br#"{"Responses":[],"ConsumedCapacity":[{"CapacityUnits":1},{"CapacityUnits":4.0}]}"#;
        counts.capacity("UpdateItem", b"{}", one);
        counts.capacity("BatchExecuteStatement", br#"{"Statements":[{"Statement":"UPDATE \"t\""}]}"#, list);
        assert_eq!((counts.write_units, counts.read_units), (7.5, 0.0));
        counts.capacity("Query", b"{}", one);
        counts.capacity("BatchExecuteStatement", br#"{"Statements":[{"Statement":"SELECT"}]}"#, list);
        assert_eq!((counts.write_units, counts.read_units), (7.5, 7.5));
        for answer in [&b"{}"[..], b"", b"no JSON", br#"{"ConsumedCapacity":null}"#] {
            counts.capacity("Query", b"{}", answer);
        }
        assert_eq!((counts.write_units, counts.read_units), (7.5, 7.5));
    }

    #[test]
    fn statements_write_unless_they_select() {
        let many =
            |statement| format!(r#"{{"Statements":[{{"Parameters":[{{"S":"1"}}],"Statement":"{statement}"}}]}}"#);
        assert!(writes("BatchExecuteStatement", many(r#"UPDATE \"t\" SET a = 1"#).as_bytes()));
        assert!(!writes("BatchExecuteStatement", many(r#"\n Select * FROM \"t\""#).as_bytes()));
        assert!(writes("ExecuteStatement", br#"{"Statement":"DELETE FROM t"}"#));
        assert!(!writes("ExecuteStatement", br#"{"Statement":"SELECT * FROM t"}"#));
        assert!(writes("ExecuteTransaction", br#"{"TransactStatements":[{"Statement":"INSERT INTO t"}]}"#));
        assert!(!writes("BatchGetItem", b"{}"));
        assert!(writes("TransactWriteItems", b"{}"));
    }
}
