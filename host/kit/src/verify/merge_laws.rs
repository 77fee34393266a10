//! `merge` is commutative and associative, empty states change nothing, and records that are folded apart and merged are
//! folded together.

use paceline_engine::PackedBuf;

use super::calls::{GroupCalls, Tried, empty};
use super::compare::{self, Same};
use super::fold_cuts::fold;
use super::lab::Lab;
use super::report::{Check, Checked, Law};
use super::rows::Row;
use super::rule::{Breach, Deal, Rule};
use super::search::first;

/// A law of `merge`: its name, the parts of its cases, what is wrong, what to do.
struct MergeLaw {
    name: &'static str,
    parts: u32,
    holds: fn(&Lab<'_>, &[Row]) -> Tried<Option<Breach>>,
    what: &'static str,
    advice: &'static str,
}

/// From the law that needs the fewest records to show.
const LAWS: [MergeLaw; 4] = [
    MergeLaw {
        name: "merge-laws empty",
        parts: 1,
        holds: neutral,
        what: "`merge` with an empty state changes the result",
        advice: "An empty state is that of a group without records: return the other side as it is.",
    },
    MergeLaw {
        name: "merge-laws commutative",
        parts: 2,
        holds: commutative,
        what: "`merge` is not commutative: left with right is not right with left",
        advice: "Choose by what stands in the states, such as the greatest second, then the latest time, then the greatest \
                 output; never by the side.",
    },
    MergeLaw {
        name: "merge-laws associative",
        parts: 3,
        holds: associative,
        what: "`merge` is not associative: it matters which two of three states are merged first",
        advice: "Keep what can be added or compared, such as a sum and a count, and compute means, ratios and rounded \
                 values in `finish`.",
    },
    MergeLaw {
        name: "merge-laws split",
        parts: 2,
        holds: split,
        what: "records folded apart and merged give another result than records folded together",
        advice: "`merge` must give what `fold` would have given for all of the records. Keep what can be added or compared, \
                 such as a sum and a count instead of a mean.",
    },
];

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let mut findings = Vec::new();
    for MergeLaw { name, parts, holds, what, advice } in LAWS {
        let holds = |rows: &[Row]| holds(lab, rows);
        let rule = Rule { name, deal: Deal { groups: 1, parts }, holds: &holds };
        findings.extend(lab.verify(&rule, what, advice, if parts > 1 { "part" } else { "" })?);
    }
    let holds = "`merge` is commutative and associative, an empty state changes nothing, and records folded apart and \
                 merged are folded together"
        .to_owned();
    Ok(Check { law: Law::MergeLaws, holds, findings: first(findings) })
}

fn merge(lab: &Lab<'_>, left: &PackedBuf, right: &PackedBuf) -> Tried<PackedBuf> {
    GroupCalls::new(lab.subject).map_or(Ok(PackedBuf::default()), |mut calls| calls.merge(left, right))
}

/// The state of each part, folded apart.
fn folded<const N: usize>(lab: &Lab<'_>, rows: &[Row]) -> Tried<[PackedBuf; N]> {
    let mut states = std::array::from_fn(|_| empty(1));
    for (part, state) in states.iter_mut().enumerate() {
        let of_part: Vec<Row> = rows.iter().filter(|row| row.part as usize == part).cloned().collect();
        *state = fold(lab, &of_part, state)?;
    }
    Ok(states)
}

fn neutral(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let ([state], none) = (folded::<1>(lab, rows)?, empty(1));
    let same = Same::Outputs;
    let left = compare::states(lab, same, (&state, "the state"), (&merge(lab, &none, &state)?, "merge(empty, state)"))?;
    match left {
        Some(breach) => Ok(Some(breach)),
        None => compare::states(lab, same, (&state, "the state"), (&merge(lab, &state, &none)?, "merge(state, empty)")),
    }
}

fn commutative(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let [one, two] = folded(lab, rows)?;
    let (left, right) = (merge(lab, &one, &two)?, merge(lab, &two, &one)?);
    compare::states(lab, Same::Outputs, (&left, "merge(1, 2)"), (&right, "merge(2, 1)"))
}

fn associative(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let [one, two, three] = folded(lab, rows)?;
    let left = merge(lab, &merge(lab, &one, &two)?, &three)?;
    let right = merge(lab, &one, &merge(lab, &two, &three)?)?;
    compare::states(lab, Same::Outputs, (&left, "merge(merge(1, 2), 3)"), (&right, "merge(1, merge(2, 3))"))
}

fn split(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let together = fold(lab, rows, &empty(1))?;
    let [one, two] = folded(lab, rows)?;
    let merged = merge(lab, &one, &two)?;
    compare::states(lab, Same::Outputs, (&together, "fold(1 and 2)"), (&merged, "merge(fold(1), fold(2))"))
}
