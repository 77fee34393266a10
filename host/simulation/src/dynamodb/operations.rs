//! The operations that the store uses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Chance;
use super::condition::{Placeholders, compare, is_met};
use super::failure::Failure;
use super::statement::{Statement, StatementWrite, parse};
use super::table::{Item, Key, Table};
use crate::request::Request;

/// The most keys, writes and statements of a batch.
const MOST_KEYS: usize = 100;
const MOST_WRITES: usize = 25;
const MOST_STATEMENTS: usize = 25;

type Tables = BTreeMap<&'static str, Table>;

pub(super) fn execute(tables: &mut Tables, request: &Request, chance: &dyn Chance) -> Result<Value, Failure> {
    let body = &request.body;
    match request.operation.as_str() {
        "PutItem" => put_item(tables, body),
        "UpdateItem" => update_item(tables, body),
        "BatchGetItem" => batch_get(tables, body, chance),
        "BatchWriteItem" => batch_write(tables, body, chance),
        "BatchExecuteStatement" => batch_execute(tables, body, chance),
        "Query" => query(tables, body, chance),
        "Scan" => scan(tables, body, chance),
        other => Err(Failure::invalid(format!("the simulation has no operation {other}"))),
    }
}

fn table<'t>(tables: &'t mut Tables, name: Option<&str>) -> Result<&'t mut Table, Failure> {
    let found = name.and_then(|name| tables.get_mut(name));
    let message = "Cannot do operations on a non-existent table".to_owned();
    found.ok_or(Failure { code: "ResourceNotFound", message, item: None })
}

fn text<'b>(body: &'b Value, name: &str) -> Option<&'b str> {
    body.get(name).and_then(Value::as_str)
}

fn object<'b>(body: &'b Value, name: &str) -> Result<&'b Map<String, Value>, Failure> {
    body.get(name).and_then(Value::as_object).ok_or_else(|| Failure::invalid(format!("{name} is missing")))
}

fn array<'b>(body: &'b Value, name: &str) -> Result<&'b Vec<Value>, Failure> {
    body.get(name).and_then(Value::as_array).ok_or_else(|| Failure::invalid(format!("{name} is missing")))
}

/// The item that a failed condition answers with.
fn old_item(wanted: &Value, item: Option<&Item>) -> Option<Item> {
    item.filter(|_| text(wanted, "ReturnValuesOnConditionCheckFailure") == Some("ALL_OLD")).cloned()
}

fn consistent(body: &Value) -> Result<(), Failure> {
    // A read of what was there before would be right for DynamoDB, and wrong for the store.
    let is_consistent = body.get("ConsistentRead").and_then(Value::as_bool) == Some(true);
    is_consistent.then_some(()).ok_or_else(|| Failure::invalid("the simulation has consistent reads only"))
}

fn put_item(tables: &mut Tables, body: &Value) -> Result<Value, Failure> {
    let table = table(tables, text(body, "TableName"))?;
    let item = object(body, "Item")?;
    let before = table.items.get(&table.key_of(item)?);
    let mut placeholders = Placeholders::of(body);
    let met = match text(body, "ConditionExpression") {
        Some(condition) => is_met(condition, &mut placeholders, before)?,
        None => true,
    };
    placeholders.finish()?;
    if !met {
        return Err(Failure::condition(old_item(body, before)));
    }
    table.put(item.clone())?;
    Ok(json!({}))
}

/// `ADD #name :count`, with the new value as the answer.
fn update_item(tables: &mut Tables, body: &Value) -> Result<Value, Failure> {
    let table = table(tables, text(body, "TableName"))?;
    let key = object(body, "Key")?;
    let mut item = table.items.get(&table.bare_key(key)?).unwrap_or(key).clone();
    let mut placeholders = Placeholders::of(body);
    let expression: Vec<&str> = text(body, "UpdateExpression").unwrap_or_default().split_ascii_whitespace().collect();
    let ["ADD", name, value] = expression[..] else {
        return Err(Failure::invalid("the simulation knows `ADD #name :value` only"));
    };
    let (name, value) = (placeholders.name(name)?, placeholders.value(value)?);
    placeholders.finish()?;
    let number = |value: Option<&Value>| value.map_or(Some(0), |value| value.get("N")?.as_str()?.parse::<i128>().ok());
    let sum = number(item.get(name)).zip(number(Some(value))).map(|(before, more)| before + more);
    let sum = sum.ok_or_else(|| Failure::invalid("An operand in the update expression has an incorrect data type"))?;
    let sum = json!({ "N": sum.to_string() });
    item.insert(name.to_owned(), sum.clone());
    table.put(item)?;
    Ok(json!({ "Attributes": { name: sum } }))
}

