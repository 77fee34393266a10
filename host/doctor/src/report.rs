//! What all checks come to.

mod lag;
mod text;
mod verdict;

use serde::Serialize;

use crate::causes::{Diagnosis, arrange};
use crate::checks::{CHECKS, Reading, readings};
use crate::finding::{Outcome, Severity};
use crate::history::{History, Timestamp, Unavailable};
use crate::lag::Lag;

/// What all checks come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The whole in one line.
    pub verdict: String,
    /// The worst finding's severity; nothing without findings.
    pub severity: Option<Severity>,
    /// Whether every source could be read. If not, a report without warnings does not show health.
    pub complete: bool,
    /// The first instant that was looked at.
    pub since: Timestamp,
    /// The last one.
    pub until: Timestamp,
    /// What was looked at: `stream alleycat`, `function alleycat` and so on.
    pub subjects: Vec<String>,
    /// Findings, causes first, each with what follows from it.
    pub findings: Vec<Diagnosis>,
    /// How readers lag, by shard where that is known.
    pub lag: Vec<ReaderLag>,
    /// Checks without findings.
    pub healthy: Vec<CheckLine>,
    /// Checks that could not be done.
    pub not_checked: Vec<CheckLine>,
    /// What could not be read.
    pub unavailable: Vec<Unavailable>,
}

/// A check with its line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// The check's id.
    pub check: &'static str,
    /// What it came to, or why it could not be done.
    pub line: String,
}

/// How a reader lags on a shard.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReaderLag {
    /// Such as `function alleycat`.
    pub reader: String,
    /// The shard, if the age is one shard's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The metric that shows it.
    pub metric: &'static str,
    /// State, age and where that leads.
    #[serde(flatten)]
    pub lag: Lag,
}

/// Examines what was observed of a deployment.
#[must_use]
pub fn examine(history: &History) -> Report {
    let (mut found, mut healthy, mut not_checked) = (Vec::new(), Vec::new(), Vec::new());
    for check in &CHECKS {
        match check.run(history) {
            Outcome::Healthy(line) => healthy.push(CheckLine { check: check.id, line }),
            Outcome::NotChecked(line) => not_checked.push(CheckLine { check: check.id, line }),
            Outcome::Findings(findings) => found.extend(findings.into_iter().map(|finding| (check.id, finding))),
        }
    }
    let findings = arrange(found);
    let severity = findings.iter().map(Diagnosis::worst).max();
    let unread = verdict::unread(history);
    Report {
        verdict: verdict::verdict(&findings, (healthy.len(), not_checked.len()), &unread),
        severity,
        complete: unread.is_empty(),
        since: history.since,
        until: history.until,
        subjects: subjects(history),
        findings,
        lag: readings(history).into_iter().map(ReaderLag::from).collect(),
        healthy,
        not_checked,
        unavailable: history.unavailable.clone(),
    }
}

impl From<Reading> for ReaderLag {
    fn from(reading: Reading) -> Self {
        Self { reader: reading.reader, shard: reading.shard, metric: reading.metric, lag: reading.lag }
    }
}

fn subjects(history: &History) -> Vec<String> {
    let stream = history.stream.iter().map(|it| format!("stream {}", it.name));
    let function = history.function.iter().map(|it| format!("function {}", it.name));
    let tables = history.tables.iter().map(|it| format!("table {}", it.name));
    stream.chain(function).chain(tables).collect()
}

impl Report {
    /// The exit code: 0 healthy or notes only, 3 warnings, 4 something critical, 5 if it is unknown whether the deployment
    /// is healthy, because a source could not be read or nothing could be checked. 1 and 2 are the program's own: it
    /// failed, or its arguments are invalid.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.severity {
            Some(Severity::Critical) => 4,
            Some(Severity::Warning) => 3,
            _ if !self.complete => 5,
            None if self.healthy.is_empty() => 5,
            Some(Severity::Note) | None => 0,
        }
    }

    /// The report for people, in 80 columns.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        text::render(self, colour)
    }
}
