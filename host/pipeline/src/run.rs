//! The loop: batches from a source through a pipeline, until the source ends or the process is told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use crate::batch::{Batch, BatchLimits};
use crate::commit::RetryBudget;
use crate::pipeline::{Pipeline, PipelineError};
use crate::receive::{Source, SourceError};
use crate::store::Store;
use crate::summary::{Stage, Summary};

/// Batches that are read ahead of the one in hand. More would be memory, not speed: reading is much quicker than the
/// rest.
const READ_AHEAD: usize = 1;

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The source can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A batch can't be done.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// Takes batches from a source through a pipeline until the source ends or `stop` is ready, which lets the batch in hand
/// end. `progress` hears of each batch that is done.
pub async fn run<S: Store>(
    mut source: impl Source + 'static,
    pipeline: &Pipeline<S>,
    limits: BatchLimits,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(&Batch, &Summary),
) -> Result<Summary, RunError> {
    let shard = Arc::clone(source.shard());
    let budget = RetryBudget { policy: &pipeline.retry, deadline: None };
    let checkpoint = budget.retry(|| pipeline.store().checkpoint(&shard)).await.map_err(PipelineError::from)?;
    source.resume(checkpoint.as_ref())?;

    let (sender, mut batches) = tokio::sync::mpsc::channel::<Result<Batch, SourceError>>(READ_AHEAD);
    let reader = std::thread::Builder::new().name("paceline-source".to_owned()).spawn(move || {
        // Ends with the source, with its first error, or when nobody listens any more.
        while let Some(batch) = source.next(&limits).transpose() {
            let failed = batch.is_err();
            if sender.blocking_send(batch).is_err() || failed {
                return;
            }
        }
    });
    // Not joined: after a stop it may wait for input that never comes, and it holds nothing that has to be put away.
    let _reader = reader.map_err(|error| SourceError(error.to_string()))?;

    let mut summary = Summary::default();
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
        if let Some((_, why)) = pipeline.process(&batch, None, &mut summary).await?.first_uncommitted {
            return Err(why.into());
        }
        progress(&batch, &summary);
    }
}