fn batch_get(tables: &mut Tables, body: &Value, chance: &dyn Chance) -> Result<Value, Failure> {
    let (mut responses, mut unprocessed) = (Map::new(), Map::new());
    for (name, request) in object(body, "RequestItems")? {
        let table = table(tables, Some(name))?;
        consistent(request)?;
        let keys = array(request, "Keys")?;
        let all = keys.iter().map(|key| bare_key(table, key)).collect::<Result<Vec<_>, _>>()?;
        check_batch(all.iter(), MOST_KEYS)?;
        let (mut found, mut left) = (Vec::new(), Vec::new());
        for (key, asked) in all.iter().zip(keys) {
            match table.items.get(key) {
                _ if chance.leaves_out() => left.push(asked.clone()),
                Some(item) => found.push(Value::Object(item.clone())),
                None => {}
            }
        }
        // Items come in any order.
        let turn = chance.below(found.len() as u64) as usize;
        found.rotate_left(turn);
        responses.insert(name.clone(), Value::Array(found));
        if !left.is_empty() {
            unprocessed.insert(name.clone(), json!({ "Keys": left, "ConsistentRead": true }));
        }
    }
    Ok(json!({ "Responses": responses, "UnprocessedKeys": unprocessed }))
}

fn bare_key(table: &Table, key: &Value) -> Result<Key, Failure> {
    table.bare_key(key.as_object().ok_or_else(|| Failure::invalid("a key is missing"))?)
}

fn check_batch<'k>(keys: impl ExactSizeIterator<Item = &'k Key>, most: usize) -> Result<(), Failure> {
    let count = keys.len();
    if count == 0 || count > most {
        return Err(Failure::invalid(format!("a batch has 1 to {most} members, not {count}")));
    }
    match keys.collect::<BTreeSet<_>>().len() == count {
        true => Ok(()),
        false => Err(Failure::invalid("Provided list of item keys contains duplicates")),
    }
}

fn batch_write(tables: &mut Tables, body: &Value, chance: &dyn Chance) -> Result<Value, Failure> {
    let mut unprocessed = Map::new();
    for (name, requests) in object(body, "RequestItems")? {
        let table = table(tables, Some(name))?;
        let requests = requests.as_array().ok_or_else(|| Failure::invalid("RequestItems has no list"))?;
        let key = |request: &Value| match request.get("DeleteRequest") {
            Some(delete) => table.bare_key(object(delete, "Key")?),
            None => table.key_of(object(request.get("PutRequest").unwrap_or(&Value::Null), "Item")?),
        };
        let keys = requests.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        check_batch(keys.iter(), MOST_WRITES)?;
        let mut left = Vec::new();
        for (key, request) in keys.iter().zip(requests) {
            if chance.leaves_out() {
                left.push(request.clone());
                continue;
            }
            match request.get("PutRequest") {
                Some(put) => table.put(object(put, "Item")?.clone())?,
                None => drop(table.items.remove(key)),
            }
        }
        if !left.is_empty() {
            unprocessed.insert(name.clone(), Value::Array(left));
        }
    }
    Ok(json!({ "UnprocessedItems": unprocessed }))
}

/// Errors of a statement that the service does not execute, or of which it does not know.
const STATEMENT_FAILURES: [(&str, &str); 6] = [
    ("ThrottlingError", "Throughput exceeds the current capacity for one or more global secondary indexes."),
    ("ProvisionedThroughputExceeded", "The level of configured provisioned throughput for the table was exceeded."),
    ("RequestLimitExceeded", "Throughput exceeds the current throughput limit for your account."),
    ("TransactionConflict", "Transaction is ongoing for the item"),
    ("Validation", "Statement wasn't well formed, can't be processed"),
    ("InternalServerError", "Internal server error"),
];

