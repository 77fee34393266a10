//! The states of stream and tables themselves.

use super::facts::{STREAM, not_known};
use crate::command::Command;
use crate::finding::{Finding, Outcome, Remedy, Severity};
use crate::history::History;

/// Whether stream and tables are in use.
pub(super) fn status(history: &History) -> Outcome {
    if history.stream.is_none() && history.tables.is_empty() {
        return Outcome::NotChecked(not_known(history, STREAM, "neither stream nor table is known"));
    }
    let describe = |operation: &str, option: &str, name: &str| {
        let command = Command::aws(history, operation).option(option, name).build();
        Remedy::new(command, "Shows its state.", "nothing")
    };
    let stream = history.stream.iter().map(|stream| {
        let remedy = describe("kinesis describe-stream-summary", "--stream-name", &stream.name);
        ("stream", stream.name.as_str(), stream.status.as_str(), remedy)
    });
    let tables = history.tables.iter().map(|table| {
        let remedy = describe("dynamodb describe-table", "--table-name", &table.name);
        ("table", table.name.as_str(), table.status.as_str(), remedy)
    });
    let mut findings = Vec::new();
    for (kind, name, status, remedy) in stream.chain(tables).filter(|it| it.2 != "ACTIVE") {
        let (severity, reason) = match status {
            "UPDATING" => (Severity::Note, format!("The {kind} is being changed. It is read and written meanwhile.")),
            status => (Severity::Critical, format!("The {kind} is {status}: it cannot be used.")),
        };
        findings.push(Finding::new(severity, format!("{kind} {name}"), reason).remedy(remedy));
    }
    Outcome::of(findings, "stream and tables are active")
}
