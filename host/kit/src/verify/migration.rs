//! States that an older aggregator wrote are migrated, each by itself.

use paceline_engine::{EngineError, PackedBuf};

use super::calls::{GroupCalls, Tried, Trouble, empty};
use super::compare::{self, Same};
use super::fold_cuts::fold;
use super::lab::Lab;
use super::report::Finding;
use super::rows::Row;
use super::rule::{Breach, Deal, Rule};
use super::search::first;
use super::specimen::{Older, Specimen};
use crate::subject::Subject;

/// The groups of a case.
const GROUPS: u32 = 3;

pub(crate) fn check(lab: &Lab<'_>, older: Older<'_>) -> Result<Vec<Finding>, EngineError> {
    let Subject::Aggregator(aggregator) = older.subject else { return Ok(Vec::new()) };
    let from = aggregator.state_format();
    // Cases are drawn from what the older plugin reads.
    let specimen = Specimen { subject: older.subject, unoptimised: older.subject, input: older.input, older: None };
    let old = Lab::new(&specimen, lab.options);
    let deal = Deal { groups: GROUPS, parts: 1 };
    let migrated = |rows: &[Row]| migrated(lab, &old, from, rows);
    let apart = |rows: &[Row]| apart(lab, &old, from, rows);
    let mut findings = Vec::new();
    findings.extend(old.verify(
        &Rule { name: "migration", deal, holds: &migrated },
        &format!("`migrate` fails on a state that the older plugin, of `{from}`, wrote for these records"),
        "The group keeps its old state, and its records become dead letters. Decode with the type that `State` had in the \
         older plugin, and find a value for what it did not have.",
        "",
    )?);
    findings.extend(old.verify(
        &Rule { name: "migration apart", deal, holds: &apart },
        "migrating states in one call or in several gives different states",
        "A host migrates states when their groups get records. Keep nothing from one state to the next.",
        "",
    )?);
    Ok(first(findings))
}

fn migrate(lab: &Lab<'_>, from: &str, states: &PackedBuf) -> Tried<PackedBuf> {
    GroupCalls::new(lab.subject).map_or(Ok(PackedBuf::default()), |mut calls| calls.migrate(from, states))
}

fn migrated(lab: &Lab<'_>, old: &Lab<'_>, from: &str, rows: &[Row]) -> Tried<Option<Breach>> {
    let states = fold(old, rows, &empty(GROUPS as usize))?;
    let result = match migrate(lab, from, &states) {
        Ok(states) => match GroupCalls::new(lab.subject).map(|mut calls| calls.finish(&states)) {
            Some(Err(Trouble::Failed(failure))) => ("finish", failure.shown()),
            Some(Err(error)) => return Err(error),
            Some(Ok(_)) | None => return Ok(None),
        },
        Err(Trouble::Failed(failure)) => ("migrate", failure.shown()),
        Err(error) => return Err(error),
    };
    let results = vec![(result.0.to_owned(), result.1)];
    Ok(Some(Breach { results, group: None, is_rounding: false }))
}

fn apart(lab: &Lab<'_>, old: &Lab<'_>, from: &str, rows: &[Row]) -> Tried<Option<Breach>> {
    let states = fold(old, rows, &empty(GROUPS as usize))?;
    let together = migrate(lab, from, &states)?;
    let mut apart = PackedBuf::default();
    for state in states.as_packed().iter() {
        apart.push(&migrate(lab, from, &[state].into_iter().collect())?.bytes);
    }
    compare::states(lab, Same::Bytes, (&together, "in one call"), (&apart, "in several calls"))
}
