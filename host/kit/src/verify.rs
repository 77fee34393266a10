//! `plugin verify`: whether a plugin keeps the laws of its role.
//!
//! The laws are tried on records that are drawn from sample events, with some values changed. A case that violates a law is
//! made as small as can be found, and shown. The same seed draws the same cases.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - `answers`, `same_bytes`, `rows_alone`, `fold_cuts`, `merge_laws`, `duplicates`, `state_format`, `state_growth`,
//!   `bounds`, `any_value`: a law each.
//! - `migration`: states of an older plugin, a part of `state_format`.
//! - `compare`: states and outputs that should be the same.
//! - `search`: for a case that violates a law. It uses `draw`, which makes cases, and `shrink`, which makes them small.
//! - `lab`: the plugin, and what is known of its records. `specimen`: what is verified.
//! - `rule`: a law of cases, and how a case violates it.
//! - `calls`: the calls. `rows`: records as values.
//! - `text`: the report for people. `report`: what was found.

mod answers;
mod any_value;
mod bounds;
mod calls;
mod compare;
mod draw;
mod duplicates;
mod fold_cuts;
mod lab;
mod merge_laws;
mod migration;
mod report;
mod rows;
mod rows_alone;
mod rule;
mod same_bytes;
mod search;
mod shrink;
mod specimen;
mod state_format;
mod state_growth;
mod text;

use paceline_engine::{EngineError, Role};

pub use report::{Check, Example, Finding, Law, Report, Severity};
pub use specimen::{Older, Options, Specimen};

use crate::subject::Subject;
use lab::Lab;
use report::Checked;

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The plugin reads none of the sample events.
    #[error("the plugin would see none of the {0} sample events: cases are drawn from events that have its fields")]
    NoEvents(usize),
    /// The plugin does not take the states of the older one.
    #[error(
        "the plugin migrates no states of the format `{0}`, which are those of the older plugin: list it in `describe` of \
         `migration`, in Rust by `impl Migration` with it in `FROM`, and `aggregator!(TYPE, migration)`"
    )]
    NotMigrated(String),
    /// The older plugin is no aggregator.
    #[error("the older plugin is no aggregator: it has no states")]
    NoStates,
    /// The sandbox failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Checks each law of the plugin's role.
pub fn verify(specimen: &Specimen<'_>, options: Options) -> Result<Report, VerifyError> {
    if specimen.input.rows() == 0 {
        return Err(VerifyError::NoEvents(specimen.input.unreadable.len()));
    }
    if let (Subject::Aggregator(aggregator), Some(older)) = (specimen.subject, specimen.older) {
        let Subject::Aggregator(older_aggregator) = older.subject else { return Err(VerifyError::NoStates) };
        if !aggregator.takes(older_aggregator.state_format()) {
            return Err(VerifyError::NotMigrated(older_aggregator.state_format().to_owned()));
        }
        if older.input.rows() == 0 {
            return Err(VerifyError::NoEvents(older.input.unreadable.len()));
        }
    }
    let lab = Lab::new(specimen, options);
    let laws: &[fn(&Lab<'_>) -> Checked] = match specimen.subject.role() {
        Role::Validator | Role::Scorer => &[same_bytes::check, rows_alone::check, bounds::check, any_value::check],
        Role::Aggregator => &[
            same_bytes::check,
            fold_cuts::check,
            merge_laws::check,
            duplicates::check,
            state_format::check,
            state_growth::check,
            bounds::check,
            any_value::check,
        ],
    };
    let mut report = Report {
        plugin: specimen.subject.plugin().digest(),
        role: specimen.subject.role(),
        seed: options.seed,
        cases: options.cases,
        checks: vec![answers::check(&lab)?],
        unchecked: Vec::new(),
    };
    if report.violations() > 0 {
        report.unchecked = unchecked(report.role);
        return Ok(report);
    }
    for law in laws {
        report.checks.push(law(&lab)?);
    }
    Ok(report)
}

/// The laws that mean nothing for a plugin whose calls fail.
fn unchecked(role: Role) -> Vec<Law> {
    let of_groups = [Law::FoldCuts, Law::MergeLaws, Law::Duplicates, Law::StateFormat, Law::StateGrowth];
    let mut laws = vec![Law::SameBytes];
    match role {
        Role::Validator | Role::Scorer => laws.push(Law::RowsAlone),
        Role::Aggregator => laws.extend(of_groups),
    }
    laws.extend([Law::Bounds, Law::AnyValue]);
    laws
}
