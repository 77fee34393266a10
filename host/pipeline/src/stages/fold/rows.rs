//! The rows of a batch, with the groups that they are folded into.

use std::collections::HashSet;

use super::select::{Selection, Selector, Unknown};
use crate::dedup::{DedupState, MAX_RUNS, Sequenced};
use crate::model::{Cause, Item, Reason};
use crate::rules::{BoundAggregate, BoundRulebook, LoadedAggregate};
use crate::stages::commit::Attempt;
use crate::stages::context::Context;
use crate::stages::failing::holds;
use crate::stages::groups::{GroupRow, Groups};
use crate::stages::project::ProjectedBatch;
use crate::stages::record_batch::RecordBatch;
use crate::stages::rejected::Rejected;

/// Why records of a stream that was created again are dead letters.
pub(crate) const OTHER_STREAM: &str = "it arrived after the last record of its shard that its group holds, and has no higher \
                                       sequence number: the stream was deleted and created again under its name. Give \
                                       the stream another name, or its groups ordinal dedup, and redrive with `--unsure`";

/// Why records with old ordinals are dead letters.
pub(crate) fn old_ordinal() -> String {
    format!(
        "the ordinal of the record is far behind those of its group, which keeps {MAX_RUNS} runs of them: whether the group \
         holds it is not known"
    )
}

/// The rows of a batch.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, 'c> {
    pub(super) projected: &'a ProjectedBatch<'a>,
    /// The records, ascending, whose race began with another rulebook.
    pub(super) reruled: &'a [u32],
    pub(super) record_batches: &'a [RecordBatch<'c>],
    pub(super) groups: &'a Groups<'c>,
}

impl<'c> Rows<'_, 'c> {
    /// The rows that are new to the groups of this attempt, without rejected records and blocked groups.
    pub(super) fn select(
        self,
        attempt: &Attempt<'_>,
        gone: &HashSet<u32>,
        blocked: impl IntoIterator<Item = u32>,
    ) -> Selection {
        let mut open = vec![attempt.open.len() == self.groups.keys.len(); self.groups.keys.len()];
        attempt.open.iter().for_each(|&group| open[group as usize] = true);
        blocked.into_iter().for_each(|group| open[group as usize] = false);
        let selector = Selector {
            batch: self.projected.batch,
            keys: &self.groups.keys,
            calls: &self.groups.calls,
            rules: (0..self.groups.calls.len()).map(|call| &self.aggregate(call).0.rule.dedup).collect(),
            loaded: attempt.loaded,
            interleaved: self.record_batches.len() > 1,
        };
        selector.select(|row| open[row.group as usize] && (gone.is_empty() || !gone.contains(&row.record)))
    }

    pub(super) fn aggregate(self, call: usize) -> (&'c LoadedAggregate, &'c BoundAggregate) {
        let call = &self.groups.calls[call];
        let bound = self.record_batches[call.record_batch].rulebook;
        (&bound.rulebook.aggregates[call.aggregate], &bound.aggregates[call.aggregate])
    }

    /// Whether a record's race began with another rulebook.
    pub(super) fn is_reruled(self, record: u32) -> bool {
        self.reruled.binary_search(&record).is_ok()
    }

    /// The rulebook of a call.
    pub(super) fn bound(self, call: usize) -> &'c BoundRulebook {
        self.record_batches[self.groups.calls[call].record_batch].rulebook
    }

    /// Rejects the records on which an aggregator failed, or lets them and all records after them wait. `gone` are the
    /// records that are not folded.
    pub(super) fn settle_failed<S>(self, context: &mut Context<'_, S>, failed: Rejected, gone: &mut HashSet<u32>) {
        let mut rejected = Rejected::default();
        for (record, reason) in failed.into_iter() {
            let held = self
                .record_batches
                .iter()
                .find(|batch| batch.records.binary_search(&record).is_ok())
                .is_some_and(|batch| holds(context, batch.rulebook, self.projected.batch, record, &reason));
            if held {
                let records = self.record_batches.iter().flat_map(|batch| &batch.records);
                gone.extend(records.filter(|other| **other >= record));
            } else {
                rejected.push(record, reason);
            }
        }
        context.rejected.add_new(rejected, gone);
    }

    /// Rejects records of which it is not known whether their groups hold them. `gone` are the records that are not folded.
    pub(super) fn reject_unknown<S>(
        self,
        context: &mut Context<'_, S>,
        unknown: &[(u32, Unknown)],
        gone: &mut HashSet<u32>,
    ) {
        let mut of_other_stream = 0;
        for &(record, why) in unknown {
            let of = self.record_batches.iter().find(|batch| batch.records.binary_search(&record).is_ok());
            if let (Some(of), true) = (of, gone.insert(record)) {
                let reason = match why {
                    Unknown::OldOrdinal => Reason::new(Cause::TooOld, old_ordinal()),
                    Unknown::OldRedrive => Reason::new(
                        Cause::TooOld,
                        format!(
                            "many dead letters after this one were redriven into its group before, which keeps {MAX_RUNS} \
                             runs of their numbers: whether the group holds the record is not known"
                        ),
                    ),
                    Unknown::OtherStream => {
                        of_other_stream += 1;
                        Reason::new(Cause::OtherStream, OTHER_STREAM)
                    }
                };
                context.rejected.push_unsure(record, of.reason(reason));
            }
        }
        if of_other_stream > 0 {
            tracing::error!(
                shard = &*self.projected.batch.shard,
                records = of_other_stream,
                "records of the batch become dead letters, `other-stream`. Of each of them: {OTHER_STREAM}"
            );
        }
    }

    pub(super) fn reason(self, call: usize, cause: Cause, text: String) -> Reason {
        let record_batch = &self.record_batches[self.groups.calls[call].record_batch];
        record_batch.reason(Reason::new(cause, text).by(self.aggregate(call).0.aggregator.plugin().digest()))
    }

    /// Whether a group's item, as it was read, holds a row.
    pub(super) fn holds(self, item: Option<&Item>, row: &GroupRow) -> bool {
        let batch = self.projected.batch;
        match item.map(|item| &item.dedup) {
            Some(DedupState::Sequence(positions)) => {
                let record = &batch.records[row.record as usize];
                positions.find(&batch.shard, record.position, record.arrival_ms) == Sequenced::Duplicate
            }
            Some(DedupState::Ordinal(ordinals)) => ordinals.contains(row.ordinal),
            None => false,
        }
    }
}
