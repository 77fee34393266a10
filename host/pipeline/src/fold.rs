//! Fold: aggregators fold rows and scores into the states of their groups, behind the fences.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use paceline_engine::{Column, ColumnBuf, PackedBuf};

use crate::batch::Batch;
use crate::dead_letter::{Cause, Reason};
use crate::dedup::{DedupState, OrdinalSet, LastPositions};
use crate::pipeline::PipelineError;
use crate::project::{FieldValue, ProjectedRows};
use crate::route::write_word;
use crate::rulebook::{DedupRule, KeyTemplate, Literal};
use crate::rulebook::{LoadedAggregate, BoundAggregate, BoundAttribute, BoundPart};
use crate::store::{Attribute, Item, Key, Store, Write, check_key};
use crate::summary::Fuel;
use crate::record_batch::{Rejected, RecordBatch};

/// The groups that the records of a batch belong to.
pub(crate) struct Groups<'c> {
    pub(crate) keys: Vec<Key>,
    /// The key templates by which the groups were made: two aggregators must not share an item.
    templates: Vec<&'c KeyTemplate>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// What each aggregate of each table folds, in stream order.
    group_rows: Vec<Vec<GroupRow>>,
    /// Of which table and which of its aggregates each entry of `group_rows` is.
    calls: Vec<(usize, usize)>,
}

/// A row that belongs to a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupRow {
    pub(crate) record: u32,
    pub(crate) row: u32,
    pub(crate) group: u32,
    pub(crate) ordinal: i64,
}

impl<'c> Groups<'c> {
    /// Finds the groups of each table's rows.
    pub(crate) fn find(record_batches: &[RecordBatch<'c>], batch: &Batch, rows_of_fields: &ProjectedRows, dead: &mut Rejected) -> Self {
        let mut groups = Self {
            keys: Vec::new(),
            templates: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            group_rows: Vec::new(),
            calls: Vec::new(),
        };
        let (mut partition, mut sort) = (String::new(), String::new());
        for (at, record_batch) in record_batches.iter().enumerate() {
            let rulebook = &record_batch.plan.rulebook;
            for (nth, (aggregate, plan)) in rulebook.aggregates.iter().zip(&record_batch.plan.aggregates).enumerate() {
                let mut group_rows = Vec::with_capacity(record_batch.records.len());
                let mut rendered: Option<u32> = None;
                for (row, &record) in record_batch.records.iter().enumerate() {
                    if !plan.only.iter().all(|(index, literal)| equals(batch, rows_of_fields, rows_of_fields.get(record, *index), literal))
                    {
                        continue;
                    }
                    // Neighbours are mostly of one partition: the same race.
                    if !rendered.is_some_and(|last| same_integers(&plan.partition, rows_of_fields, last, record)) {
                        render(&mut partition, &plan.partition, batch, rows_of_fields, record);
                        rendered = Some(record);
                    }
                    render(&mut sort, &plan.sort, batch, rows_of_fields, record);
                    if let Err(text) = check_key(&partition, &sort) {
                        let reason = Reason::new(Cause::BadGroup, text);
                        dead.push((record, reason.under(&rulebook.book.race_type, rulebook.book.version)));
                        continue;
                    }
                    let group = groups.intern(&partition, &sort, &aggregate.rule.key);
                    if *groups.templates[group as usize] != aggregate.rule.key {
                        let text = format!("the item {partition} / {sort} is another aggregator's");
                        let reason = Reason::new(Cause::BadGroup, text).by(aggregate.aggregator.plugin().digest());
                        dead.push((record, reason.under(&rulebook.book.race_type, rulebook.book.version)));
                        continue;
                    }
                    let ordinal = match plan.ordinal.map(|index| rows_of_fields.get(record, index)) {
                        Some(FieldValue::Integer(ordinal)) => ordinal,
                        _ => 0,
                    };
                    group_rows.push(GroupRow { record, row: row as u32, group, ordinal });
                }
                groups.group_rows.push(group_rows);
                groups.calls.push((at, nth));
            }
        }
        groups
    }

    /// What each aggregate of each table folds: table, aggregate, and its rows in stream order.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (usize, usize, &[GroupRow])> {
        let group_rows = self.group_rows.iter().map(Vec::as_slice);
        self.calls.iter().zip(group_rows).map(|(&(record_batch, nth), group_rows)| (record_batch, nth, group_rows))
    }

