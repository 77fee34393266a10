//! Groups: which groups each row is folded into.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use smol_str::SmolStr;

use super::context::Context;
use super::project::ProjectedBatch;
use super::record_batch::RecordBatch;
use crate::model::{Cause, FieldIndex, FieldValue, Key, ProjectedRows, Reason};
use crate::rules::{AggregateUse, BoundPart, FieldConstraint, Literal};

/// Groups that an aggregate gets room for at once, if the batch has as many records. More are rare: racers of a race.
const EXPECTED_GROUPS: usize = 1_024;

/// The groups of a batch's rows.
#[derive(Default)]
pub(crate) struct Groups<'c> {
    /// The groups' keys. A group is known by its index here.
    pub(crate) keys: Vec<Key>,
    /// What each aggregate of each record batch folds.
    pub(crate) calls: Vec<Call>,
    /// Rejected records, with the groups that they would be folded into: a group may hold one, folded under other rules. Only
    /// where dedup by sequence would not recognize such a record once it is redriven.
    pub(crate) rejected: Vec<RejectedRow>,
    /// The aggregate of each group: two aggregates of different keys must not share an item.
    rules: Vec<&'c AggregateUse>,
    index: HashTable<Hashed>,
    hasher: DefaultHashBuilder,
}

/// A group in the index. The hash is kept, so that a table that grows hashes no key again.
#[derive(Clone, Copy)]
struct Hashed {
    hash: u64,
    group: u32,
}

/// A partition key that records were rendered to, and its hash.
struct Partition {
    text: SmolStr,
    hash: u64,
    /// The record that was rendered.
    of: u32,
}

/// What one aggregate of one record batch folds.
#[derive(Debug)]
pub(crate) struct Call {
    /// The index of the record batch.
    pub(crate) record_batch: usize,
    /// The index of the aggregate in its rulebook.
    pub(crate) aggregate: usize,
    /// Its rows, in the order of the batch.
    pub(crate) rows: Vec<GroupRow>,
}

/// A row, and the group that it is folded into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupRow {
    /// The index of the record in the batch.
    pub(crate) record: u32,
    /// The index of the row in its record batch.
    pub(crate) row: u32,
    pub(crate) group: u32,
    /// The ordinal by which dedup knows the row; 0 where dedup is by sequence.
    pub(crate) ordinal: i64,
}

/// A rejected record, and a group that it would be folded into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RejectedRow {
    /// The index of the record in the batch.
    pub(crate) record: u32,
    pub(crate) group: u32,
    /// The ordinal by which dedup knows it; `None` where dedup is by sequence.
    pub(crate) ordinal: Option<i64>,
}

/// Finds the groups of all rows. Rows whose key no group may have are rejected.
pub(crate) fn find<'c, S>(
    context: &mut Context<'_, S>,
    projected: &ProjectedBatch<'_>,
    record_batches: &[RecordBatch<'c>],
) -> Groups<'c> {
    let mut groups = Groups::default();
    for (at, record_batch) in record_batches.iter().enumerate() {
        for aggregate in 0..record_batch.rulebook.aggregates.len() {
            let rows = groups.rows(context, projected, record_batch, aggregate);
            groups.calls.push(Call { record_batch: at, aggregate, rows });
        }
    }
    for record_batch in record_batches.iter().filter(|record_batch| record_batch.is_by_sequence()) {
        for aggregate in 0..record_batch.rulebook.aggregates.len() {
            groups.add_rejected(projected, record_batch, aggregate);
        }
    }
    groups.rejected.sort_by_key(|row| row.record);
    groups
}

impl<'c> Groups<'c> {
    /// The rows of one aggregate, with their groups.
    fn rows<S>(
        &mut self,
        context: &mut Context<'_, S>,
        projected: &ProjectedBatch<'_>,
        record_batch: &RecordBatch<'c>,
        aggregate: usize,
    ) -> Vec<GroupRow> {
        let rulebook = record_batch.rulebook;
        let (aggregate, bound) = (&rulebook.rulebook.aggregates[aggregate], &rulebook.aggregates[aggregate]);
        let ProjectedBatch { batch, rows: fields, .. } = projected;
        let mut rows = Vec::with_capacity(record_batch.records.len());
        let room = record_batch.records.len().min(EXPECTED_GROUPS);
        self.index.reserve(room, |found| found.hash);
        self.keys.reserve(room);
        let (mut text, mut sort) = (String::new(), String::new());
        let mut last: Option<Partition> = None;
        for (row, &record) in record_batch.records.iter().enumerate() {
            let selected =
                bound.only.iter().all(|(field, literal)| literal.equals(batch, fields, fields.get(record, *field)));
            if !selected {
                continue;
            }
            // Neighbours are mostly of the same partition: the same race.
            let partition = match last {
                Some(ref last) if same_integers(&bound.partition, fields, last.of, record) => last,
                _ => {
                    text.clear();
                    BoundPart::render(&mut text, &bound.partition, batch, fields, record);
                    last.insert(self.partition(&text, record))
                }
            };
            sort.clear();
            BoundPart::render(&mut sort, &bound.sort, batch, fields, record);
            if let Err(error) = Key::check(&partition.text, &sort) {
                let reason = Reason::new(Cause::BadGroup, error.to_string());
                context.rejected.push(record, record_batch.reason(reason));
                continue;
            }
            let group = self.intern(partition, &sort, &aggregate.rule);
            let rule = self.rules[group as usize];
            if !std::ptr::eq(rule, &aggregate.rule) && rule.key != aggregate.rule.key {
                let text = format!("the item {} / {sort} belongs to another aggregator", partition.text);
                let reason = Reason::new(Cause::BadGroup, text).by(aggregate.aggregator.plugin().digest());
                context.rejected.push(record, record_batch.reason(reason));
                continue;
            }
            let ordinal = match bound.ordinal.map(|field| fields.get(record, field)) {
                Some(FieldValue::Integer(ordinal)) => ordinal,
                _ => 0,
            };
            rows.push(GroupRow { record, row: row as u32, group, ordinal });
        }
        rows
    }

