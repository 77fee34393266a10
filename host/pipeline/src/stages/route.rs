//! Route: the rulebook of each record, by race type and, where a rulebook pins races, by race.
//!
//! `races`: the records of each race.

mod races;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use paceline_engine::Digest;

pub(crate) use self::races::pinned_race;
use self::races::{Group, RaceName, by_race, shown};
use super::context::Context;
use super::project::ProjectedBatch;
use super::uncommitted::record_first_failure;
use crate::error::PipelineError;
use crate::model::{Cause, Reason};
use crate::rules::{BoundRulebook, Catalog, DedupRule, PinCache, RulebookError, Rulebooks};
use crate::store::{NoticeStore, Pin, PinKey, PinStore};

/// The records of one race type that are evaluated by one rulebook.
#[derive(Debug)]
pub(crate) struct RoutedRecords {
    pub(crate) race_type: String,
    pub(crate) rulebook: Digest,
    /// The indexes of the records, ascending.
    pub(crate) records: Vec<u32>,
}

/// A race that has no pin yet. Its records are evaluated by the rulebook that it would be pinned to.
#[derive(Debug)]
pub(crate) struct UnpinnedRace {
    pub(crate) key: PinKey,
    pub(crate) rulebook: Digest,
    /// The indexes of its records, ascending.
    pub(crate) records: Vec<u32>,
}

/// The records of each race type and rulebook, and the races without a pin among them.
#[derive(Debug, Default)]
pub(crate) struct RoutedBatch {
    pub(crate) race_types: Vec<RoutedRecords>,
    pub(crate) unpinned: Vec<UnpinnedRace>,
    /// The indexes of the records, ascending, whose race began with another rulebook than the one that evaluates them.
    pub(crate) reruled: Vec<u32>,
}

impl RoutedBatch {
    /// The records of each rulebook: one call to a plugin serves all race types that share it.
    pub(crate) fn by_rulebook(&self) -> Vec<(Digest, Vec<u32>)> {
        let mut rulebooks: Vec<(Digest, Vec<u32>)> = Vec::new();
        let mut index: HashMap<Digest, usize> = HashMap::new();
        for routed in &self.race_types {
            match index.get(&routed.rulebook) {
                Some(&at) => rulebooks[at].1.extend(&routed.records),
                None => {
                    index.insert(routed.rulebook, rulebooks.len());
                    rulebooks.push((routed.rulebook, routed.records.clone()));
                }
            }
        }
        rulebooks.iter_mut().for_each(|(_, records)| sort(records));
        rulebooks
    }

    /// Leaves out a record that waits and all after it. They are delivered again, in their order: a group whose dedup goes
    /// by sequence would not take a record after a later one.
    fn stop_before(&mut self, first: u32) {
        let races = self.unpinned.iter_mut().map(|race| &mut race.records);
        let race_types = self.race_types.iter_mut().map(|routed| &mut routed.records);
        race_types.chain(races).for_each(|records| records.retain(|record| *record < first));
        self.race_types.retain(|routed| !routed.records.is_empty());
        self.unpinned.retain(|race| !race.records.is_empty());
    }
}

fn sort(records: &mut [u32]) {
    if !records.is_sorted() {
        records.sort_unstable();
    }
}

/// What a race runs.
enum Found {
    /// A rulebook; the race is pinned, or its rulebook pins nothing.
    Rulebook(Digest),
    /// The rulebook that the race would be pinned to.
    Unpinned(Digest),
    /// The race type is retired, and the race did not begin before.
    Retired,
}

