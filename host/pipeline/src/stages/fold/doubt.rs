//! Records that a host with other rules may have folded or rejected at the same moment. Dedup by sequence does not show which:
//! a group that has come past a record's position may hold it or not. Their dead letters are unsure.

use std::collections::HashSet;

use super::rows::Rows;
use crate::model::{DeadLetter, Item};
use crate::stages::context::Context;
use crate::stages::groups::GroupRow;
use crate::stages::record_batch::RecordBatch;
use crate::store::{DeadLetterStore, StoreError};

impl Rows<'_, '_> {
    /// The letters of settled records that these rules accept, and that another rulebook, or none, has rejected.
    pub(super) async fn suspects<S: DeadLetterStore>(
        self,
        context: &Context<'_, S>,
        settled: &HashSet<u32>,
    ) -> Result<Vec<(u32, DeadLetter)>, StoreError> {
        let batch = self.projected.batch;
        let mut suspects = Vec::new();
        let mut settled: Vec<u32> = settled.iter().copied().collect();
        settled.sort_unstable();
        for record in settled {
            let accepts = |of: &&RecordBatch<'_>| of.is_by_sequence() && of.records.binary_search(&record).is_ok();
            let Some(accepting) = self.record_batches.iter().find(accepts) else { continue };
            let id = DeadLetter::id_of(&batch.shard, batch.records[record as usize].position);
            let letter = context.budget.retry(|| context.store.get_dead_letter(&id)).await?;
            let ours = &accepting.rulebook.rulebook.id;
            let is_ours = |(name, version): &(String, u64)| (name, *version) == (&ours.name, ours.version);
            let of_others = |letter: &DeadLetter| !letter.reason.rulebook.as_ref().is_some_and(is_ours);
            suspects.extend(letter.filter(of_others).map(|letter| (record, letter)));
        }
        Ok(suspects)
    }

    /// Keeps the suspects that some group may hold, and marks them.
    pub(super) fn keep_doubtful(self, suspects: Option<&mut Vec<(u32, DeadLetter)>>, loaded: &[Option<Item>]) {
        let Some(suspects) = suspects else { return };
        suspects.retain_mut(|(record, letter)| {
            let holds = |row: &GroupRow| self.holds(loaded[row.group as usize].as_ref(), row);
            let may_hold = !self.groups.of_record(*record, holds).is_empty();
            may_hold && !std::mem::replace(&mut letter.unsure, true)
        });
    }
}

/// Marks the rejected records that rules before these may have accepted: those of races that were moved (`reruled`, ascending),
/// and of race types that pin no races.
pub(crate) fn mark_doubtful<S>(context: &mut Context<'_, S>, record_batches: &[RecordBatch<'_>], reruled: &[u32]) {
    if !context.horizon.overlaps(context.now()) {
        return;
    }
    for record_batch in record_batches.iter().filter(|record_batch| record_batch.is_by_sequence()) {
        let pins = record_batch.rulebook.pin.is_some();
        let is_moved = |record: u32| !pins || reruled.binary_search(&record).is_ok();
        let is_of = |record: u32| {
            record_batch.rejected.contains(&record) || record_batch.records.binary_search(&record).is_ok()
        };
        context.rejected.mark_unsure(|record| is_moved(record) && is_of(record));
    }
}
