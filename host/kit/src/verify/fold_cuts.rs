//! Folding records in one call or in several gives the same bytes, and groups have nothing to do with each other.

use paceline_engine::PackedBuf;

use super::calls::{GroupCalls, Tried, empty};
use super::compare::{self, Same};
use super::lab::Lab;
use super::report::{Check, Checked, Law};
use super::rows::{Row, parts};
use super::rule::{Breach, Deal, Rule};
use super::search::first;

/// The groups of a case.
const GROUPS: u32 = 3;

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let cut = |rows: &[Row]| cut(lab, rows);
    let isolated = |rows: &[Row]| isolated(lab, rows);
    let mut findings = Vec::new();
    findings.extend(lab.verify(
        &Rule { name: "fold-cuts cut", deal: Deal { groups: GROUPS, parts: 4 }, holds: &cut },
        "folding in one call or in several gives different states",
        "A batch is cut wherever the stream happens to be. Look for the first row of a call, for a base that is taken from \
         it, and for the order of a `HashMap`. What later records need belongs into the state.",
        "call",
    )?);
    findings.extend(lab.verify(
        &Rule { name: "fold-cuts groups", deal: Deal { groups: GROUPS, parts: 1 }, holds: &isolated },
        "the state of a group depends on records of other groups in the same call",
        "`groups[i]` is the index of row i's state. Look for values that are kept from row to row, and for the numbers of \
         rows.",
        "",
    )?);
    let holds = "folding in one call or in several gives the same bytes, whatever other groups are in it".to_owned();
    Ok(Check { law: Law::FoldCuts, holds, findings: first(findings) })
}

/// Folds rows, on a fresh instance.
pub(crate) fn fold(lab: &Lab<'_>, rows: &[Row], states: &PackedBuf) -> Tried<PackedBuf> {
    GroupCalls::new(lab.subject).map_or(Ok(PackedBuf::default()), |mut calls| calls.fold(rows, states))
}

fn cut(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let none = empty(GROUPS as usize);
    let together = fold_touched(lab, rows, &none)?;
    let mut apart = none;
    for part in parts(rows) {
        apart = fold_touched(lab, part, &apart)?;
    }
    compare::states(lab, Same::Bytes, (&together, "in one call"), (&apart, "in several calls"))
}

/// Folds rows into the states of their groups: as a host does, the call is given no others.
fn fold_touched(lab: &Lab<'_>, rows: &[Row], states: &PackedBuf) -> Tried<PackedBuf> {
    let mut groups: Vec<u32> = rows.iter().map(|row| row.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let place = |group| groups.binary_search(&group).expect("each group is among them") as u32;
    let local: Vec<Row> = rows.iter().map(|row| Row { group: place(row.group), ..row.clone() }).collect();
    let before: PackedBuf = groups.iter().map(|&group| states.as_packed().get(group as usize)).collect();
    let after = fold(lab, &local, &before)?;
    let state = |(group, before)| match groups.binary_search(&(group as u32)) {
        Ok(place) => after.as_packed().get(place),
        Err(_) => before,
    };
    Ok(states.as_packed().iter().enumerate().map(state).collect())
}

fn isolated(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let none = empty(GROUPS as usize);
    let together = fold_touched(lab, rows, &none)?;
    let mut apart = none;
    for group in 0..GROUPS {
        let of_group: Vec<Row> = rows.iter().filter(|row| row.group == group).cloned().collect();
        apart = fold_touched(lab, &of_group, &apart)?;
    }
    compare::states(lab, Same::Bytes, (&together, "in one call"), (&apart, "in a call for each group"))
}
