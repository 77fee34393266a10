//! Condition expressions: comparisons, `attribute_exists`, `attribute_not_exists`, `AND`, `OR` and parentheses.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::failure::Failure;
use super::table::Item;

/// The names and values that stand for `#name` and `:value` in expressions, and which of them were used.
pub(super) struct Placeholders<'a> {
    names: Option<&'a Map<String, Value>>,
    values: Option<&'a Map<String, Value>>,
    used: BTreeSet<String>,
}

impl<'a> Placeholders<'a> {
    pub(super) fn of(body: &'a Value) -> Self {
        let map = |name: &str| body.get(name).and_then(Value::as_object);
        let (names, values) = (map("ExpressionAttributeNames"), map("ExpressionAttributeValues"));
        Self { names, values, used: BTreeSet::new() }
    }

    pub(super) fn name(&mut self, token: &str) -> Result<&'a str, Failure> {
        self.used.insert(token.to_owned());
        let name = self.names.and_then(|names| names.get(token)?.as_str());
        name.ok_or_else(|| Failure::invalid(format!("An expression attribute name is not defined: {token}")))
    }

    pub(super) fn value(&mut self, token: &str) -> Result<&'a Value, Failure> {
        self.used.insert(token.to_owned());
        let value = self.values.and_then(|values| values.get(token));
        value.ok_or_else(|| Failure::invalid(format!("An expression attribute value is not defined: {token}")))
    }

    /// DynamoDB refuses what no expression uses.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let all = self.names.into_iter().chain(self.values).flat_map(Map::keys);
        match all.filter(|name| !self.used.contains(*name)).collect::<Vec<_>>()[..] {
            [] => Ok(()),
            [unused, ..] => Err(Failure::invalid(format!("{unused} is given and unused in expressions"))),
        }
    }
}

/// Whether an item, or the absence of one, meets a condition.
pub(super) fn is_met(text: &str, placeholders: &mut Placeholders<'_>, item: Option<&Item>) -> Result<bool, Failure> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_ascii_whitespace().peekable();
    let mut parser = Parser { tokens: &mut tokens, placeholders, item };
    let met = parser.any()?;
    match tokens.next() {
        None => Ok(met),
        Some(token) => Err(invalid(token)),
    }
}

fn invalid(token: &str) -> Failure {
    Failure::invalid(format!("Invalid ConditionExpression: Syntax error; token: {token}"))
}

struct Parser<'p, 'a, 't> {
    tokens: &'p mut std::iter::Peekable<std::str::SplitAsciiWhitespace<'t>>,
    placeholders: &'p mut Placeholders<'a>,
    item: Option<&'p Item>,
}

impl<'t> Parser<'_, '_, 't> {
    fn take(&mut self) -> Result<&'t str, Failure> {
        self.tokens.next().ok_or_else(|| invalid("<EOF>"))
    }

    fn expect(&mut self, expected: &str) -> Result<(), Failure> {
        match self.take()? {
            token if token == expected => Ok(()),
            token => Err(invalid(token)),
        }
    }

    fn any(&mut self) -> Result<bool, Failure> {
        let mut met = self.all()?;
        while self.tokens.next_if_eq(&"OR").is_some() {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool, Failure> {
        let mut met = self.one()?;
        while self.tokens.next_if_eq(&"AND").is_some() {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, Failure> {
        match self.take()? {
            "(" => {
                let met = self.any()?;
                self.expect(")")?;
                Ok(met)
            }
            function @ ("attribute_exists" | "attribute_not_exists") => {
                let exists = function == "attribute_exists";
                self.expect("(")?;
                let name = self.take()?;
                let found = self.attribute(name)?.is_some();
                self.expect(")")?;
                Ok(found == exists)
            }
            name => {
                let found = self.attribute(name)?.cloned();
                let (operator, value) = (self.take()?, self.take()?);
                let value = self.placeholders.value(value)?;
                let order = found.and_then(|found| compare(&found, value));
                match operator {
                    "=" => Ok(order == Some(Ordering::Equal)),
                    "<=" => Ok(order.is_some_and(Ordering::is_le)),
                    ">" => Ok(order.is_some_and(Ordering::is_gt)),
                    other => Err(invalid(other)),
                }
            }
        }
    }

    fn attribute(&mut self, name: &str) -> Result<Option<&Value>, Failure> {
        let name = self.placeholders.name(name)?;
        Ok(self.item.and_then(|item| item.get(name)))
    }
}

/// The order of two values of one type; `None` if their types differ or have no order, and the values differ.
pub(super) fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    let of = |value: &Value, kind: &str| value.get(kind).and_then(Value::as_str).map(str::to_owned);
    if let (Some(one), Some(other)) = (of(one, "N"), of(other, "N")) {
        return match (one.parse::<i128>(), other.parse::<i128>()) {
            (Ok(one), Ok(other)) => Some(one.cmp(&other)),
            _ => one.parse::<f64>().ok()?.partial_cmp(&other.parse().ok()?),
        };
    }
    match (of(one, "S"), of(other, "S")) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => (one == other).then_some(Ordering::Equal),
    }
}
