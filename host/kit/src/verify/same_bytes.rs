//! The same call gives the same bytes: on fresh instances, on an instance that was called before, and compiled in another
//! way.

use paceline_engine::PackedBuf;

use super::calls::{GroupCalls, RowCalls, Tried, Verdict, empty};
use super::compare::{self, Same};
use super::lab::Lab;
use super::report::{Check, Checked, Law};
use super::rows::{Row, parts};
use super::rule::{Breach, Deal, Rule};
use super::search::first;
use crate::subject::Subject;

/// The groups of a case.
const GROUPS: u32 = 3;

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let deal = Deal { groups: GROUPS, parts: 2 };
    let fresh = |rows: &[Row]| twice(lab, rows, [("an instance", lab.subject), ("another instance", lab.subject)]);
    let levels = |rows: &[Row]| twice(lab, rows, [("optimised", lab.subject), ("not optimised", lab.unoptimised)]);
    let kept = |rows: &[Row]| kept(lab, rows);
    let mut findings = Vec::new();
    findings.extend(lab.verify(
        &Rule { name: "same-bytes kept", deal, holds: &kept },
        "the second call of an instance gives another result than the first: the plugin remembers something between calls",
        "Look for a counter or a cache in a static, and for a `HashMap`: the order of its entries depends on the maps that \
         were made before. What must be remembered belongs into the state; a `BTreeMap` has an order of its own.",
        "",
    )?);
    findings.extend(lab.verify(
        &Rule { name: "same-bytes fresh", deal, holds: &fresh },
        "the same call gives different results on two fresh instances",
        "Nothing outside of the records and the settings may decide.",
        "",
    )?);
    findings.extend(lab.verify(
        &Rule { name: "same-bytes levels", deal, holds: &levels },
        "compiled without optimisation, the plugin gives another result",
        "Look for uninitialised memory and for addresses that are compared.",
        "",
    )?);
    let holds = "the same call gives the same bytes: on fresh instances, on one that was called before, and compiled \
                 without optimisation"
        .to_owned();
    Ok(Check { law: Law::SameBytes, holds, findings: first(findings) })
}

/// The same calls, each time on a fresh instance.
fn twice(lab: &Lab<'_>, rows: &[Row], [one, two]: [(&str, &Subject); 2]) -> Tried<Option<Breach>> {
    match (RowCalls::new(one.1), RowCalls::new(two.1)) {
        (Some(mut calls), Some(mut again)) => Ok(verdicts(&[(one.0, calls.call(rows)?), (two.0, again.call(rows)?)])),
        _ => {
            let calls = |subject| GroupCalls::new(subject).map_or(Ok(PackedBuf::default()), |calls| fold(calls, rows));
            compare::states(lab, Same::Bytes, (&calls(one.1)?, one.0), (&calls(two.1)?, two.0))
        }
    }
}

/// The same calls twice on one instance.
fn kept(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    const NAMES: [&str; 2] = ["the first call", "the second call"];
    if let Some(mut calls) = RowCalls::new(lab.subject) {
        let first = calls.call(rows)?;
        return Ok(verdicts(&[(NAMES[0], first), (NAMES[1], calls.call(rows)?)]));
    }
    let Some(mut calls) = GroupCalls::new(lab.subject) else { return Ok(None) };
    let none = empty(GROUPS as usize);
    let (first, second) = (calls.fold(rows, &none)?, calls.fold(rows, &none)?);
    if let Some(breach) = compare::states(lab, Same::Bytes, (&first, NAMES[0]), (&second, NAMES[1]))? {
        return Ok(Some(breach));
    }
    let (merged, again) = (calls.merge(&first, &second)?, calls.merge(&first, &second)?);
    compare::states(lab, Same::Bytes, (&merged, "the first call of `merge`"), (&again, "the second call of `merge`"))
}

/// The states of rows that are folded in two parts and then merged with those of the second part.
fn fold(mut calls: GroupCalls<'_>, rows: &[Row]) -> Tried<PackedBuf> {
    let (mut states, mut last) = (empty(GROUPS as usize), empty(GROUPS as usize));
    for part in parts(rows) {
        states = calls.fold(part, &states)?;
        last = calls.fold(part, &empty(GROUPS as usize))?;
    }
    calls.merge(&states, &last)
}

/// The first row whose results differ.
pub(crate) fn verdicts(two: &[(&str, Vec<Verdict>); 2]) -> Option<Breach> {
    let [(one_name, one), (two_name, two)] = two;
    let row = one.iter().zip(two).position(|(one, two)| !one.is(two))?;
    let of = |name: &str| format!("record {}, {name}", row + 1);
    Some(Breach {
        group: None,
        is_rounding: false,
        results: vec![(of(one_name), one[row].shown()), (of(two_name), two[row].shown())],
    })
}
