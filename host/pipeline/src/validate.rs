//! Validate: plugins name the rows that must not count, and why.

use crate::dead_letter::Cause;
use crate::pipeline::PipelineError;
use crate::summary::Fuel;
use crate::record_batch::{Rejected, RecordBatch, into_rejections};

/// Asks each validator in turn; what one rejects, the next does not see.
pub(crate) fn validate(record_batch: &mut RecordBatch<'_>, dead: &mut Rejected, fuel: &mut Fuel) -> Result<(), PipelineError> {
    let rulebook = &record_batch.plan.rulebook;
    for (validator, inputs) in &rulebook.validators {
        if record_batch.records.is_empty() {
            return Ok(());
        }
        let mut session = validator.session();
        let found = session.validate(record_batch.records.len(), &record_batch.columns(inputs))?;
        let digest = validator.plugin().digest();
        *fuel.entry(digest).or_default() += session.fuel();
        let mut bad = into_rejections(found.rejected, Cause::Rejected, digest);
        bad.extend(into_rejections(found.failed, Cause::PluginFailed, digest));
        record_batch.remove(bad, dead);
    }
    Ok(())
}
