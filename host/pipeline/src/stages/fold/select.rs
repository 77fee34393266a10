//! Which rows are new to their groups, and which call to an aggregator folds each of them.

use std::collections::BTreeMap;

use crate::dedup::{DedupState, LastPositions, OrdinalSet};
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
    /// Rows whose group's item has another kind of dedup than the rulebook, with their calls.
    pub(super) mismatched: Vec<(usize, GroupRow)>,
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

/// What dedup finds of a row.
#[derive(Debug, PartialEq, Eq)]
enum Sighting {
    New,
    Duplicate,
    /// The item has another kind of dedup.
    Mismatch,
}

impl Selector<'_> {
    /// Selects the new rows among those that `wanted` accepts.
    pub(super) fn select(&self, wanted: impl Fn(&GroupRow) -> bool) -> Selection {
        let mut selection = Selection::default();
        selection.groups.resize_with(self.keys.len(), || None);
        let mut dedup: Vec<Option<DedupState>> = vec![None; self.keys.len()];
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
                Sighting::Mismatch => {
                    selection.mismatched.push((call, row));
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
                group.dedup = dedup;
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
    fn see(&self, dedup: &mut Option<DedupState>, call: usize, row: GroupRow) -> Sighting {
        let record = &self.batch.records[row.record as usize];
        if let Some(letter) = &record.redriven
            && letter.folded.contains(&self.keys[row.group as usize])
        {
            return Sighting::Duplicate;
        }
        let loaded = self.loaded[row.group as usize].as_ref().map(|item| &item.dedup);
        let rule = self.rules[call];
        let state = dedup.get_or_insert_with(|| match (loaded, rule) {
            (Some(state), _) => state.clone(),
            (None, DedupRule::Sequence) => DedupState::Sequence(LastPositions::default()),
            (None, DedupRule::Ordinal(_)) => DedupState::Ordinal(OrdinalSet::default()),
        });
        match (state, rule) {
            (DedupState::Sequence(positions), DedupRule::Sequence) => {
                // The loaded state decides: within a batch every record is new, whichever aggregator had the last one.
                if let Some(DedupState::Sequence(before)) = loaded
                    && !before.is_new(&self.batch.shard, record.position)
                {
                    return Sighting::Duplicate;
                }
                positions.record(&self.batch.shard, record.position);
                Sighting::New
            }
            (DedupState::Ordinal(ordinals), DedupRule::Ordinal(_)) => match ordinals.insert(row.ordinal) {
                true => Sighting::New,
                false => Sighting::Duplicate,
            },
            _ => Sighting::Mismatch,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{DeadLetter, Pointer, Provenance};

    fn ordinal_rule() -> DedupRule {
        DedupRule::Ordinal(Pointer::parse("/second").unwrap())
    }

    fn key(group: u32) -> Key {
        Key { partition: "race-1".to_owned(), sort: format!("racer-{group}") }
    }

    fn item(dedup: DedupState) -> Item {
        let provenance = Arc::new(Provenance { race_type: "3".to_owned(), version: 1, plugins: Vec::new() });
        Item { revision: 1, state: Vec::new(), dedup, attributes: Vec::new(), provenance }
    }

    /// A batch of records with these positions, and a call that folds each into the group, with the ordinal.
    fn batch(records: &[(u64, u32, i64)]) -> (Batch, Vec<Call>) {
        let mut batch = Batch::new("shard-1".into());
        let mut rows = Vec::new();
        for (at, &(sequence, group, ordinal)) in (0..).zip(records) {
            batch.push(b"{}", sequence.into());
            rows.push(GroupRow { record: at, row: at, group, ordinal });
        }
        (batch, vec![Call { record_batch: 0, aggregate: 0, rows }])
    }

    const GROUPS: u32 = 3;

    /// Selects, and returns the new rows and the items as a commit would leave them.
    fn fold(
        records: &[(u64, u32, i64)],
        rule: &DedupRule,
        loaded: &[Option<Item>],
    ) -> (Vec<u32>, Vec<Option<Item>>, u64) {
        let (batch, calls) = batch(records);
        let keys: Vec<Key> = (0..GROUPS).map(key).collect();
        let selector =
            Selector { batch: &batch, keys: &keys, calls: &calls, rules: vec![rule], loaded, interleaved: false };
        let selection = selector.select(|_| true);
        assert!(selection.mismatched.is_empty());
        let new = selection.calls.into_values().flatten().map(|row| row.record).collect();
        let after = selection.groups.into_iter().zip(loaded);
        let after = after.map(|(group, before)| group.map(|group| item(group.dedup)).or_else(|| before.clone()));
        (new, after.collect(), selection.duplicates)
    }

    #[test]
    fn an_item_with_another_kind_of_dedup_takes_no_row() {
        let (batch, calls) = batch(&[(1, 0, 1), (2, 1, 2)]);
        let keys: Vec<Key> = (0..GROUPS).map(key).collect();
        let rule = ordinal_rule();
        let loaded = [Some(item(DedupState::Sequence(LastPositions::default()))), None, None];
        let selector = Selector {
            batch: &batch,
            keys: &keys,
            calls: &calls,
            rules: vec![&rule],
            loaded: &loaded,
            interleaved: false,
        };
        let selection = selector.select(|_| true);
        assert_eq!(selection.mismatched.iter().map(|(call, row)| (*call, row.record)).collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(selection.calls[&(0, 0)].iter().map(|row| row.record).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_redriven_record_skips_the_groups_that_hold_it() {
        let (mut batch, calls) = batch(&[(1, 0, 5), (1, 1, 5)]);
        let reason = crate::model::Reason::new(crate::model::Cause::PluginFailed, "it failed in the other group");
        let letter = DeadLetter { folded: vec![key(0)], ..batch.dead_letter(0, reason) };
        let letter = Arc::new(letter);
        batch.records.iter_mut().for_each(|record| record.redriven = Some(Arc::clone(&letter)));
        let keys: Vec<Key> = (0..GROUPS).map(key).collect();
        let rule = ordinal_rule();
        let selector = Selector {
            batch: &batch,
            keys: &keys,
            calls: &calls,
            rules: vec![&rule],
            loaded: &[None, None, None],
            interleaved: false,
        };
        let selection = selector.select(|_| true);
        assert_eq!(selection.duplicates, 1);
        assert!(selection.groups[0].is_none() && selection.groups[1].is_some());
    }

    #[test]
    fn a_group_of_two_rulebooks_is_handed_over_in_the_order_of_the_batch() {
        let (batch, _) = batch(&[(1, 0, 1), (2, 0, 2), (3, 0, 3)]);
        let row = |record: u32| GroupRow { record, row: record, group: 0, ordinal: i64::from(record) };
        let calls = [
            Call { record_batch: 0, aggregate: 0, rows: vec![row(0), row(2)] },
            Call { record_batch: 1, aggregate: 0, rows: vec![row(1)] },
        ];
        let (keys, rule) = (vec![key(0)], ordinal_rule());
        let selector = Selector {
            batch: &batch,
            keys: &keys,
            calls: &calls,
            rules: vec![&rule, &rule],
            loaded: &[None],
            interleaved: true,
        };
        let selection = selector.select(|_| true);
        let order: Vec<_> = selection.calls.iter().map(|(at, rows)| (*at, rows[0].record)).collect();
        assert_eq!(order, [((0, 0), 0), ((1, 1), 1), ((2, 0), 2)]);
        let group = selection.groups[0].as_ref().unwrap();
        assert_eq!((group.first, group.last), (0, (0, 2)));
    }

    proptest! {
        /// Whatever comes again, in whatever batches, each ordinal is new to its group once.
        #[test]
        fn each_ordinal_is_new_once(
            deliveries in prop::collection::vec(prop::collection::vec((0..GROUPS, -5..5_i64), 0..12), 1..6),
        ) {
            let rule = ordinal_rule();
            let (mut items, mut seen, mut sequence) = (vec![None; GROUPS as usize], BTreeSet::new(), 0);
            for delivery in deliveries {
                let records: Vec<_> = delivery.iter().map(|&(group, ordinal)| {
                    sequence += 1;
                    (sequence, group, ordinal)
                }).collect();
                let (new, after, duplicates) = fold(&records, &rule, &items);
                prop_assert_eq!(new.len() as u64 + duplicates, records.len() as u64);
                let expected: Vec<u32> = (0..).zip(&delivery).filter(|(_, mark)| seen.insert(**mark)).map(|(at, _)| at).collect();
                prop_assert_eq!(new, expected);
                items = after;
            }
        }

        /// After a crash at any record, a shard that is read again from any earlier record folds each record once.
        #[test]
        fn each_position_is_new_once(
            groups in prop::collection::vec(0..GROUPS, 1..30),
            replays in prop::collection::vec((0..30_usize, 0..30_usize), 0..6),
        ) {
            let records: Vec<_> = (1..).zip(&groups).map(|(sequence, &group)| (sequence, group, 0)).collect();
            let (mut items, mut folded) = (vec![None; GROUPS as usize], Vec::new());
            let mut done = 0;
            for (from, to) in replays.into_iter().chain([(0, records.len())]) {
                // A reader resumes at or before the first record that is not committed.
                let (from, to) = (from.min(done), to.min(records.len()));
                if from >= to {
                    continue;
                }
                let (new, after, _) = fold(&records[from..to], &DedupRule::Sequence, &items);
                folded.extend(new.iter().map(|&record| records[from + record as usize].0));
                items = after;
                done = done.max(to);
            }
            folded.sort_unstable();
            prop_assert_eq!(folded, (1..=records.len() as u64).collect::<Vec<_>>());
        }
    }
}
