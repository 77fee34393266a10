//! The bounds of a call have a margin at the batch sizes of production.

use paceline_engine::Usage;

use super::answers::advice;
use super::calls::{Failure, GroupCalls, RowCalls, Tried, Trouble, Verdict, empty};
use super::draw::race;
use super::lab::Lab;
use super::report::{Check, Checked, Finding, Law};
use super::rows::Row;
use crate::count::thousands;

/// Rows of a batch.
const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];

/// Records of a group in a batch.
const PER_GROUP: usize = 10;

/// How much of a bound may be used without a warning, in hundredths.
const MARGIN: u64 = 50;

/// Where the time is among the shares.
const TIME: usize = 1;

/// What a call used, in hundredths of its bounds.
struct Used {
    call: &'static str,
    rows: usize,
    /// By bound.
    shares: [(&'static str, u64); 4],
}

/// What a call had to do, and what it gave.
struct Work {
    call: &'static str,
    rows: usize,
    /// Rows and states.
    items: usize,
    state_bytes: usize,
    answer_bytes: usize,
}

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let (mut used, mut findings, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for size in SIZES {
        match calm(lab, size, &mut used) {
            Ok(usage) => last = log(lab, size, &usage),
            Err(Trouble::Engine(error)) => return Err(error),
            Err(Trouble::Failed(failure)) => {
                findings.push(failed(size, &failure));
                break;
            }
        }
    }
    let worst = |at: usize| used.iter().max_by_key(|used| used.shares[at].1);
    let mut shares = Vec::new();
    for at in 0..4 {
        let Some(Used { call, rows, shares: of }) = worst(at) else { continue };
        let (bound, share) = of[at];
        shares.push(format!("{bound} {share} %"));
        if share > MARGIN {
            findings.push(Finding::warning(
                format!("{call} of {} rows uses {share} % of its {bound}", thousands(*rows)),
                "Another batch may need more than this one. Do less for each record, or raise the limit in the rulebook.",
            ));
        }
    }
    findings.extend(last);
    let holds = format!("batches of 1 to 10,000 rows use at most, of their bounds: {}", shares.join(", "));
    Ok(Check { law: Law::Bounds, holds, findings })
}

fn failed(size: usize, failure: &Failure) -> Finding {
    let what = format!("a call for {} rows fails: {}", thousands(size), failure.shown());
    Finding::violation(what, advice(failure))
}

/// What the plugin logs for a batch.
fn log(lab: &Lab<'_>, size: usize, usage: &Usage) -> Vec<Finding> {
    let mut findings = Vec::new();
    if usage.log_lines > u64::from(lab.limits.log_lines) {
        findings.push(Finding::warning(
            format!(
                "{} rows log {} lines: {} of a batch are kept (limit `log-lines`)",
                thousands(size),
                thousands(usage.log_lines as usize),
                lab.limits.log_lines
            ),
            "Log what an operator wants to read, not each record: a line costs 10,000 fuel.",
        ));
    }
    if usage.cut_lines > 0 {
        findings.push(Finding::warning(
            format!(
                "a log line is longer than {} bytes: its end is cut off (limit `log-line-bytes`)",
                lab.limits.log_line_bytes
            ),
            "Log less in a line.",
        ));
    }
    findings
}

/// How often a batch is measured whose time is short of its margin: another program may have had the processor.
const TRIES: usize = 3;

/// Calls the plugin with so many rows, once more if that takes long.
fn calm(lab: &Lab<'_>, size: usize, used: &mut Vec<Used>) -> Tried<Usage> {
    let (before, mut tries) = (used.len(), 1);
    loop {
        let usage = measure(lab, size, used)?;
        let is_slow = used[before..].iter().any(|used| used.shares[TIME].1 > MARGIN);
        if !is_slow || tries == TRIES {
            return Ok(usage);
        }
        used.truncate(before);
        tries += 1;
    }
}

/// Calls the plugin with so many rows.
fn measure(lab: &Lab<'_>, size: usize, used: &mut Vec<Used>) -> Tried<Usage> {
    let groups = size.div_ceil(PER_GROUP);
    let rows = race(lab, size, groups);
    if let Some(mut calls) = RowCalls::new(lab.subject) {
        let verdicts = calls.call(&rows)?;
        let reason = |verdict: &Verdict| match verdict {
            Verdict::Rejected(reason) => reason.len() + 12,
            Verdict::Accepted => 0,
            Verdict::Score(_) | Verdict::NotFinite(_) => 8,
        };
        let answer_bytes = verdicts.iter().map(reason).sum();
        let call = "a call";
        let work = Work { call, rows: size, items: size, state_bytes: 0, answer_bytes };
        used.push(share(lab, &work, &Usage::default(), calls.usage()));
        return Ok(calls.usage().clone());
    }
    measure_groups(lab, &rows, groups, used)
}

/// Folds rows into states that have records already, and merges and finishes the states.
fn measure_groups(lab: &Lab<'_>, rows: &[Row], groups: usize, used: &mut Vec<Used>) -> Tried<Usage> {
    let states = super::fold_cuts::fold(lab, rows, &empty(groups))?;
    let Some(mut calls) = GroupCalls::new(lab.subject) else { return Ok(Usage::default()) };
    let (bytes, size) = (states.bytes.len(), rows.len());
    let mut before = calls.usage().clone();
    let mut note = |calls: &GroupCalls<'_>, work: Work| {
        used.push(share(lab, &work, &before, calls.usage()));
        before = calls.usage().clone();
    };
    let folded = calls.fold(rows, &states)?;
    let answer_bytes = folded.bytes.len() + folded.ends.len() * 4;
    note(&calls, Work { call: "`fold`", rows: size, items: size + groups, state_bytes: bytes, answer_bytes });
    let merged = calls.merge(&states, &folded)?;
    let (state_bytes, answer_bytes) = (bytes + folded.bytes.len(), merged.bytes.len() + merged.ends.len() * 4);
    note(&calls, Work { call: "`merge`", rows: size, items: groups, state_bytes, answer_bytes });
    let outputs = calls.finish(&merged)?;
    let answer_bytes = outputs.iter().map(|group| group.len() * 8).sum();
    note(&calls, Work { call: "`finish`", rows: size, items: groups, state_bytes: merged.bytes.len(), answer_bytes });
    Ok(calls.usage().clone())
}

fn share(lab: &Lab<'_>, work: &Work, before: &Usage, after: &Usage) -> Used {
    let limits = lab.limits;
    let fuel = limits.fuel_of(work.items, work.state_bytes);
    let of = |used: u64, bound: u64| (u128::from(used) * 100).div_ceil(u128::from(bound.max(1))) as u64;
    let time = after.time.saturating_sub(before.time).as_millis() as u64;
    Used {
        call: work.call,
        rows: work.rows,
        shares: [
            ("fuel", of(after.fuel - before.fuel, fuel)),
            ("time", of(time, limits.call_ms)),
            ("memory", of(after.memory_bytes as u64, limits.memory_bytes as u64)),
            ("answer", of(work.answer_bytes as u64, limits.returned_bytes as u64)),
        ],
    }
}
