//! A plugin to verify, and what is known of its records.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use paceline_engine::{EngineError, Limits};

use super::calls::{Tried, Trouble};
use super::draw::{Deal, Draw};
use super::report::{Example, Finding, Severity};
use super::rows::{self, Cell, Row, number};
use super::shrink::shrink;
use super::{Older, Options, Specimen};
use crate::subject::Subject;

/// The most sample events that are used.
const MOST_EVENTS: usize = 5_000;

/// How long cases of one law are drawn: an interpreter in a plugin takes milliseconds to start.
const LAW_TIME: Duration = Duration::from_secs(2);

/// The plugin, and what is known of its records.
pub(crate) struct Lab<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) unoptimised: &'a Subject,
    pub(crate) limits: &'a Limits,
    /// The sample events.
    pub(crate) seen: Vec<Row>,
    /// The line of each.
    pub(crate) lines: &'a [u32],
    /// By column, the least and the greatest number.
    pub(crate) ranges: Vec<(f64, f64)>,
    /// By column of integers, the least distance of two values.
    pub(crate) steps: Vec<i64>,
    /// By column of integers, how far it counts from record to record of a group; 0 if it does not.
    pub(crate) counts: Vec<i64>,
    /// By column of texts, whether each record has another one.
    pub(crate) distinct: Vec<bool>,
    /// The least and the greatest score.
    pub(crate) scores: (f64, f64),
    pub(crate) older: Option<Older<'a>>,
    pub(crate) options: Options,
}

/// How a case violates a law.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Breach {
    pub(crate) results: Vec<(String, String)>,
    /// The group that they are of.
    pub(crate) group: Option<usize>,
    /// Whether the results differ by no more than rounding does.
    pub(crate) is_rounding: bool,
}

/// A law of cases.
pub(crate) struct Rule<'r> {
    /// Its name, for the draw.
    pub(crate) name: &'static str,
    pub(crate) deal: Deal,
    pub(crate) holds: &'r dyn Fn(&[Row]) -> Tried<Option<Breach>>,
}

/// The smallest case that violates a law.
pub(crate) struct Counterexample {
    pub(crate) rows: Vec<Row>,
    pub(crate) breach: Breach,
}

impl<'a> Lab<'a> {
    pub(crate) fn new(specimen: &Specimen<'a>, options: Options) -> Self {
        let mut seen = rows::rows(specimen.input);
        seen.truncate(MOST_EVENTS);
        let columns = specimen.subject.fields().len();
        let of = |column: usize| seen.iter().map(move |row| &row.cells[column]);
        let integers = |column: usize| {
            of(column).filter_map(|cell| match cell {
                Cell::Integer(value) => Some(*value),
                _ => None,
            })
        };
        let numbers = |column: usize| {
            of(column).filter_map(|cell| match cell {
                Cell::Number(value) => Some(*value),
                _ => None,
            })
        };
        let step = |column: usize| {
            let values: Vec<i64> = integers(column).collect::<BTreeSet<_>>().into_iter().collect();
            values.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().unwrap_or(1)
        };
        let steps: Vec<i64> = (0..columns).map(step).collect();
        Self {
            ranges: (0..columns).map(|column| range(numbers(column)).unwrap_or((0.0, 100.0))).collect(),
            counts: (0..columns).map(|column| count(&seen, column, steps[column])).collect(),
            distinct: (0..columns).map(|column| is_distinct(of(column))).collect(),
            scores: range(seen.iter().map(|row| row.score))
                .filter(|(least, most)| least < most)
                .unwrap_or((0.0, 200.0)),
            steps,
            subject: specimen.subject,
            unoptimised: specimen.unoptimised,
            limits: specimen.subject.plugin().limits(),
            lines: &specimen.input.lines,
            older: specimen.older,
            seen,
            options,
        }
    }

    /// Tries a law on cases, and makes the first one that violates it small. A breach by rounding is returned if there is no
    /// other.
    pub(crate) fn search(&self, rule: &Rule<'_>) -> Result<Option<Counterexample>, EngineError> {
        let (started, mut draw, mut rounding) = (Instant::now(), Draw::new(self, rule.name), None);
        for case in 0..self.options.cases {
            let rows = draw.rows(case, rule.deal);
            match settled((rule.holds)(&rows))? {
                Some(breach) if breach.is_rounding => {
                    rounding.get_or_insert((rows, breach));
                }
                Some(breach) => return shrink(self, rule, rows, breach).map(Some),
                None => {}
            }
            if started.elapsed() > LAW_TIME {
                break;
            }
        }
        rounding.map(|(rows, breach)| shrink(self, rule, rows, breach)).transpose()
    }

