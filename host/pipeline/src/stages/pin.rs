//! Pin: races without a pin are pinned to the rulebook that evaluated their records, once a record of theirs is sound.
//!
//! So a message that no rulebook accepts leaves nothing behind but its dead letter, whatever race it names.

use std::collections::HashSet;

use super::context::Context;
use super::record_batch::RecordBatch;
use super::route::UnpinnedRace;
use crate::error::PipelineError;
use crate::rules::{Catalog, PinCache};
use crate::store::{Pin, PinKey, PinStore};

/// Pins races. Returns false if another host was first with another rulebook: the batch has to be evaluated again.
pub(crate) async fn pin<S: PinStore>(
    context: &mut Context<'_, S>,
    catalog: &Catalog,
    unpinned: &[UnpinnedRace],
    record_batches: &[RecordBatch<'_>],
    pins: &PinCache,
) -> Result<bool, PipelineError> {
    if unpinned.is_empty() {
        return Ok(true);
    }
    let sound: HashSet<u32> = record_batches.iter().flat_map(|batch| batch.records.iter().copied()).collect();
    let begun: Vec<&UnpinnedRace> =
        unpinned.iter().filter(|race| race.records.iter().any(|record| sound.contains(record))).collect();
    let fresh: Vec<(PinKey, Pin)> = begun
        .iter()
        .map(|race| (race.key.clone(), Pin { rulebook: race.rulebook, revision: catalog.revision() }))
        .collect();
    let held = pins.put(context.store, context.budget, &fresh).await?;
    let runs =
        |race: &UnpinnedRace, pin: &Pin| catalog.effective(&race.key.race_type, &race.key.value, *pin) == race.rulebook;
    Ok(begun.iter().zip(&held).all(|(race, pin)| runs(race, pin)))
}