    /// The keys of a record's groups for which `holds` is true.
    pub(crate) fn of_record(&self, record: u32, holds: impl Fn(u32, i64) -> bool) -> Vec<Key> {
        let group_rows = self.group_rows.iter().filter_map(|group_rows| {
            let from = group_rows.partition_point(|group_row| group_row.record < record);
            group_rows.get(from).filter(|group_row| group_row.record == record && holds(group_row.group, group_row.ordinal))
        });
        group_rows.map(|group_row| self.keys[group_row.group as usize].clone()).collect()
    }

    /// The first record that belongs to any group.
    pub(crate) fn first_record(&self) -> Option<u32> {
        self.group_rows.iter().filter_map(|group_rows| group_rows.first()).map(|group_row| group_row.record).min()
    }

    fn intern(&mut self, partition: &str, sort: &str, template: &'c KeyTemplate) -> u32 {
        let hash = self.hasher.hash_one((partition, sort));
        let keys = &self.keys;
        let same = |&group: &u32| {
            let key = &keys[group as usize];
            key.sort == sort && key.partition == partition
        };
        if let Some(&group) = self.index.find(hash, same) {
            return group;
        }
        let group = self.keys.len() as u32;
        self.keys.push(Key { partition: partition.to_owned(), sort: sort.to_owned() });
        self.templates.push(template);
        let (hasher, keys) = (&self.hasher, &self.keys);
        self.index.insert_unique(hash, group, |&group| {
            let key = &keys[group as usize];
            hasher.hash_one((key.partition.as_str(), key.sort.as_str()))
        });
        group
    }
}

fn render(into: &mut String, parts: &[BoundPart], batch: &Batch, rows_of_fields: &ProjectedRows, record: u32) {
    into.clear();
    for part in parts {
        match part {
            BoundPart::Literal(literal) => into.push_str(literal),
            BoundPart::FieldValue(index) => {
                write_word(into, batch, rows_of_fields, rows_of_fields.get(record, *index));
            }
        }
    }
}

/// Whether a template gives the same text for two records, as far as integers tell.
fn same_integers(parts: &[BoundPart], rows_of_fields: &ProjectedRows, one: u32, other: u32) -> bool {
    parts.iter().all(|part| match part {
        BoundPart::Literal(_) => true,
        BoundPart::FieldValue(index) => {
            let value = rows_of_fields.get(one, *index);
            matches!(value, FieldValue::Integer(_)) && value == rows_of_fields.get(other, *index)
        }
    })
}

fn equals(batch: &Batch, rows_of_fields: &ProjectedRows, value: FieldValue, literal: &Literal) -> bool {
    match literal {
        Literal::Boolean(wanted) => value == FieldValue::Boolean(*wanted),
        Literal::Integer(wanted) => value == FieldValue::Integer(*wanted),
        Literal::Text(wanted) => rows_of_fields.text(batch, value) == Some(wanted.as_bytes()),
    }
}

/// What folding came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What is to be written.
    pub(crate) writes: Vec<Pending>,
    /// Rows that were behind their group's fence: folded before.
    pub(crate) duplicates: u64,
}

/// A write that waits to be made.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) group: u32,
    /// The first record that the group would hold by it: not safe before it is made.
    pub(crate) first: u32,
    pub(crate) write: Write,
}

/// A group while it is being folded.
struct Group {
    dedup: Option<DedupState>,
    state: Option<Vec<u8>>,
    /// Of the last row folded: which call, and which record.
    last: Option<(usize, u32)>,
    /// The first record folded.
    first: u32,
    /// How often the group went over from one ruling's aggregator to another's.
    segment: u32,
}

/// Folds the rows of the groups for which `wanted` is true into what was loaded of them.
///
/// A row that an aggregator can't deal with is folded into no group at all: it goes to `dead`, and the folding starts
/// anew without it. Nothing has been written by then.
pub(crate) fn fold<S: Store>(
    fold: &Fold<'_, '_>,
    store: &S,
    wanted: impl Fn(u32) -> bool,
    dead: &mut Rejected,
    fuel: &mut Fuel,
) -> Result<Outcome, PipelineError> {
    let mut gone: HashSet<u32> = dead.iter().map(|(record, _)| *record).collect();
    let fits = |key: &Key, item: &Item| store.fits(key, item);
    loop {
        match fold.attempt(&wanted, &fits, &gone, fuel)? {
            Ok(outcome) => return Ok(outcome),
            Err(bad) => {
                for (record, reason) in bad {
                    if gone.insert(record) {
                        dead.push((record, reason));
                    }
                }
            }
        }
    }
}

