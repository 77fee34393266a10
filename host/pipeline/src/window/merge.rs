//! Merge: the rows' states of a group into its item's state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use paceline_engine::{Aggregator, Digest, Fault, PackedBuf, Role};

use super::state::{Deltas, GroupDelta, PositionRow};
use crate::dedup::{Admission, DedupState, LastPositions, OrdinalSet, Sequenced};
use crate::error::PipelineError;
use crate::model::{Cause, Item, RulebookId};
use crate::rules::{BoundAggregate, BoundRulebook, LoadedAggregate};
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
    /// The new rows.
    pub(super) segments: Vec<Segment<'a>>,
}

/// Rows of a group that follow each other.
#[derive(Clone)]
pub(super) struct Segment<'a> {
    pub(super) delta: &'a GroupDelta,
    /// What merges them: the aggregate that folded them, or the one before if only that one takes the states of both.
    pub(super) owner: Owner<'a>,
    /// The format of the rows' states.
    pub(super) format: &'a str,
    /// The states of the rows that are new.
    states: Vec<Vec<u8>>,
}

impl<'a> Segment<'a> {
    pub(super) fn new(delta: &'a GroupDelta, owner: Owner<'a>, format: &'a str) -> Self {
        Self { delta, owner, format, states: Vec::new() }
    }
}

/// An aggregate of a rulebook.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) bound: &'a BoundRulebook,
    pub(super) aggregate: usize,
}

impl<'a> Owner<'a> {
    pub(super) fn loaded(self) -> &'a LoadedAggregate {
        &self.bound.rulebook.aggregates[self.aggregate]
    }

    pub(super) fn rule(self) -> &'a BoundAggregate {
        &self.bound.aggregates[self.aggregate]
    }

    /// What tells it from other aggregates.
    pub(super) fn id(self) -> (Digest, usize) {
        (self.bound.rulebook.id.digest, self.aggregate)
    }
}

impl<'a> GroupMerge<'a> {
    /// The last rows: what merges them owns the state in the end.
    pub(super) fn last(&self) -> &Segment<'a> {
        self.segments.last().expect("it has new rows")
    }
}

/// What becomes of a group's part of a window.
#[derive(Default)]
pub(super) struct Selected<'a> {
    /// The rows that the item does not hold yet; `None` if there are none.
    pub(super) merge: Option<GroupMerge<'a>>,
    /// The rows that it holds, by segment and index.
    pub(super) held: Vec<(usize, usize)>,
    /// The rows of which it is not known whether it holds them.
    pub(super) unsure: Vec<(usize, usize, Cause)>,
}

/// Sorts the rows of a group by what its item tells of them, without those that are `gone`.
pub(super) fn select<'a>(
    shard: &Arc<str>,
    group: u32,
    rows: Vec<Segment<'a>>,
    item: Option<&Item>,
    gone: impl Fn(usize, usize) -> bool,
) -> Result<Selected<'a>, (Cause, &'static str)> {
    let held = item.map(|item| &item.dedup);
    let mut dedup = match (held, &rows[0].delta.deltas) {
        (Some(held), _) => held.clone(),
        (None, Deltas::Positions(_)) => DedupState::Sequence(LastPositions::default()),
        (None, Deltas::Ordinals(_)) => DedupState::Ordinal(OrdinalSet::default()),
    };
    let (mut segments, mut selected) = (Vec::new(), Selected::default());
    for (nth, segment) in rows.into_iter().enumerate() {
        let mut states: Vec<Vec<u8>> = Vec::new();
        let mut sort = |at: usize, state: &Vec<u8>, found: Found| match found {
            Found::New => states.push(state.clone()),
            Found::Held => selected.held.push((nth, at)),
            Found::Unknown(cause) => selected.unsure.push((nth, at, cause)),
        };
        match (&segment.delta.deltas, &mut dedup) {
            (Deltas::Positions(rows), DedupState::Sequence(dedup)) => {
                for (at, PositionRow { position, arrival_ms, state }) in rows.iter().enumerate() {
                    if gone(nth, at) {
                        continue;
                    }
                    // The item decides: within the window every row is new.
                    let found = match held {
                        Some(DedupState::Sequence(held)) => held.find(shard, *position, *arrival_ms),
                        _ => Sequenced::New,
                    };
                    if found == Sequenced::New {
                        dedup.record(shard, *position, *arrival_ms);
                    }
                    sort(at, state, found.into());
                }
            }
            (Deltas::Ordinals(rows), DedupState::Ordinal(dedup)) => {
                for (at, (ordinal, state)) in rows.iter().enumerate() {
                    if !gone(nth, at) {
                        sort(at, state, dedup.admit(*ordinal).into());
                    }
                }
            }
            _ => return Err((Cause::BadGroup, "its dedup state is not of the kind that it names")),
        }
        if !states.is_empty() {
            segments.push(Segment { states, ..segment });
        }
    }
    if !segments.is_empty() {
        let states = item.iter().map(|item| item.state.clone()).collect();
        let format = item.map(|item| item.provenance.state_format.clone());
        let expected = item.map(|item| item.revision);
        selected.merge = Some(GroupMerge { group, expected, dedup, states, format, segments });
    }
    Ok(selected)
}