    /// Adds the rejected records of a record batch to the groups of an aggregate.
    fn add_rejected(
        &mut self,
        ProjectedBatch { batch, rows: fields, .. }: &ProjectedBatch<'_>,
        record_batch: &RecordBatch<'c>,
        aggregate: usize,
    ) {
        let rulebook = record_batch.rulebook;
        let (rule, bound) = (&rulebook.rulebook.aggregates[aggregate].rule, &rulebook.aggregates[aggregate]);
        let is_word = |record, part: &BoundPart| match part {
            BoundPart::Literal(_) => true,
            BoundPart::Field(field) => FieldConstraint::Word.allows(fields.get(record, *field)),
        };
        for &record in &record_batch.rejected {
            let selects =
                |(field, literal): &(FieldIndex, Literal)| literal.equals(batch, fields, fields.get(record, *field));
            let mut parts = bound.partition.iter().chain(&bound.sort);
            // A record without a key or an ordinal is in no group under any rules: those that follow each other have the same.
            if !parts.all(|part| is_word(record, part)) || !bound.only.iter().all(selects) {
                continue;
            }
            let (mut partition, mut sort) = (String::new(), String::new());
            BoundPart::render(&mut partition, &bound.partition, batch, fields, record);
            BoundPart::render(&mut sort, &bound.sort, batch, fields, record);
            if Key::check(&partition, &sort).is_err() {
                continue;
            }
            let ordinal = match bound.ordinal.map(|field| fields.get(record, field)) {
                Some(FieldValue::Integer(ordinal)) => Some(ordinal),
                None => None,
                Some(_) => continue,
            };
            let group = self.intern(&self.partition(&partition, record), &sort, rule);
            self.rejected.push(RejectedRow { record, group, ordinal });
        }
    }

    /// The keys of a record's groups for which `holds` is true.
    pub(crate) fn of_record(&self, record: u32, holds: impl Fn(&GroupRow) -> bool) -> Vec<Key> {
        let found = self.calls.iter().filter_map(|call| {
            let from = call.rows.partition_point(|row| row.record < record);
            call.rows.get(from).filter(|row| row.record == record && holds(row))
        });
        found.map(|row| self.keys[row.group as usize].clone()).collect()
    }

    /// The groups' keys, and what each aggregate folds.
    pub(crate) fn into_parts(self) -> (Vec<Key>, Vec<Call>) {
        (self.keys, self.calls)
    }

    /// The first record that belongs to any group.
    pub(crate) fn first_record(&self) -> Option<u32> {
        self.calls.iter().filter_map(|call| call.rows.first()).map(|row| row.record).min()
    }

    fn partition(&self, text: &str, of: u32) -> Partition {
        Partition { text: SmolStr::new(text), hash: self.hasher.hash_one(text), of }
    }

    fn intern(&mut self, partition: &Partition, sort: &str, rule: &'c AggregateUse) -> u32 {
        let hash = self.hasher.hash_one((partition.hash, sort));
        let keys = &self.keys;
        let same = |found: &Hashed| {
            let key = &keys[found.group as usize];
            found.hash == hash && key.sort == sort && key.partition == partition.text
        };
        if let Some(found) = self.index.find(hash, same) {
            return found.group;
        }
        let group = self.keys.len() as u32;
        self.keys.push(rule.group_key(partition.text.clone(), SmolStr::new(sort)));
        self.rules.push(rule);
        self.index.insert_unique(hash, Hashed { hash, group }, |found| found.hash);
        group
    }
}

/// Whether a template gives the same text for two records, as far as integers tell.
fn same_integers(parts: &[BoundPart], fields: &ProjectedRows, one: u32, other: u32) -> bool {
    parts.iter().all(|part| match part {
        BoundPart::Literal(_) => true,
        BoundPart::Field(field) => {
            let value = fields.get(one, *field);
            matches!(value, FieldValue::Integer(_)) && value == fields.get(other, *field)
        }
    })
}

#[cfg(test)]
mod tests;
