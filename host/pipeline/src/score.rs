//! Score: one plugin gives each remaining row a number.

use paceline_engine::Fault;

use crate::dead_letter::{Cause, Reason};
use crate::pipeline::PipelineError;
use crate::summary::Fuel;
use crate::table::{Dead, Table};

/// Asks the scorer. Without one every score is 0.
pub(crate) fn score(table: &mut Table<'_>, dead: &mut Dead, fuel: &mut Fuel) -> Result<(), PipelineError> {
    let ruling = &table.plan.ruling;
    let (Some((scorer, needs)), false) = (&ruling.scorer, table.records.is_empty()) else {
        table.scores = vec![0.0; table.records.len()];
        return Ok(());
    };
    let mut session = scorer.session();
    let scored = session.score(table.records.len(), &table.columns(needs))?;
    table.scores = scored.scores;
    let digest = scorer.plugin().digest();
    *fuel.entry(digest).or_default() += session.fuel();
    let bad = scored.failed.into_iter().map(|(row, fault)| {
        let cause = if matches!(fault, Fault::Score(_)) { Cause::BadScore } else { Cause::PluginFailed };
        (row as usize, Reason::new(cause, fault.to_string()).by(digest))
    });
    table.remove(bad.collect(), dead);
    Ok(())
}
