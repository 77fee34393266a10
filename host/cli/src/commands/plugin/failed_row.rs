//! The events on which a plugin fails, with what it reads of them.

use std::collections::BTreeSet;

use paceline_kit::events::Input;
use paceline_kit::results::{Id, Row};
use paceline_kit::subject::Subject;
use serde_json::{Map, Value, json};

use crate::report;

/// An event on which a plugin fails.
pub(super) struct FailedRow {
    line: u32,
    fields: Vec<(String, String)>,
}

/// The lines on which it fails.
fn failed_lines(results: &[Row]) -> impl Iterator<Item = u32> {
    let failed = results.iter().filter(|row| row.cells.contains_key("failed"));
    failed.filter_map(|row| match &row.id {
        Id::Line(line) => Some(*line),
        Id::Group(_) => None,
    })
}

/// The rows on which it does not fail.
pub(super) fn sound_rows(input: &Input, results: &[Row]) -> Vec<u32> {
    let failed: BTreeSet<u32> = failed_lines(results).collect();
    (0..input.rows() as u32).filter(|&row| !failed.contains(&input.lines[row as usize])).collect()
}

/// Those among the results.
pub(super) fn failed_rows(subject: &Subject, input: &Input, results: &[Row]) -> Vec<FailedRow> {
    let columns = input.columns();
    let row = |line: u32| {
        let row = input.lines.iter().position(|other| *other == line)?;
        let mut fields = subject.plugin().shown_row(&columns, row);
        if let Subject::Aggregator(_) = subject {
            fields.push(("score".to_owned(), input.scores[row].to_string()));
        }
        Some(FailedRow { line, fields })
    };
    failed_lines(results).filter_map(row).collect()
}

impl FailedRow {
    pub(super) fn to_json(&self) -> Value {
        let fields: Map<_, _> = self.fields.iter().map(|(path, value)| (path.clone(), value.as_str().into())).collect();
        json!({ "line": self.line, "fields": fields })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new(), format!("line {} fails. The plugin reads of it:", self.line)];
        let rows: Vec<_> = self.fields.iter().map(|(path, value)| vec![path.clone(), value.clone()]).collect();
        lines.extend(report::aligned(&rows).into_iter().map(|line| format!("  {line}")));
        lines
    }
}
