//! A plugin to verify, and what is known of its records.

use std::collections::BTreeSet;

use paceline_engine::Limits;

use super::report::Example;
use super::rows::{self, Cell, Row, number};
use super::rule::Breach;
use super::specimen::{Older, Options, Specimen};
use crate::subject::Subject;

/// The most sample events that are used.
const MOST_EVENTS: usize = 5_000;

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