/// What dedup finds of a row.
enum Found {
    New,
    Held,
    Unknown(Cause),
}

impl From<Sequenced> for Found {
    fn from(found: Sequenced) -> Self {
        match found {
            Sequenced::New => Self::New,
            Sequenced::Duplicate => Self::Held,
            Sequenced::Unknown => Self::Unknown(Cause::TooOld),
            Sequenced::OtherStream => Self::Unknown(Cause::OtherStream),
        }
    }
}

impl From<Admission> for Found {
    fn from(found: Admission) -> Self {
        match found {
            Admission::New => Self::New,
            Admission::Held => Self::Held,
            Admission::Unknown => Self::Unknown(Cause::TooOld),
        }
    }
}

/// Merges the nth segment of groups, which one aggregate owns, into their states. Returns the groups on which the aggregator
/// failed.
pub(super) fn merge_segment<S>(
    context: &mut Context<'_, S>,
    owner: Owner<'_>,
    (nth, groups): (usize, &mut [&mut GroupMerge<'_>]),
) -> Result<HashMap<u32, Fault>, PipelineError> {
    let (aggregator, rulebook) = (&owner.loaded().aggregator, &owner.bound.rulebook.id);
    let ours = aggregator.state_format();
    let mut foreign: BTreeMap<String, Vec<(u32, &mut Vec<u8>)>> = BTreeMap::new();
    for merge in groups.iter_mut() {
        let group = merge.group;
        if let Some(theirs) = merge.format.replace(ours.to_owned()).filter(|theirs| theirs != ours) {
            foreign.entry(theirs).or_default().push((group, &mut merge.states[0]));
        }
        let segment = &mut merge.segments[nth];
        if segment.format != ours {
            let rows = segment.states.iter_mut().map(|state| (group, state));
            foreign.entry(segment.format.to_owned()).or_default().extend(rows);
        }
    }
    let mut faults = migrate(context, rulebook, aggregator, foreign)?;
    for group in groups.iter_mut() {
        let rows = std::mem::take(&mut group.segments[nth].states);
        group.states.extend(rows);
    }
    faults.extend(merge(context, rulebook, aggregator, groups)?);
    Ok(faults)
}

/// Brings states, each with its group and by their format, into the aggregator's format. Returns the groups of which a state
/// can't be migrated.
fn migrate<S>(
    context: &mut Context<'_, S>,
    rulebook: &RulebookId,
    aggregator: &Aggregator,
    foreign: BTreeMap<String, Vec<(u32, &mut Vec<u8>)>>,
) -> Result<HashMap<u32, Fault>, PipelineError> {
    let mut faults = HashMap::new();
    for (theirs, mut states) in foreign {
        let before: PackedBuf = states.iter().map(|(_, state)| state.as_slice()).collect();
        let mut session = aggregator.session().until(context.plugins_until);
        let migrated = session.migrate(&theirs, before.as_packed())?;
        context.book_calls(rulebook, Role::Aggregator, &session);
        for ((_, state), migrated) in states.iter_mut().zip(migrated.states.as_packed().iter()) {
            **state = migrated.to_vec();
        }
        faults.extend(migrated.failed.into_iter().map(|(at, fault)| (states[at as usize].0, fault)));
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
