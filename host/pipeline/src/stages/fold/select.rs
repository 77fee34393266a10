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
    /// It was redriven long after other records of the group.
    OldRedrive,
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
    /// The first new record; `u32::MAX` while there is none.
    pub(super) first: u32,
    /// The last new record, and its call.
    pub(super) last: (usize, u32),
    /// How often the group went over from one rulebook's aggregator to another's.
    segment: u32,
    /// The call of its first row, new or not.
    first_call: usize,
}

impl SelectedGroup {
    /// A group without new rows, whose first row is of this call.
    fn new(loaded: Option<&DedupState>, rule: &DedupRule, first_call: usize) -> Self {
        let dedup = match (loaded, rule) {
            (Some(state), _) => state.clone(),
            (None, DedupRule::Sequence) => DedupState::Sequence(LastPositions::default()),
            (None, DedupRule::Ordinal(_)) => DedupState::Ordinal(OrdinalSet::default()),
        };
        Self { dedup, first: u32::MAX, last: (first_call, u32::MAX), segment: 0, first_call }
    }

    /// Adds a new row. Returns its segment.
    fn add(&mut self, call: usize, record: u32) -> u32 {
        if self.first == u32::MAX {
            (self.first, self.last.0) = (record, call);
        }
        self.segment += u32::from(self.last.0 != call);
        self.last = (call, record);
        self.segment
    }
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
        // Nearly all rows are of the first segment, which needs no search.
        let mut first_segment: Vec<Vec<GroupRow>> =
            self.calls.iter().map(|call| Vec::with_capacity(call.rows.len())).collect();
        self.in_order(|call, row| {
            if !wanted(&row) {
                return;
            }
            let group = &mut selection.groups[row.group as usize];
            match self.see(group, call, row) {
                Sighting::New => {}
                Sighting::Duplicate => {
                    selection.duplicates += 1;
                    return;
                }
                Sighting::Unknown(why) => {
                    selection.unknown.push((row.record, why));
                    return;
                }
                Sighting::Mismatch(first) => {
                    selection.mismatched.push(Mismatch { group: row.group, first, call });
                    return;
                }
            }
            match group.as_mut().expect("it was seen").add(call, row.record) {
                0 => first_segment[call].push(row),
                segment => selection.calls.entry((segment, call)).or_default().push(row),
            }
        });
        let first_segment = first_segment.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        selection.calls.extend(first_segment.map(|(call, rows)| ((0, call), rows)));
        for group in &mut selection.groups {
            group.take_if(|group| group.first == u32::MAX);
        }
        selection
    }

    /// Every row of every call, in the order of the batch as far as it matters: within a group. One record batch's calls
    /// may follow each other.
    fn in_order(&self, mut each: impl FnMut(usize, GroupRow)) {
        let calls = self.calls.iter().enumerate();
        let rows = calls.flat_map(|(call, rows)| rows.rows.iter().map(move |row| (call, *row)));
        if self.interleaved {
            let mut rows: Vec<_> = rows.collect();
            rows.sort_by_key(|(_, row)| row.record);
            rows.into_iter().for_each(|(call, row)| each(call, row));
        } else {
            rows.for_each(|(call, row)| each(call, row));
        }
    }

    /// What dedup finds of a row, and records it as folded. Each row is passed once, in the order of the batch. `group` has
    /// the dedup state after the rows before.
    fn see(&self, group: &mut Option<SelectedGroup>, call: usize, row: GroupRow) -> Sighting {
        let record = &self.batch.records[row.record as usize];
        if let Some(letter) = &record.redriven
            && letter.folded.contains(&self.keys[row.group as usize])
        {
            return Sighting::Duplicate;
        }
        let loaded = self.loaded[row.group as usize].as_ref().map(|item| &item.dedup);
        let rule = self.rules[call];
        let group = group.get_or_insert_with(|| SelectedGroup::new(loaded, rule, call));
        let first = group.first_call;
        if first != call && self.rules[first] != rule {
            return Sighting::Mismatch(first);
        }
        match (&mut group.dedup, rule) {
            (DedupState::Sequence(positions), DedupRule::Sequence) => {
                // The loaded state decides: within a batch every record is new, whichever aggregator had the last one.
                if let Some(DedupState::Sequence(before)) = loaded {
                    match before.find(&self.batch.shard, record.position, record.arrival_ms) {
                        Sequenced::New => {}
                        Sequenced::Duplicate => return Sighting::Duplicate,
                        Sequenced::Unknown => return Sighting::Unknown(Unknown::OldRedrive),
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
            _ => Sighting::Mismatch(first),
        }
    }
}

#[cfg(test)]
mod tests;
