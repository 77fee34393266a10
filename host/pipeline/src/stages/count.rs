//! Count: what became of the committed records of each race type and rulebook.

use paceline_engine::Digest;

use super::route::RoutedBatch;
use crate::model::DeadLetter;
use crate::rules::Catalog;
use crate::summary::{EvaluatedBy, Rows, Summary};

/// What became of the records of one race type that one rulebook evaluated.
#[derive(Debug)]
pub(crate) struct Counted<'r> {
    pub(crate) race_type: &'r str,
    pub(crate) rulebook: Digest,
    pub(crate) rows: Rows,
}

/// Counts the records before `committed`. `letters` are the dead letters of a batch, by record.
pub(crate) fn count<'r>(
    summary: &mut Summary,
    catalog: &Catalog,
    routed: &'r RoutedBatch,
    letters: &[(u32, DeadLetter)],
    committed: u32,
) -> Vec<Counted<'r>> {
    let mut counted: Vec<Counted<'r>> = Vec::new();
    let mut dead: Vec<(u32, usize)> = Vec::new();
    for (at, routed) in routed.race_types.iter().enumerate() {
        let evaluated = routed.records.partition_point(|record| *record < committed) as u64;
        let rows = Rows { evaluated, ..Rows::default() };
        counted.push(Counted { race_type: &routed.race_type, rulebook: routed.rulebook, rows });
        if !letters.is_empty() {
            dead.extend(routed.records.iter().map(|record| (*record, at)));
        }
    }
    dead.sort_unstable();
    for (record, letter) in letters.iter().filter(|(record, _)| *record < committed) {
        if let Ok(found) = dead.binary_search_by_key(record, |(record, _)| *record) {
            counted[dead[found].1].rows.count(letter.reason.cause);
        }
    }
    for Counted { race_type, rulebook, rows } in &counted {
        let Some(bound) = catalog.rulebook(*rulebook) else { continue };
        let by = EvaluatedBy { race_type: (*race_type).to_owned(), rulebook: bound.rulebook.id.clone() };
        summary.rows.entry(by).or_default().add(*rows);
    }
    counted
}
