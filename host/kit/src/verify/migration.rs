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

/// What holds, if nothing but facts is found, and what is found.
pub(crate) fn check(lab: &Lab<'_>, older: Older<'_>) -> Result<(String, Vec<Finding>), EngineError> {
    let Subject::Aggregator(aggregator) = older.subject else { return Ok((String::new(), Vec::new())) };
    let from = aggregator.state_format();
    // Cases are drawn from what the older plugin reads.
    let specimen = Specimen { subject: older.subject, unoptimised: older.subject, input: older.input, older: None };
    let old = Lab::new(&specimen, lab.options);
    let deal = Deal { groups: GROUPS, parts: 1 };
    let migrated = |rows: &[Row]| migrated(lab, &old, from, rows);
    let apart = |rows: &[Row]| apart(lab, &old, from, rows);
    let (what, advice) = match takes_unmigrated(lab, from) {
        false => (
            format!("`migrate` fails on a state that the older plugin, of `{from}`, wrote for these records"),
            "The group keeps its old state, and its records become dead letters. Decode with the type that `State` had in the \
             older plugin, and find a value for what it did not have.",
        ),
        true => (
            format!("`finish` fails on a state that the older plugin wrote, of the same format, `{from}`"),
            "The records of such groups become dead letters. The meaning of the state's bytes has changed: give the state \
             format another name, and migrate states of the one before.",
        ),
    };
    let mut findings = Vec::new();
    findings.extend(old.verify(&Rule { name: "migration", deal, holds: &migrated }, &what, advice, "")?);
    findings.extend(old.verify(
        &Rule { name: "migration apart", deal, holds: &apart },
        "migrating states in one call or in several gives different states",
        "A host migrates states when their groups get records. Keep nothing from one state to the next.",
        "",
    )?);
    let findings = first(findings);
    if !findings.is_empty() {
        return Ok((String::new(), findings));
    }
    match kept(lab, &old, from) {
        Ok((groups, facts)) => Ok((format!("{groups} of `{from}` that the older plugin wrote are taken"), facts)),
        Err(Trouble::Engine(error)) => Err(error),
        // Another law reports what fails on the sample events.
        Err(Trouble::Failed(_)) => Ok((String::new(), Vec::new())),
    }
}

/// Whether states of this format need no migration, because it is the plugin's own.
fn takes_unmigrated(lab: &Lab<'_>, from: &str) -> bool {
    matches!(lab.subject, Subject::Aggregator(aggregator) if aggregator.state_format() == from)
}

/// How many states of the sample events were migrated, and which outputs differ from those of the older plugin.
fn kept(lab: &Lab<'_>, old: &Lab<'_>, from: &str) -> Tried<(String, Vec<Finding>)> {
    let groups = old.seen.iter().map(|row| row.group as usize + 1).max().unwrap_or(0);
    let states = fold(old, &old.seen, &empty(groups))?;
    let finish =
        |subject, states: &PackedBuf| GroupCalls::new(subject).map_or(Ok(Vec::new()), |mut calls| calls.finish(states));
    let before = finish(old.subject, &states)?;
    let after = finish(lab.subject, &migrate(lab, from, &states)?)?;
    let (names, new_names) = (outputs(old.subject), outputs(lab.subject));
    let mut facts = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let Some(now) = new_names.iter().position(|other| other == name) else {
            facts.push(Finding::fact(format!("this plugin has no output `{name}`, which the older one has")));
            continue;
        };
        let pairs = before.iter().zip(&after).map(|(before, after)| (&before[at], &after[now]));
        let others: Vec<_> = pairs.filter(|(before, after)| !before.is(after)).collect();
        if let Some((before, after)) = others.first() {
            facts.push(Finding::fact(format!(
                "after the migration `{name}` differs in {} of {groups} groups: {} -> {}",
                others.len(),
                before.shown(),
                after.shown()
            )));
        }
    }
    let noun = if groups == 1 { "state" } else { "states" };
    Ok((format!("{groups} {noun}"), facts))
}

fn outputs(subject: &Subject) -> Vec<&str> {
    match subject {
        Subject::Aggregator(aggregator) => aggregator.outputs().iter().map(|output| output.name.as_str()).collect(),
        Subject::Validator(_) | Subject::Scorer(_) => Vec::new(),
    }
}

fn migrate(lab: &Lab<'_>, from: &str, states: &PackedBuf) -> Tried<PackedBuf> {
    if takes_unmigrated(lab, from) {
        return Ok(states.clone());
    }
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