fn batch_execute(tables: &mut Tables, body: &Value, chance: &dyn Chance) -> Result<Value, Failure> {
    let requests = array(body, "Statements")?;
    let mut statements = Vec::new();
    for request in requests {
        let parameters = request.get("Parameters").and_then(Value::as_array);
        let statement =
            parse(text(request, "Statement").unwrap_or_default(), parameters.map_or(&[][..], Vec::as_slice))?;
        let table = table(tables, Some(&statement.table))?;
        let key = match &statement.write {
            StatementWrite::Insert(item) => table.key_of(item),
            StatementWrite::Update { filter, .. } => table.key_of(filter),
        };
        statements.push((key?, statement));
    }
    check_batch(statements.iter().map(|(key, _)| key), MOST_STATEMENTS)?;
    let mut responses = Vec::new();
    for ((key, statement), request) in statements.into_iter().zip(requests) {
        let name = statement.table.clone();
        let mut done = Ok(());
        let fault = chance.leaves_out().then(|| STATEMENT_FAILURES[chance.below(6) as usize]);
        // An error of the service itself may come after the effect.
        if fault.is_none_or(|(code, _)| code == "InternalServerError" && chance.below(2) == 0) {
            done = execute_statement(table(tables, Some(&name))?, key, statement, request, chance);
        }
        if let Some((code, message)) = fault {
            done = Err(Failure { code, message: message.to_owned(), item: None });
        }
        responses.push(match done {
            Ok(()) => json!({ "TableName": name }),
            Err(failure) => json!({ "TableName": name, "Error": failure.into_statement_error() }),
        });
    }
    Ok(json!({ "Responses": responses }))
}

fn execute_statement(
    table: &mut Table,
    key: Key,
    Statement { write, .. }: Statement,
    request: &Value,
    chance: &dyn Chance,
) -> Result<(), Failure> {
    let before = table.items.get(&key);
    match (write, before) {
        (StatementWrite::Insert(item), None) => table.put(item),
        (StatementWrite::Insert(_), Some(_)) => {
            // The documentation does not say whether the item comes back.
            let item = old_item(request, before).filter(|_| chance.below(2) == 0);
            Err(Failure { code: "DuplicateItem", message: "Duplicate primary key exists in table".to_owned(), item })
        }
        (StatementWrite::Update { set, remove, filter }, before) => {
            let holds = |before: &&Item| {
                filter.iter().all(|(name, value)| {
                    before.get(name).is_some_and(|found| compare(found, value).is_some_and(|order| order.is_eq()))
                })
            };
            let Some(before) = before.filter(holds) else {
                return Err(Failure::condition(old_item(request, before)));
            };
            if set.keys().chain(&remove).any(|name| table.is_key(name)) {
                return Err(Failure::invalid("Cannot update attribute. This attribute is part of the key"));
            }
            let mut item = before.clone();
            item.extend(set);
            remove.iter().for_each(|name| drop(item.remove(name)));
            table.put(item)
        }
    }
}

fn query(tables: &mut Tables, body: &Value, chance: &dyn Chance) -> Result<Value, Failure> {
    let table = table(tables, text(body, "TableName"))?;
    consistent(body)?;
    let mut placeholders = Placeholders::of(body);
    let condition: Vec<&str> = text(body, "KeyConditionExpression").unwrap_or_default().split(' ').collect();
    let [name, "=", value] = condition[..] else {
        return Err(Failure::invalid("the simulation knows key conditions `#name = :value` only"));
    };
    let (name, value) = (placeholders.name(name)?, placeholders.value(value)?);
    placeholders.finish()?;
    let partition = value.get("S").and_then(Value::as_str).filter(|partition| !partition.is_empty());
    let partition = partition.filter(|_| table.is_key(name));
    let partition = partition.ok_or_else(|| Failure::invalid("Query condition missed key schema element"))?;
    page(table, body, chance, |(hash, _)| hash == partition)
}

fn scan(tables: &mut Tables, body: &Value, chance: &dyn Chance) -> Result<Value, Failure> {
    consistent(body)?;
    page(table(tables, text(body, "TableName"))?, body, chance, |_| true)
}

/// A page of items, and where the next one begins, if there may be one.
fn page(table: &Table, body: &Value, chance: &dyn Chance, is_wanted: impl Fn(&Key) -> bool) -> Result<Value, Failure> {
    let after = body.get("ExclusiveStartKey").map(|key| bare_key(table, key)).transpose()?;
    let is_after = |key: &Key| after.as_ref().is_none_or(|after| key > after);
    let wanted = table.items.iter().filter(|(key, _)| is_wanted(key) && is_after(key));
    let most = chance.page();
    let page: Vec<(&Key, &Item)> = wanted.take(most).collect();
    let items: Vec<&Item> = page.iter().map(|(_, item)| *item).collect();
    let mut answer = json!({ "Items": items, "Count": items.len(), "ScannedCount": items.len() });
    // A page that is full has a next one, be it empty.
    if let Some((key, _)) = page.last().filter(|_| page.len() == most) {
        answer["LastEvaluatedKey"] = Value::Object(table.key_item(key));
    }
    Ok(answer)
}
