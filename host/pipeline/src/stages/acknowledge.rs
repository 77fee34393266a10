//! Acknowledge: dead letters are stored, everything is made durable, and only then the batch is done.

use super::context::Context;
use super::uncommitted::{FirstUncommitted, record_first_failure};
use crate::error::PipelineError;
use crate::model::{Batch, DeadLetter};
use crate::store::Store;

/// Dead letters in one call to the store; their payloads may be long.
const DEAD_LETTERS_A_CALL: usize = 1_000;

/// Stores dead letters. If some record is not committed, only those of records before it: the others are delivered and
/// evaluated again.
pub(crate) async fn store_dead_letters<S: Store>(
    context: &mut Context<'_, S>,
    letters: &[(u32, DeadLetter)],
    first_uncommitted: &mut FirstUncommitted,
) -> Result<(), PipelineError> {
    for letters in letters.chunks(DEAD_LETTERS_A_CALL) {
        let first = letters[0].0;
        if first_uncommitted.as_ref().is_some_and(|(record, _)| *record <= first) {
            break;
        }
        let chunk: Vec<DeadLetter> = letters.iter().map(|(_, letter)| letter.clone()).collect();
        match context.budget.retry(|| context.store.put_dead_letters(&chunk)).await {
            Ok(()) => {
                for (_, letter) in letters {
                    *context.summary.dead_letters.entry(letter.reason.cause).or_default() += 1;
                }
            }
            Err(error) if error.is_transient() => {
                record_first_failure(first_uncommitted, first, error.into());
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Stores a batch's dead letters, then its checkpoint if all of it is committed.
pub(crate) async fn acknowledge<S: Store>(
    context: &mut Context<'_, S>,
    batch: &Batch,
    letters: &[(u32, DeadLetter)],
    first_uncommitted: &mut FirstUncommitted,
) -> Result<(), PipelineError> {
    store_dead_letters(context, letters, first_uncommitted).await?;
    let (store, budget) = (context.store, context.budget);
    // The dead letters that were redriven successfully. They are deleted last: if they were deleted before their records'
    // groups are durable, a crash would lose them.
    let committed = first_uncommitted.as_ref().map_or(batch.records.len(), |(record, _)| *record as usize);
    let redriven: Vec<String> = batch.records[..committed]
        .iter()
        .filter_map(|record| record.redriven.as_ref())
        .filter(|before| !letters.iter().any(|(_, letter)| letter.id == before.id))
        .map(|before| before.id.clone())
        .collect();
    if !redriven.is_empty() {
        budget.retry(|| store.flush()).await?;
        budget.retry(|| store.delete_dead_letters(&redriven)).await?;
    }
    if first_uncommitted.is_none() {
        match &batch.checkpoint {
            Some(checkpoint) => budget.retry(|| store.put_checkpoint(&batch.shard, checkpoint)).await?,
            None => budget.retry(|| store.flush()).await?,
        }
    }
    Ok(())
}
