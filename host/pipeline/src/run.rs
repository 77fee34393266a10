//! Batch after batch from a source through a pipeline, until the source ends or the process is stopped.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{ErrorChain, PipelineError};
use crate::model::{Batch, BatchLimits};
use crate::pipeline::{PROCESS_AGAIN_AFTER, Pipeline, ProcessOutcome};
use crate::stages::receive::{Source, SourceError};
use crate::store::Store;
use crate::summary::{Stage, Summary};

/// Batches that are read ahead of the current one. More would cost memory without being faster: reading is much faster
/// than the other stages.
const READ_AHEAD: usize = 1;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The source can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A batch can't be processed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// Takes batches from a source through a pipeline until the source ends or `stop` is ready; the current batch is
/// finished first, unless its plugins' calls have to end before that: then it is left to the next run. `progress` is
/// called after each batch.
pub async fn run<S: Store>(
    mut source: impl Source + 'static,
    pipeline: &Pipeline<S>,
    limits: BatchLimits,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(&Batch, &Summary),
) -> Result<Summary, RunError> {
    let mut summary = Summary::default();
    let shard = Arc::clone(source.shard());
    let budget = pipeline.context(None, &mut summary).budget;
    let checkpoint = budget.retry(|| pipeline.store().get_checkpoint(&shard)).await.map_err(PipelineError::from)?;
    source.resume(checkpoint.as_ref())?;

    let (sender, mut batches) = tokio::sync::mpsc::channel::<Result<Batch, SourceError>>(READ_AHEAD);
    let reader = std::thread::Builder::new().name("paceline-source".to_owned()).spawn(move || {
        // It ends with the source, with the source's first error, or when the receiver is dropped.
        while let Some(batch) = source.next(&limits).transpose() {
            let failed = batch.is_err();
            if sender.blocking_send(batch).is_err() || failed {
                return;
            }
        }
    });
    // It is not joined: after a stop it may wait for input that never comes, and it holds nothing that needs closing.
    let _reader = reader.map_err(SourceError::Thread)?;

    let mut stop = std::pin::pin!(stop);
    loop {
        let waiting = Instant::now();
        let batch = tokio::select! {
            biased;
            () = &mut stop => return Ok(summary),
            batch = batches.recv() => batch,
        };
        summary.time[Stage::Receive as usize] += waiting.elapsed();
        let Some(batch) = batch.transpose()? else { return Ok(summary) };
        loop {
            let (_, why) = match pipeline.process(&batch, None, &mut summary).await {
                Ok(ProcessOutcome { first_uncommitted: None }) => break,
                Ok(ProcessOutcome { first_uncommitted: Some(uncommitted) }) => uncommitted,
                Err(error) => (0, error),
            };
            if why.is_past_deadline() {
                tracing::warn!("the last batch is not committed and will be read again: {}", ErrorChain(&why));
                return Ok(summary);
            }
            if !why.waits_for_rules() {
                return Err(why.into());
            }
            tracing::warn!("{}", ErrorChain(&why));
            tokio::select! {
                biased;
                () = &mut stop => return Ok(summary),
                () = tokio::time::sleep(PROCESS_AGAIN_AFTER) => {}
            }
        }
        progress(&batch, &summary);
    }
}
