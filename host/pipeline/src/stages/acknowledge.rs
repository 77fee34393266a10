//! Acknowledge: what was redriven is deleted, everything is made durable, and only then the batch is done.

use super::context::Context;
use super::uncommitted::FirstUncommitted;
use crate::error::PipelineError;
use crate::model::{Batch, DeadLetter};
use crate::store::Store;

/// Deletes the dead letters that were redriven, then stores the batch's checkpoint if all of it is committed.
pub(crate) async fn acknowledge<S: Store>(
    context: &mut Context<'_, S>,
    batch: &Batch,
    letters: &[(u32, DeadLetter)],
    first_uncommitted: &FirstUncommitted,
) -> Result<(), PipelineError> {
    let (store, budget) = (context.store, context.budget);
    let committed = first_uncommitted.as_ref().map_or(batch.records.len(), |(record, _)| *record as usize);
    // They are deleted last: if they were deleted before their records' groups are durable, a crash would lose them.
    let redriven: Vec<String> = batch.records[..committed]
        .iter()
        .filter_map(|record| record.redriven.as_ref())
        .filter(|before| !letters.iter().any(|(_, letter)| letter.id == before.id))
        .map(|before| before.id.clone())
        .collect();
    if !redriven.is_empty() {
        budget.retry(|| store.flush()).await?;
        budget.retry(|| store.delete_dead_letters(&redriven)).await?;
        context.summary.redriven += redriven.len() as u64;
    }
    match &batch.checkpoint {
        Some(checkpoint) if first_uncommitted.is_none() => {
            budget.retry(|| store.put_checkpoint(&batch.shard, checkpoint)).await?;
        }
        // What is committed in part is not delivered again, either.
        _ => budget.retry(|| store.flush()).await?,
    }
    Ok(())
}
