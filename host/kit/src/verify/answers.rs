//! Every call on the sample events is answered. Otherwise no other law means anything.

use paceline_engine::Fault;

use super::calls::{Failure, GroupCalls, RowCalls, Tried, Trouble, Verdict, empty};
use super::lab::Lab;
use super::report::{Check, Checked, Example, Finding, Law};
use super::rows::Row;

/// The most records that are shown.
const SHOWN: usize = 3;

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let findings = match answers(lab) {
        Ok(findings) => findings,
        Err(Trouble::Engine(error)) => return Err(error),
        Err(Trouble::Failed(failure)) => vec![failed(lab, "a call", &failure)],
    };
    let holds = format!("every call on the {} sample events is answered", lab.seen.len());
    Ok(Check { law: Law::Answers, holds, findings })
}

fn answers(lab: &Lab<'_>) -> Tried<Vec<Finding>> {
    if let Some(mut calls) = RowCalls::new(lab.subject) {
        let verdicts = match calls.call(&lab.seen) {
            Err(Trouble::Failed(failure)) => return Ok(vec![failed(lab, "the call", &failure)]),
            verdicts => verdicts?,
        };
        return Ok(not_finite(lab, &verdicts).into_iter().collect());
    }
    let Some(mut calls) = GroupCalls::new(lab.subject) else { return Ok(Vec::new()) };
    let groups = lab.seen.iter().map(|row| row.group as usize + 1).max().unwrap_or(1);
    let states = match calls.fold(&lab.seen, &empty(groups)) {
        Err(Trouble::Failed(failure)) => return Ok(vec![failed(lab, "`fold`", &failure)]),
        states => states?,
    };
    let of_groups = |name: &str, failure: &Failure| {
        Finding::violation(
            format!("`{name}` fails on states that `fold` returned for the sample events: {}", failure.shown()),
            advice(failure),
        )
    };
    // Of two states that are not empty: an SDK need not look at others.
    match calls.merge(&states, &states) {
        Err(Trouble::Failed(failure)) => return Ok(vec![of_groups("merge", &failure)]),
        merged => drop(merged?),
    }
    match calls.finish(&states) {
        Err(Trouble::Failed(failure)) => return Ok(vec![of_groups("finish", &failure)]),
        finished => drop(finished?),
    }
    Ok(Vec::new())
}

/// The scores of sample events that make dead letters of them.
fn not_finite(lab: &Lab<'_>, verdicts: &[Verdict]) -> Option<Finding> {
    let rows: Vec<u32> =
        (0..verdicts.len() as u32).filter(|&row| matches!(verdicts[row as usize], Verdict::NotFinite(_))).collect();
    let (first, count) = (*rows.first()?, rows.len());
    let example = example(lab, rows.into_iter().map(|row| (row, verdicts[row as usize].shown())));
    let (what, advice) = (
        format!(
            "the score of {count} of {} sample events is not a finite number: line {}",
            verdicts.len(),
            lab.lines[first as usize]
        ),
        "Such a record becomes a dead letter with the reason `bad-score`. If it should have a score, give it one.",
    );
    Some(Finding::warning(what, advice).shown_by(example))
}

/// Records with their lines and what became of them.
fn example(lab: &Lab<'_>, rows: impl Iterator<Item = (u32, String)>) -> Example {
    let (mut shown, mut results): (Vec<Row>, Vec<(String, String)>) = Default::default();
    for (row, result) in rows.take(SHOWN) {
        shown.push(lab.seen[row as usize].clone());
        results.push((format!("line {}", lab.lines[row as usize]), result));
    }
    Example { results, ..lab.example(&shown, "") }
}

/// The finding of a call that failed.
fn failed(lab: &Lab<'_>, call: &str, failure: &Failure) -> Finding {
    let (some, all) = (failure.rows.len(), lab.seen.len());
    let what = match some {
        0 => format!("{call} fails on the sample events together: {}", failure.shown()),
        _ if some == all => format!("{call} fails on each sample event: {}", failure.shown()),
        _ => format!("{call} fails on {some} of {all} sample events: {}", failure.shown()),
    };
    let finding = Finding::violation(what, advice(failure));
    match some {
        0 => finding,
        _ => finding.shown_by(example(lab, failure.rows.iter().map(|(row, fault)| (*row, fault.to_string())))),
    }
}

/// What to do about a call that failed.
pub(crate) fn advice(failure: &Failure) -> &'static str {
    match failure.rows.first().map(|(_, fault)| fault) {
        Some(Fault::Trap(_)) => {
            "A trap is a panic: an index, an overflow, an `unwrap`. Return an error, a default or a rejection instead."
        }
        Some(Fault::Failed(_)) => "An error fails the call for all of its records. Reject a record, or give a default.",
        Some(Fault::InvalidResult(_)) => {
            "Return one result for each row, or what the contract says in `wit/plugin.wit`."
        }
        Some(Fault::Fuel(_) | Fault::Time(_) | Fault::Memory { .. } | Fault::TooManyBytes(_) | Fault::Budget(_)) => {
            "Look for a loop without an end, or do less for each record; the limit that is named is a setting of the host."
        }
        Some(Fault::Stack(_)) => "Look for a recursion without an end.",
        Some(_) => "",
        None if failure.kinds.contains(&"invalid-result") => {
            "Another instance gives a valid result for the same rows: look for a counter or a flag in a static."
        }
        None => {
            "Do less for each record, or raise the limit in the rulebook. `paceline plugin test` shows by how much."
        }
    }
}
