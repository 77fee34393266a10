//! Validate: plugins name the rows that they reject, and why.

use paceline_engine::{Digest, Role};

use super::context::Context;
use super::record_batch::RecordBatch;
use crate::error::PipelineError;
use crate::model::{Batch, Cause, Reason};

/// Calls each validator in turn. Rows that one rejects are not passed to the next.
pub(crate) fn validate<S>(
    context: &mut Context<'_, S>,
    batch: &Batch,
    record_batch: &mut RecordBatch<'_>,
) -> Result<(), PipelineError> {
    for (validator, inputs) in &record_batch.rulebook.rulebook.validators {
        if record_batch.records.is_empty() {
            return Ok(());
        }
        let mut session = validator.session().until(context.plugins_until);
        let found = session.validate(record_batch.records.len(), &record_batch.columns(inputs));
        context.book_calls(&record_batch.rulebook.rulebook.id, Role::Validator, &session);
        let (found, digest) = (found?, validator.plugin().digest());
        let mut rejections = into_rejections(found.rejected, Cause::Rejected, digest);
        let failed = into_rejections(found.failed, Cause::PluginFailed, digest);
        rejections.extend(record_batch.without_held(context, batch, failed));
        record_batch.reject(rejections, &mut context.rejected);
    }
    Ok(())
}

/// A plugin's reasons, by row.
fn into_rejections<R: ToString>(rows: Vec<(u32, R)>, cause: Cause, plugin: Digest) -> Vec<(usize, Reason)> {
    rows.into_iter().map(|(row, why)| (row as usize, Reason::new(cause, why.to_string()).by(plugin))).collect()
}
