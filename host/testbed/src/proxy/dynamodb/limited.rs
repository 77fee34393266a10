//! Writes of a table with limits: what it has no units for is throttled, and the rest is executed.
//!
//! A write takes the units of what it writes, by its size: DynamoDB Local does not report the capacity of statements. Items
//! whose indexed value changes take the index's units once, not twice.

use std::time::Instant;

use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::super::body::{FullResponse, into_parts};
use super::super::call::Call;
use super::super::counts::{Counts, is_write};
use super::super::faults::DynamoDbLimits;
use super::capacity::{Exceeded, WantedWrite};
use super::partial::PartialBatch;
use super::response::json_response;

const MESSAGE: &str = "The level of configured provisioned throughput for the table was exceeded. Consider increasing \
                       your provisioning level with the UpdateTable API.";
/// Of a partition key that has no units left, in the words of DynamoDB's reasons.
const KEY_MESSAGE: &str = "Throughput exceeds the current capacity of your table or index. \
                           TableWriteKeyRangeThroughputExceeded";

/// Responds to a write of the table with limits; nothing if the request is none.
pub(super) async fn respond(call: &mut Call, limits: &DynamoDbLimits) -> Option<FullResponse> {
    if !is_write(&call.operation, &call.body) {
        return None;
    }
    let request: Value = serde_json::from_slice(&call.body).ok()?;
    match call.operation.as_str() {
        "BatchExecuteStatement" => statements(call, limits, request).await,
        "PutItem" | "UpdateItem" | "DeleteItem" if request["TableName"] == *limits.table => {
            Some(item(call, limits, request).await)
        }
        "TransactWriteItems" => transaction(call, limits, request).await,
        _ => None,
    }
}

async fn statements(call: &mut Call, limits: &DynamoDbLimits, request: Value) -> Option<FullResponse> {
    let of_table = format!("\"{}\"", limits.table);
    let wanted: Vec<Option<WantedWrite>> = request["Statements"]
        .as_array()?
        .iter()
        .map(|statement| {
            let text = statement["Statement"].as_str().filter(|text| text.contains(&of_table))?;
            Some(of_statement(limits, text, &statement["Parameters"]))
        })
        .collect();
    let taken = take(call, limits, &wanted);
    let errors = taken.iter().map(|taken| taken.err().map(error)).collect();
    let batch = PartialBatch::reject(request, errors)?;
    let Some(forwarded) = batch.forwarded() else {
        return Some(json_response(StatusCode::OK, batch.complete(None), &mut call.plan.rng));
    };
    let (mut head, body) = into_parts(call.forward(forwarded).await).await;
    let response: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut results = response["Responses"].as_array().into_iter().flatten();
    let executed = wanted.iter().zip(&taken).filter(|(_, taken)| taken.is_ok());
    // Statements of other tables are executed, too.
    let executed =
        executed.map(|(wanted, _)| (wanted.as_ref(), results.next().is_some_and(|it| it["Error"].is_null())));
    let executed: Vec<_> = executed.collect();
    charge(call, limits, &executed);
    if head.status != StatusCode::OK {
        return Some(Response::from_parts(head, Full::new(body)));
    }
    // It is the checksum of the old body.
    head.headers.remove("x-amz-crc32");
    Some(Response::from_parts(head, Full::new(batch.complete(Some(&body)))))
}

async fn item(call: &mut Call, limits: &DynamoDbLimits, request: Value) -> FullResponse {
    let wanted = [Some(of_item(limits, &request))];
    if let Some(Err(exceeded)) = take(call, limits, &wanted).first() {
        let (reason, message) = match exceeded {
            Exceeded::Partition => ("TableWriteKeyRangeThroughputExceeded", KEY_MESSAGE),
            Exceeded::Table => ("TableWriteProvisionedThroughputExceeded", MESSAGE),
            Exceeded::Index => ("IndexWriteProvisionedThroughputExceeded", MESSAGE),
        };
        let arn = format!("arn:aws:dynamodb:us-east-1:000000000000:table/{}", limits.table);
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "message": message,
            "ThrottlingReasons": [{ "reason": reason, "resource": arn }],
        });
        return json_response(StatusCode::BAD_REQUEST, body.to_string().into(), &mut call.plan.rng);
    }
    let response = call.forward(call.body.clone()).await;
    charge(call, limits, &[(wanted[0].as_ref(), response.status() == StatusCode::OK)]);
    response
}

