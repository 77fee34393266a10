//! Validate: plugins name the rows that must not count, and why.

use crate::dead_letter::Cause;
use crate::pipeline::PipelineError;
use crate::summary::Fuel;
use crate::table::{Dead, Table, blame};

/// Asks each validator in turn; what one rejects, the next does not see.
pub(crate) fn validate(table: &mut Table<'_>, dead: &mut Dead, fuel: &mut Fuel) -> Result<(), PipelineError> {
    let ruling = &table.plan.ruling;
    for (validator, needs) in &ruling.validators {
        if table.records.is_empty() {
            return Ok(());
        }
        let mut session = validator.session();
        let found = session.validate(table.records.len(), &table.columns(needs))?;
        let digest = validator.plugin().digest();
        *fuel.entry(digest).or_default() += session.fuel();
        let mut bad = blame(found.rejected, Cause::Rejected, digest);
        bad.extend(blame(found.failed, Cause::PluginFailed, digest));
        table.remove(bad, dead);
    }
    Ok(())
}
