//! States and outputs that should be the same.

use paceline_engine::{Packed, PackedBuf};

use super::calls::{GroupCalls, Tried};
use super::lab::Lab;
use super::rows::Cell;
use super::rule::Breach;
use crate::subject::Subject;

/// What has to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Same {
    /// The bytes of the states.
    Bytes,
    /// What `finish` makes of the states. Their bytes may differ.
    Outputs,
}

/// Compares states that came about in two ways.
pub(crate) fn states(
    lab: &Lab<'_>,
    same: Same,
    (one, one_name): (&PackedBuf, &str),
    (two, two_name): (&PackedBuf, &str),
) -> Tried<Option<Breach>> {
    if one == two {
        return Ok(None);
    }
    let finish = |states: &PackedBuf| match GroupCalls::new(lab.subject) {
        Some(mut calls) => calls.finish(states),
        None => Ok(Vec::new()),
    };
    let (one_outputs, two_outputs) = (finish(one)?, finish(two)?);
    for (group, (one_of, two_of)) in one_outputs.iter().zip(&two_outputs).enumerate() {
        let differing: Vec<usize> = (0..one_of.len()).filter(|&at| !one_of[at].is(&two_of[at])).collect();
        if differing.is_empty() {
            continue;
        }
        let shown = |cells: &[Cell]| outputs(lab.subject, cells, &differing);
        return Ok(Some(Breach {
            group: Some(group),
            is_rounding: differing.iter().all(|&at| one_of[at].is_about(&two_of[at])),
            results: vec![(one_name.to_owned(), shown(one_of)), (two_name.to_owned(), shown(two_of))],
        }));
    }
    if same == Same::Outputs {
        return Ok(None);
    }
    let (one_states, two_states) = (one.as_packed(), two.as_packed());
    let group = (0..one_states.len()).find(|&group| one_states.get(group) != two_states.get(group)).unwrap_or(0);
    let shown = |states: Packed<'_>, other: Packed<'_>| bytes(states.get(group), other.get(group));
    Ok(Some(Breach {
        group: Some(group),
        is_rounding: false,
        results: vec![
            (one_name.to_owned(), shown(one_states, two_states)),
            (two_name.to_owned(), shown(two_states, one_states)),
        ],
    }))
}

/// Some of the outputs, with their names.
pub(crate) fn outputs(subject: &Subject, cells: &[Cell], which: &[usize]) -> String {
    let Subject::Aggregator(aggregator) = subject else { return String::new() };
    let names = aggregator.outputs();
    let one = |&at: &usize| format!("{} {}", names[at].name, cells[at].shown());
    which.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A state, from where it differs from another one.
fn bytes(state: &[u8], other: &[u8]) -> String {
    const MOST: usize = 12;
    let from = state.iter().zip(other).take_while(|(one, two)| one == two).count();
    let hex: Vec<String> = state[from..].iter().take(MOST).map(|byte| format!("{byte:02x}")).collect();
    let more = if state.len() > from + MOST { " …" } else { "" };
    match state.len() {
        0 => "an empty state".to_owned(),
        length => format!("a state of {length} bytes, from byte {from}: {}{more}", hex.join(" ")),
    }
}
