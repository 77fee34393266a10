//! What went through the proxy, and the capacity that it consumed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use hyper::Version;
use serde::Deserialize;
use serde_json::Value;

use super::access::Access;
use super::plan::{FaultPlan, InjectedFault};

/// The requests that a proxy received, and the faults that it injected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests received, by operation.
    pub by_operation: BTreeMap<String, u64>,
    /// Requests received, by HTTP version: `HTTP/1.1`, `HTTP/2.0`.
    pub by_version: BTreeMap<String, u64>,
    /// What the requests need permission for.
    pub accesses: BTreeSet<Access>,
    /// Injected faults.
    pub injected: Injected,
    /// Write capacity units that DynamoDB reported, of requests with `ReturnConsumedCapacity`. Requests whose responses
    /// the caller did not get count, too: the capacity is consumed. Failed conditions do not count: DynamoDB does not
    /// report their capacity.
    pub write_units: f64,
    /// Read capacity units, counted the same way.
    pub read_units: f64,
    /// Writes of a table with [`DynamoDbLimits`](super::DynamoDbLimits), by `TABLE` and `TABLE/INDEX`.
    pub writes: BTreeMap<String, WriteCounts>,
}

/// Writes of a table or an index.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WriteCounts {
    /// Write units, by the sizes of what was written. Those of failed conditions are included.
    pub units: f64,
    /// Writes that were throttled because the table or the index had no units left.
    pub throttled: u64,
    /// Writes that were throttled because their partition key had none.
    pub throttled_by_key: u64,
}

/// The number of requests that met each fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// Throttled.
    pub throttles: u64,
    /// Answered by a server error and not forwarded.
    pub errors_before: u64,
    /// Forwarded, and answered by a server error.
    pub errors_after: u64,
    /// Not forwarded, and the connection reset.
    pub resets_before: u64,
    /// Forwarded, and the connection reset without a response.
    pub resets_after: u64,
    /// Delayed.
    pub delays: u64,
    /// Processed in part.
    pub partials: u64,
    /// Keys, puts, deletes, statements and records that were returned as failed, over all requests processed in part.
    pub held_back: u64,
    /// Requests, and records of a `PutRecords`, that exceeded a Kinesis shard's limit.
    pub over_limit: u64,
    /// Answered by `ExpiredIteratorException`.
    pub expired_iterators: u64,
    /// Subscriptions that were cut.
    pub cut_subscriptions: u64,
    /// Subscriptions that ended normally, as Kinesis's do after five minutes.
    pub ended_subscriptions: u64,
    /// Subscriptions that another reader took over.
    pub taken_subscriptions: u64,
    /// Subscriptions that ended with their shard.
    pub ended_shards: u64,
}

impl Injected {
    /// Requests that did not get the service's own response. Delays do not count, and neither do subscriptions, whose
    /// response comes before the fault.
    pub fn total(&self) -> u64 {
        let errors = self.throttles + self.errors_before + self.errors_after + self.expired_iterators;
        errors + self.resets_before + self.resets_after + self.partials
    }
}

impl Counts {
    /// Requests received for an operation.
    pub fn requests(&self, operation: &str) -> u64 {
        self.by_operation.get(operation).copied().unwrap_or(0)
    }

    /// Requests received for all operations.
    pub fn total(&self) -> u64 {
        self.by_operation.values().sum()
    }

    /// Counts a request; its number, from 1.
    pub(super) fn begin(&mut self, operation: &str, version: Version) -> u64 {
        increment(&mut self.by_operation, operation);
        increment(&mut self.by_version, &format!("{version:?}"));
        self.total()
    }

    /// Counts the faults drawn for a request. [`Self::held_back`] counts the partial ones, which depend on its body.
    pub(super) fn planned(&mut self, plan: &FaultPlan) {
        let injected = &mut self.injected;
        injected.delays += u64::from(plan.delay.is_some());
        match plan.fault {
            InjectedFault::None => {}
            InjectedFault::Throttle => injected.throttles += 1,
            InjectedFault::ErrorBefore => injected.errors_before += 1,
            InjectedFault::ErrorAfter => injected.errors_after += 1,
            InjectedFault::ResetBefore => injected.resets_before += 1,
            InjectedFault::ResetAfter => injected.resets_after += 1,
        }
    }

    /// Counts a request that is processed in part, with so many entries returned as failed.
    pub(super) fn held_back(&mut self, entries: usize) {
        self.injected.partials += 1;
        self.injected.held_back += entries as u64;
    }

    /// Adds the capacity that a response reports.
    pub(super) fn add_capacity(&mut self, operation: &str, request: &[u8], response: &[u8]) {
        #[derive(Deserialize)]
        struct Consumed {
            #[serde(rename = "ConsumedCapacity")]
            capacity: Option<Value>,
        }
        let Ok(Consumed { capacity: Some(capacity) }) = serde_json::from_slice(response) else { return };
        let units: f64 = match &capacity {
            Value::Array(tables) => tables.iter().map(units).sum(),
            table => units(table),
        };
        if is_write(operation, request) {
            self.write_units += units;
        } else {
            self.read_units += units;
        }
    }
}

fn increment(counts: &mut BTreeMap<String, u64>, name: &str) {
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

/// Whether a request writes. A statement does unless it begins with `SELECT`; a batch has statements of one kind only.
pub(super) fn is_write(operation: &str, request: &[u8]) -> bool {
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
    fn capacity_of_writes_and_of_reads_is_counted_separately() {
        let mut counts = Counts::default();
        let one = br#"{"ConsumedCapacity":{"TableName":"a","CapacityUnits":2.5}}"#;
        let list = br#"{"Responses":[],"ConsumedCapacity":[{"CapacityUnits":1},{"CapacityUnits":4.0}]}"#;
        counts.add_capacity("UpdateItem", b"{}", one);
        counts.add_capacity("BatchExecuteStatement", br#"{"Statements":[{"Statement":"UPDATE \"t\""}]}"#, list);
        assert_eq!((counts.write_units, counts.read_units), (7.5, 0.0));
        counts.add_capacity("Query", b"{}", one);
        counts.add_capacity("BatchExecuteStatement", br#"{"Statements":[{"Statement":"SELECT"}]}"#, list);
        assert_eq!((counts.write_units, counts.read_units), (7.5, 7.5));
        for response in [&b"{}"[..], b"", b"no JSON", br#"{"ConsumedCapacity":null}"#] {
            counts.add_capacity("Query", b"{}", response);
        }
        assert_eq!((counts.write_units, counts.read_units), (7.5, 7.5));
    }

    #[test]
    fn statements_write_unless_they_select() {
        let many =
            |statement| format!(r#"{{"Statements":[{{"Parameters":[{{"S":"1"}}],"Statement":"{statement}"}}]}}"#);
        assert!(is_write("BatchExecuteStatement", many(r#"UPDATE \"t\" SET a = 1"#).as_bytes()));
        assert!(!is_write("BatchExecuteStatement", many(r#"\n Select * FROM \"t\""#).as_bytes()));
        assert!(is_write("ExecuteStatement", br#"{"Statement":"DELETE FROM t"}"#));
        assert!(!is_write("ExecuteStatement", br#"{"Statement":"SELECT * FROM t"}"#));
        assert!(is_write("ExecuteTransaction", br#"{"TransactStatements":[{"Statement":"INSERT INTO t"}]}"#));
        assert!(!is_write("BatchGetItem", b"{}"));
        assert!(is_write("TransactWriteItems", b"{}"));
    }
}
