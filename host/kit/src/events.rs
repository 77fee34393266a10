//! Sample events, and what a plugin is called with for them.
//!
//! A file of events has one payload a line, as in the stream. Such a file has no partition keys and no times of arrival:
//! `@partition-key` is the number of the line as a text, and `@arrival-ms` is [`FIRST_ARRIVAL_MS`] and a second more for
//! each line.

use std::io;
use std::path::Path;

use paceline_engine::{Column, ColumnBuf, Field};
use paceline_pipeline::fields::{self, PluginInput, read_columns, read_fields};
use paceline_pipeline::model::{Batch, BatchLimits, NotAPointer, Pointer, Reason};

/// The arrival of line 0: 2020-01-01T00:00:00Z.
pub const FIRST_ARRIVAL_MS: i64 = 1_577_836_800_000;

/// Events of a file.
#[derive(Clone, Debug)]
pub struct Events {
    /// A record for each event.
    batch: Batch,
    /// The lines that they stand on, from 1: empty lines are skipped.
    lines: Vec<u32>,
}

/// Which group a row belongs to, and what its score is, where the plugin is an aggregator.
#[derive(Clone, Debug, Default)]
pub struct Grouping {
    /// The field that names the group of an event. Without it, all events are of one group, whose name is empty.
    pub group: Option<Pointer>,
    /// The field with the score of an event. Without it, and where an event has no number there, the score is 0.
    pub score: Option<Pointer>,
}

/// What a plugin is called with for events.
#[derive(Clone, Debug)]
pub struct Input {
    /// The line of each row.
    pub lines: Vec<u32>,
    /// A column for each field that the plugin reads.
    pub columns: Vec<ColumnBuf>,
    /// The score of each row.
    pub scores: Vec<f64>,
    /// The group of each row, an index into `names`.
    pub groups: Vec<u32>,
    /// The groups' names, in the order in which they come.
    pub names: Vec<String>,
    /// The lines whose events the plugin would never see, ascending, each with the reason.
    pub unreadable: Vec<(u32, Reason)>,
}

impl Events {
    /// Reads a file of events.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read(path)?))
    }

    /// Events from the bytes of a file.
    pub fn parse(bytes: &[u8]) -> Self {
        let (mut batch, mut lines) = (Batch::new("events".into()), Vec::new());
        for (line, payload) in (1_u32..).zip(bytes.split(|byte| *byte == b'\n')) {
            if payload.trim_ascii().is_empty() {
                continue;
            }
            batch.push(payload.trim_ascii(), u64::from(line).into());
            let key = batch.push_bytes(line.to_string().as_bytes());
            if let Some(record) = batch.records.last_mut() {
                record.partition_key = Some(key);
                record.arrival_ms = Some(FIRST_ARRIVAL_MS + i64::from(line) * 1_000);
            }
            lines.push(line);
        }
        Self { batch, lines }
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What a plugin that declares these fields is called with.
    pub fn input(&self, declared: &[Field], grouping: &Grouping) -> Result<Input, NotAPointer> {
        let most = BatchLimits::default().max_payload_bytes;
        let PluginInput { records, columns, unreadable } = read_columns(&self.batch, declared, most)?;
        let pointers: Vec<Pointer> = grouping.group.iter().chain(&grouping.score).cloned().collect();
        let found = read_fields(&self.batch, &pointers, most);
        let mut input = Input {
            lines: records.iter().map(|&record| self.lines[record as usize]).collect(),
            columns,
            scores: Vec::with_capacity(records.len()),
            groups: Vec::with_capacity(records.len()),
            names: Vec::new(),
            unreadable: unreadable.into_iter().map(|(record, why)| (self.lines[record as usize], why)).collect(),
        };
        for &record in &records {
            let mut fields = found[record as usize].iter().flatten();
            let name = grouping.group.as_ref().and_then(|_| fields.next()).map_or(String::new(), text);
            let score = grouping.score.as_ref().and_then(|_| fields.next()).map_or(0.0, number);
            let group = input.names.iter().position(|other| *other == name).unwrap_or_else(|| {
                input.names.push(name);
                input.names.len() - 1
            });
            input.groups.push(group as u32);
            input.scores.push(score);
        }
        Ok(input)
    }
}

impl Input {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The columns, borrowed.
    pub fn columns(&self) -> Vec<Column<'_>> {
        self.columns.iter().map(ColumnBuf::as_column).collect()
    }

    /// Some of the rows, in this order; a row may come several times. All groups stay.
    pub fn take(&self, rows: &[u32]) -> Self {
        fn taken<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
            rows.iter().map(|&row| values[row as usize]).collect()
        }
        Self {
            lines: taken(&self.lines, rows),
            columns: self.columns.iter().map(|column| column.as_column().take(rows)).collect(),
            scores: taken(&self.scores, rows),
            groups: taken(&self.groups, rows),
            names: self.names.clone(),
            unreadable: Vec::new(),
        }
    }
}

fn text(field: &fields::Field) -> String {
    match field {
        fields::Field::Missing | fields::Field::Null => String::new(),
        fields::Field::Boolean(value) => value.to_string(),
        fields::Field::Integer(value) => value.to_string(),
        fields::Field::Number(value) => value.to_string(),
        fields::Field::Text(value) => value.clone(),
        fields::Field::Array => "[]".to_owned(),
        fields::Field::Object => "{}".to_owned(),
    }
}

fn number(field: &fields::Field) -> f64 {
    match field {
        fields::Field::Integer(value) => *value as f64,
        fields::Field::Number(value) => *value,
        _ => 0.0,
    }
}
