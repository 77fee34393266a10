//! Every value that the host can let through is taken: the extremes of each kind, one at a time and together, and the
//! values of drawn cases.

use paceline_engine::{EngineError, Fault, Field, Kind, Language};

use super::answers::advice;
use super::calls::{Failure, GroupCalls, RowCalls, Tried, Trouble, Verdict, empty};
use super::draw::Draw;
use super::lab::Lab;
use super::report::{Check, Checked, Example, Finding, Law, Severity};
use super::rows::{Cell, Row, number};
use super::rule::{Breach, Deal, Rule};
use super::shrink::shrink;

/// Letters of a long text. A record may have up to a megabyte; most producers allow far less.
const LONG_TEXT: usize = 64 << 10;

/// The most others of a kind that a message names.
const NAMED: usize = 3;

/// What the plugin makes of a case that is not right.
#[derive(Clone, Debug, PartialEq)]
struct Wrong {
    severity: Severity,
    what: String,
    advice: &'static str,
    result: String,
}

/// A record with an extreme value, and the value.
struct Extreme {
    row: Row,
    name: String,
    /// Whether the plugin's language has no such value.
    is_foreign: bool,
}

/// The greatest integer that a number of JavaScript holds beside its neighbours.
const MOST_IN_JAVASCRIPT: u64 = (1 << 53) - 1;

/// Whether the plugin's language has no such value. A record with it fails aloud: the plugin can do no better.
fn is_foreign(lab: &Lab<'_>, cell: &Cell) -> bool {
    let is_javascript = lab.subject.plugin().language() == Language::JavaScript;
    is_javascript && matches!(cell, Cell::Integer(value) if value.unsigned_abs() > MOST_IN_JAVASCRIPT)
}

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let extremes = extremes(lab);
    let mut found: Vec<(Wrong, Vec<Row>, Vec<String>)> = Vec::new();
    for Extreme { row, name, is_foreign } in &extremes {
        let rows = vec![row.clone()];
        for wrong in outcome(lab, &rows)? {
            let wrong = match (*is_foreign, wrong.severity) {
                (true, Severity::Violation) => Wrong {
                    severity: Severity::Fact,
                    what: "a record fails aloud, because a number of JavaScript can't hold its integer,".to_owned(),
                    advice: "",
                    ..wrong
                },
                _ => wrong,
            };
            match found.iter_mut().find(|(other, ..)| other.what == wrong.what) {
                Some((_, _, names)) => names.push(name.clone()),
                None => found.push((wrong, rows.clone(), vec![name.clone()])),
            }
        }
    }
    let findings = found.into_iter().map(|(wrong, rows, names)| finding(lab, wrong, &rows, &names));
    let mut findings: Vec<Finding> = findings.collect();
    let tried = extremes.len();
    let extremes: Vec<Extreme> = extremes.into_iter().filter(|extreme| !extreme.is_foreign).collect();
    if findings.iter().all(|finding| finding.severity < Severity::Violation) {
        findings.extend(together(lab, &extremes)?);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let holds = format!(
        "{} extreme values are taken, one at a time and together: the least and greatest numbers, empty, long and foreign \
         texts",
        tried
    );
    Ok(Check { law: Law::AnyValue, holds, findings })
}

fn finding(lab: &Lab<'_>, wrong: Wrong, rows: &[Row], names: &[String]) -> Finding {
    let more = match names.len().saturating_sub(1) {
        0 => String::new(),
        others => {
            let some = names[1..].iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let rest = if others > NAMED { format!(" and {} more", others - NAMED) } else { String::new() };
            format!("; also on {some}{rest}")
        }
    };
    let what = match names.first() {
        Some(name) => format!("{} on {name}{more}", wrong.what),
        None => wrong.what,
    };
    let example = Example { results: vec![("result".to_owned(), wrong.result)], ..lab.example(rows, "") };
    Finding { severity: wrong.severity, what, advice: wrong.advice.to_owned(), example: Some(example) }
}

/// Records with several extreme values, all of them in one call, and drawn cases.
fn together(lab: &Lab<'_>, extremes: &[Extreme]) -> Result<Option<Finding>, EngineError> {
    let is_broken = |rows: &[Row]| {
        let wrong = outcome(lab, rows)?.into_iter().find(|wrong| wrong.severity == Severity::Violation);
        Ok(wrong.map(|wrong| Breach { results: vec![(wrong.what, wrong.result)], group: None, is_rounding: false }))
    };
    let rule = Rule { name: "any-value", deal: Deal { groups: 1, parts: 1 }, holds: &is_broken };
    let mut draw = Draw::new(lab, rule.name);
    let all: Vec<Row> = extremes.iter().map(|extreme| extreme.row.clone()).collect();
    let drawn = (0..lab.options.cases.div_ceil(4)).map(|case| draw.rows(case, rule.deal));
    for rows in [all, all_at_once(lab)].into_iter().chain(drawn) {
        let breach = match is_broken(&rows) {
            Err(Trouble::Engine(error)) => return Err(error),
            Err(Trouble::Failed(_)) | Ok(None) => continue,
            Ok(Some(breach)) => breach,
        };
        let smallest = shrink(lab, &rule, rows, breach)?;
        let wrong = outcome(lab, &smallest.rows)?.into_iter().find(|wrong| wrong.severity == Severity::Violation);
        return Ok(wrong.map(|wrong| finding(lab, wrong, &smallest.rows, &[])));
    }
    Ok(None)
}

