//! Shadow: a rulebook on trial validates and scores the records that the current one evaluated, for comparison only.

use std::time::Instant;

use paceline_engine::EngineError;

use super::columns;
use super::context::Context;
use super::project::ProjectedBatch;
use super::record_batch::RecordBatch;
use super::score::score;
use super::validate::validate;
use crate::error::PipelineError;
use crate::rules::{Comparison, Tally, Trial};
use crate::summary::{Rows, Summary};

/// Evaluates records once more by the rulebook on trial. Nothing of it is written, and what fails is only counted.
///
/// `current` is what the current rulebook made of them. No plugin is called after `until`: then the records are not
/// compared.
pub(crate) fn shadow<S>(
    context: &mut Context<'_, S>,
    projected: &ProjectedBatch<'_>,
    (race_type, trial, records): (&str, &Trial, &[u32]),
    current: &RecordBatch<'_>,
    until: Instant,
) -> Tally {
    let mut summary = Summary::default();
    let mut scratch = Context::new(context.store, context.budget, context.holds, &mut summary);
    scratch.plugins_until = Some(until.into());
    let mut batch = columns::build(&mut scratch, projected, (trial.rulebook, records.to_vec()));
    let evaluated = validate(&mut scratch, projected.batch, &mut batch)
        .and_then(|()| score(&mut scratch, projected.batch, &mut batch));
    let mut tally = Tally::default();
    match evaluated {
        Ok(()) => {
            let mut rows = Rows { evaluated: records.len() as u64, ..Rows::default() };
            scratch.rejected.causes().for_each(|cause| rows.count(cause));
            tally.candidate.rows = rows;
            tally.shadow = compare(records, current, &batch);
        }
        Err(error) => {
            if !matches!(error, PipelineError::Engine(EngineError::Deadline)) {
                tracing::warn!(race_type, "the shadow can't be evaluated: {error}");
            }
            tally.shadow.skipped = records.len() as u64;
        }
    }
    for (plugin, usage) in summary.calls {
        tally.candidate.add_usage(&usage);
        context.summary.calls.entry(plugin).or_default().add(&usage);
    }
    tally
}

/// Compares the outcomes of two rulebooks for the same records, which are ascending.
fn compare(records: &[u32], current: &RecordBatch<'_>, shadow: &RecordBatch<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    let mut ours = current.records.iter().zip(&current.scores).peekable();
    let mut theirs = shadow.records.iter().zip(&shadow.scores).peekable();
    for record in records {
        while ours.next_if(|(other, _)| *other < record).is_some() {}
        let ours = ours.next_if(|(other, _)| *other == record).map(|(_, score)| *score);
        let theirs = theirs.next_if(|(other, _)| *other == record).map(|(_, score)| *score);
        match (ours, theirs) {
            (None, None) => comparison.equal += 1,
            (Some(_), None) => comparison.only_shadow_rejects += 1,
            (None, Some(_)) => comparison.only_current_rejects += 1,
            (Some(ours), Some(theirs)) if ours.to_bits() == theirs.to_bits() => comparison.equal += 1,
            (Some(ours), Some(theirs)) => {
                comparison.other_score += 1;
                comparison.largest_difference = comparison.largest_difference.max((ours - theirs).abs());
            }
        }
    }
    comparison
}
