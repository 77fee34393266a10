//! Expected results: a file with a result a line, and how results differ from it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::results::{Id, Row};

/// The results that a file expects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected(BTreeMap<Id, (Row, f64)>);

/// What is wrong with a line of a file of expected results.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ExpectedError {
    /// The line, from 1.
    pub line: usize,
    why: String,
}

/// How a result differs from the expected one.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// It is expected, and there is no such event or group.
    Missing(Row),
    /// It is there, and not expected.
    Unexpected(Row),
    /// A value of it is another one. `None` where one of both has no such value.
    Other {
        /// The result.
        id: Id,
        /// The name of the value.
        column: String,
        /// What is expected.
        expected: Option<Value>,
        /// What is there.
        found: Option<Value>,
    },
}

impl Difference {
    /// The event or group.
    pub fn id(&self) -> &Id {
        match self {
            Self::Missing(row) | Self::Unexpected(row) => &row.id,
            Self::Other { id, .. } => id,
        }
    }
}

impl Expected {
    /// Parses a file: one JSON object a line, `{"line": 1, "score": 167.04}` or `{"group": "7", "outputs": {"best": 2}}`. A
    /// member `within` allows numbers to differ by so much.
    pub fn parse(text: &str) -> Result<Self, ExpectedError> {
        let mut expected = BTreeMap::new();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let wrong = |why: String| ExpectedError { line, why };
            let mut members: Map<String, Value> =
                serde_json::from_str(text).map_err(|error| wrong(format!("not a JSON object: {error}")))?;
            let id = match (members.remove("line"), members.remove("group")) {
                (Some(number), None) => {
                    let number = number.as_u64().and_then(|number| u32::try_from(number).ok());
                    Id::Line(number.ok_or_else(|| wrong("`line` is not the number of a line".to_owned()))?)
                }
                (None, Some(Value::String(name))) => Id::Group(name),
                (None, Some(_)) => return Err(wrong("`group` is not a text".to_owned())),
                _ => return Err(wrong("a result has either `line`, of its event, or `group`".to_owned())),
            };
            let within = match members.remove("within") {
                None => 0.0,
                Some(within) => within.as_f64().ok_or_else(|| wrong("`within` is not a number".to_owned()))?,
            };
            let row = Row::from_json(id.clone(), members);
            if expected.insert(id.clone(), (row, within)).is_some() {
                return Err(wrong(format!("a second result of {id}")));
            }
        }
        Ok(Self(expected))
    }

    /// A file that expects these results.
    pub fn render(results: &[Row]) -> String {
        results.iter().map(|row| format!("{}\n", row.to_json())).collect()
    }

    /// How results differ from what is expected, in the order of their ids.
    pub fn compare(&self, results: &[Row]) -> Vec<Difference> {
        let found: BTreeMap<&Id, &Row> = results.iter().map(|row| (&row.id, row)).collect();
        let ids: BTreeSet<&Id> = self.0.keys().chain(found.keys().copied()).collect();
        let mut differences = Vec::new();
        for id in ids {
            match (self.0.get(id), found.get(id)) {
                (Some((row, _)), None) => differences.push(Difference::Missing(row.clone())),
                (None, Some(row)) => differences.push(Difference::Unexpected(Row::clone(row))),
                (Some((expected, within)), Some(found)) => differences.extend(others(expected, *within, found)),
                (None, None) => {}
            }
        }
        differences
    }
}

fn others(expected: &Row, within: f64, found: &Row) -> Vec<Difference> {
    let id = &expected.id;
    let columns: BTreeSet<&String> = expected.cells.keys().chain(found.cells.keys()).collect();
    let values = columns.into_iter().map(|column| (column, expected.cells.get(column), found.cells.get(column)));
    let other = values.filter(|(_, expected, found)| match (expected, found) {
        (Some(expected), Some(found)) => !equal(expected, found, within),
        _ => true,
    });
    let difference = |(column, expected, found): (&String, Option<&Value>, Option<&Value>)| Difference::Other {
        id: id.clone(),
        column: column.clone(),
        expected: expected.cloned(),
        found: found.cloned(),
    };
    other.map(difference).collect()
}

/// Integers beyond 53 bits are compared as integers. Other numbers are equal if they differ by at most `within`, however they are written.
fn equal(expected: &Value, found: &Value, within: f64) -> bool {
    match (expected.as_f64(), found.as_f64()) {
        _ if expected == found => true,
        _ if within == 0.0 && expected.is_i64() && found.is_i64() => false,
        (Some(expected), Some(found)) => (expected - found).abs() <= within,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_is_expected() {
        let row = |id, name: &str, value: Value| Row { id, cells: BTreeMap::from([(name.to_owned(), value)]) };
        let results = [
            row(Id::Line(2), "score", 0.1.into()),
            row(Id::Group("a \"b\"".to_owned()), "outputs.score", true.into()),
            row(Id::Group("c".to_owned()), "failed", "why".into()),
        ];
        let expected = Expected::parse(&Expected::render(&results)).unwrap();
        assert_eq!(expected.compare(&results), []);
        assert_eq!(expected.compare(&results[1..]), [Difference::Missing(results[0].clone())]);
    }

    #[test]
    fn numbers_are_equal_however_they_are_written_and_large_integers_are_not_rounded() {
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert!(equal(&number("2"), &number("2.0"), 0.0));
        assert!(!equal(&number("9007199254740993"), &number("9007199254740992"), 0.0));
        assert!(equal(&number("9007199254740993"), &number("9007199254740992"), 1.0));
        assert!(equal(&number("1"), &number("1.25"), 0.25) && !equal(&number("1"), &number("1.25"), 0.2));
        assert!(!equal(&number("1"), &Value::Null, 9.0));
    }
}
