//! In which functions a plugin spends its time.

use paceline_engine::{Engine, Limits, Profile};
use paceline_kit::bill::raised;
use paceline_kit::events::{Events, Grouping};
use paceline_kit::profile::run;
use serde_json::{Value, json};

use super::subject::Wanted;
use crate::report;
use crate::setup::cache;

/// How many functions are shown.
const SHOWN: usize = 12;

/// Bytes of a function's name that are shown: a line has 80.
const NAME_BYTES: usize = 56;

/// Runs the events over and over, and notes which functions are running. `limits` are those that the plugin has.
pub(super) fn take(wanted: &Wanted, events: &Events, grouping: &Grouping, limits: &Limits) -> anyhow::Result<Profile> {
    let engine = Engine::profiling(raised(limits), cache().as_deref())?;
    let subject = wanted.subject_in(&engine)?;
    run(&subject, &events.input(subject.fields(), grouping)?)?;
    Ok(engine.profile().cloned().unwrap_or_default())
}

pub(super) fn to_json(profile: &Profile) -> Value {
    let functions: Vec<_> = profile
        .functions()
        .iter()
        .map(|function| json!({ "function": function.name, "own": function.own, "withCallees": function.with_callees }))
        .collect();
    json!({ "samples": profile.samples(), "functions": functions })
}

pub(super) fn lines(profile: &Profile) -> Vec<String> {
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    let mut rows = vec![["own", "with calls", "function"].map(str::to_owned).to_vec()];
    for function in profile.functions().into_iter().take(SHOWN) {
        let end = function.name.floor_char_boundary(NAME_BYTES);
        let name = if end < function.name.len() { format!("{}…", &function.name[..end]) } else { function.name };
        rows.push(vec![percent(function.own), percent(function.with_callees), name]);
    }
    let samples = report::thousands(profile.samples());
    let mut lines =
        vec![String::new(), format!("batches of 10,000 rows, {samples} samples of a millisecond:"), String::new()];
    lines.extend(report::aligned(&rows));
    if !profile.is_named() {
        lines.push("the component has no names of functions: build it without stripping them".to_owned());
    }
    lines
}
