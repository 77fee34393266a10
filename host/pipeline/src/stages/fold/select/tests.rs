//! Each row is new to its group once, whatever is delivered again.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::{DeadLetter, Pointer, test_provenance};

fn ordinal_rule() -> DedupRule {
    DedupRule::Ordinal(Pointer::parse("/second").unwrap())
}

fn key(group: u32) -> Key {
    Key::new("race-1", format!("racer-{group}"))
}

fn item(dedup: DedupState) -> Item {
    let provenance = test_provenance();
    Item { revision: 1, state: Vec::new(), dedup, attributes: Vec::new(), provenance, reruled: false }
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
fn fold(records: &[(u64, u32, i64)], rule: &DedupRule, loaded: &[Option<Item>]) -> (Vec<u32>, Vec<Option<Item>>, u64) {
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
    let selector =
        Selector { batch: &batch, keys: &keys, calls: &calls, rules: vec![&rule], loaded: &loaded, interleaved: false };
    let selection = selector.select(|_| true);
    assert_eq!(selection.mismatched, [Mismatch { group: 0, first: 0, call: 0 }]);
    assert_eq!(selection.calls[&(0, 0)].iter().map(|row| row.record).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_new_group_whose_rows_have_several_dedup_rules_is_found() {
    let (batch, _) = batch(&[(1, 0, 1), (2, 0, 2), (3, 1, 3)]);
    let row = |record: u32, group| GroupRow { record, row: record, group, ordinal: i64::from(record) };
    let calls = [
        Call { record_batch: 0, aggregate: 0, rows: vec![row(0, 0)] },
        Call { record_batch: 1, aggregate: 0, rows: vec![row(1, 0), row(2, 1)] },
    ];
    let keys: Vec<Key> = (0..2).map(key).collect();
    let (second, race) = (ordinal_rule(), DedupRule::Ordinal(Pointer::parse("/raceId").unwrap()));
    let loaded = [None, None];
    let rules = vec![&second, &race];
    let selector = Selector { batch: &batch, keys: &keys, calls: &calls, rules, loaded: &loaded, interleaved: true };
    let selection = selector.select(|_| true);
    assert_eq!(selection.mismatched, [Mismatch { group: 0, first: 0, call: 1 }]);
    assert!(selection.groups[1].is_some());
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
