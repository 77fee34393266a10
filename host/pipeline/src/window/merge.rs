//! Merge: the rows' states of a group into its item's state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use paceline_engine::{Aggregator, Fault, PackedBuf, Role};

use super::state::{Deltas, GroupDelta};
use crate::dedup::{DedupState, LastPositions, OrdinalSet};
use crate::error::PipelineError;
use crate::model::{Item, RulebookId};
use crate::stages::context::Context;

/// A group's rows that its item does not hold yet, being merged.
pub(super) struct GroupMerge<'a> {
    pub(super) group: u32,
    pub(super) delta: &'a GroupDelta,
    /// The revision of the item, if there is one.
    pub(super) expected: Option<u64>,
    /// The dedup state once the rows are merged.
    pub(super) dedup: DedupState,
    /// The item's state, if there is an item, and the rows' states; a single one in the end.
    pub(super) states: Vec<Vec<u8>>,
}

/// The rows of a group that its item does not hold yet; `None` if it holds all of them. Also the number that it holds.
pub(super) fn select<'a>(
    shard: &Arc<str>,
    group: u32,
    delta: &'a GroupDelta,
    item: Option<&Item>,
) -> Result<(Option<GroupMerge<'a>>, u64), &'static str> {
    let mut states: Vec<Vec<u8>> = item.iter().map(|item| item.state.clone()).collect();
    let before = states.len();
    let dedup = match (&delta.deltas, item.map(|item| &item.dedup)) {
        (Deltas::Positions(deltas), None | Some(DedupState::Sequence(_))) => {
            let held = match item.map(|item| &item.dedup) {
                Some(DedupState::Sequence(held)) => held.clone(),
                _ => LastPositions::default(),
            };
            let mut dedup = held.clone();
            for (position, state) in deltas.iter().filter(|(position, _)| held.is_new(shard, *position)) {
                dedup.record(shard, *position);
                states.push(state.clone());
            }
            DedupState::Sequence(dedup)
        }
        (Deltas::Ordinals(deltas), None | Some(DedupState::Ordinal(_))) => {
            let mut dedup = match item.map(|item| &item.dedup) {
                Some(DedupState::Ordinal(held)) => held.clone(),
                _ => OrdinalSet::default(),
            };
            for (ordinal, state) in deltas {
                if dedup.insert(*ordinal) {
                    states.push(state.clone());
                }
            }
            DedupState::Ordinal(dedup)
        }
        _ => return Err("its dedup state is not of the kind that it names"),
    };
    let new = states.len() - before;
    let duplicates = (delta.deltas.len() - new) as u64;
    let expected = item.map(|item| item.revision);
    Ok(((new > 0).then_some(GroupMerge { group, delta, expected, dedup, states }), duplicates))
}

/// Brings the items' states into the aggregator's format. Returns the groups whose states can't be migrated.
pub(super) fn migrate<S>(
    context: &mut Context<'_, S>,
    rulebook: &RulebookId,
    aggregator: &Aggregator,
    groups: &mut [GroupMerge<'_>],
    loaded: &[Option<Item>],
) -> Result<HashMap<u32, Fault>, PipelineError> {
    let mut foreign: BTreeMap<&str, Vec<&mut GroupMerge<'_>>> = BTreeMap::new();
    for group in groups {
        let theirs = loaded[group.group as usize].as_ref().map(|item| item.provenance.state_format.as_str());
        if let Some(theirs) = theirs.filter(|theirs| *theirs != aggregator.state_format()) {
            foreign.entry(theirs).or_default().push(group);
        }
    }
    let mut faults = HashMap::new();
    for (theirs, mut groups) in foreign {
        let states: PackedBuf = groups.iter().map(|group| group.states[0].as_slice()).collect();
        let mut session = aggregator.session();
        let migrated = session.migrate(theirs, states.as_packed())?;
        context.book_calls(rulebook, Role::Aggregator, &session);
        for (group, state) in groups.iter_mut().zip(migrated.states.as_packed().iter()) {
            group.states[0] = state.to_vec();
        }
        faults.extend(migrated.failed.into_iter().map(|(at, fault)| (groups[at as usize].group, fault)));
    }
    Ok(faults)
}

/// Merges each group's states into one, in as few calls as possible: neighbours of all groups in pairs, and again. Returns
/// the groups that could not be merged.
pub(super) fn merge<S>(
    context: &mut Context<'_, S>,
    rulebook: &RulebookId,
    aggregator: &Aggregator,
    groups: &mut [GroupMerge<'_>],
) -> Result<HashMap<u32, Fault>, PipelineError> {
    let mut faults = HashMap::new();
    loop {
        // The index of each pair's group, and the pair.
        let mut pairs: Vec<(usize, Vec<u8>, Vec<u8>)> = Vec::new();
        for (at, group) in groups.iter_mut().enumerate() {
            if group.states.len() < 2 || faults.contains_key(&group.group) {
                continue;
            }
            let mut states = std::mem::take(&mut group.states).into_iter();
            while let Some(left) = states.next() {
                match states.next() {
                    Some(right) => pairs.push((at, left, right)),
                    // The odd one waits for the next round.
                    None => group.states.push(left),
                }
            }
        }
        if pairs.is_empty() {
            return Ok(faults);
        }
        let left: PackedBuf = pairs.iter().map(|(_, left, _)| left.as_slice()).collect();
        let right: PackedBuf = pairs.iter().map(|(_, _, right)| right.as_slice()).collect();
        let mut session = aggregator.session();
        let merged = session.merge(left.as_packed(), right.as_packed())?;
        context.book_calls(rulebook, Role::Aggregator, &session);
        for (pair, fault) in merged.failed {
            faults.insert(groups[pairs[pair as usize].0].group, fault);
        }
        for ((at, ..), state) in pairs.iter().zip(merged.states.as_packed().iter()) {
            groups[*at].states.push(state.to_vec());
        }
    }
}
