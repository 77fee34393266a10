//! Failing: records on which a plugin fails wait, if their rulebook wants that.

use super::context::Context;
use super::record_batch::RecordBatch;
use super::uncommitted::record_first_failure;
use crate::error::PipelineError;
use crate::model::{Batch, Cause, Reason};
use crate::rules::BoundRulebook;

/// Whether a record that a plugin failed on waits for another rulebook. If so, it is noted as held; if not, it becomes a
/// dead letter.
pub(crate) fn holds<S>(
    context: &mut Context<'_, S>,
    rulebook: &BoundRulebook,
    batch: &Batch,
    record: u32,
    reason: &Reason,
) -> bool {
    let is_failure = matches!(reason.cause, Cause::PluginFailed | Cause::BadScore);
    let id = &rulebook.rulebook.id;
    if !rulebook.holds_failures || !is_failure {
        return false;
    }
    if context.holds.is_over(id.digest, batch.records[record as usize].arrival_ms) {
        return false;
    }
    let why = PipelineError::Failing { rulebook: id.to_string(), reason: reason.text.clone() };
    record_first_failure(&mut context.held, record, why);
    true
}

impl RecordBatch<'_> {
    /// The rows that become dead letters, of those on which a plugin failed. The others wait.
    pub(crate) fn without_held<S>(
        &self,
        context: &mut Context<'_, S>,
        batch: &Batch,
        failed: Vec<(usize, Reason)>,
    ) -> Vec<(usize, Reason)> {
        let mut waits =
            |(row, reason): &(usize, Reason)| holds(context, self.rulebook, batch, self.records[*row], reason);
        failed.into_iter().filter(|failed| !waits(failed)).collect()
    }
}