    /// Tries a law. A breach by rounding is a warning.
    pub(crate) fn verify(
        &self,
        rule: &Rule<'_>,
        what: &str,
        advice: &str,
        part: &str,
    ) -> Result<Option<Finding>, EngineError> {
        let Some(Counterexample { rows, breach }) = self.search(rule)? else { return Ok(None) };
        let finding = match breach.is_rounding {
            false => Finding::violation(what, advice),
            true => Finding::warning(
                format!("{what}, by rounding"),
                "Sums of 64-bit floats depend on their order. Keep sums as integers, such as thousandths, so that every \
                 host gets the same bytes.",
            ),
        };
        Ok(Some(finding.shown_by(self.example_of(&rows, breach, part))))
    }

    /// Records as a table, and their results.
    pub(crate) fn example_of(&self, rows: &[Row], breach: Breach, part: &str) -> Example {
        let Breach { mut results, group, .. } = breach;
        if let Some(group) = group
            && has_groups(rows)
        {
            results.iter_mut().for_each(|(of, _)| *of = format!("{of}, group {group}"));
        }
        Example { results, ..self.example(rows, part) }
    }

    /// Records as a table. `part` names what their parts are; they are not shown if it is empty.
    pub(crate) fn example(&self, rows: &[Row], part: &str) -> Example {
        let is_aggregator = matches!(self.subject, Subject::Aggregator(_));
        let has_groups = is_aggregator && has_groups(rows);
        let mut header: Vec<String> = Vec::new();
        header.extend((!part.is_empty()).then(|| part.to_owned()));
        header.extend(has_groups.then(|| "group".to_owned()));
        header.extend(self.subject.fields().iter().map(|field| field.path.trim_start_matches('/').to_owned()));
        header.extend(is_aggregator.then(|| "score".to_owned()));
        let row = |row: &Row| {
            let mut cells: Vec<String> = Vec::new();
            cells.extend((!part.is_empty()).then(|| (row.part + 1).to_string()));
            cells.extend(has_groups.then(|| row.group.to_string()));
            cells.extend(row.cells.iter().map(Cell::shown));
            cells.extend(is_aggregator.then(|| number(row.score)));
            cells
        };
        Example { header, rows: rows.iter().map(row).collect(), results: Vec::new() }
    }
}

/// The first finding, and the others in one sentence.
pub(crate) fn first(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let also: Vec<String> = findings.iter().skip(1).map(|finding| finding.what.clone()).collect();
    findings.truncate(1);
    if let Some(first) = findings.first_mut()
        && !also.is_empty()
    {
        first.what = format!("{}; also: {}", first.what, also.join("; "));
    }
    debug_assert!(findings.iter().all(|finding| finding.severity > Severity::Fact));
    findings
}

/// A case in which a call fails says nothing about a law of results: `any-value` finds it.
pub(crate) fn settled(tried: Tried<Option<Breach>>) -> Result<Option<Breach>, EngineError> {
    match tried {
        Ok(breach) => Ok(breach),
        Err(Trouble::Failed(_)) => Ok(None),
        Err(Trouble::Engine(error)) => Err(error),
    }
}

fn has_groups(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.group != rows[0].group)
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((least, most)) => Some((value.min(least), value.max(most))),
    })
}

/// How far a column of integers counts in groups. Where no group has several records, everything counts.
fn count(seen: &[Row], column: usize, step: i64) -> i64 {
    let mut in_groups = seen.iter().enumerate().flat_map(|(at, row)| {
        let before = seen[..at].iter().rev().find(|before| before.group == row.group);
        before.map(|before| before.cells[column] != row.cells[column])
    });
    match in_groups.next() {
        None => step.max(1),
        Some(first) if first || in_groups.any(|counts| counts) => step.max(1),
        Some(_) => 0,
    }
}

fn is_distinct<'c>(cells: impl Iterator<Item = &'c Cell>) -> bool {
    let mut seen = BTreeSet::new();
    let mut texts = cells.filter_map(|cell| match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    });
    texts.all(|text| seen.insert(text)) && seen.len() > 2
}
