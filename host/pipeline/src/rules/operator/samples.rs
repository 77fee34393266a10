//! Sample events: what the author of a rulebook expects of it. They run before anything is uploaded.
//!
//! Each line of the file is a sample: an event, and what is expected of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::sample_run::{Outcome, SampleEvent, run};
use crate::model::Cause;
use crate::rules::error::{RulebookError, SampleError};
use crate::rules::loaded::LoadedRulebook;

/// What the file beside a rulebook has instead of `toml`.
const EXTENSION: &str = "samples.ndjson";

/// The samples of a rulebook.
#[derive(Debug)]
pub(super) struct Samples {
    path: PathBuf,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    /// Its line in the file; the first is 1.
    line: usize,
    event: SampleEvent,
    expected: Expectation,
}

/// What is expected of a sample.
#[derive(Clone, Debug, PartialEq)]
enum Expectation {
    /// Anything but the fault of a plugin.
    NoFault,
    /// Any score.
    Accepted,
    /// This score, with at most this difference.
    Score { score: f64, within: f64 },
    /// A dead letter whose reason contains this text.
    Rejected(String),
}

/// A line of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Line<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    expect: Option<Expect>,
    partition_key: Option<String>,
    arrival_ms: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    score: Option<f64>,
    within: Option<f64>,
    rejected: Option<Rejected>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`rejected` is a boolean or a text")]
enum Rejected {
    Is(bool),
    Because(String),
}

/// The samples that are used with a rulebook's file: `flat.samples.ndjson` for `flat.toml`.
pub(super) fn file_beside(rulebook: &Path) -> PathBuf {
    rulebook.with_extension(EXTENSION)
}

impl Samples {
    /// The samples beside a rulebook's file. None if there is no such file.
    pub(super) fn beside(rulebook: &Path) -> Result<Self, RulebookError> {
        let path = file_beside(rulebook);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { path, samples: Vec::new() }),
            Err(error) => Err(RulebookError::io(&path, error)),
        }
    }

    /// The samples of a file.
    pub(super) fn read(path: &Path) -> Result<Self, RulebookError> {
        let text = fs::read_to_string(path).map_err(|error| RulebookError::io(path, error))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, RulebookError> {
        let lines = (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty());
        let sample = |(line, text)| {
            let (event, expected) =
                parse_line(text).map_err(|source| RulebookError::Sample { path: path.to_owned(), line, source })?;
            Ok(Sample { line, event, expected })
        };
        Ok(Self { path: path.to_owned(), samples: lines.map(sample).collect::<Result<_, RulebookError>>()? })
    }

    /// Runs the samples, and compares what comes out with what is expected. An error names the first that differs.
    pub(super) async fn check(&self, rulebook: &Arc<LoadedRulebook>) -> Result<(), RulebookError> {
        let events: Vec<&SampleEvent> = self.samples.iter().map(|sample| &sample.event).collect();
        let failed = |source| RulebookError::Samples { path: self.path.clone(), source: Box::new(source) };
        let outcomes = run(rulebook, &events).await.map_err(failed)?;
        let differ = self.samples.iter().zip(&outcomes).filter(|(sample, outcome)| !sample.expected.allows(outcome));
        let differ: Vec<_> = differ.collect();
        let Some((sample, outcome)) = differ.first() else { return Ok(()) };
        let (expected, found) = (sample.expected.to_string(), outcome.to_string());
        let source = SampleError::Unexpected { expected, found, others: differ.len() - 1 };
        Err(RulebookError::Sample { path: self.path.clone(), line: sample.line, source })
    }
}

fn parse_line(text: &str) -> Result<(SampleEvent, Expectation), SampleError> {
    let Line { event, expect, partition_key, arrival_ms } = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // The error counts the lines of this text.
        let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        SampleError::Invalid(format!("column {}: {what}", error.column()))
    })?;
    let event = SampleEvent { payload: event.get().to_owned(), partition_key, arrival_ms };
    Ok((event, expect.map_or(Ok(Expectation::NoFault), expectation)?))
}

fn expectation(expect: Expect) -> Result<Expectation, SampleError> {
    let invalid = |what: &str| Err(SampleError::Invalid(what.to_owned()));
    match expect {
        Expect { within: Some(within), .. } if within < 0.0 => invalid(&format!("`within` is {within}, less than 0")),
        Expect { score: Some(score), within, rejected: None } => {
            Ok(Expectation::Score { score, within: within.unwrap_or(0.0) })
        }
        Expect { within: Some(_), .. } => invalid("`within` needs a `score`"),
        Expect { score: None, rejected: Some(rejected), .. } => Ok(match rejected {
            Rejected::Is(true) => Expectation::Rejected(String::new()),
            Rejected::Is(false) => Expectation::Accepted,
            Rejected::Because(text) => Expectation::Rejected(text),
        }),
        Expect { score: Some(_), rejected: Some(_), .. } => {
            invalid("`expect` has `score` and `rejected`: only one of them can be")
        }
        Expect { score: None, rejected: None, .. } => {
            invalid("`expect` has neither `score` nor `rejected`: leave it out to expect no plugin fault only")
        }
    }
}

