//! Acknowledge: dead letters are kept, all is made to last, and only then the batch is done.

use crate::batch::Batch;
use crate::commit::{FirstUncommitted, RetryBudget, record_first_failure};
use crate::dead_letter::DeadLetter;
use crate::pipeline::{Pipeline, PipelineError};
use crate::store::{Store, StoreError};
use crate::summary::Summary;

/// Dead letters that are handed to the store at once; their payloads may be long.
const LETTERS_AT_ONCE: usize = 1_000;

impl<S: Store> Pipeline<S> {
    /// Keeps dead letters. Where some record is not safe, those of records before it: what comes after it comes again,
    /// and is judged again.
    pub(crate) async fn put_dead_letters(
        &self,
        dead_letters: &[(u32, DeadLetter)],
        first_uncommitted: &mut FirstUncommitted,
        budget: RetryBudget<'_>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        for dead_letters in dead_letters.chunks(LETTERS_AT_ONCE) {
            let first = dead_letters[0].0;
            if first_uncommitted.as_ref().is_some_and(|(record, _)| *record <= first) {
                break;
            }
            let chunk: Vec<DeadLetter> = dead_letters.iter().map(|(_, letter)| letter.clone()).collect();
            match budget.retry(|| self.store.put_dead_letters(&chunk)).await {
                Ok(()) => {
                    for (_, letter) in dead_letters {
                        *summary.dead.entry(letter.reason.cause).or_default() += 1;
                    }
                }
                Err(busy @ StoreError::Transient(_)) => {
                    record_first_failure(first_uncommitted, first, || busy.into());
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Keeps a batch's dead letters, then acknowledges it if all of it is safe.
    pub(crate) async fn acknowledge(
        &self,
        batch: &Batch,
        dead_letters: &[(u32, DeadLetter)],
        first_uncommitted: &mut FirstUncommitted,
        budget: RetryBudget<'_>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        self.put_dead_letters(dead_letters, first_uncommitted, budget, summary).await?;
        // Letters that were driven through again and went through. They go last: were they gone before their records'
        // groups are written, a crash would lose them.
        let safe = first_uncommitted.as_ref().map_or(batch.records.len(), |(record, _)| *record as usize);
        let through: Vec<String> = batch.records[..safe]
            .iter()
            .filter_map(|record| record.redriven.as_ref())
            .filter(|before| !dead_letters.iter().any(|(_, letter)| letter.id == before.id))
            .map(|before| before.id.clone())
            .collect();
        if !through.is_empty() {
            budget.retry(|| self.store.acknowledge(None)).await?;
            budget.retry(|| self.store.delete_dead_letters(&through)).await?;
        }
        if first_uncommitted.is_none() {
            let checkpoint = batch.checkpoint.as_ref().map(|checkpoint| (&*batch.shard, checkpoint));
            budget.retry(|| self.store.acknowledge(checkpoint)).await?;
        }
        Ok(())
    }
}
