//! Merge: the rows' states of a group into its item's state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use paceline_engine::{Aggregator, Fault, PackedBuf, Role};

use super::state::{Deltas, GroupDelta};
use crate::dedup::{Admission, DedupState, LastPositions, OrdinalSet};
use crate::error::PipelineError;
use crate::model::{Item, RulebookId};
use crate::stages::context::Context;

/// A group's rows that its item does not hold yet, being merged.
pub(super) struct GroupMerge<'a> {
    pub(super) group: u32,
    /// The revision of the item, if there is one.
    pub(super) expected: Option<u64>,
    /// The dedup state once the rows are merged.
    pub(super) dedup: DedupState,
    /// The state of the item or of the segments before, if there is one, and those of the rows that are merged with it; a
    /// single one in the end.
    pub(super) states: Vec<Vec<u8>>,
    /// The format of the first state.
    format: Option<String>,
    /// The new rows: the aggregate that folded them, and their states.
    pub(super) segments: Vec<(&'a GroupDelta, Vec<Vec<u8>>)>,
}

impl<'a> GroupMerge<'a> {
    /// The last rows: their aggregate owns the state in the end.
    pub(super) fn last(&self) -> &'a GroupDelta {
        self.segments.last().expect("it has new rows").0
    }
}

const UNKNOWN: &str = "an ordinal is far behind those of the group: whether the group holds its record is not known";

/// The rows of a group that its item does not hold yet; `None` if it holds all of them. Also the number that it holds.
pub(super) fn select<'a>(
    shard: &Arc<str>,
    group: u32,
    deltas: &[&'a GroupDelta],
    item: Option<&Item>,
) -> Result<(Option<GroupMerge<'a>>, u64), &'static str> {
    let held = item.map(|item| &item.dedup);
    let mut dedup = match (held, &deltas[0].deltas) {
        (Some(held), _) => held.clone(),
        (None, Deltas::Positions(_)) => DedupState::Sequence(LastPositions::default()),
        (None, Deltas::Ordinals(_)) => DedupState::Ordinal(OrdinalSet::default()),
    };
    let (mut segments, mut duplicates) = (Vec::new(), 0);
    for &delta in deltas {
        let states: Vec<Vec<u8>> = match (&delta.deltas, &mut dedup) {
            (Deltas::Positions(rows), DedupState::Sequence(dedup)) => {
                // The item decides: within the window every row is new.
                let is_new = |position| match held {
                    Some(DedupState::Sequence(held)) => held.is_new(shard, position),
                    _ => true,
                };
                let new = rows.iter().filter(|(position, _)| is_new(*position));
                new.inspect(|(position, _)| dedup.record(shard, *position)).map(|(_, state)| state.clone()).collect()
            }
            (Deltas::Ordinals(rows), DedupState::Ordinal(dedup)) => {
                let mut states = Vec::new();
                for (ordinal, state) in rows {
                    match dedup.admit(*ordinal) {
                        Admission::New => states.push(state.clone()),
                        Admission::Held => {}
                        Admission::Unknown => return Err(UNKNOWN),
                    }
                }
                states
            }
            _ => return Err("its dedup state is not of the kind that it names"),
        };
        duplicates += (delta.deltas.len() - states.len()) as u64;
        if !states.is_empty() {
            segments.push((delta, states));
        }
    }
    let states = item.iter().map(|item| item.state.clone()).collect();
    let format = item.map(|item| item.provenance.state_format.clone());
    let expected = item.map(|item| item.revision);
    let is_new = !segments.is_empty();
    Ok((is_new.then_some(GroupMerge { group, expected, dedup, states, format, segments }), duplicates))
}

/// Merges the nth segment of groups, which one aggregate folded, into their states. Returns the groups on which the
/// aggregator failed.
pub(super) fn merge_segment<S>(
    context: &mut Context<'_, S>,
    rulebook: &RulebookId,
    aggregator: &Aggregator,
    (nth, groups): (usize, &mut [&mut GroupMerge<'_>]),
) -> Result<HashMap<u32, Fault>, PipelineError> {
    let mut faults = migrate(context, rulebook, aggregator, groups)?;
    for group in groups.iter_mut() {
        let rows = std::mem::take(&mut group.segments[nth].1);
        group.states.extend(rows);
        group.format = Some(aggregator.state_format().to_owned());
    }
    faults.extend(merge(context, rulebook, aggregator, groups)?);
    Ok(faults)
}

/// Brings the groups' states into the aggregator's format. Returns the groups whose states can't be migrated.
fn migrate<S>(
    context: &mut Context<'_, S>,
    rulebook: &RulebookId,
    aggregator: &Aggregator,
    groups: &mut [&mut GroupMerge<'_>],
) -> Result<HashMap<u32, Fault>, PipelineError> {
    let mut foreign: BTreeMap<String, Vec<&mut GroupMerge<'_>>> = BTreeMap::new();
    for group in groups {
        let theirs = group.format.clone();
        if let Some(theirs) = theirs.filter(|theirs| theirs != aggregator.state_format()) {
            foreign.entry(theirs).or_default().push(group);
        }
    }
    let mut faults = HashMap::new();
    for (theirs, mut groups) in foreign {
        let states: PackedBuf = groups.iter().map(|group| group.states[0].as_slice()).collect();
        let mut session = aggregator.session().until(context.plugins_until);
        let migrated = session.migrate(&theirs, states.as_packed())?;
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
fn merge<S>(
    context: &mut Context<'_, S>,
    rulebook: &RulebookId,
    aggregator: &Aggregator,
    groups: &mut [&mut GroupMerge<'_>],
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
        let mut session = aggregator.session().until(context.plugins_until);
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
