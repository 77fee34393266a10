//! Score: one plugin gives each remaining row a number.

use paceline_engine::Fault;

use crate::dead_letter::{Cause, Reason};
use crate::pipeline::PipelineError;
use crate::summary::Fuel;
use crate::record_batch::{Rejected, RecordBatch};

/// Asks the scorer. Without one every score is 0.
pub(crate) fn score(record_batch: &mut RecordBatch<'_>, dead: &mut Rejected, fuel: &mut Fuel) -> Result<(), PipelineError> {
    let rulebook = &record_batch.plan.rulebook;
    let (Some((scorer, inputs)), false) = (&rulebook.scorer, record_batch.records.is_empty()) else {
        record_batch.scores = vec![0.0; record_batch.records.len()];
        return Ok(());
    };
    let mut session = scorer.session();
    let scored = session.score(record_batch.records.len(), &record_batch.columns(inputs))?;
    record_batch.scores = scored.scores;
    let digest = scorer.plugin().digest();
    *fuel.entry(digest).or_default() += session.fuel();
    let bad = scored.failed.into_iter().map(|(row, fault)| {
        let cause = if matches!(fault, Fault::Score(_)) { Cause::BadScore } else { Cause::PluginFailed };
        (row as usize, Reason::new(cause, fault.to_string()).by(digest))
    });
    record_batch.remove(bad.collect(), dead);
    Ok(())
}
