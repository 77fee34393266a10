//! Batches that their sender gave up: their records become dead letters, to be redriven.
//!
//! Such a batch can't be processed at its positions: later batches of the shard have moved the dedup of its groups past
//! them, so that dedup by sequence would drop its records as duplicates. A redrive gives them positions of their own.
//!
//! Part of the batch may have been committed before it was given up. Ordinals recognize these records wherever they come
//! from. Where dedup is by sequence, a group that has come past a record may hold it or not: its dead letter is unsure. A
//! group that has not come so far, or has no record of the shard at all, does not hold it.

use std::collections::HashSet;

use crate::dedup::{DedupState, Sequenced};
use crate::error::PipelineError;
use crate::model::{Batch, Cause, DeadLetter, Item, Reason};
use crate::pipeline::Pipeline;
use crate::rules::DedupRule;
use crate::stages::columns;
use crate::stages::commit::store_dead_letters;
use crate::stages::context::Context;
use crate::stages::groups::{self, Groups};
use crate::stages::record_batch::RecordBatch;
use crate::store::Store;
use crate::summary::Summary;

/// The records of a batch that was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// The dead letters of those that have none, in the order of the batch.
    pub letters: Vec<DeadLetter>,
    /// The ids of those that have a dead letter, or had one that was redriven.
    pub known: Vec<String>,
}

impl GivenUp {
    /// How many of the dead letters are unsure.
    pub fn unsure(&self) -> usize {
        self.letters.iter().filter(|letter| letter.unsure).count()
    }
}

impl<S: Store> Pipeline<S> {
    /// The dead letters that a batch would get that was given up. `why` is the reason in words. Nothing is written.
    pub async fn find_given_up(&self, batch: &Batch, why: &str) -> Result<GivenUp, PipelineError> {
        let mut summary = Summary::default();
        let context = self.context(None, &mut summary);
        let ids: Vec<String> =
            batch.records.iter().map(|record| DeadLetter::id_of(&batch.shard, record.position)).collect();
        let known = context.budget.retry(|| self.store.known_dead_letters(&ids)).await?;
        let unsure = self.may_be_folded(batch).await?;
        let mut given_up = GivenUp::default();
        for (record, id) in (0..).zip(ids) {
            if known.contains(&id) {
                given_up.known.push(id);
                continue;
            }
            let undecodable = batch.undecodable.iter().find(|(other, _)| *other == record);
            let reason = match undecodable {
                Some((_, why)) => Reason::new(Cause::Undecodable, why.clone()),
                None => Reason::new(Cause::GivenUp, why),
            };
            let letter = batch.dead_letter(record, reason);
            given_up.letters.push(DeadLetter { unsure: unsure.contains(&record), ..letter });
        }
        Ok(given_up)
    }

    /// Stores the records of a batch that was given up as dead letters, durably. One that has a dead letter, or had one that
    /// was redriven, gets no other. May be repeated at any time.
    ///
    /// No host must process these records at their positions at the same moment. One that does so later takes them for
    /// settled: the shard's horizon is raised to them.
    pub async fn store_given_up(&self, batch: &Batch, why: &str) -> Result<GivenUp, PipelineError> {
        let given_up = self.find_given_up(batch, why).await?;
        let letters: Vec<(u32, DeadLetter)> = (0..).zip(given_up.letters.iter().cloned()).collect();
        let mut summary = Summary::default();
        let mut context = self.context(None, &mut summary);
        let catalog = self.rulebooks.catalog();
        let stored = store_dead_letters(&mut context, (&batch.shard, catalog.at()), &letters).await;
        stored.map_err(|(_, why)| why)?;
        context.budget.retry(|| self.store.flush()).await?;
        Ok(given_up)
    }

    /// The records that some group may hold without anything that shows it.
    async fn may_be_folded(&self, batch: &Batch) -> Result<HashSet<u32>, PipelineError> {
        let mut summary = Summary::default();
        let mut context = self.context(None, &mut summary);
        let (projected, routed) = self.project_and_route(&mut context, batch).await?;
        // The rulebook of a record that waits is not known.
        let held = context.held.as_ref().map_or(u32::MAX, |(first, _)| *first);
        let mut unsure: HashSet<u32> = (0..batch.records.len() as u32).filter(|record| *record >= held).collect();
        // Plugins are not called: what they reject today, an earlier version may have accepted.
        let record_batches: Vec<RecordBatch<'_>> =
            routed.by_rulebook().into_iter().map(|records| columns::build(&mut context, &projected, records)).collect();
        let groups = groups::find(&mut context, &projected, &record_batches);
        unsure.extend(rejected(&context, &record_batches));
        let loaded = context.budget.retry(|| self.store.load_groups(&groups.keys)).await?;
        unsure.extend(held_perhaps(batch, &record_batches, &groups, &loaded));
        Ok(unsure)
    }
}

/// The rejected records that other rules may have accepted. Whatever the rules are, one that is not JSON is in no group.
fn rejected<S>(context: &Context<'_, S>, record_batches: &[RecordBatch<'_>]) -> Vec<u32> {
    let by_sequence = |record: u32| {
        let of = |record_batch: &&RecordBatch<'_>| record_batch.is_by_sequence();
        record_batches
            .iter()
            .filter(of)
            .any(|of| of.rejected.contains(&record) || of.records.binary_search(&record).is_ok())
    };
    // The configuration that evaluated it may have allowed more bytes.
    let too_large: HashSet<u32> = context.rejected.of_cause(Cause::TooLarge).collect();
    let is_unsure =
        |record: &u32| context.rejected.is_unsure(*record) || too_large.contains(record) || by_sequence(*record);
    context.rejected.since(0).filter(is_unsure).collect()
}

/// The records whose groups have come past them: only dedup by sequence does not show whether they hold them.
fn held_perhaps(
    batch: &Batch,
    record_batches: &[RecordBatch<'_>],
    groups: &Groups<'_>,
    loaded: &[Option<Item>],
) -> Vec<u32> {
    let mut unsure = Vec::new();
    for call in &groups.calls {
        let aggregate = &record_batches[call.record_batch].rulebook.rulebook.aggregates[call.aggregate];
        if aggregate.rule.dedup != DedupRule::Sequence {
            continue;
        }
        for row in &call.rows {
            let record = &batch.records[row.record as usize];
            let is_new = match loaded[row.group as usize].as_ref().map(|item| &item.dedup) {
                None => true,
                Some(DedupState::Sequence(positions)) => {
                    positions.find(&batch.shard, record.position, record.arrival_ms) == Sequenced::New
                }
                Some(DedupState::Ordinal(_)) => false,
            };
            if !is_new {
                unsure.push(row.record);
            }
        }
    }
    unsure
}
