//! Acknowledge: dead letters are kept, all is made to last, and only then the batch is done.

use crate::batch::Batch;
use crate::commit::{NotSafe, Patience, note};
use crate::dead_letter::DeadLetter;
use crate::pipeline::{Pipeline, PipelineError};
use crate::store::{Store, StoreError};
use crate::summary::Summary;

/// Dead letters that are handed to the store at once; their payloads may be long.
const LETTERS_AT_ONCE: usize = 1_000;

impl<S: Store> Pipeline<S> {
    /// Keeps dead letters. Where some record is not safe, those of records before it: what comes after it comes again,
    /// and is judged again.
    pub(crate) async fn bury(
        &self,
        letters: &[(u32, DeadLetter)],
        not_safe: &mut NotSafe,
        patience: Patience<'_>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        for letters in letters.chunks(LETTERS_AT_ONCE) {
            let first = letters[0].0;
            if not_safe.as_ref().is_some_and(|(record, _)| *record <= first) {
                break;
            }
            let chunk: Vec<DeadLetter> = letters.iter().map(|(_, letter)| letter.clone()).collect();
            match patience.retry(|| self.store.bury(&chunk)).await {
                Ok(()) => {
                    for (_, letter) in letters {
                        *summary.dead.entry(letter.reason.cause).or_default() += 1;
                    }
                }
                Err(busy @ StoreError::Busy(_)) => {
                    note(not_safe, first, || busy.into());
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
        letters: &[(u32, DeadLetter)],
        not_safe: &mut NotSafe,
        patience: Patience<'_>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        self.bury(letters, not_safe, patience, summary).await?;
        // Letters that were driven through again and went through. They go last: were they gone before their records'
        // groups are written, a crash would lose them.
        let safe = not_safe.as_ref().map_or(batch.records.len(), |(record, _)| *record as usize);
        let through: Vec<String> = batch.records[..safe]
            .iter()
            .filter_map(|record| record.redriven.as_ref())
            .filter(|before| !letters.iter().any(|(_, letter)| letter.id == before.id))
            .map(|before| before.id.clone())
            .collect();
        if !through.is_empty() {
            patience.retry(|| self.store.acknowledge(None)).await?;
            patience.retry(|| self.store.exhume(&through)).await?;
        }
        if not_safe.is_none() {
            let checkpoint = batch.checkpoint.as_ref().map(|checkpoint| (&*batch.shard, checkpoint));
            patience.retry(|| self.store.acknowledge(checkpoint)).await?;
        }
        Ok(())
    }
}