/// What is folded into what.
pub(crate) struct Fold<'a, 'c> {
    pub(crate) record_batches: &'a [RecordBatch<'c>],
    pub(crate) groups: &'a Groups<'c>,
    pub(crate) batch: &'a Batch,
    pub(crate) rows_of_fields: &'a ProjectedRows,
    /// The groups' items as they were read.
    pub(crate) loaded: &'a [Option<Item>],
}

impl Fold<'_, '_> {
    fn attempt(
        &self,
        wanted: &impl Fn(u32) -> bool,
        fits: &impl Fn(&Key, &Item) -> Result<(), String>,
        gone: &HashSet<u32>,
        fuel: &mut Fuel,
    ) -> Result<Result<Outcome, Rejected>, PipelineError> {
        let mut groups: Vec<Group> = Vec::with_capacity(self.loaded.len());
        groups.resize_with(self.loaded.len(), || Group { dedup: None, state: None, last: None, first: 0, segment: 0 });
        let mut outcome = Outcome::default();
        let mut bad = Rejected::new();

        // Which rows each call folds. Calls are made segment by segment, so that a group whose rows go by several
        // rulings is handed from one to the other in stream order.
        let mut calls: BTreeMap<(u32, usize), Vec<GroupRow>> = BTreeMap::new();
        // Nearly all rows are of the first segment, which is found without a search.
        let mut firsts: Vec<Vec<GroupRow>> =
            self.groups.group_rows.iter().map(|group_rows| Vec::with_capacity(group_rows.len())).collect();
        for (call, group_row) in self.in_order() {
            if !gone.is_empty() && gone.contains(&group_row.record) || !wanted(group_row.group) {
                continue;
            }
            let group = &mut groups[group_row.group as usize];
            match self.admit(group, call, group_row) {
                Ok(true) => {}
                Ok(false) => {
                    outcome.duplicates += 1;
                    continue;
                }
                Err(reason) => {
                    bad.push((group_row.record, reason));
                    continue;
                }
            }
            match group.last {
                None => group.first = group_row.record,
                Some((last, _)) if last != call => group.segment += 1,
                Some(_) => {}
            }
            group.last = Some((call, group_row.record));
            match group.segment {
                0 => firsts[call].push(group_row),
                segment => calls.entry((segment, call)).or_default().push(group_row),
            }
        }
        if !bad.is_empty() {
            return Ok(Err(bad));
        }
        let firsts = firsts.into_iter().enumerate().filter(|(_, group_rows)| !group_rows.is_empty());
        calls.extend(firsts.map(|(call, group_rows)| ((0, call), group_rows)));

        let mut local = vec![u32::MAX; groups.len()];
        for ((_, call), group_rows) in &calls {
            self.call(*call, group_rows, &mut groups, &mut local, &mut bad, fuel)?;
        }
        if !bad.is_empty() {
            return Ok(Err(bad));
        }

        for call in 0..self.groups.calls.len() {
            self.finish(call, &mut groups, &mut outcome, &calls, fits, &mut bad, fuel)?;
        }
        Ok(if bad.is_empty() { Ok(outcome) } else { Err(bad) })
    }

    /// Every row of every call. The order matters within a group only, so one table's calls may come one after another.
    fn in_order(&self) -> Vec<(usize, GroupRow)> {
        let group_rows = self.groups.group_rows.iter().enumerate();
        let mut all: Vec<_> =
            group_rows.flat_map(|(call, group_rows)| group_rows.iter().map(move |group_row| (call, *group_row))).collect();
        if self.record_batches.len() > 1 {
            all.sort_by_key(|(_, group_row)| group_row.record);
        }
        all
    }

    /// Whether a group's item, as it was read, holds a record already.
    pub(crate) fn holds(&self, group: u32, record: u32, ordinal: i64) -> bool {
        match self.loaded[group as usize].as_ref().map(|item| &item.dedup) {
            Some(DedupState::Sequence(dedup)) => !dedup.is_new(&self.batch.shard, self.batch.records[record as usize].position),
            Some(DedupState::Ordinal(dedup)) => dedup.contains(ordinal),
            None => false,
        }
    }

    fn aggregate(&self, call: usize) -> (&LoadedAggregate, &BoundAggregate) {
        let (record_batch, nth) = self.groups.calls[call];
        let plan = self.record_batches[record_batch].plan;
        (&plan.rulebook.aggregates[nth], &plan.aggregates[nth])
    }

    fn reason(&self, call: usize, cause: Cause, text: String) -> Reason {
        let book = &self.record_batches[self.groups.calls[call].0].plan.rulebook.book;
        let plugin = self.aggregate(call).0.aggregator.plugin().digest();
        Reason::new(cause, text).by(plugin).under(&book.race_type, book.version)
    }