/// The records of each rulebook. Records without one are rejected; records whose rulebook can't be had are held.
///
/// Returns `None` if a rulebook had to be loaded first: it may read other fields, so that the batch has to be projected
/// again.
pub(crate) async fn route<S: PinStore + NoticeStore>(
    context: &mut Context<'_, S>,
    projected: &ProjectedBatch<'_>,
    rulebooks: &Rulebooks,
    pins: &PinCache,
) -> Result<Option<RoutedBatch>, PipelineError> {
    let catalog = &projected.catalog;
    let (groups, nth) = (by_race(context, projected), rulebooks.next_batch());
    let keys: Vec<PinKey> = groups.iter().filter_map(|group| group.name.pin_key()).collect();
    let mut pins = pins.get(context.store, context.budget, &keys).await?.into_iter();
    let mut routed = RoutedBatch::default();
    let mut index: HashMap<(String, Digest), usize> = HashMap::new();
    let mut complete = true;
    for group in groups {
        let pin = group.name.race.as_ref().and_then(|_| pins.next().expect("each key has an answer"));
        let digest = match found(catalog, &group, pin) {
            Found::Rulebook(digest) | Found::Unpinned(digest) => digest,
            Found::Retired => {
                reject_retired(context, projected, &group);
                continue;
            }
        };
        if catalog.rulebook(digest).is_none() {
            match rulebooks.load_pinned(digest, context.store).await {
                Ok(()) => {
                    context.holds.forget(digest);
                    complete = false;
                }
                Err(source) => hold(context, projected, group, digest, source),
            }
            continue;
        }
        catalog.mark_used(digest, nth);
        if pin.is_some_and(|pin| pin.rulebook != digest) {
            routed.reruled.extend(&group.records);
        }
        if let (None, Some(key)) = (pin, group.name.pin_key()) {
            let records = group.records.clone();
            routed.unpinned.push(UnpinnedRace { key, rulebook: digest, records });
        }
        match index.entry((group.name.race_type, digest)) {
            Entry::Occupied(at) => routed.race_types[*at.get()].records.extend(group.records),
            Entry::Vacant(vacant) => {
                let race_type = vacant.key().0.clone();
                vacant.insert(routed.race_types.len());
                routed.race_types.push(RoutedRecords { race_type, rulebook: digest, records: group.records });
            }
        }
    }
    if let Some((first, _)) = &context.held {
        routed.stop_before(*first);
    }
    routed.race_types.iter_mut().for_each(|routed| sort(&mut routed.records));
    sort(&mut routed.reruled);
    Ok(complete.then_some(routed))
}

fn found(catalog: &Catalog, group: &Group, pin: Option<Pin>) -> Found {
    match (&group.name.race, pin, group.route.current) {
        (Some(race), Some(pin), _) => Found::Rulebook(catalog.effective(&group.name.race_type, race, pin)),
        (Some(race), None, Some(current)) => {
            let canary = group.route.trial.as_ref().and_then(|trial| trial.canary_of(race));
            Found::Unpinned(canary.unwrap_or(current))
        }
        (None, _, Some(current)) => Found::Rulebook(current),
        // Whether its rulebook pins races is not known before it is loaded.
        (None, _, None) if catalog.rulebook(group.route.reference).is_none() => Found::Rulebook(group.route.reference),
        (_, None, None) | (None, Some(_), None) => Found::Retired,
    }
}

fn reject_retired<S>(context: &mut Context<'_, S>, projected: &ProjectedBatch<'_>, group: &Group) {
    let pointer = projected.catalog.projection.pointer(projected.catalog.route);
    let RaceName { race_type, race } = &group.name;
    let text = match race {
        Some(race) => format!("race type `{race_type}` is retired, and race `{}` did not begin before", shown(race)),
        None => format!("race type `{race_type}` is retired (field `{pointer}`)"),
    };
    let is_unsure = may_be_folded(&projected.catalog, group);
    for &record in &group.records {
        let reason = Reason::new(Cause::NoRulebook, text.clone()).at(pointer);
        match is_unsure {
            true => context.rejected.push_unsure(record, reason),
            false => context.rejected.push(record, reason),
        }
    }
}

/// Whether records of a retired race type may be in their groups without anything that shows it: their batch was written
/// in part before the race type was retired, and comes again. A redrive gives a record another position, so dedup by
/// sequence would not recognize it; an ordinal stays the same. A race that began before has a pin, and goes on.
fn may_be_folded(catalog: &Catalog, group: &Group) -> bool {
    let by_sequence = |bound: &BoundRulebook| {
        bound.rulebook.aggregates.iter().any(|aggregate| aggregate.rule.dedup == DedupRule::Sequence)
    };
    group.name.race.is_none() && catalog.rulebook(group.route.reference).is_none_or(by_sequence)
}

/// Holds the records of a race whose rulebook can't be had, or rejects them after `hold-seconds`.
fn hold<S>(
    context: &mut Context<'_, S>,
    projected: &ProjectedBatch<'_>,
    group: Group,
    rulebook: Digest,
    source: RulebookError,
) {
    let RaceName { race_type, race } = group.name;
    let race = race.map(|race| shown(&race));
    let name = projected.catalog.rules().id(rulebook).map_or_else(|| rulebook.to_string(), |id| id.to_string());
    let why = PipelineError::Rulebook { race_type, race, rulebook: name, source: Box::new(source) };
    // A registry that does not answer says nothing about the rulebook.
    let is_over = !matches!(&why, PipelineError::Rulebook { source, .. } if source.is_transient());
    for record in group.records {
        let arrival_ms = projected.batch.records[record as usize].arrival_ms;
        if is_over && context.holds.is_over(rulebook, arrival_ms) {
            let text = crate::error::ErrorChain(&why).to_string();
            // A host that had the rulebook may have written a part of the batch. Its dedup is not known here.
            context.rejected.push_unsure(record, Reason::new(Cause::PinUnresolved, text));
        } else {
            record_first_failure(&mut context.held, record, why);
            return;
        }
    }
}