/// A transaction costs twice, and is executed as a whole or not at all.
async fn transaction(call: &mut Call, limits: &DynamoDbLimits, request: Value) -> Option<FullResponse> {
    let of_member = |member: &Value| {
        let item = member.as_object()?.values().find(|of| of["TableName"] == *limits.table)?;
        let write = of_item(limits, item);
        Some(WantedWrite { units: 2.0 * write.units, ..write })
    };
    let wanted: Vec<Option<WantedWrite>> = request["TransactItems"].as_array()?.iter().map(of_member).collect();
    let taken = take(call, limits, &wanted);
    if taken.iter().any(Result::is_err) {
        let back = wanted.iter().zip(&taken).filter(|(_, taken)| taken.is_ok());
        back.filter_map(|(write, _)| write.as_ref()).for_each(|write| call.state.capacity().give_back(write));
        let reason = |taken: &Result<(), Exceeded>| match taken.map_err(error) {
            Ok(()) => json!({ "Code": "None" }),
            Err((code, message)) => json!({ "Code": code, "Message": message }),
        };
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
            "CancellationReasons": taken.iter().map(reason).collect::<Vec<_>>(),
        });
        return Some(json_response(StatusCode::BAD_REQUEST, body.to_string().into(), &mut call.plan.rng));
    }
    let response = call.forward(call.body.clone()).await;
    let done = response.status() == StatusCode::OK;
    let executed: Vec<_> = wanted.iter().map(|write| (write.as_ref(), done)).collect();
    charge(call, limits, &executed);
    Some(response)
}

/// The write of a whole item.
fn of_item(limits: &DynamoDbLimits, request: &Value) -> WantedWrite {
    let key = ["Item", "Key"].into_iter().find_map(|part| request[part][&limits.partition]["S"].as_str());
    let indexed = limits.index.as_ref().is_some_and(|index| !request["Item"][&index.attribute].is_null());
    let units = write_units(attribute_bytes(&request["Item"]));
    WantedWrite { partition: key.unwrap_or_default().to_owned(), indexed, units }
}

/// About the bytes of an object of attributes, with their names.
fn attribute_bytes(attributes: &Value) -> usize {
    let attributes = attributes.as_object().into_iter().flatten();
    attributes.map(|(name, value)| name.len() + value_bytes(value)).sum()
}

/// The write of a statement such as `INSERT INTO "t" VALUE {'PK':?,…}` or `UPDATE "t" SET "a"=? … WHERE "PK"=? AND …`.
fn of_statement(limits: &DynamoDbLimits, text: &str, parameters: &Value) -> WantedWrite {
    let has = |name: &str| [format!("'{name}':?"), format!("\"{name}\"=?")].iter().find_map(|it| text.find(it));
    let parameter = has(&limits.partition).map(|at| text[..at].matches('?').count());
    let partition = parameter.and_then(|number| parameters[number]["S"].as_str()).unwrap_or_default().to_owned();
    let indexed = limits.index.as_ref().is_some_and(|index| has(&index.attribute).is_some());
    // Names are in the text, quoted and with a mark for each value.
    let names = text.len().saturating_sub(of_table_bytes(limits));
    let values: usize = parameters.as_array().into_iter().flatten().map(value_bytes).sum();
    WantedWrite { partition, indexed, units: write_units(names / 2 + values) }
}

/// Bytes of a statement's text that are not attributes.
fn of_table_bytes(limits: &DynamoDbLimits) -> usize {
    limits.table.len() + r#"UPDATE "" WHERE "PK"=? AND "SK"=? AND "@revision"=?"#.len()
}

/// About the bytes of a value such as `{"S":"text"}`; of binary ones as Base64.
fn value_bytes(value: &Value) -> usize {
    let bytes = |(kind, value): (&String, &Value)| match (kind.as_str(), value.as_str()) {
        ("B", Some(text)) => text.len() / 4 * 3,
        // A number has a byte for two digits.
        ("N", Some(text)) => text.len().div_ceil(2) + 1,
        ("M", None) => attribute_bytes(value),
        (_, Some(text)) => text.len(),
        _ => value.to_string().len(),
    };
    value.as_object().and_then(|fields| fields.iter().next()).map_or(0, bytes)
}

