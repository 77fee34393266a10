use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with a deployment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Verdict {
    /// The worst severity of the findings.
    pub severity: Severity,
    /// The verdict in one line.
    pub line: String,
    /// What was found, the first cause first.
    pub findings: Vec<Finding>,
    /// The checks that found nothing, one line each.
    #[serde(default)]
    pub sound: Vec<String>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing is wrong.
    Sound,
    /// Something to know.
    Notice,
    /// A source could not be read, so that nothing shows whether something worse is wrong.
    Unknown,
    /// It will become a problem.
    Warning,
    /// Records are lost, late or rejected, or soon will be.
    Critical,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Finding {
    /// The check's id.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, such as `table alleycat-races`.
    pub subject: String,
    /// Why, in one sentence.
    pub reason: String,
    /// What to do.
    #[serde(default)]
    pub remedies: Vec<String>,
    /// Commands that do it, to be pasted into a shell.
    #[serde(default)]
    pub commands: Vec<String>,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sound => "sound",
            Self::Notice => "notice",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}
