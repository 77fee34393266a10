//! What differs record by record: rejections and scores.

use std::collections::{BTreeMap, BTreeSet};

use super::distribution::Distribution;
use super::outcome::{Outcome, partition_key, position};
use super::top::Top;
use crate::evaluation::Evaluation;
use crate::model::{Batch, Cause, Key, Reason};

/// What differs record by record.
#[derive(Debug)]
pub struct RowDifferences {
    /// The records that were replayed, those of other race types included.
    pub records: u64,
    /// Records of race types that are not replayed.
    pub other_race_types: u64,
    /// Rejected records.
    pub rejections: Rejections,
    /// Scores. They have no rows if the rulebook is compared with what is committed.
    pub scores: ScoreDifferences,
    /// The scores of the groups that were named, by sort key.
    pub named: BTreeMap<String, Scores>,
}

/// Rejected records.
#[derive(Debug, Default)]
pub struct Rejections {
    /// By the rulebook.
    pub rules: BTreeMap<Cause, u64>,
    /// By what it is compared with.
    pub against: BTreeMap<Cause, u64>,
    /// Records that only the rulebook rejects, and why.
    pub newly_rejected: ListedRows,
    /// Records that only the other one rejects, and why.
    pub newly_accepted: ListedRows,
}

/// Records that are counted, and the first of them.
#[derive(Debug, Default)]
pub struct ListedRows {
    /// How many.
    pub count: u64,
    /// The first, in the order of the source.
    pub first: Vec<NewRow>,
}

/// A record that only one of the two rejects.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRow {
    /// Shard and position.
    pub position: String,
    /// The partition key, if the source has them.
    pub partition_key: Option<String>,
    /// Why it is rejected by the one.
    pub reason: Reason,
}

/// Scores of records that both accept.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// Records with equal scores.
    pub equal: u64,
    /// Records with different scores.
    pub different: u64,
    /// The differences of all these records, equal scores included: the rulebook's score less the other one's.
    pub differences: Distribution,
}

/// Scores of records that both accept, and the largest differences.
#[derive(Debug)]
pub struct ScoreDifferences {
    /// The figures.
    pub scores: Scores,
    /// The largest differences up or down.
    pub largest: Top<ScoreDifference>,
}

/// A record whose scores differ.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreDifference {
    /// Shard and position.
    pub position: String,
    /// The partition key, if the source has them.
    pub partition_key: Option<String>,
    /// Its groups.
    pub groups: Vec<Key>,
    /// The score by what the rulebook is compared with.
    pub against: f64,
    /// The score by the rulebook.
    pub rules: f64,
}

impl RowDifferences {
    pub(super) fn new(listed: usize, named: BTreeSet<String>) -> Self {
        Self {
            records: 0,
            other_race_types: 0,
            rejections: Rejections::default(),
            scores: ScoreDifferences { scores: Scores::default(), largest: Top::new(listed) },
            named: named.into_iter().map(|sort| (sort, Scores::default())).collect(),
        }
    }

    /// Compares the records of a batch. `evaluation` is the rulebook's; `outcomes` are the rulebook's and the other one's.
    pub(super) fn add(
        &mut self,
        batch: &Batch,
        evaluation: &Evaluation,
        (ours, theirs): (&[Outcome<'_>], &[Outcome<'_>]),
    ) {
        self.records += batch.records.len() as u64;
        for (record, pair) in ours.iter().zip(theirs).enumerate() {
            match pair {
                (Outcome::OtherRaceType, _) | (_, Outcome::OtherRaceType) => self.other_race_types += 1,
                (Outcome::Accepted(Some(rules)), Outcome::Accepted(Some(against))) => {
                    self.scores.add((*against, *rules), || ScoreDifference {
                        position: position(batch, record),
                        partition_key: partition_key(batch, record),
                        groups: evaluation.groups_of(record as u32).into_iter().cloned().collect(),
                        against: *against,
                        rules: *rules,
                    });
                }
                (Outcome::Accepted(_), Outcome::Accepted(_)) => {}
                (ours, theirs) => self.rejections.add(batch, record, (*ours, *theirs), self.scores.largest.limit()),
            }
        }
        if self.named.is_empty() {
            return;
        }
        let named: BTreeSet<(u32, &str)> = evaluation
            .records_of(|key| self.named.contains_key(key.sort.as_str()))
            .into_iter()
            .map(|(record, key)| (record, key.sort.as_str()))
            .collect();
        for (record, sort) in named {
            let pair = (ours[record as usize], theirs[record as usize]);
            if let (Outcome::Accepted(Some(rules)), Outcome::Accepted(Some(against))) = pair
                && let Some(scores) = self.named.get_mut(sort)
            {
                scores.add(against, rules);
            }
        }
    }
}

impl Rejections {
    /// Adds a record that one of the two rejects, or both.
    fn add(&mut self, batch: &Batch, record: usize, (ours, theirs): (Outcome<'_>, Outcome<'_>), listed: usize) {
        let row = |reason: &Reason| NewRow {
            position: position(batch, record),
            partition_key: partition_key(batch, record),
            reason: reason.clone(),
        };
        for (outcome, causes) in [(ours, &mut self.rules), (theirs, &mut self.against)] {
            if let Outcome::Rejected(reason) = outcome {
                *causes.entry(reason.cause).or_default() += 1;
            }
        }
        match (ours, theirs) {
            (Outcome::Rejected(reason), Outcome::Accepted(_)) => self.newly_rejected.add(listed, || row(reason)),
            (Outcome::Accepted(_), Outcome::Rejected(reason)) => self.newly_accepted.add(listed, || row(reason)),
            _ => {}
        }
    }
}

impl ListedRows {
    fn add(&mut self, listed: usize, row: impl FnOnce() -> NewRow) {
        self.count += 1;
        if self.first.len() < listed {
            self.first.push(row());
        }
    }
}

impl Scores {
    fn add(&mut self, against: f64, rules: f64) {
        match against == rules {
            true => self.equal += 1,
            false => self.different += 1,
        }
        self.differences.add(rules - against);
    }
}

impl ScoreDifferences {
    fn add(&mut self, (against, rules): (f64, f64), row: impl FnOnce() -> ScoreDifference) {
        self.scores.add(against, rules);
        if against != rules {
            self.largest.add((rules - against).abs(), row);
        }
    }
}