    /// Whether a row has not been folded into its group yet. Rows are asked about once each, in stream order.
    fn admit(&self, group: &mut Group, call: usize, group_row: GroupRow) -> Result<bool, Reason> {
        if let Some(before) = &self.batch.records[group_row.record as usize].redriven
            && before.folded.contains(&self.groups.keys[group_row.group as usize])
        {
            return Ok(false);
        }
        let loaded = self.loaded[group_row.group as usize].as_ref();
        let rule = &self.aggregate(call).0.rule.dedup;
        let dedup = group.dedup.get_or_insert_with(|| match (loaded, rule) {
            (Some(item), _) => item.dedup.clone(),
            (None, DedupRule::Sequence) => DedupState::Sequence(LastPositions::default()),
            (None, DedupRule::Ordinal(_)) => DedupState::Ordinal(OrdinalSet::default()),
        });
        match (dedup, rule) {
            (DedupState::Sequence(dedup), DedupRule::Sequence) => {
                // Against what was loaded: within a batch every record is new, whichever aggregator had the last one.
                let position = self.batch.records[group_row.record as usize].position;
                let before = loaded.and_then(|item| match &item.dedup {
                    DedupState::Sequence(before) => Some(before),
                    DedupState::Ordinal(_) => None,
                });
                if before.is_some_and(|before| !before.is_new(&self.batch.shard, position)) {
                    return Ok(false);
                }
                dedup.record(&self.batch.shard, position);
                Ok(true)
            }
            (DedupState::Ordinal(dedup), DedupRule::Ordinal(_)) => Ok(dedup.insert(group_row.ordinal)),
            _ => Err(self.reason(
                call,
                Cause::BadGroup,
                format!(
                    "the item {} has another sort of fence than the rulebook says",
                    self.groups.keys[group_row.group as usize]
                ),
            )),
        }
    }

    fn state<'g>(&'g self, group: &'g Group, at: u32) -> &'g [u8] {
        match (&group.state, &self.loaded[at as usize]) {
            (Some(state), _) => state,
            (None, Some(item)) => &item.state,
            (None, None) => &[],
        }
    }

    /// Folds rows by one call of one aggregator. `local` is scratch space, all `u32::MAX` before and after.
    fn call(
        &self,
        call: usize,
        group_rows: &[GroupRow],
        groups: &mut [Group],
        local: &mut [u32],
        bad: &mut Rejected,
        fuel: &mut Fuel,
    ) -> Result<(), PipelineError> {
        let record_batch = &self.record_batches[self.groups.calls[call].0];
        let aggregate = self.aggregate(call).0;
        let mut touched = Vec::new();
        let indexes: Vec<u32> = group_rows
            .iter()
            .map(|group_row| {
                let index = &mut local[group_row.group as usize];
                if *index == u32::MAX {
                    *index = touched.len() as u32;
                    touched.push(group_row.group);
                }
                *index
            })
            .collect();
        touched.iter().for_each(|&group| local[group as usize] = u32::MAX);

        let states: PackedBuf = touched.iter().map(|&at| self.state(&groups[at as usize], at)).collect();
        let columns = record_batch.columns(&aggregate.inputs);
        let mut session = aggregate.aggregator.session();
        let folded = if group_rows.len() == record_batch.records.len() {
            session.fold(&columns, &record_batch.scores, &indexes, states.as_packed())?
        } else {
            let rows: Vec<u32> = group_rows.iter().map(|group_row| group_row.row).collect();
            let taken: Vec<ColumnBuf> = columns.iter().map(|column| column.take(&rows)).collect();
            let taken: Vec<Column<'_>> = taken.iter().map(ColumnBuf::as_column).collect();
            let scores: Vec<f64> = rows.iter().map(|&row| record_batch.scores[row as usize]).collect();
            session.fold(&taken, &scores, &indexes, states.as_packed())?
        };
        *fuel.entry(aggregate.aggregator.plugin().digest()).or_default() += session.fuel();
        for (row, fault) in folded.failed {
            bad.push((group_rows[row as usize].record, self.reason(call, Cause::PluginFailed, fault.to_string())));
        }
        for (&group, state) in touched.iter().zip(folded.states.as_packed().iter()) {
            groups[group as usize].state = Some(state.to_vec());
        }
        Ok(())
    }