/// What is not right about the calls for these records.
fn outcome(lab: &Lab<'_>, rows: &[Row]) -> Result<Vec<Wrong>, EngineError> {
    let verdicts = match call(lab, rows) {
        Ok(verdicts) => verdicts,
        Err(Trouble::Engine(error)) => return Err(error),
        Err(Trouble::Failed(failure)) => return Ok(vec![failed(&failure)]),
    };
    let wrong = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::NotFinite(score) => Some(Wrong {
            severity: Severity::Warning,
            what: "the score is not a finite number".to_owned(),
            advice: "Such a record becomes a dead letter with the reason `bad-score`. If it should have a score, give it \
                     one; if it is implausible, a validator can reject it with a better reason.",
            result: score.clone(),
        }),
        Verdict::Rejected(reason) if reason.trim().is_empty() => Some(Wrong {
            severity: Severity::Warning,
            what: "a record is rejected without a reason".to_owned(),
            advice: "The reason is what the person sees who reads the dead letter: name the field, its value and the bound.",
            result: "rejected, and the reason is empty".to_owned(),
        }),
        _ => None,
    });
    Ok(wrong.collect())
}

fn failed(failure: &Failure) -> Wrong {
    let is_reason =
        matches!(&failure.rows.first(), Some((_, Fault::InvalidResult(text))) if text.contains("reason-bytes"));
    let kind = match &failure.rows.first() {
        Some((_, Fault::Trap(_))) => "the plugin traps",
        Some((_, Fault::Failed(_))) => "the plugin returns an error",
        _ => "the call fails",
    };
    let result = failure.shown();
    match is_reason {
        true => Wrong {
            severity: Severity::Warning,
            what: "the reason of a rejection is too long".to_owned(),
            advice: "The record becomes a dead letter with the reason `plugin-failed` instead. Cut values that you repeat.",
            result,
        },
        false => Wrong { severity: Severity::Violation, what: kind.to_owned(), advice: advice(failure), result },
    }
}

/// All calls that a record may get.
fn call(lab: &Lab<'_>, rows: &[Row]) -> Tried<Vec<Verdict>> {
    if let Some(mut calls) = RowCalls::new(lab.subject) {
        return calls.call(rows);
    }
    let Some(mut calls) = GroupCalls::new(lab.subject) else { return Ok(Vec::new()) };
    let rows: Vec<Row> = rows.iter().map(|row| Row { group: 0, ..row.clone() }).collect();
    let one = calls.fold(&rows, &empty(1))?;
    let other = calls.fold(&[Row { group: 0, ..lab.seen[0].clone() }], &empty(1))?;
    let merged = calls.merge(&one, &other)?;
    let folded = calls.fold(&rows, &merged)?;
    calls.finish(&folded)?;
    Ok(Vec::new())
}

/// The first sample event with each extreme of each field in turn.
fn extremes(lab: &Lab<'_>) -> Vec<Extreme> {
    let base = &lab.seen[0];
    let mut extremes = Vec::new();
    for (column, field) in lab.subject.fields().iter().enumerate() {
        let name = field.path.trim_start_matches('/');
        extremes.extend(of_field(field).into_iter().map(|cell| {
            let mut row = base.clone();
            row.cells[column] = cell;
            let cell = &row.cells[column];
            Extreme { name: format!("{name} {}", cell.shown()), is_foreign: is_foreign(lab, cell), row }
        }));
    }
    if GroupCalls::new(lab.subject).is_some() {
        extremes.extend(numbers().into_iter().map(|score| Extreme {
            name: format!("the score {}", number(score)),
            is_foreign: false,
            row: Row { score, ..base.clone() },
        }));
    }
    extremes
}

/// Records whose fields are all extreme.
fn all_at_once(lab: &Lab<'_>) -> Vec<Row> {
    let own = |field| of_field(field).into_iter().filter(|cell| !is_foreign(lab, cell)).collect();
    let columns: Vec<Vec<Cell>> = lab.subject.fields().iter().map(own).collect();
    let longest = columns.iter().map(Vec::len).max().unwrap_or(0);
    let row = |at: usize| {
        let mut row = lab.seen[at % lab.seen.len()].clone();
        row.score = numbers()[at % numbers().len()];
        for (cell, extremes) in row.cells.iter_mut().zip(&columns).filter(|(_, extremes)| !extremes.is_empty()) {
            *cell = extremes[at % extremes.len()].clone();
        }
        row
    };
    (0..longest).map(row).collect()
}

/// What the host can let through in a field.
fn of_field(field: &Field) -> Vec<Cell> {
    let texts = |texts: [String; 4]| texts.into_iter().map(|text| Cell::Text(text.into())).collect();
    match (field.path.as_str(), field.kind) {
        // Kinesis has keys of 1 to 256 characters, and arrivals since 1970.
        ("@partition-key", _) => texts(["0".to_owned(), "é".repeat(256), "🚴".to_owned(), " ".to_owned()]),
        ("@arrival-ms", _) => [0, 1, 4_102_444_800_000].map(Cell::Integer).into(),
        (_, Kind::Boolean) => [false, true].map(Cell::Boolean).into(),
        (_, Kind::Integer) => [i64::MIN, i64::MAX, 0, -1, (1 << 53) + 1, -(1 << 53) - 1].map(Cell::Integer).into(),
        (_, Kind::Number) => numbers().into_iter().map(Cell::Number).collect(),
        (_, Kind::Text) => texts([String::new(), "x".repeat(LONG_TEXT), "Zoë 🚴 \u{202e}".to_owned(), "\0".to_owned()]),
        // Payloads are what the sample events have.
        (_, Kind::Blob) => Vec::new(),
    }
}

/// Numbers that JSON can have.
fn numbers() -> [f64; 9] {
    [0.0, -0.0, -1.0, 1e308, -1e308, f64::MAX, 5e-324, -5e-324, 9_007_199_254_740_993.0]
}
