//! Cases: records drawn from the sample events, some of their values changed.

use fastrand::Rng;
use paceline_engine::Kind;

use super::lab::Lab;
use super::rows::{Cell, Row};
use super::rule::Deal;

/// Draws cases.
pub(crate) struct Draw<'l> {
    lab: &'l Lab<'l>,
    rng: Rng,
}

/// The most sample events in the first case, which has no others.
const SAMPLES: usize = 60;

impl<'l> Draw<'l> {
    /// Cases of a law: each law has its own, whatever the others draw.
    pub(crate) fn new(lab: &'l Lab<'l>, salt: &str) -> Self {
        let salt = salt.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Self { lab, rng: Rng::with_seed(lab.options.seed ^ salt.rotate_left(32)) }
    }

    /// The rows of a case: of the first one the sample events as they are.
    pub(crate) fn rows(&mut self, case: usize, deal: Deal) -> Vec<Row> {
        let count = match case {
            0 => self.lab.seen.len().min(SAMPLES),
            case if case.is_multiple_of(16) => self.rng.usize(10..60),
            _ => self.rng.usize(1..10),
        };
        let mut rows: Vec<Row> = Vec::with_capacity(count);
        for at in 0..count {
            let cells = match case {
                0 => self.lab.seen[at].cells.clone(),
                _ => self.cells(rows.last()),
            };
            // Equal scores are where orders are tried.
            let score = match rows.last() {
                Some(before) if self.rng.u8(..5) == 0 => before.score,
                _ => self.score(),
            };
            rows.push(Row { cells, score, group: self.rng.u32(..deal.groups), part: 0, place: self.rng.u32(..) });
        }
        let mut parts: Vec<u32> = rows.iter().map(|_| self.rng.u32(..deal.parts)).collect();
        parts.sort_unstable();
        rows.iter_mut().zip(parts).for_each(|(row, part)| row.part = part);
        rows
    }

    fn cells(&mut self, before: Option<&Row>) -> Vec<Cell> {
        if let Some(before) = before
            && self.rng.u8(..8) == 0
        {
            return before.cells.clone();
        }
        let seen = &self.lab.seen;
        let mut cells = seen[self.rng.usize(..seen.len())].cells.clone();
        for (column, cell) in cells.iter_mut().enumerate() {
            match self.rng.u8(..10) {
                0..4 => {}
                4..7 => *cell = seen[self.rng.usize(..seen.len())].cells[column].clone(),
                7 if before.is_some() => *cell = before.expect("it is some").cells[column].clone(),
                _ => *cell = self.near(column, cell),
            }
        }
        cells
    }

    /// A value near a seen one.
    fn near(&mut self, column: usize, cell: &Cell) -> Cell {
        let range = self.lab.ranges[column];
        match cell {
            Cell::Boolean(_) => Cell::Boolean(self.rng.bool()),
            // A host lets through what it received, and that is after 1970.
            Cell::Integer(value) => {
                let far = if self.rng.u8(..4) == 0 { 1_000 } else { 1 };
                let steps = self.rng.i64(-3..10).saturating_mul(far);
                Cell::Integer(value.saturating_add(steps.saturating_mul(self.lab.steps[column])).max(0))
            }
            Cell::Number(_) => {
                let range = if self.rng.bool() { range } else { wider(range) };
                Cell::Number(self.between(range))
            }
            Cell::Text(_) if self.rng.u8(..4) == 0 => Cell::Text(["", "x", "é"][self.rng.usize(..3)].into()),
            other => other.clone(),
        }
    }

    fn score(&mut self) -> f64 {
        self.between(self.lab.scores)
    }

    /// A number with one decimal place.
    fn between(&mut self, (least, most): (f64, f64)) -> f64 {
        let value = least + self.rng.f64() * (most - least);
        let rounded = (value * 10.0).round() / 10.0;
        // Not -0, which is no number of a measurement.
        if rounded.is_finite() { rounded + 0.0 } else { value }
    }
}

/// Numbers that are not plausible, too: a validator rejects some of them.
fn wider((least, most): (f64, f64)) -> (f64, f64) {
    let span = (most - least).max(1.0);
    (least - span, most + span)
}

/// A long race: the sample events over and over. In each group, what counts goes on counting, and measurements vary.
pub(crate) fn race(lab: &Lab<'_>, records: usize, groups: usize) -> Vec<Row> {
    let mut rng = Rng::with_seed(lab.options.seed);
    let row = |at: usize| {
        let (group, ordinal) = (at % groups, (at / groups) as i64);
        let seen = &lab.seen[at % lab.seen.len()];
        let cell = |(column, cell): (usize, &Cell)| match (&lab.seen[0].cells[column], cell) {
            (Cell::Integer(first), _) => {
                let field = &lab.subject.fields()[column];
                debug_assert_eq!(field.kind, Kind::Integer);
                Cell::Integer(first.saturating_add(lab.counts[column].saturating_mul(ordinal)))
            }
            (_, Cell::Number(_)) => {
                let (least, most) = lab.ranges[column];
                Cell::Number(least + rng.f64() * (most - least))
            }
            (_, Cell::Text(_)) if lab.distinct[column] => Cell::Text(format!("{at:016x}").into()),
            (_, other) => other.clone(),
        };
        let cells = seen.cells.iter().enumerate().map(cell).collect();
        let (least, most) = lab.scores;
        Row { cells, score: least + rng.f64() * (most - least), group: group as u32, part: 0, place: 0 }
    };
    (0..records).map(row).collect()
}
