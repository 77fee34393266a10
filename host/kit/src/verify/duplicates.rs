//! Whether a record that is folded twice changes the result. That is a fact, not a fault: a rulebook has dedup.

use super::calls::{Tried, empty};
use super::compare::{self, Same};
use super::fold_cuts::fold;
use super::lab::Lab;
use super::report::{Check, Checked, Finding, Law};
use super::rows::Row;
use super::rule::{Breach, Counterexample, Deal, Rule};

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let twice = |rows: &[Row]| twice(lab, rows);
    let found = lab.search(&Rule { name: "duplicates", deal: Deal { groups: 1, parts: 1 }, holds: &twice })?;
    let (holds, findings) = match found {
        None => ("folding a record twice changes nothing".to_owned(), Vec::new()),
        Some(Counterexample { rows, breach }) => {
            let fact = Finding::fact(
                "folding a record twice changes the result: the rulebook needs `dedup`, by ordinal or by sequence",
            );
            (String::new(), vec![fact.shown_by(lab.example_of(&rows, breach, ""))])
        }
    };
    Ok(Check { law: Law::Duplicates, holds, findings })
}

/// Each record once, and each record twice in succession.
fn twice(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let doubled: Vec<Row> = rows.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
    let (once, twice) = (fold(lab, rows, &empty(1))?, fold(lab, &doubled, &empty(1))?);
    compare::states(lab, Same::Outputs, (&once, "each once"), (&twice, "each twice"))
}
