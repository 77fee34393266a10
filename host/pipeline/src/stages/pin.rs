//! Pin: races without a pin are pinned to the rulebook that evaluated their records, once a record of theirs is sound.
//!
//! So a message that no rulebook accepts leaves nothing behind but its dead letter, whatever race it names.
//!
//! Pins expire long after their races. A race of which an item is there had one: it goes on by the rulebook that wrote the
//! item.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::context::Context;
use super::project::ProjectedBatch;
use super::record_batch::RecordBatch;
use super::route::UnpinnedRace;
use crate::error::PipelineError;
use crate::model::Key;
use crate::rules::{BoundPart, PinCache};
use crate::store::{GroupStore, Pin, PinKey, PinStore};

/// Pins races. Returns false if a race runs another rulebook, because another host was first or its items name it: the batch
/// has to be evaluated again.
pub(crate) async fn pin<S: PinStore + GroupStore>(
    context: &mut Context<'_, S>,
    projected: &ProjectedBatch<'_>,
    unpinned: &[UnpinnedRace],
    record_batches: &[RecordBatch<'_>],
    pins: &PinCache,
) -> Result<bool, PipelineError> {
    if unpinned.is_empty() {
        return Ok(true);
    }
    let catalog = &projected.catalog;
    let sound: HashSet<u32> = record_batches.iter().flat_map(|batch| batch.records.iter().copied()).collect();
    let begun: Vec<&UnpinnedRace> =
        unpinned.iter().filter(|race| race.records.iter().any(|record| sound.contains(record))).collect();
    let before = from_items(context, projected, &begun, record_batches).await?;
    let fresh: Vec<(PinKey, Pin)> = begun
        .iter()
        .enumerate()
        .map(|(at, race)| {
            let new = Pin { rulebook: race.rulebook, revision: catalog.revision() };
            (race.key.clone(), before.get(&at).copied().unwrap_or(new))
        })
        .collect();
    let held = pins.put(context.store, context.budget, &fresh).await?;
    let runs =
        |race: &UnpinnedRace, pin: &Pin| catalog.effective(&race.key.race_type, &race.key.value, *pin) == race.rulebook;
    Ok(begun.iter().zip(&held).all(|(race, pin)| runs(race, pin)))
}

/// What the items of races name, by the races' indexes; nothing for races without items, and where the log does not know the
/// rulebook.
async fn from_items<S: GroupStore>(
    context: &Context<'_, S>,
    projected: &ProjectedBatch<'_>,
    races: &[&UnpinnedRace],
    record_batches: &[RecordBatch<'_>],
) -> Result<BTreeMap<usize, Pin>, PipelineError> {
    let mut of: HashMap<Key, usize> = HashMap::new();
    for (at, race) in races.iter().enumerate() {
        let of_rulebook = |batch: &&RecordBatch<'_>| batch.rulebook.rulebook.id.digest == race.rulebook;
        let Some(record_batch) = record_batches.iter().find(of_rulebook) else { continue };
        let is_sound = |record: &&u32| record_batch.records.binary_search(record).is_ok();
        for record in race.records.iter().filter(is_sound) {
            of.extend(keys_of_race(projected, record_batch, *record).map(|key| (key, at)));
        }
    }
    // In their order, so that equal batches make equal calls.
    let of: BTreeMap<Key, usize> = of.into_iter().collect();
    let (keys, of): (Vec<Key>, Vec<usize>) = of.into_iter().unzip();
    let loaded = context.budget.retry(|| context.store.load_groups(&keys)).await?;
    let known = &projected.catalog.rules().rulebooks;
    let mut pins = BTreeMap::new();
    for (at, item) in of.into_iter().zip(loaded).filter_map(|(at, item)| Some((at, item?))) {
        let (rulebook, revision) = (item.provenance.rulebook.digest, item.provenance.rules.revision);
        if known.contains_key(&rulebook) {
            pins.entry(at).or_insert(Pin { rulebook, revision });
        }
    }
    Ok(pins)
}

/// The keys of a record's groups that belong to its race alone.
fn keys_of_race(
    ProjectedBatch { batch, rows, .. }: &ProjectedBatch<'_>,
    record_batch: &RecordBatch<'_>,
    record: u32,
) -> impl Iterator<Item = Key> {
    let rulebook = record_batch.rulebook;
    let aggregates = rulebook.aggregates.iter().zip(&rulebook.rulebook.aggregates);
    aggregates.filter(|(aggregate, _)| aggregate.is_of_one_race).map(move |(aggregate, loaded)| {
        let (mut partition, mut sort) = (String::new(), String::new());
        BoundPart::render(&mut partition, &aggregate.partition, batch, rows, record);
        BoundPart::render(&mut sort, &aggregate.sort, batch, rows, record);
        loaded.rule.group_key(partition.into(), sort.into())
    })
}
