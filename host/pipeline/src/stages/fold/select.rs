//! Which rows are new to their groups, and which call to an aggregator folds each of them.

use std::collections::BTreeMap;

use crate::dedup::{Admission, DedupState, LastPositions, OrdinalSet, Sequenced};
use crate::model::{Batch, Item, Key};
use crate::rules::DedupRule;
use crate::stages::groups::{Call, GroupRow};

/// The rows of each call to an aggregator, by segment and index in [`Groups::calls`](crate::stages::groups::Groups).
///
/// Calls are made segment by segment, so that a group whose rows are evaluated by several rulebooks is handed from one
/// aggregator to the next in the order of the batch.
pub(super) type SelectedCalls = BTreeMap<(u32, usize), Vec<GroupRow>>;

/// The rows of a batch, and what their groups hold already.
pub(super) struct Selector<'a> {
    pub(super) batch: &'a Batch,
    pub(super) keys: &'a [Key],
    pub(super) calls: &'a [Call],
    /// The dedup rule of each call.
    pub(super) rules: Vec<&'a DedupRule>,
    /// The groups' items as they were read.
    pub(super) loaded: &'a [Option<Item>],
    /// Whether records of different calls alternate in the batch: it has several record batches.
    pub(super) interleaved: bool,
}

/// The rows to fold.
#[derive(Default)]
pub(super) struct Selection {
    pub(super) calls: SelectedCalls,
    /// By group. Groups without new rows are `None`.
    pub(super) groups: Vec<Option<SelectedGroup>>,
    /// Rows that their groups hold already.
    pub(super) duplicates: u64,
    /// Groups whose rows have several dedup rules.
    pub(super) mismatched: Vec<Mismatch>,
    /// Records of which it is not known whether their groups hold them.
    pub(super) unknown: Vec<(u32, Unknown)>,
}

/// Why it is not known whether a group holds a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Its ordinal is far behind those of the group.
    OldOrdinal,
    /// The group's positions are of another stream.
    OtherStream,
}

/// A group whose rows have several dedup rules: which of them the group holds would not be known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) group: u32,
    /// The call of the group's first row.
    pub(super) first: usize,
    /// A call with another dedup rule than the first one, or than the dedup state of the item.
    pub(super) call: usize,
}

/// A group with new rows.
#[derive(Debug)]
pub(super) struct SelectedGroup {
    /// The dedup state once the new rows are folded.
    pub(super) dedup: DedupState,
    /// The first new record.
    pub(super) first: u32,
    /// The last new record, and its call.
    pub(super) last: (usize, u32),
    /// How often the group went over from one rulebook's aggregator to another's.
    segment: u32,
}

/// The dedup of a group after the rows so far.
struct GroupDedup {
    /// The call of its first row.
    first: usize,
    state: DedupState,
}

/// What dedup finds of a row.
#[derive(Debug, PartialEq, Eq)]
enum Sighting {
    New,
    Duplicate,
    Unknown(Unknown),
    /// The group's first row has another dedup rule, that of this call; or its item has another kind of dedup state.
    Mismatch(usize),
}

impl Selector<'_> {
    /// Selects the new rows among those that `wanted` accepts.
    pub(super) fn select(&self, wanted: impl Fn(&GroupRow) -> bool) -> Selection {
        let mut selection = Selection::default();
        selection.groups.resize_with(self.keys.len(), || None);
        let mut dedup: Vec<Option<GroupDedup>> = Vec::new();
        dedup.resize_with(self.keys.len(), || None);
        // Nearly all rows are of the first segment, which needs no search.
        let mut first_segment: Vec<Vec<GroupRow>> =
            self.calls.iter().map(|call| Vec::with_capacity(call.rows.len())).collect();
        for (call, row) in self.in_order() {
            if !wanted(&row) {
                continue;
            }
            match self.see(&mut dedup[row.group as usize], call, row) {
                Sighting::New => {}
                Sighting::Duplicate => {
                    selection.duplicates += 1;
                    continue;
                }
                Sighting::Unknown(why) => {
                    selection.unknown.push((row.record, why));
                    continue;
                }
                Sighting::Mismatch(first) => {
                    selection.mismatched.push(Mismatch { group: row.group, first, call });
                    continue;
                }
            }
            let group = selection.groups[row.group as usize].get_or_insert_with(|| SelectedGroup {
                dedup: DedupState::Ordinal(OrdinalSet::default()),
                first: row.record,
                last: (call, row.record),
                segment: 0,
            });
            group.segment += u32::from(group.last.0 != call);
            group.last = (call, row.record);
            match group.segment {
                0 => first_segment[call].push(row),
                segment => selection.calls.entry((segment, call)).or_default().push(row),
            }
        }
        let first_segment = first_segment.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        selection.calls.extend(first_segment.map(|(call, rows)| ((0, call), rows)));
        for (group, dedup) in selection.groups.iter_mut().zip(dedup) {
            if let (Some(group), Some(dedup)) = (group, dedup) {
                group.dedup = dedup.state;
            }
        }
        selection
    }

    /// Every row of every call, in the order of the batch as far as it matters: within a group. One record batch's calls
    /// may follow each other.
    fn in_order(&self) -> Vec<(usize, GroupRow)> {
        let calls = self.calls.iter().enumerate();
        let mut all: Vec<_> = calls.flat_map(|(call, rows)| rows.rows.iter().map(move |row| (call, *row))).collect();
        if self.interleaved {
            all.sort_by_key(|(_, row)| row.record);
        }
        all
    }

    /// What dedup finds of a row, and records it as folded. Each row is passed once, in the order of the batch. `dedup`
    /// is the group's state after the rows before.
    fn see(&self, dedup: &mut Option<GroupDedup>, call: usize, row: GroupRow) -> Sighting {
        let record = &self.batch.records[row.record as usize];
        if let Some(letter) = &record.redriven
            && letter.folded.contains(&self.keys[row.group as usize])
        {
            return Sighting::Duplicate;
        }
        let loaded = self.loaded[row.group as usize].as_ref().map(|item| &item.dedup);
        let rule = self.rules[call];
        let dedup = dedup.get_or_insert_with(|| {
            let state = match (loaded, rule) {
                (Some(state), _) => state.clone(),
                (None, DedupRule::Sequence) => DedupState::Sequence(LastPositions::default()),
                (None, DedupRule::Ordinal(_)) => DedupState::Ordinal(OrdinalSet::default()),
            };
            GroupDedup { first: call, state }
        });
        if dedup.first != call && self.rules[dedup.first] != rule {
            return Sighting::Mismatch(dedup.first);
        }
        match (&mut dedup.state, rule) {
            (DedupState::Sequence(positions), DedupRule::Sequence) => {
                // The loaded state decides: within a batch every record is new, whichever aggregator had the last one.
                if let Some(DedupState::Sequence(before)) = loaded {
                    match before.find(&self.batch.shard, record.position, record.arrival_ms) {
                        Sequenced::New => {}
                        Sequenced::Duplicate => return Sighting::Duplicate,
                        Sequenced::OtherStream => return Sighting::Unknown(Unknown::OtherStream),
                    }
                }
                positions.record(&self.batch.shard, record.position, record.arrival_ms);
                Sighting::New
            }
            (DedupState::Ordinal(ordinals), DedupRule::Ordinal(_)) => match ordinals.admit(row.ordinal) {
                Admission::New => Sighting::New,
                Admission::Held => Sighting::Duplicate,
                Admission::Unknown => Sighting::Unknown(Unknown::OldOrdinal),
            },
            _ => Sighting::Mismatch(dedup.first),
        }
    }
}

#[cfg(test)]
mod tests;
