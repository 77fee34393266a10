//! What a verification found.

use paceline_engine::{Digest, EngineError, Role};
use serde_json::{Value, json};

/// What a plugin has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// Every call on the sample events is answered.
    Answers,
    /// The same call gives the same bytes.
    SameBytes,
    /// What is made of a row does not depend on other rows.
    RowsAlone,
    /// Folding in one call or in several is the same.
    FoldCuts,
    /// `merge` is commutative and associative, empty states change nothing, and folding apart changes nothing.
    MergeLaws,
    /// Whether a record that is folded twice changes the result.
    Duplicates,
    /// A state that the plugin did not write is refused.
    StateFormat,
    /// How the state grows over a long race.
    StateGrowth,
    /// The bounds have a margin at the batch sizes of production.
    Bounds,
    /// Every value that the host lets through is taken.
    AnyValue,
}

impl Law {
    /// Its name.
    pub fn id(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::SameBytes => "same-bytes",
            Self::RowsAlone => "rows-alone",
            Self::FoldCuts => "fold-cuts",
            Self::MergeLaws => "merge-laws",
            Self::Duplicates => "duplicates",
            Self::StateFormat => "state-format",
            Self::StateGrowth => "state-growth",
            Self::Bounds => "bounds",
            Self::AnyValue => "any-value",
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Fact,
    /// It works, and will not in some case that may come.
    Warning,
    /// The law is violated.
    Violation,
}

impl Severity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fact => "fact",
            Self::Warning => "warning",
            Self::Violation => "VIOLATED",
        }
    }
}

/// The records that show a finding, and what the plugin makes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// The names of the columns of `rows`.
    pub header: Vec<String>,
    /// Each record, a text for each column.
    pub rows: Vec<Vec<String>>,
    /// The results that differ, or the one that is wrong, each with what it is the result of.
    pub results: Vec<(String, String)>,
}

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What to do; empty for a fact.
    pub advice: String,
    /// The smallest case that was found.
    pub example: Option<Example>,
}

impl Finding {
    pub(crate) fn fact(what: impl Into<String>) -> Self {
        Self { severity: Severity::Fact, what: what.into(), advice: String::new(), example: None }
    }

    pub(crate) fn warning(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, what: what.into(), advice: advice.into(), example: None }
    }

    pub(crate) fn violation(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { severity: Severity::Violation, what: what.into(), advice: advice.into(), example: None }
    }

    pub(crate) fn shown_by(mut self, example: Example) -> Self {
        self.example = Some(example);
        self
    }
}

/// A law, and whether the plugin keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The law.
    pub law: Law,
    /// What holds, if there are no findings but facts.
    pub holds: String,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Check {
    /// The worst finding.
    pub fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// A check, unless the sandbox failed.
pub(crate) type Checked = Result<Check, EngineError>;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The plugin.
    pub plugin: Digest,
    /// Its role.
    pub role: Role,
    /// What the cases were drawn from.
    pub seed: u64,
    /// How many were drawn for each law.
    pub cases: usize,
    /// The laws of the role.
    pub checks: Vec<Check>,
    /// The laws that were not checked, because calls fail.
    pub unchecked: Vec<Law>,
}

impl Report {
    /// How many laws are violated.
    pub fn violations(&self) -> usize {
        self.with(Severity::Violation)
    }

    /// How many laws are kept, with a warning.
    pub fn warnings(&self) -> usize {
        self.with(Severity::Warning)
    }

    fn with(&self, severity: Severity) -> usize {
        self.checks.iter().filter(|check| check.severity() == Some(severity)).count()
    }

    /// The report for programs.
    pub fn to_json(&self) -> Value {
        let example = |example: &Example| {
            let cells = |row: &Vec<String>| -> serde_json::Map<_, _> {
                example.header.iter().cloned().zip(row.iter().map(|cell| cell.as_str().into())).collect()
            };
            let result = |(of, result): &(String, String)| json!({ "of": of, "result": result });
            json!({
                "rows": example.rows.iter().map(cells).collect::<Vec<_>>(),
                "results": example.results.iter().map(result).collect::<Vec<_>>(),
            })
        };
        let finding = |finding: &Finding| {
            json!({
                "severity": finding.severity.word().to_lowercase().replace("violated", "violation"),
                "what": finding.what,
                "advice": finding.advice,
                "example": finding.example.as_ref().map(example),
            })
        };
        let check = |check: &Check| {
            json!({
                "law": check.law.id(),
                "kept": check.severity() != Some(Severity::Violation),
                "holds": check.holds,
                "findings": check.findings.iter().map(finding).collect::<Vec<_>>(),
            })
        };
        json!({
            "plugin": self.plugin.to_string(),
            "role": self.role.to_string(),
            "seed": self.seed,
            "cases": self.cases,
            "violations": self.violations(),
            "warnings": self.warnings(),
            "laws": self.checks.iter().map(check).collect::<Vec<_>>(),
            "unchecked": self.unchecked.iter().map(|law| law.id()).collect::<Vec<_>>(),
        })
    }
}
