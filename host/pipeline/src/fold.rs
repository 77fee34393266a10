//! Fold: aggregators fold rows and scores into the states of their groups, behind the fences.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use paceline_engine::{Column, ColumnBuf, PackedBuf};

use crate::batch::Batch;
use crate::dead_letter::{Cause, Reason};
use crate::fence::{Fence, OrdinalSet, SequenceFence};
use crate::pipeline::PipelineError;
use crate::project::{Cell, Cells};
use crate::route::write_word;
use crate::rulebook::{FenceRule, KeyTemplate, Literal};
use crate::ruling::{Aggregate, AggregatePlan, AttributePlan, PartPlan};
use crate::store::{Attribute, Item, Key, Store, Write, check_key};
use crate::summary::Fuel;
use crate::table::{Dead, Table};

/// The groups that the records of a batch belong to.
pub(crate) struct Groups<'c> {
    pub(crate) keys: Vec<Key>,
    /// The key templates by which the groups were made: two aggregators must not share an item.
    templates: Vec<&'c KeyTemplate>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// What each aggregate of each table folds, in stream order.
    touches: Vec<Vec<Touch>>,
    /// Of which table and which of its aggregates each entry of `touches` is.
    calls: Vec<(usize, usize)>,
}

/// A row that belongs to a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    pub(crate) record: u32,
    pub(crate) row: u32,
    pub(crate) group: u32,
    pub(crate) ordinal: i64,
}

impl<'c> Groups<'c> {
    /// Finds the groups of each table's rows.
    pub(crate) fn find(tables: &[Table<'c>], batch: &Batch, cells: &Cells, dead: &mut Dead) -> Self {
        let mut groups = Self {
            keys: Vec::new(),
            templates: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            touches: Vec::new(),
            calls: Vec::new(),
        };
        let (mut partition, mut sort) = (String::new(), String::new());
        for (at, table) in tables.iter().enumerate() {
            let ruling = &table.plan.ruling;
            for (nth, (aggregate, plan)) in ruling.aggregates.iter().zip(&table.plan.aggregates).enumerate() {
                let mut touches = Vec::with_capacity(table.records.len());
                let mut rendered: Option<u32> = None;
                for (row, &record) in table.records.iter().enumerate() {
                    if !plan.only.iter().all(|(slot, literal)| equals(batch, cells, cells.get(record, *slot), literal))
                    {
                        continue;
                    }
                    // Neighbours are mostly of one partition: the same race.
                    if !rendered.is_some_and(|last| same_integers(&plan.partition, cells, last, record)) {
                        render(&mut partition, &plan.partition, batch, cells, record);
                        rendered = Some(record);
                    }
                    render(&mut sort, &plan.sort, batch, cells, record);
                    if let Err(text) = check_key(&partition, &sort) {
                        let reason = Reason::new(Cause::BadGroup, text);
                        dead.push((record, reason.under(&ruling.book.race_type, ruling.book.version)));
                        continue;
                    }
                    let group = groups.intern(&partition, &sort, &aggregate.rule.key);
                    if *groups.templates[group as usize] != aggregate.rule.key {
                        let text = format!("the item {partition} / {sort} is another aggregator's");
                        let reason = Reason::new(Cause::BadGroup, text).by(aggregate.aggregator.plugin().digest());
                        dead.push((record, reason.under(&ruling.book.race_type, ruling.book.version)));
                        continue;
                    }
                    let ordinal = match plan.ordinal.map(|slot| cells.get(record, slot)) {
                        Some(Cell::Integer(ordinal)) => ordinal,
                        _ => 0,
                    };
                    touches.push(Touch { record, row: row as u32, group, ordinal });
                }
                groups.touches.push(touches);
                groups.calls.push((at, nth));
            }
        }
        groups
    }

    /// What each aggregate of each table folds: table, aggregate, and its rows in stream order.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (usize, usize, &[Touch])> {
        let touches = self.touches.iter().map(Vec::as_slice);
        self.calls.iter().zip(touches).map(|(&(table, nth), touches)| (table, nth, touches))
    }

    /// The keys of a record's groups for which `holds` is true.
    pub(crate) fn of_record(&self, record: u32, holds: impl Fn(u32, i64) -> bool) -> Vec<Key> {
        let touches = self.touches.iter().filter_map(|touches| {
            let from = touches.partition_point(|touch| touch.record < record);
            touches.get(from).filter(|touch| touch.record == record && holds(touch.group, touch.ordinal))
        });
        touches.map(|touch| self.keys[touch.group as usize].clone()).collect()
    }