    /// Asks what is written of the groups whose last row an aggregator folded.
    #[expect(clippy::too_many_arguments, reason = "what folding came to so far, and where its cost is booked")]
    fn finish(
        &self,
        call: usize,
        groups: &mut [Group],
        outcome: &mut Outcome,
        calls: &BTreeMap<(u32, usize), Vec<GroupRow>>,
        fits: &impl Fn(&Key, &Item) -> Result<(), String>,
        bad: &mut Rejected,
        fuel: &mut Fuel,
    ) -> Result<(), PipelineError> {
        let (aggregate, plan) = self.aggregate(call);
        let ours = |group: &Group| group.last.is_some_and(|(last, _)| last == call);
        let touched: Vec<u32> = (0..groups.len() as u32).filter(|&at| ours(&groups[at as usize])).collect();
        if touched.is_empty() {
            return Ok(());
        }
        let states: PackedBuf = touched.iter().map(|&at| self.state(&groups[at as usize], at)).collect();
        let mut session = aggregate.aggregator.session();
        let finished = session.finish(states.as_packed())?;
        *fuel.entry(aggregate.aggregator.plugin().digest()).or_default() += session.fuel();
        // Without outputs, or without room for it, the group can't be written: all that this batch has for it goes back.
        let mut go_back = |group: u32, reason: Reason| {
            let records = calls.values().flatten().filter(|group_row| group_row.group == group).map(|group_row| group_row.record);
            bad.extend(records.map(|record| (record, reason.clone())));
        };
        for (index, fault) in finished.failed {
            go_back(touched[index as usize], self.reason(call, Cause::PluginFailed, fault.to_string()));
        }
        for (index, &at) in touched.iter().enumerate() {
            let group = &mut groups[at as usize];
            let (_, record) = group.last.expect("it was touched");
            let mut attributes = outputs(aggregate, &finished.columns, index);
            for (name, plan) in &plan.attributes {
                attributes.push((Arc::clone(name), attribute(plan, self.batch, self.rows_of_fields, record)));
            }
            let expected = self.loaded[at as usize].as_ref().map(|item| item.revision);
            let item = Item {
                revision: expected.unwrap_or(0) + 1,
                state: group.state.take().expect("it was folded"),
                dedup: group.dedup.take().expect("it was asked"),
                attributes,
                provenance: Arc::clone(&aggregate.provenance),
            };
            let key = self.groups.keys[at as usize].clone();
            match fits(&key, &item) {
                Ok(()) => {
                    let write = Write { key, expected, item };
                    outcome.writes.push(Pending { group: at, first: group.first, write });
                }
                Err(wrong) => go_back(at, self.reason(call, Cause::BadGroup, format!("the item {key} {wrong}"))),
            }
        }
        Ok(())
    }
}

/// A record's value of an attribute that the rulebook adds.
pub(crate) fn attribute(plan: &BoundAttribute, batch: &Batch, rows_of_fields: &ProjectedRows, record: u32) -> Attribute {
    match plan {
        BoundAttribute::Value(index) => match rows_of_fields.get(record, *index) {
            FieldValue::Boolean(value) => Attribute::Boolean(value),
            FieldValue::Integer(value) => Attribute::Integer(value),
            FieldValue::Number(value) => Attribute::Number(value),
            value => {
                let text = rows_of_fields.text(batch, value).unwrap_or_default();
                Attribute::Text(String::from_utf8_lossy(text).into_owned())
            }
        },
        BoundAttribute::Text(parts) => {
            let mut text = String::new();
            render(&mut text, parts, batch, rows_of_fields, record);
            Attribute::Text(text)
        }
    }
}

/// What is written of a group, by the names that the rulebook gives the outputs.
pub(crate) fn outputs(aggregate: &LoadedAggregate, columns: &[ColumnBuf], group: usize) -> Vec<(Arc<str>, Attribute)> {
    let named = aggregate.outputs.iter().zip(columns);
    named.filter_map(|(name, column)| output(column, group).map(|value| (Arc::clone(name), value))).collect()
}

/// A group's value of an output. A number that is not finite is none.
fn output(column: &ColumnBuf, group: usize) -> Option<Attribute> {
    let text = |packed: &PackedBuf| packed.as_packed().get(group).to_vec();
    Some(match column {
        ColumnBuf::Booleans(values) => Attribute::Boolean(values[group]),
        ColumnBuf::Integers(values) => Attribute::Integer(values[group]),
        ColumnBuf::Numbers(values) if !values[group].is_finite() => return None,
        ColumnBuf::Numbers(values) => Attribute::Number(values[group]),
        ColumnBuf::Texts(packed) => Attribute::Text(String::from_utf8_lossy(&text(packed)).into_owned()),
        ColumnBuf::Blobs(packed) => Attribute::Blob(text(packed)),
    })
}
