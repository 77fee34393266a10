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
    why: String,
    fields: Vec<(String, String)>,
}

/// The lines on which it fails, and why.
fn failed_lines(results: &[Row]) -> impl Iterator<Item = (u32, &Value)> {
    results.iter().filter_map(|row| match &row.id {
        Id::Line(line) => Some((*line, row.cells.get("failed")?)),
        Id::Group(_) => None,
    })
}

/// The rows on which it does not fail.
pub(super) fn sound_rows(input: &Input, results: &[Row]) -> Vec<u32> {
    let failed: BTreeSet<u32> = failed_lines(results).map(|(line, _)| line).collect();
    (0..input.rows() as u32).filter(|&row| !failed.contains(&input.lines[row as usize])).collect()
}

/// Those among the results.
pub(super) fn failed_rows(subject: &Subject, input: &Input, results: &[Row]) -> Vec<FailedRow> {
    let columns = input.columns();
    let row = |(line, why): (u32, &Value)| {
        let row = input.lines.iter().position(|other| *other == line)?;
        let mut fields = subject.plugin().shown_row(&columns, row);
        if let Subject::Aggregator(_) = subject {
            fields.push(("score".to_owned(), input.scores[row].to_string()));
        }
        Some(FailedRow { line, why: why.as_str().unwrap_or_default().to_owned(), fields })
    };
    failed_lines(results).filter_map(row).collect()
}

impl FailedRow {
    pub(super) fn to_json(&self) -> Value {
        let fields: Map<_, _> = self.fields.iter().map(|(path, value)| (path.clone(), value.as_str().into())).collect();
        json!({ "line": self.line, "failed": self.why, "fields": fields })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let fails = format!("line {} fails: {}", self.line, self.why);
        let mut lines = vec![String::new(), fails, "The plugin reads of it:".to_owned()];
        let rows: Vec<_> = self.fields.iter().map(|(path, value)| vec![path.clone(), value.clone()]).collect();
        lines.extend(report::aligned(&rows).into_iter().map(|line| format!("  {line}")));
        lines
    }
}