impl Expectation {
    fn allows(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            // A plugin that fails is never expected.
            (_, Outcome::Rejected(reason)) if matches!(reason.cause, Cause::PluginFailed | Cause::BadScore) => false,
            (Self::NoFault, _) | (Self::Accepted, Outcome::Score(_)) => true,
            (Self::Score { score, within }, Outcome::Score(found)) => (found - score).abs() <= *within,
            (Self::Rejected(part), Outcome::Rejected(_)) => outcome.to_string().contains(part),
            (Self::Accepted | Self::Score { .. }, Outcome::Rejected(_)) | (Self::Rejected(_), Outcome::Score(_)) => {
                false
            }
        }
    }
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoFault => f.write_str("no fault of a plugin"),
            Self::Accepted => f.write_str("a score"),
            Self::Score { score, within: 0.0 } => write!(f, "the score {score}"),
            Self::Score { score, within } => write!(f, "the score {score} within {within}"),
            Self::Rejected(part) if part.is_empty() => f.write_str("a rejection"),
            Self::Rejected(part) => write!(f, "a rejection with `{part}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reason;

    fn parsed(expect: &str) -> Result<Expectation, SampleError> {
        parse_line(&format!(r#"{{"event": {{"second": 1}}, "expect": {expect}}}"#)).map(|(_, expected)| expected)
    }

    #[test]
    fn a_line_is_an_event_and_what_is_expected_of_it() {
        let (event, expected) =
            parse_line(r#"{"event": {"cadence": 62.10},"partition-key":"7","arrival-ms":5}"#).unwrap();
        // The event's bytes are those of the file.
        assert_eq!(event.payload, r#"{"cadence": 62.10}"#);
        assert_eq!((event.partition_key.as_deref(), event.arrival_ms), (Some("7"), Some(5)));
        assert_eq!(expected, Expectation::NoFault);
        assert_eq!(parsed(r#"{"score": 121.25}"#), Ok(Expectation::Score { score: 121.25, within: 0.0 }));
        assert_eq!(parsed(r#"{"score": 1, "within": 1e-9}"#), Ok(Expectation::Score { score: 1.0, within: 1e-9 }));
        assert_eq!(parsed(r#"{"rejected": true}"#), Ok(Expectation::Rejected(String::new())));
        assert_eq!(parsed(r#"{"rejected": false}"#), Ok(Expectation::Accepted));
        assert_eq!(parsed(r#"{"rejected": "cadence"}"#), Ok(Expectation::Rejected("cadence".to_owned())));
    }

    #[test]
    fn a_line_that_is_no_sample_is_refused_with_what_is_wrong() {
        for (expect, message) in [
            (r#"{"score": "high"}"#, "invalid type: string"),
            (r#"{"rejected": 1}"#, "`rejected` is a boolean or a text"),
            (r#"{"scored": 1}"#, "unknown field `scored`"),
            (r#"{"score": 1, "rejected": true}"#, "`expect` has `score` and `rejected`"),
            (r#"{"within": 1, "rejected": true}"#, "`within` needs a `score`"),
            (r#"{"score": 1, "within": -1}"#, "less than 0"),
            ("{}", "neither `score` nor `rejected`"),
            ("", "column"),
        ] {
            let error = parsed(expect).unwrap_err().to_string();
            assert!(error.contains(message), "{expect}: {error}");
        }
        let text = "{\"event\": {}}\n\n{\"events\": {}}\n";
        let error = Samples::parse(Path::new("flat.samples.ndjson"), text).unwrap_err();
        let error = crate::error::ErrorChain(&error).to_string();
        assert!(error.starts_with("flat.samples.ndjson:3: the line is not a sample: column"), "{error}");
        assert!(error.contains("unknown field `events`") && !error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_score_is_compared_exactly_unless_a_difference_is_allowed() {
        let allows = |expect: &str, outcome: &Outcome| parsed(expect).unwrap().allows(outcome);
        let sum = Outcome::Score(0.1 + 0.2);
        assert!(!allows(r#"{"score": 0.3}"#, &sum) && allows(r#"{"score": 0.3, "within": 1e-9}"#, &sum));
        assert!(allows(r#"{"score": 0.30000000000000004}"#, &sum));
        let rejected = Outcome::Rejected(Reason::new(Cause::Rejected, "cadence is 95"));
        assert!(allows(r#"{"rejected": "cadence"}"#, &rejected) && !allows(r#"{"rejected": "second"}"#, &rejected));
        assert!(!allows(r#"{"rejected": false}"#, &rejected) && !allows(r#"{"score": 0}"#, &rejected));
        assert!(Expectation::NoFault.allows(&rejected));
        for cause in [Cause::PluginFailed, Cause::BadScore] {
            let fault = Outcome::Rejected(Reason::new(cause, "trap"));
            assert!(!allows(r#"{"rejected": true}"#, &fault) && !Expectation::NoFault.allows(&fault));
        }
    }
}
