//! Score: one plugin gives each row a number.

use paceline_engine::{Fault, Role};

use super::context::Context;
use super::record_batch::RecordBatch;
use crate::error::PipelineError;
use crate::model::{Batch, Cause, Reason};

/// Calls the scorer. Without one every score is 0.
pub(crate) fn score<S>(
    context: &mut Context<'_, S>,
    batch: &Batch,
    record_batch: &mut RecordBatch<'_>,
) -> Result<(), PipelineError> {
    let rows = record_batch.records.len();
    let (Some((scorer, inputs)), false) = (&record_batch.rulebook.rulebook.scorer, rows == 0) else {
        record_batch.scores = vec![0.0; rows];
        return Ok(());
    };
    let mut session = scorer.session().until(context.plugins_until);
    let scored = session.score(rows, &record_batch.columns(inputs));
    context.book_calls(&record_batch.rulebook.rulebook.id, Role::Scorer, &session);
    let (scored, digest) = (scored?, scorer.plugin().digest());
    record_batch.scores = scored.scores;
    let rejections = scored.failed.into_iter().map(|(row, fault)| {
        let cause = if matches!(fault, Fault::Score(_)) { Cause::BadScore } else { Cause::PluginFailed };
        (row as usize, Reason::new(cause, fault.to_string()).by(digest))
    });
    let rejections = record_batch.without_held(context, batch, rejections.collect());
    record_batch.reject(rejections, &mut context.rejected);
    Ok(())
}
