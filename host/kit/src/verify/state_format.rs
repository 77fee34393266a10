//! A state that the plugin wrote is read back, and one that it did not write is refused.

use paceline_engine::PackedBuf;

use super::calls::{Failure, GroupCalls, Tried, Trouble, empty};
use super::fold_cuts::fold;
use super::lab::Lab;
use super::report::{Check, Checked, Finding, Law};
use super::rows::Row;
use crate::subject::Subject;

const ADVICE: &str = "A store may hold bytes of another plugin or of an earlier version under the same name. Begin each state \
                      with bytes that stand for its format, compare them, and refuse a state with bytes too few or too many: \
                      the SDK's `encode_state` and `decode_state` do so.";

/// A state that the plugin did not write.
struct Spoilt {
    how: String,
    state: Vec<u8>,
}

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let Subject::Aggregator(aggregator) = lab.subject else {
        return Ok(Check { law: Law::StateFormat, holds: String::new(), findings: Vec::new() });
    };
    let mut holds = match aggregator.migrates_from() {
        [] => {
            format!("states of `{}` are read back, and states that are spoilt are refused", aggregator.state_format())
        }
        from => format!(
            "states of `{}` are read back, and states that are spoilt are refused; empty states of {} stay empty",
            aggregator.state_format(),
            from.iter().map(|format| format!("`{format}`")).collect::<Vec<_>>().join(", ")
        ),
    };
    let mut findings = match findings(lab, aggregator.migrates_from()) {
        Err(Trouble::Engine(error)) => return Err(error),
        Err(Trouble::Failed(failure)) => vec![unread(&failure)],
        Ok(findings) => findings,
    };
    if let Some(older) = lab.older {
        let (taken, found) = super::migration::check(lab, older)?;
        if !taken.is_empty() {
            holds.push_str("; ");
            holds.push_str(&taken);
        }
        findings.extend(found);
    }
    Ok(Check { law: Law::StateFormat, holds, findings })
}

fn unread(failure: &Failure) -> Finding {
    let what = format!("a state that the plugin wrote can't be read back: {}", failure.shown());
    Finding::violation(what, "`fold`, `merge` and `finish` must read what `fold` and `merge` return.")
}

fn findings(lab: &Lab<'_>, migrates_from: &[String]) -> Tried<Vec<Finding>> {
    let rows: Vec<Row> = lab.seen.iter().map(|row| Row { group: 0, ..row.clone() }).collect();
    let states = fold(lab, &rows, &empty(1))?;
    let mut findings = Vec::new();
    if states.bytes.is_empty() {
        findings.push(Finding::violation(
            "`fold` returns an empty state for a group with records",
            "An empty state is that of a group without records: nothing of the records is remembered. Return the state's \
             bytes for each group.",
        ));
        return Ok(findings);
    }
    // Read back by each of the three.
    let again = fold(lab, &rows, &states)?;
    if let Some(mut calls) = GroupCalls::new(lab.subject) {
        let merged = calls.merge(&states, &again)?;
        calls.finish(&merged)?;
    }
    findings.extend(trusted(lab, &rows, &states)?);
    for from in migrates_from {
        findings.extend(migrated(lab, from)?);
    }
    Ok(findings)
}

/// The spoilt states that the plugin takes for its own.
fn trusted(lab: &Lab<'_>, rows: &[Row], states: &PackedBuf) -> Tried<Option<Finding>> {
    let mut taken: Vec<(String, &str)> = Vec::new();
    for Spoilt { how, state } in spoilt(&states.bytes) {
        let state: PackedBuf = [state.as_slice()].into_iter().collect();
        let calls = [
            ("`finish`", refused(lab, |calls| calls.finish(&state).map(drop))?),
            ("`fold`", refused(lab, |calls| calls.fold(&rows[..1], &state).map(drop))?),
            ("`merge`", refused(lab, |calls| calls.merge(&state, states).map(drop))?),
        ];
        if let Some((call, _)) = calls.iter().find(|(_, refused)| !refused) {
            taken.push((how, call));
        }
    }
    let Some((how, call)) = taken.first() else { return Ok(None) };
    let mut what = format!("{call} takes a state that the plugin did not write: one of its own {how}");
    if taken.len() > 1 {
        let others: Vec<&str> = taken.iter().skip(1).map(|(how, _)| how.as_str()).collect();
        what = format!("{what}; also: {}", others.join(", "));
    }
    Ok(Some(Finding::violation(what, ADVICE)))
}

/// Whether a call fails, on a fresh instance.
fn refused(lab: &Lab<'_>, call: impl FnOnce(&mut GroupCalls<'_>) -> Tried<()>) -> Tried<bool> {
    match GroupCalls::new(lab.subject).map_or(Ok(()), |mut calls| call(&mut calls)) {
        Ok(()) => Ok(false),
        Err(Trouble::Failed(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

fn spoilt(state: &[u8]) -> Vec<Spoilt> {
    let changed = |how: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut state = state.to_vec();
        change(&mut state);
        Spoilt { how: how.to_owned(), state }
    };
    let mut spoilt = vec![
        changed("with another first byte", &|state| state[0] ^= 0xff),
        changed("with other first bytes", &|state| state.iter_mut().take(4).for_each(|byte| *byte ^= 0x5a)),
        changed("with a byte more at the end", &|state| state.push(0x2a)),
    ];
    if state.len() > 1 {
        spoilt.push(changed("without its last byte", &|state| state.truncate(state.len() - 1)));
        spoilt.push(changed("without its second half", &|state| state.truncate(state.len() / 2)));
        spoilt.push(changed("of which only the first byte is left", &|state| state.truncate(1)));
    }
    spoilt
}

/// A migration of the state of a group without records.
fn migrated(lab: &Lab<'_>, from: &str) -> Tried<Option<Finding>> {
    let Some(mut calls) = GroupCalls::new(lab.subject) else { return Ok(None) };
    let finding = match calls.migrate(from, &empty(2)) {
        Ok(states) if states.bytes.is_empty() => return Ok(None),
        Ok(_) => Finding::violation(
            format!("`migrate` from `{from}` makes something of an empty state"),
            "An empty state is that of a group without records: it must stay empty.",
        ),
        Err(Trouble::Failed(failure)) => Finding::violation(
            format!("`migrate` from `{from}` fails on an empty state: {}", failure.shown()),
            "An empty state is that of a group without records: it must stay empty.",
        ),
        Err(error) => return Err(error),
    };
    Ok(Some(finding))
}
