//! What a plugin makes of sample events: a result for each event, or for each group of an aggregator.

use std::collections::BTreeMap;
use std::fmt;

use paceline_engine::{Aggregator, Called, ColumnBuf, Finished, PackedBuf, Scored, Scorer, Validated, Validator};
use serde_json::{Map, Value};

use crate::events::Input;
use crate::subject::Subject;

/// The result of an event or of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which event or group.
    pub id: Id,
    /// The result: `score`, `accepted`, `rejected`, `unreadable`, `failed`, and for each output of a group `outputs.NAME`.
    pub cells: BTreeMap<String, Value>,
}

/// Which event or group. Events come before groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// The event on this line.
    Line(u32),
    /// The group of this name.
    Group(String),
}

/// What begins the name of a cell that is an output.
const OUTPUTS: &str = "outputs";

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Group(name) => write!(f, "group {name:?}"),
        }
    }
}

impl Row {
    fn new(id: Id, name: &str, value: impl Into<Value>) -> Self {
        Self { id, cells: BTreeMap::from([(name.to_owned(), value.into())]) }
    }

    /// As a line of a file.
    pub fn to_json(&self) -> Value {
        let mut line = Map::new();
        match &self.id {
            Id::Line(number) => line.insert("line".to_owned(), (*number).into()),
            Id::Group(name) => line.insert("group".to_owned(), name.as_str().into()),
        };
        let mut outputs = Map::new();
        for (name, value) in &self.cells {
            match name.split_once('.') {
                Some((OUTPUTS, output)) => outputs.insert(output.to_owned(), value.clone()),
                _ => line.insert(name.clone(), value.clone()),
            };
        }
        if !outputs.is_empty() {
            line.insert(OUTPUTS.to_owned(), outputs.into());
        }
        line.into()
    }

    /// From the members of a line, without those that say which event or group it is.
    pub(crate) fn from_json(id: Id, line: Map<String, Value>) -> Self {
        let mut cells = BTreeMap::new();
        for (name, value) in line {
            match (name.as_str(), value) {
                (OUTPUTS, Value::Object(outputs)) => {
                    cells.extend(outputs.into_iter().map(|(name, value)| (format!("{OUTPUTS}.{name}"), value)));
                }
                (_, value) => drop(cells.insert(name, value)),
            }
        }
        Self { id, cells }
    }
}

/// Calls the plugin once with all events, as a host would, and returns the results in the order of their ids.
pub fn results(subject: &Subject, input: &Input) -> Called<Vec<Row>> {
    let unreadable = input.unreadable.iter();
    let mut rows: Vec<Row> = unreadable
        .map(|(line, why)| Row::new(Id::Line(*line), "unreadable", format!("{}: {}", why.cause, why.text)))
        .collect();
    rows.extend(match subject {
        Subject::Validator(validator) => validated(validator, input)?,
        Subject::Scorer(scorer) => scored(scorer, input)?,
        Subject::Aggregator(aggregator) => aggregated(aggregator, input)?,
    });
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(rows)
}

fn validated(validator: &Validator, input: &Input) -> Called<Vec<Row>> {
    let Validated { rejected, failed } = validator.session().validate(input.rows(), &input.columns())?;
    let mut rows: Vec<Row> = input.lines.iter().map(|line| Row::new(Id::Line(*line), "accepted", true)).collect();
    for (row, reason) in rejected {
        rows[row as usize] = Row::new(Id::Line(input.lines[row as usize]), "rejected", reason);
    }
    for (row, fault) in failed {
        rows[row as usize] = Row::new(Id::Line(input.lines[row as usize]), "failed", fault.to_string());
    }
    Ok(rows)
}

fn scored(scorer: &Scorer, input: &Input) -> Called<Vec<Row>> {
    let Scored { scores, failed } = scorer.session().score(input.rows(), &input.columns())?;
    let row = |(line, score): (&u32, &f64)| Row::new(Id::Line(*line), "score", *score);
    let mut rows: Vec<Row> = input.lines.iter().zip(&scores).map(row).collect();
    for (row, fault) in failed {
        rows[row as usize] = Row::new(Id::Line(input.lines[row as usize]), "failed", fault.to_string());
    }
    Ok(rows)
}

fn aggregated(aggregator: &Aggregator, input: &Input) -> Called<Vec<Row>> {
    let mut session = aggregator.session();
    let new: PackedBuf = input.names.iter().map(|_| &b""[..]).collect();
    let folded = session.fold(&input.columns(), &input.scores, &input.groups, new.as_packed())?;
    let Finished { columns, failed } = session.finish(folded.states.as_packed())?;
    let failed_row = |(row, fault): &(u32, _)| {
        Row::new(Id::Line(input.lines[*row as usize]), "failed", paceline_engine::Fault::to_string(fault))
    };
    let mut rows: Vec<Row> = folded.failed.iter().map(failed_row).collect();
    let names: Vec<_> = aggregator.outputs().iter().map(|output| output.name.as_str()).collect();
    for (group, name) in input.names.iter().enumerate() {
        let id = Id::Group(name.clone());
        // A group of which every row failed has no item.
        if folded.states.as_packed().get(group).is_empty() {
            continue;
        }
        let fault = failed.iter().find(|(failed, _)| *failed as usize == group);
        rows.push(match fault {
            Some((_, fault)) => Row::new(id, "failed", fault.to_string()),
            None => {
                let cells = names.iter().zip(&columns).map(|(name, column)| (name, value(column, group)));
                let cells = cells.filter(|(_, value)| !value.is_null());
                Row { id, cells: cells.map(|(name, value)| (format!("{OUTPUTS}.{name}"), value)).collect() }
            }
        });
    }
    Ok(rows)
}

/// A value of an output. A number that is not finite is not written, and becomes null.
fn value(column: &ColumnBuf, row: usize) -> Value {
    match column {
        ColumnBuf::Booleans(values) => values[row].into(),
        ColumnBuf::Integers(values) => values[row].into(),
        ColumnBuf::Numbers(values) => values[row].into(),
        ColumnBuf::Texts(values) => String::from_utf8_lossy(values.as_packed().get(row)).into(),
        ColumnBuf::Blobs(values) => {
            values.as_packed().get(row).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        }
    }
}
