//! What became of each record of a batch.

use std::collections::HashMap;

use crate::evaluation::Evaluation;
use crate::model::{Batch, Cause, DeadLetter, Reason};

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome<'e> {
    /// It is of a race type that is not replayed.
    OtherRaceType,
    /// It was folded. The score is known if it was evaluated just now.
    Accepted(Option<f64>),
    /// It became a dead letter.
    Rejected(&'e Reason),
}

/// The outcome of each record.
pub(super) fn outcomes<'e>(batch: &Batch, evaluation: &'e Evaluation) -> Vec<Outcome<'e>> {
    let mut outcomes = vec![Outcome::OtherRaceType; batch.records.len()];
    for scored in &evaluation.scored {
        for (record, score) in scored.records.iter().zip(&scored.scores) {
            outcomes[*record as usize] = Outcome::Accepted(Some(*score));
        }
    }
    // A record that two groups refused has two letters. The first counts.
    for (record, letter) in evaluation.dead_letters.iter().rev() {
        outcomes[*record as usize] = match letter.reason.cause {
            Cause::NoRulebook => Outcome::OtherRaceType,
            _ => Outcome::Rejected(&letter.reason),
        };
    }
    outcomes
}

/// The outcome of each record as far as the store tells: what has no dead letter was accepted.
pub(super) fn committed_outcomes<'e>(batch: &Batch, letters: &'e HashMap<String, Reason>) -> Vec<Outcome<'e>> {
    let outcome = |record| letters.get(&position(batch, record)).map_or(Outcome::Accepted(None), Outcome::Rejected);
    (0..batch.records.len()).map(outcome).collect()
}

/// A record's shard and position: the id that its dead letter has.
pub(super) fn position(batch: &Batch, record: usize) -> String {
    let record = &batch.records[record];
    match &record.redriven {
        Some(letter) => letter.id.clone(),
        None => DeadLetter::id_of(&batch.shard, record.position),
    }
}

/// A record's partition key, if its source has them.
pub(super) fn partition_key(batch: &Batch, record: usize) -> Option<String> {
    let key = batch.records[record].partition_key?;
    Some(String::from_utf8_lossy(batch.slice(key)).into_owned())
}
