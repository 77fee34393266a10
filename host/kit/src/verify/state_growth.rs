//! How the state of a group grows over a long race, and what that costs.

use crate::count::thousands;
use paceline_engine::{Fault, PackedBuf};

use super::answers::advice;
use super::calls::{Failure, GroupCalls, Tried, Trouble, empty};
use super::draw::race;
use super::fold_cuts::fold;
use super::lab::Lab;
use super::report::{Check, Checked, Example, Finding, Law};
use super::rows::Row;

/// How many records the race has, and after how many the state is looked at.
const MARKS: [usize; 4] = [10, 100, 1_000, 10_000];

/// The records of a call.
const BATCH: usize = 500;

/// Bytes that a state may grow by over the last nine tenths of the race and still counts as constant: numbers of varying
/// length do.
const CONSTANT: usize = 64;

/// The state after so many records, and what one more costs.
struct Mark {
    records: usize,
    bytes: usize,
    fuel: u64,
}

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let mut marks = Vec::new();
    let stopped = match run(lab, &mut marks) {
        Ok(()) => None,
        Err(Trouble::Failed(failure)) => Some(failure),
        Err(Trouble::Engine(error)) => return Err(error),
    };
    let most = lab.limits.state_bytes;
    let (first, last) = (marks.first(), marks.last());
    let (Some(first), Some(last)) = (first, last) else {
        let what = stopped
            .map_or(String::new(), |failure| format!("`fold` fails in a race of 10 records: {}", failure.shown()));
        return Ok(check_of(String::new(), Some(Finding::violation(what, ""))));
    };
    if let Some(failure) = stopped {
        return Ok(check_of(String::new(), Some(ended(lab, &marks, &failure))));
    }
    let before = marks.iter().rev().nth(1).unwrap_or(first);
    let grown = last.bytes.saturating_sub(before.bytes);
    if grown <= CONSTANT {
        let holds = format!(
            "the state has {} bytes after 10 records and {} after 10,000; one more record costs {} fuel",
            thousands(first.bytes),
            thousands(last.bytes),
            thousands(last.fuel)
        );
        return Ok(check_of(holds, None));
    }
    let per_record = grown as f64 / (last.records - before.records) as f64;
    let end = last.records + (most.saturating_sub(last.bytes) as f64 / per_record) as usize;
    let what = format!(
        "the state grows without end, by {per_record:.1} bytes a record: it meets the limit `state-bytes` ({}) after some {} \
         records of a group, and each record costs more than the one before",
        thousands(most),
        thousands(end)
    );
    let finding = Finding::warning(what, ADVICE).shown_by(table(&marks));
    Ok(check_of(String::new(), Some(finding)))
}

/// The finding of a race that ended early.
fn ended(lab: &Lab<'_>, marks: &[Mark], failure: &Failure) -> Finding {
    let last = &marks[marks.len() - 1];
    let per_record = last.bytes as f64 / last.records as f64;
    let (most, end) = (lab.limits.state_bytes, lab.limits.state_bytes as f64 / per_record);
    let is_size = matches!(failure.rows.first(), Some((_, Fault::InvalidResult(text))) if text.contains("state-bytes"));
    let finding = match is_size {
        true => Finding::violation(
            format!(
                "the state grows without end, by {per_record:.1} bytes a record: it meets the limit `state-bytes` ({}) \
                 after some {} records of a group",
                thousands(most),
                thousands(end as usize / 100 * 100)
            ),
            ADVICE,
        ),
        false => Finding::violation(
            format!(
                "`fold` fails between the {}th and the {}th record of a group: {}",
                thousands(last.records),
                thousands(next(last.records)),
                failure.shown()
            ),
            advice(failure),
        ),
    };
    finding.shown_by(table(marks))
}

const ADVICE: &str = "A state at the limit takes no further record: all of them become dead letters. Keep what is needed and \
                      no more: a sum, a best value, a set of runs, the last so many records. Ranges of numbers that have \
                      no gaps need two numbers.";

fn check_of(holds: String, finding: Option<Finding>) -> Check {
    Check { law: Law::StateGrowth, holds, findings: finding.into_iter().collect() }
}

/// Folds the race into one group, and notes the marks.
fn run(lab: &Lab<'_>, marks: &mut Vec<Mark>) -> Tried<()> {
    let rows = race(lab, MARKS[MARKS.len() - 1] + 1, 1);
    let (mut state, mut from) = (empty(1), 0);
    for mark in MARKS {
        for batch in rows[from..mark].chunks(BATCH) {
            state = fold(lab, batch, &state)?;
        }
        from = mark;
        let bytes = state.bytes.len();
        marks.push(Mark { records: mark, bytes, fuel: fuel(lab, &rows[mark..=mark], &state)? });
    }
    Ok(())
}

/// What folding some more costs.
fn fuel(lab: &Lab<'_>, rows: &[Row], state: &PackedBuf) -> Tried<u64> {
    let Some(mut calls) = GroupCalls::new(lab.subject) else { return Ok(0) };
    calls.fold(rows, state)?;
    Ok(calls.usage().fuel)
}

/// The mark after so many records.
fn next(records: usize) -> usize {
    MARKS.into_iter().find(|mark| *mark > records).unwrap_or(records)
}

fn table(marks: &[Mark]) -> Example {
    let row = |mark: &Mark| vec![thousands(mark.records), thousands(mark.bytes), thousands(mark.fuel)];
    Example {
        header: ["records", "bytes of the state", "fuel of one more"].map(str::to_owned).into(),
        rows: marks.iter().map(row).collect(),
        results: Vec::new(),
    }
}
