//! A batch for which the caller's time is short: as a whole first, and piece by piece if its plugins do not get done.
//!
//! A caller with a deadline, such as Lambda, delivers the same batch again if nothing of it was committed: a plugin that spins
//! on one record would hold up the shard until the records expire. So half of the time is kept for pieces. The first one
//! is a single record, and each next one is twice as large. What is committed by the deadline need not be delivered
//! again, and after a few deliveries the record on which the plugin spins is the first one: alone with the plugin, it
//! becomes a dead letter.

use std::time::{Duration, Instant};

use paceline_engine::CallsUntil;

use crate::error::PipelineError;
use crate::model::Batch;
use crate::pipeline::{Ends, Pipeline, ProcessOutcome};
use crate::store::Store;
use crate::summary::Summary;

/// The part of the time kept for pieces, one in so many, for which a plugin has to run on a single record until it is to
/// blame. A host that is only slow runs a record in far less.
const BLAMED_AFTER_ONE_IN: u32 = 4;

/// The least such time: less may pass while a process waits for a processor.
const BLAMED_AFTER: Duration = Duration::from_millis(100);

impl<S: Store> Pipeline<S> {
    /// Takes a batch through all stages. When this returns, the outcome of the committed records is durable, and if all
    /// are committed, so is the batch's checkpoint. An error means that no record can be called committed.
    ///
    /// No store is retried beyond the `deadline`; what is written by then stays written. A batch whose plugins do not get
    /// done in half of the time until then is processed in pieces, as far as the other half goes.
    pub async fn process(
        &self,
        batch: &Batch,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<ProcessOutcome, PipelineError> {
        let Some(end) = deadline else { return self.process_whole(batch, Ends::default(), summary).await };
        let ends = Ends { deadline, plugins_until: Some(half_of(end).into()) };
        match self.process_whole(batch, ends, summary).await {
            Err(error) if error.is_past_deadline() => self.process_in_pieces(batch, end, summary).await,
            done => done,
        }
    }

    async fn process_in_pieces(
        &self,
        batch: &Batch,
        end: Instant,
        summary: &mut Summary,
    ) -> Result<ProcessOutcome, PipelineError> {
        let (all, mut from, mut size) = (batch.records.len(), 0, 1);
        let blamed_after = (left_until(end) / BLAMED_AFTER_ONE_IN).max(BLAMED_AFTER);
        while from < all {
            let to = all.min(from + size);
            let plugins_until = match size {
                1 => CallsUntil::blaming(half_of(end), blamed_after),
                _ => half_of(end).into(),
            };
            let ends = Ends { deadline: Some(end), plugins_until: Some(plugins_until) };
            let first_uncommitted = match self.process_whole(&piece(batch, from, to), ends, summary).await {
                Ok(ProcessOutcome { first_uncommitted }) => first_uncommitted,
                Err(error) if error.is_transient() => Some((0, error)),
                Err(error) => return Err(error),
            };
            if let Some((first, why)) = first_uncommitted {
                return Ok(ProcessOutcome { first_uncommitted: Some((from as u32 + first, why)) });
            }
            (from, size) = (to, size * 2);
        }
        Ok(ProcessOutcome { first_uncommitted: None })
    }
}

/// Some records of a batch.
fn piece(batch: &Batch, from: usize, to: usize) -> Batch {
    let mut piece = batch.clone();
    piece.truncate(to);
    piece.skip(from);
    // The shard is not read so far yet.
    piece.checkpoint.take_if(|_| to < batch.records.len());
    piece
}

fn left_until(end: Instant) -> Duration {
    // Tokio's clock, which stands still in simulations.
    end.saturating_duration_since(tokio::time::Instant::now().into_std())
}

/// The moment when half of the time until then has passed.
fn half_of(end: Instant) -> Instant {
    end.checked_sub(left_until(end) / 2).unwrap_or(end)
}