/// A unit for each KB.
fn write_units(bytes: usize) -> f64 {
    bytes.div_ceil(1_024).max(1) as f64
}

/// Takes the capacity for each write. What is not of the table needs none.
fn take(call: &Call, limits: &DynamoDbLimits, wanted: &[Option<WantedWrite>]) -> Vec<Result<(), Exceeded>> {
    // The same time for all, however long the loop takes.
    let now = Instant::now();
    let mut capacity = call.state.capacity();
    let take = |write: &Option<WantedWrite>| match write {
        Some(write) => capacity.take(limits, write, now),
        None => Ok(()),
    };
    let taken: Vec<_> = wanted.iter().map(take).collect();
    drop(capacity);
    call.state.count(|counts| taken.iter().filter_map(|taken| taken.err()).for_each(|it| count(counts, limits, it)));
    taken
}

fn count(counts: &mut Counts, limits: &DynamoDbLimits, exceeded: Exceeded) {
    let index = limits.index.as_ref().map(|index| format!("{}/{}", limits.table, index.name));
    match exceeded {
        Exceeded::Table => counts.writes.entry(limits.table.clone()).or_default().throttled += 1,
        Exceeded::Partition => counts.writes.entry(limits.table.clone()).or_default().throttled_by_key += 1,
        Exceeded::Index => counts.writes.entry(index.unwrap_or_default()).or_default().throttled += 1,
    }
}

/// Counts what executed writes took. One whose condition failed is billed in the table, not in the index.
fn charge(call: &Call, limits: &DynamoDbLimits, executed: &[(Option<&WantedWrite>, bool)]) {
    let (mut table, mut index, mut returned) = (0.0, 0.0, 0.0);
    for (write, done) in executed {
        let Some(write) = write else { continue };
        table += write.units;
        match (write.indexed, done) {
            (true, true) => index += write.units,
            (true, false) => returned += write.units,
            (false, _) => {}
        }
    }
    call.state.capacity().return_to_index(returned);
    call.state.count(|counts| {
        counts.writes.entry(limits.table.clone()).or_default().units += table;
        if let Some(of) = &limits.index {
            counts.writes.entry(format!("{}/{}", limits.table, of.name)).or_default().units += index;
        }
    });
}

fn error(exceeded: Exceeded) -> (&'static str, &'static str) {
    match exceeded {
        Exceeded::Partition => ("ThrottlingError", KEY_MESSAGE),
        Exceeded::Table | Exceeded::Index => ("ProvisionedThroughputExceeded", MESSAGE),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::faults::{IndexLimit, UnitLimit};
    use super::*;

    #[test]
    fn a_statement_has_a_partition_key_an_index_and_a_size() {
        let any = UnitLimit { per_second: 1.0, kept: 1.0, at_first: 1.0 };
        let index = IndexLimit { name: "GSI_Index".to_owned(), attribute: "GSI".to_owned(), units: any };
        let (table, partition) = ("races".to_owned(), "PK".to_owned());
        let limits = DynamoDbLimits { table, partition, units: any, index: Some(index), partition_units: any };
        let of = |text: &str, parameters: &Value| {
            let WantedWrite { partition, indexed, units } = of_statement(&limits, text, parameters);
            (partition, indexed, units)
        };
        let insert = r#"INSERT INTO "races" VALUE {'PK':?,'SK':?,'@state':?,'GSI':?}"#;
        let parameters = json!([{ "S": "race-3-7" }, { "S": "racer-1" }, { "B": "" }, { "N": "1" }]);
        assert_eq!(of(insert, &parameters), ("race-3-7".to_owned(), true, 1.0));
        let update = r#"UPDATE "races" SET "@state"=? SET "x"=? WHERE "PK"=? AND "SK"=? AND "@revision"=?"#;
        let parameters = json!([{ "B": "" }, { "N": "1" }, { "S": "race-3-8" }, { "S": "racer-1" }, { "N": "4" }]);
        assert_eq!(of(update, &parameters), ("race-3-8".to_owned(), false, 1.0));
    }
}
