//! A shard's horizon: what hosts that process one shard at the same time know of each other.
//!
//! Hosts do not take a change of the rules over at the same moment, and two of them may have one batch: a lease has moved, or
//! the batch comes again. A record must not be folded by one of them and become a dead letter on the other: dedup by sequence
//! would not recognize it when it is redriven. So:
//!
//! - A host takes a shard over to its rules before it folds. One with earlier rules finds that out before it folds or stores
//!   dead letters, and once more after it has stored some, and follows the log first.
//! - What was in progress on a host with earlier rules at that moment may still be folded. For as long as that can take,
//!   dead letters of records that those rules may have accepted are unsure.

use super::context::Context;
use crate::error::PipelineError;
use crate::model::{Cause, DeadLetter, REDRIVE_SHARD, RulesRevision};
use crate::store::{DeadLetterStore, Horizon};

/// Reads the horizon of a shard. Where some group of the batch or window has dedup by sequence, the shard is taken over to
/// `rules` first. An error if a host has taken it over to later ones.
pub(crate) async fn take_over<S: DeadLetterStore>(
    context: &Context<'_, S>,
    shard: &str,
    rules: &RulesRevision,
    by_sequence: bool,
) -> Result<(), PipelineError> {
    if shard == REDRIVE_SHARD {
        return Ok(());
    }
    loop {
        let before = read(context, shard, rules).await?;
        if !by_sequence || before.rules.as_ref() == Some(rules) {
            context.horizon.set(before);
            return Ok(());
        }
        let since_ms = if before.rules.is_some() { context.now().as_millis() as u64 } else { 0 };
        let rules = Some(rules.clone());
        let horizon = Horizon { version: before.version + 1, rules, since_ms, ..before };
        if context.budget.retry(|| context.store.put_horizon(shard, &horizon)).await? {
            context.horizon.set(horizon);
            return Ok(());
        }
    }
}

/// Raises the horizon to dead letters that are about to be stored.
pub(super) async fn raise<S: DeadLetterStore>(
    context: &Context<'_, S>,
    (shard, rules): (&str, &RulesRevision),
    letters: &[(u32, DeadLetter)],
) -> Result<(), PipelineError> {
    let highest = letters.iter().filter(|(_, letter)| letter.shard == shard).map(|(_, letter)| letter.position).max();
    let (Some(highest), false) = (highest, shard == REDRIVE_SHARD) else { return Ok(()) };
    let mut before = context.horizon.get();
    while before.letters.is_none_or(|letters| letters < highest) {
        let horizon = Horizon { version: before.version + 1, letters: Some(highest), ..before };
        if context.budget.retry(|| context.store.put_horizon(shard, &horizon)).await? {
            context.horizon.set(horizon);
            return Ok(());
        }
        before = read(context, shard, rules).await?;
    }
    context.horizon.set(before);
    Ok(())
}

/// Makes sure that no host has taken the shard over to later rules while dead letters were stored. Where no group has dedup by
/// sequence that would do no harm; a record without a rulebook may belong to such a group under other rules.
pub(super) async fn check<S: DeadLetterStore>(
    context: &Context<'_, S>,
    (shard, rules): (&str, &RulesRevision),
    letters: &[(u32, DeadLetter)],
) -> Result<(), PipelineError> {
    let is_unknown = |(_, letter): &(u32, DeadLetter)| letter.reason.cause == Cause::NoRulebook;
    if shard != REDRIVE_SHARD && (context.horizon.get().rules.is_some() || letters.iter().any(is_unknown)) {
        context.horizon.set(read(context, shard, rules).await?);
    }
    Ok(())
}

async fn read<S: DeadLetterStore>(
    context: &Context<'_, S>,
    shard: &str,
    ours: &RulesRevision,
) -> Result<Horizon, PipelineError> {
    let horizon = context.budget.retry(|| context.store.get_horizon(shard)).await?.unwrap_or_default();
    match &horizon.rules {
        Some(theirs) if theirs.is_after(ours) => {
            let (theirs, ours) = (Box::new(theirs.clone()), Box::new(ours.clone()));
            Err(PipelineError::Behind { key: format!("shard {shard}"), theirs, ours })
        }
        _ => Ok(horizon),
    }
}
