//! What a check comes to.

use serde::Serialize;

use crate::history::{Point, Timestamp};
use crate::scope::Scope;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something to know. Nothing has to be done now.
    Note,
    /// It is late, costs too much, or will be critical.
    Warning,
    /// Records are lost, or will be, or nothing goes on.
    Critical,
}

/// What a check comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All is well, in one line.
    Healthy(String),
    /// What is wrong, by subject.
    Findings(Vec<Finding>),
    /// Nothing is known, and why.
    NotChecked(String),
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Of what, such as `index GSI_Index of table alleycat-races`.
    pub subject: String,
    /// What is wrong and why, in a sentence.
    pub reason: String,
    /// Whether it still was so at the history's end. What is over is no cause of what goes on.
    pub ongoing: bool,
    /// What was measured.
    pub evidence: Vec<Evidence>,
    /// The arithmetic, a line for each step.
    pub arithmetic: Vec<String>,
    /// What to do, the best first.
    pub remedies: Vec<Remedy>,
    /// When it was and what it concerns: only what comes before something of the same is its cause.
    #[serde(skip)]
    pub scope: Scope,
}

/// Something that was measured, or a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evidence {
    /// The metric or the setting.
    pub what: String,
    /// Its value.
    pub value: f64,
    /// Its unit, such as `units a second`.
    pub unit: String,
    /// From where on it is a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// When: the beginning of the point's period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Remedy {
    /// A command that can be pasted.
    pub command: String,
    /// What it changes.
    pub effect: String,
    /// What it costs a month.
    pub cost: String,
    /// What it would break, or what it depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<String>,
}

impl Outcome {
    /// The findings, or that there are none.
    pub(crate) fn of(findings: Vec<Finding>, healthy: impl Into<String>) -> Self {
        if findings.is_empty() { Self::Healthy(healthy.into()) } else { Self::Findings(findings) }
    }
}

impl Finding {
    pub(crate) fn new(severity: Severity, subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            severity,
            subject: subject.into(),
            reason: reason.into(),
            ongoing: true,
            evidence: Vec::new(),
            arithmetic: Vec::new(),
            remedies: Vec::new(),
            scope: Scope::default(),
        }
    }

    pub(crate) fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    pub(crate) fn evidences(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    pub(crate) fn arithmetic(mut self, line: impl Into<String>) -> Self {
        self.arithmetic.push(line.into());
        self
    }

    pub(crate) fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }

    pub(crate) fn remedies(mut self, remedies: impl IntoIterator<Item = Remedy>) -> Self {
        self.remedies.extend(remedies);
        self
    }

    /// The earliest instant at which it can have begun, and the latest at which it can have happened.
    pub(crate) fn during(mut self, (began, last): (Option<Timestamp>, Option<Timestamp>)) -> Self {
        (self.scope.began, self.scope.last) = (began, last);
        self
    }

    /// The versions that it concerns.
    pub(crate) fn of_version(mut self, version: &str) -> Self {
        self.scope.versions = Some([version.to_owned()].into());
        self
    }

    /// What is over is a note.
    pub(crate) fn ongoing(mut self, ongoing: bool) -> Self {
        self.ongoing = ongoing;
        if !ongoing {
            self.severity = Severity::Note;
        }
        self
    }
}

impl Evidence {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: impl Into<String>) -> Self {
        Self { what: what.into(), value, unit: unit.into(), threshold: None, at: None }
    }

    pub(crate) fn point(what: impl Into<String>, point: Point, unit: impl Into<String>) -> Self {
        Self { at: Some(point.0), ..Self::new(what, point.1, unit) }
    }

    pub(crate) fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }
}

impl Remedy {
    pub(crate) fn new(command: impl Into<String>, effect: impl Into<String>, cost: impl Into<String>) -> Self {
        Self { command: command.into(), effect: effect.into(), cost: cost.into(), breaks: None }
    }

    pub(crate) fn breaks(mut self, what: impl Into<String>) -> Self {
        self.breaks = Some(what.into());
        self
    }
}
