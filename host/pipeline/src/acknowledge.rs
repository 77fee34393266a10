//! Acknowledge: dead letters are kept, all is made to last, and only then the batch is done.

use crate::batch::Batch;
use crate::commit::retry;
use crate::dead_letter::DeadLetter;
use crate::pipeline::{Pipeline, PipelineError};
use crate::store::Store;
use crate::summary::Summary;

/// Dead letters that are handed to the store at once; their payloads may be long.
const LETTERS_AT_ONCE: usize = 1_000;

impl<S: Store> Pipeline<S> {
    /// Keeps a batch's dead letters, then acknowledges it.
    pub(crate) async fn acknowledge(
        &self,
        batch: &Batch,
        letters: &[DeadLetter],
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        for letters in letters.chunks(LETTERS_AT_ONCE) {
            retry(&self.retry, || self.store.bury(letters)).await?;
        }
        // Letters that were driven through again and went through. They go last: were they gone before their records'
        // groups are written, a crash would lose them.
        let through: Vec<String> = batch
            .records
            .iter()
            .filter_map(|record| record.redriven.as_ref())
            .filter(|before| !letters.iter().any(|letter| letter.id == before.id))
            .map(|before| before.id.clone())
            .collect();
        if !through.is_empty() {
            retry(&self.retry, || self.store.acknowledge(None)).await?;
            retry(&self.retry, || self.store.exhume(&through)).await?;
        }
        let checkpoint = batch.checkpoint.as_ref().map(|checkpoint| (&*batch.shard, checkpoint));
        retry(&self.retry, || self.store.acknowledge(checkpoint)).await?;
        for letter in letters {
            *summary.dead.entry(letter.reason.cause).or_default() += 1;
        }
        Ok(())
    }
}
