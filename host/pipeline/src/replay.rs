//! Replay: recorded records by a rulebook that does not run, compared with another rulebook or with what is committed.
//!
//! Nothing is written anywhere. Each rulebook folds into a store in memory, which is empty at first: items are made from
//! the replayed records alone. Of the records themselves, only counts and bounded lists are kept.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - this file: batch after batch.
//! - `rows`: what differs record by record. `items`: what differs group by group.
//! - `side`: one of the two rulebooks. `outcome`: what became of each record of a batch.
//! - `distribution`, `top`: figures and lists in bounded memory.

mod distribution;
mod items;
mod outcome;
mod rows;
mod side;
mod top;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub use distribution::{Distribution, Figures, PERCENTILES};
pub use items::{AttributeDifferences, ItemDifference, ItemDifferences, ItemPair};
pub use rows::{ListedRows, NewRow, Rejections, RowDifferences, ScoreDifference, ScoreDifferences, Scores};
pub use side::Cost;
pub use top::Top;

use self::outcome::{Outcome, committed_outcomes, outcomes};
use self::side::Side;
use crate::error::PipelineError;
use crate::evaluation::Evaluation;
use crate::model::{Batch, BatchLimits, DeadLetter, Key, Reason};
use crate::rules::Rulebooks;
use crate::store::{GroupStore, StoreError};

/// Keys in one call to the store.
const KEYS_A_CALL: usize = 1_000;

/// What a rulebook is compared with.
#[derive(Debug)]
pub enum Baseline {
    /// Another rulebook, which is replayed beside it.
    Rulebook(Arc<Rulebooks>),
    /// What the store holds.
    Committed(CommittedLetters),
}

/// The reasons of the store's dead letters, by id.
#[derive(Debug, Default)]
pub struct CommittedLetters(HashMap<String, Reason>);

impl CommittedLetters {
    /// Of these letters.
    pub fn new(letters: impl IntoIterator<Item = DeadLetter>) -> Self {
        Self(letters.into_iter().map(|letter| (letter.id, letter.reason)).collect())
    }
}

/// What is shown of a replay.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// How large the batches are.
    pub limits: BatchLimits,
    /// How many entries each list has at most.
    pub listed: usize,
    /// The sort keys of groups whose figures are shown whatever they are.
    pub named: BTreeSet<String>,
}

/// A rulebook that is compared, batch by batch.
#[derive(Debug)]
pub struct Replay {
    rules: Side,
    against: Against,
    listed: usize,
    batches: u64,
    rows: RowDifferences,
}

#[derive(Debug)]
enum Against {
    Rulebook(Box<Side>),
    Committed(CommittedLetters),
}

/// What a replay found.
#[derive(Debug)]
pub struct Comparison {
    /// Record by record.
    pub rows: RowDifferences,
    /// Group by group.
    pub items: ItemDifferences,
    /// All groups, by key.
    pub pairs: Vec<ItemPair>,
    /// What the rulebook cost.
    pub rules_cost: Cost,
    /// What the other one cost; `None` if the rulebook is compared with what is committed.
    pub against_cost: Option<Cost>,
}

impl Replay {
    /// A replay by `rulebooks`, compared with `baseline`.
    pub fn new(rulebooks: Arc<Rulebooks>, baseline: Baseline, options: ReplayOptions) -> Self {
        let ReplayOptions { limits, listed, named } = options;
        let against = match baseline {
            Baseline::Rulebook(other) => Against::Rulebook(Box::new(Side::new(other, limits.clone()))),
            Baseline::Committed(letters) => Against::Committed(letters),
        };
        let rules = Side::new(rulebooks, limits);
        Self { rules, against, listed, batches: 0, rows: RowDifferences::new(listed, named) }
    }

    /// Evaluates a batch by both rulebooks, and compares.
    pub async fn batch(&mut self, batch: &Batch) -> Result<(), PipelineError> {
        let is_first = self.batches == 0;
        self.batches += 1;
        match &mut self.against {
            Against::Committed(letters) => {
                if is_first {
                    self.rules.warm_up(batch).await?;
                }
                let ours = self.rules.fold(batch).await?;
                let theirs = committed_outcomes(batch, &letters.0);
                self.rows.add(batch, &ours, (&outcomes(batch, &ours), &theirs));
            }
            Against::Rulebook(other) => {
                if is_first {
                    self.rules.warm_up(batch).await?;
                    other.warm_up(batch).await?;
                }
                // They take turns in being the first, because the first finds less of the batch in the processor's caches.
                let (ours, theirs): (Evaluation, Evaluation);
                if self.batches.is_multiple_of(2) {
                    ours = self.rules.fold(batch).await?;
                    theirs = other.fold(batch).await?;
                } else {
                    theirs = other.fold(batch).await?;
                    ours = self.rules.fold(batch).await?;
                }
                let theirs: Vec<Outcome<'_>> = outcomes(batch, &theirs);
                self.rows.add(batch, &ours, (&outcomes(batch, &ours), &theirs));
            }
        }
        Ok(())
    }

    /// What was found. `store` is what is committed; it is read only if the rulebook is compared with that.
    pub async fn finish(self, store: &impl GroupStore) -> Result<Comparison, StoreError> {
        let ours = self.rules.items().await?;
        let (pairs, against_cost) = match self.against {
            Against::Rulebook(other) => (items::join(ours, other.items().await?), Some(other.into_cost())),
            Against::Committed(_) => {
                let mut theirs = Vec::with_capacity(ours.len());
                for chunk in ours.chunks(KEYS_A_CALL) {
                    let keys: Vec<Key> = chunk.iter().map(|(key, _)| key.clone()).collect();
                    theirs.extend(store.load_groups(&keys).await?);
                }
                let pair = |((key, item), other)| ItemPair { key, rules: Some(item), against: other };
                (ours.into_iter().zip(theirs).map(pair).collect(), None)
            }
        };
        let items = ItemDifferences::of(&pairs, self.listed);
        Ok(Comparison { rows: self.rows, items, pairs, rules_cost: self.rules.into_cost(), against_cost })
    }
}