    /// The first record that belongs to any group.
    pub(crate) fn first_record(&self) -> Option<u32> {
        self.touches.iter().filter_map(|touches| touches.first()).map(|touch| touch.record).min()
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

fn render(into: &mut String, parts: &[PartPlan], batch: &Batch, cells: &Cells, record: u32) {
    into.clear();
    for part in parts {
        match part {
            PartPlan::Literal(literal) => into.push_str(literal),
            PartPlan::Cell(slot) => {
                write_word(into, batch, cells, cells.get(record, *slot));
            }
        }
    }
}

/// Whether a template gives the same text for two records, as far as integers tell.
fn same_integers(parts: &[PartPlan], cells: &Cells, one: u32, other: u32) -> bool {
    parts.iter().all(|part| match part {
        PartPlan::Literal(_) => true,
        PartPlan::Cell(slot) => {
            let cell = cells.get(one, *slot);
            matches!(cell, Cell::Integer(_)) && cell == cells.get(other, *slot)
        }
    })
}

fn equals(batch: &Batch, cells: &Cells, cell: Cell, literal: &Literal) -> bool {
    match literal {
        Literal::Boolean(wanted) => cell == Cell::Boolean(*wanted),
        Literal::Integer(wanted) => cell == Cell::Integer(*wanted),
        Literal::Text(wanted) => cells.text(batch, cell) == Some(wanted.as_bytes()),
    }
}

/// What folding came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What is to be written.
    pub(crate) writes: Vec<Pending>,
    /// Rows that were behind their group's fence: folded before.
    pub(crate) behind: u64,
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
    fence: Option<Fence>,
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
    dead: &mut Dead,
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
    pub(crate) tables: &'a [Table<'c>],
    pub(crate) groups: &'a Groups<'c>,
    pub(crate) batch: &'a Batch,
    pub(crate) cells: &'a Cells,
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
    ) -> Result<Result<Outcome, Dead>, PipelineError> {
        let mut groups: Vec<Group> = Vec::with_capacity(self.loaded.len());
        groups.resize_with(self.loaded.len(), || Group { fence: None, state: None, last: None, first: 0, segment: 0 });
        let mut outcome = Outcome::default();
        let mut bad = Dead::new();

        // Which rows each call folds. Calls are made segment by segment, so that a group whose rows go by several
        // rulings is handed from one to the other in stream order.
        let mut calls: BTreeMap<(u32, usize), Vec<Touch>> = BTreeMap::new();
        // Nearly all rows are of the first segment, which is found without a search.
        let mut firsts: Vec<Vec<Touch>> =
            self.groups.touches.iter().map(|touches| Vec::with_capacity(touches.len())).collect();
        for (call, touch) in self.in_order() {
            if !gone.is_empty() && gone.contains(&touch.record) || !wanted(touch.group) {
                continue;
            }
            let group = &mut groups[touch.group as usize];
            match self.admit(group, call, touch) {
                Ok(true) => {}
                Ok(false) => {
                    outcome.behind += 1;
                    continue;
                }
                Err(reason) => {
                    bad.push((touch.record, reason));
                    continue;
                }
            }
            match group.last {
                None => group.first = touch.record,
                Some((last, _)) if last != call => group.segment += 1,
                Some(_) => {}
            }
            group.last = Some((call, touch.record));
            match group.segment {
                0 => firsts[call].push(touch),
                segment => calls.entry((segment, call)).or_default().push(touch),
            }
        }
        if !bad.is_empty() {
            return Ok(Err(bad));
        }
        let firsts = firsts.into_iter().enumerate().filter(|(_, touches)| !touches.is_empty());
        calls.extend(firsts.map(|(call, touches)| ((0, call), touches)));

        let mut local = vec![u32::MAX; groups.len()];
        for ((_, call), touches) in &calls {
            self.call(*call, touches, &mut groups, &mut local, &mut bad, fuel)?;
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
    fn in_order(&self) -> Vec<(usize, Touch)> {
        let touches = self.groups.touches.iter().enumerate();
        let mut all: Vec<_> =
            touches.flat_map(|(call, touches)| touches.iter().map(move |touch| (call, *touch))).collect();
        if self.tables.len() > 1 {
            all.sort_by_key(|(_, touch)| touch.record);
        }
        all
    }

    /// Whether a group's item, as it was read, holds a record already.
    pub(crate) fn holds(&self, group: u32, record: u32, ordinal: i64) -> bool {
        match self.loaded[group as usize].as_ref().map(|item| &item.fence) {
            Some(Fence::Sequence(fence)) => !fence.admits(&self.batch.shard, self.batch.records[record as usize].place),
            Some(Fence::Ordinal(fence)) => fence.contains(ordinal),
            None => false,
        }
    }

    fn aggregate(&self, call: usize) -> (&Aggregate, &AggregatePlan) {
        let (table, nth) = self.groups.calls[call];
        let plan = self.tables[table].plan;
        (&plan.ruling.aggregates[nth], &plan.aggregates[nth])
    }

    fn reason(&self, call: usize, cause: Cause, text: String) -> Reason {
        let book = &self.tables[self.groups.calls[call].0].plan.ruling.book;
        let plugin = self.aggregate(call).0.aggregator.plugin().digest();
        Reason::new(cause, text).by(plugin).under(&book.race_type, book.version)
    }

    /// Whether a row has not been folded into its group yet. Rows are asked about once each, in stream order.
    fn admit(&self, group: &mut Group, call: usize, touch: Touch) -> Result<bool, Reason> {
        if let Some(before) = &self.batch.records[touch.record as usize].redriven
            && before.folded.contains(&self.groups.keys[touch.group as usize])
        {
            return Ok(false);
        }
        let loaded = self.loaded[touch.group as usize].as_ref();
        let rule = &self.aggregate(call).0.rule.fence;
        let fence = group.fence.get_or_insert_with(|| match (loaded, rule) {
            (Some(item), _) => item.fence.clone(),
            (None, FenceRule::Sequence) => Fence::Sequence(SequenceFence::default()),
            (None, FenceRule::Ordinal(_)) => Fence::Ordinal(OrdinalSet::default()),
        });
        match (fence, rule) {
            (Fence::Sequence(fence), FenceRule::Sequence) => {
                // Against what was loaded: within a batch every record is new, whichever aggregator had the last one.
                let place = self.batch.records[touch.record as usize].place;
                let before = loaded.and_then(|item| match &item.fence {
                    Fence::Sequence(before) => Some(before),
                    Fence::Ordinal(_) => None,
                });
                if before.is_some_and(|before| !before.admits(&self.batch.shard, place)) {
                    return Ok(false);
                }
                fence.advance(&self.batch.shard, place);
                Ok(true)
            }
            (Fence::Ordinal(fence), FenceRule::Ordinal(_)) => Ok(fence.insert(touch.ordinal)),
            _ => Err(self.reason(
                call,
                Cause::BadGroup,
                format!(
                    "the item {} has another sort of fence than the rulebook says",
                    self.groups.keys[touch.group as usize]
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
        touches: &[Touch],
        groups: &mut [Group],
        local: &mut [u32],
        bad: &mut Dead,
        fuel: &mut Fuel,
    ) -> Result<(), PipelineError> {
        let table = &self.tables[self.groups.calls[call].0];
        let aggregate = self.aggregate(call).0;
        let mut touched = Vec::new();
        let indexes: Vec<u32> = touches
            .iter()
            .map(|touch| {
                let index = &mut local[touch.group as usize];
                if *index == u32::MAX {
                    *index = touched.len() as u32;
                    touched.push(touch.group);
                }
                *index
            })
            .collect();
        touched.iter().for_each(|&group| local[group as usize] = u32::MAX);

        let states: PackedBuf = touched.iter().map(|&at| self.state(&groups[at as usize], at)).collect();
        let columns = table.columns(&aggregate.needs);
        let mut session = aggregate.aggregator.session();
        let folded = if touches.len() == table.records.len() {
            session.fold(&columns, &table.scores, &indexes, states.as_packed())?
        } else {
            let rows: Vec<u32> = touches.iter().map(|touch| touch.row).collect();
            let taken: Vec<ColumnBuf> = columns.iter().map(|column| column.take(&rows)).collect();
            let taken: Vec<Column<'_>> = taken.iter().map(ColumnBuf::as_column).collect();
            let scores: Vec<f64> = rows.iter().map(|&row| table.scores[row as usize]).collect();
            session.fold(&taken, &scores, &indexes, states.as_packed())?
        };
        *fuel.entry(aggregate.aggregator.plugin().digest()).or_default() += session.fuel();
        for (row, fault) in folded.failed {
            bad.push((touches[row as usize].record, self.reason(call, Cause::PluginFailed, fault.to_string())));
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
        calls: &BTreeMap<(u32, usize), Vec<Touch>>,
        fits: &impl Fn(&Key, &Item) -> Result<(), String>,
        bad: &mut Dead,
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
            let records = calls.values().flatten().filter(|touch| touch.group == group).map(|touch| touch.record);
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
                attributes.push((Arc::clone(name), attribute(plan, self.batch, self.cells, record)));
            }
            let expected = self.loaded[at as usize].as_ref().map(|item| item.revision);
            let item = Item {
                revision: expected.unwrap_or(0) + 1,
                state: group.state.take().expect("it was folded"),
                fence: group.fence.take().expect("it was asked"),
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
pub(crate) fn attribute(plan: &AttributePlan, batch: &Batch, cells: &Cells, record: u32) -> Attribute {
    match plan {
        AttributePlan::Value(slot) => match cells.get(record, *slot) {
            Cell::Boolean(value) => Attribute::Boolean(value),
            Cell::Integer(value) => Attribute::Integer(value),
            Cell::Number(value) => Attribute::Number(value),
            cell => {
                let text = cells.text(batch, cell).unwrap_or_default();
                Attribute::Text(String::from_utf8_lossy(text).into_owned())
            }
        },
        AttributePlan::Text(parts) => {
            let mut text = String::new();
            render(&mut text, parts, batch, cells, record);
            Attribute::Text(text)
        }
    }
}

/// What is written of a group, by the names that the rulebook gives the outputs.
pub(crate) fn outputs(aggregate: &Aggregate, columns: &[ColumnBuf], group: usize) -> Vec<(Arc<str>, Attribute)> {
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
