//! A case that violates a law is made smaller for as long as it violates the law in the same way: fewer records first, then
//! simpler values.

use paceline_engine::EngineError;

use super::lab::Lab;
use super::rows::{Cell, Row};
use super::rule::{Breach, Counterexample, Rule, settled};

/// The most cases that are tried.
const MOST: usize = 600;

struct Shrinking<'s> {
    rule: &'s Rule<'s>,
    rows: Vec<Row>,
    breach: Breach,
    tried: usize,
}

/// The smallest case that is found.
pub(crate) fn shrink(
    lab: &Lab<'_>,
    rule: &Rule<'_>,
    rows: Vec<Row>,
    breach: Breach,
) -> Result<Counterexample, EngineError> {
    let mut shrinking = Shrinking { rule, rows, breach, tried: 0 };
    loop {
        let before = shrinking.rows.clone();
        shrinking.remove_rows()?;
        shrinking.simplify(lab)?;
        if shrinking.rows == before || shrinking.tried >= MOST {
            return Ok(Counterexample { rows: shrinking.rows, breach: shrinking.breach });
        }
    }
}

impl Shrinking<'_> {
    /// Takes these rows instead, if they violate the law in the same way.
    fn try_rows(&mut self, rows: Vec<Row>) -> Result<bool, EngineError> {
        if self.tried >= MOST || rows == self.rows {
            return Ok(false);
        }
        self.tried += 1;
        match settled((self.rule.holds)(&rows))? {
            Some(breach) if breach.is_rounding == self.breach.is_rounding => {
                (self.rows, self.breach) = (rows, breach);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether the case violates the law in the same way after a change, or was so before.
    fn change(&mut self, change: impl FnOnce(&mut Vec<Row>)) -> Result<bool, EngineError> {
        let mut rows = self.rows.clone();
        change(&mut rows);
        Ok(rows == self.rows || self.try_rows(rows)?)
    }

    /// Halves, quarters and so on, down to single rows.
    fn remove_rows(&mut self) -> Result<(), EngineError> {
        let mut chunk = self.rows.len().div_ceil(2);
        loop {
            let mut at = 0;
            while at < self.rows.len() {
                let mut fewer = self.rows.clone();
                fewer.drain(at..(at + chunk).min(fewer.len()));
                if !self.try_rows(fewer)? {
                    at += chunk;
                }
            }
            if chunk <= 1 {
                return Ok(());
            }
            chunk = chunk.div_ceil(2);
        }
    }

    fn simplify(&mut self, lab: &Lab<'_>) -> Result<(), EngineError> {
        let first = &lab.seen[0];
        for at in 0..self.rows.len() {
            for column in 0..first.cells.len() {
                let mut simpler = vec![first.cells[column].clone()];
                simpler.extend((at > 0).then(|| self.rows[0].cells[column].clone()));
                simpler.extend(simple(&first.cells[column]));
                for cell in simpler {
                    if self.change(|rows| rows[at].cells[column] = cell)? {
                        break;
                    }
                }
            }
            for score in [1.0, 2.0, 3.0, 10.0] {
                if self.change(|rows| rows[at].score = score)? {
                    break;
                }
            }
            if !self.change(|rows| rows[at].group = 0)? {
                self.change(|rows| rows[at].group = rows[0].group)?;
            }
        }
        Ok(())
    }
}

/// Simple values of the same kind.
fn simple(like: &Cell) -> Vec<Cell> {
    match like {
        Cell::Boolean(_) => vec![Cell::Boolean(false)],
        Cell::Integer(_) => [1, 2, 3, 0].map(Cell::Integer).into(),
        Cell::Number(_) => [1.0, 2.0, 3.0, 0.0].map(Cell::Number).into(),
        Cell::Text(_) => vec![Cell::Text("".into())],
        Cell::Blob(_) => Vec::new(),
    }
}
