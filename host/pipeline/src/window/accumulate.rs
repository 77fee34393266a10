//! Accumulate: each row of a batch becomes a state of its own in the window.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use paceline_engine::{PackedBuf, Role};

use super::state::{Deltas, GroupDelta, PositionRow, Window};
use crate::error::PipelineError;
use crate::model::{Batch, Cause, Item, Key, Reason, Record, RecordPosition};
use crate::pipeline::{Pipeline, evaluate};
use crate::rules::{BoundRulebook, DedupRule};
use crate::stages::commit::store_dead_letters;
use crate::stages::context::Context;
use crate::stages::evaluated::Evaluated;
use crate::stages::failing::holds;
use crate::stages::fold::mark_doubtful;
use crate::stages::groups::{self, Call, GroupRow, Groups};
use crate::stages::held::{HeldRecords, is_held};
use crate::stages::horizon::take_over;
use crate::stages::observe::observe;
use crate::stages::outputs::attribute;
use crate::stages::record_batch::RecordBatch;
use crate::stages::rejected::Rejected;
use crate::stages::settled::settled;
use crate::store::Store;
use crate::summary::{Stage, Summary};
use crate::trials::Trials;

/// The new states of one call: its record batch and aggregate, and the rows.
struct AccumulatedCall<'c> {
    rulebook: &'c BoundRulebook,
    aggregate: usize,
    rows: Vec<(GroupRow, Vec<u8>)>,
}

impl<S: Store> Pipeline<S> {
    /// Takes a batch up to its rows' states, which go into the window instead of the table. Its dead letters are stored.
    /// An error leaves the window unchanged: the whole batch has to be delivered again.
    pub async fn accumulate(
        &self,
        batch: &Batch,
        window: &mut Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        // Boxed, because the compiler limits how deep futures nest in one type.
        match Box::pin(self.accumulate_by_current_rules(batch, window, deadline, summary)).await {
            Err(PipelineError::Behind { theirs, .. }) if self.catch_up(&theirs).await => {
                Box::pin(self.accumulate_by_current_rules(batch, window, deadline, summary)).await
            }
            done => done,
        }
    }

    async fn accumulate_by_current_rules(
        &self,
        batch: &Batch,
        window: &mut Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        let mut context = self.context(deadline, summary);
        context.blame_waste();
        loop {
            let (projected, routed) = self.project_and_route(&mut context, batch).await?;
            let record_batches = evaluate(&mut context, &projected, routed.by_rulebook())?;
            if self.pin(&mut context, &projected, &routed.unpinned, &record_batches).await? {
                let evaluated = Evaluated { projected: &projected, routed: &routed, record_batches: &record_batches };
                // Boxed, because the compiler limits how deep futures nest in one type.
                return Box::pin(accumulate(context, evaluated, window, &self.trials)).await;
            }
            context.start_again();
        }
    }
}

/// The stages after evaluation.
async fn accumulate<S: Store>(
    mut context: Context<'_, S>,
    evaluated: Evaluated<'_, '_>,
    window: &mut Window,
    trials: &Trials,
) -> Result<(), PipelineError> {
    let Evaluated { projected, record_batches, .. } = evaluated;
    if let Some((_, why)) = context.held.take() {
        return Err(why);
    }
    let batch = projected.batch;
    let rules = projected.catalog.at();
    take_over(&context, &batch.shard, rules, evaluated.is_by_sequence()).await?;
    let settled = settled(&context, batch).await?;
    let groups = groups::find(&mut context, projected, record_batches);
    let mut known = context.rejected.records();
    known.extend(&settled);
    let accumulated = fold_rows(&mut context, window, evaluated, &groups, known)?;
    context.book(Stage::Fold);

    // The batch's own checkpoint has to wait until the window is flushed.
    let held = held(&mut context, window, &groups, batch).await?;
    mark_doubtful(&mut context, record_batches, &evaluated.routed.reruled);
    let mut letters = context.rejected.dead_letters_since(0, batch, &held.folded);
    letters.retain(|(record, _)| !settled.contains(record) && !held.duplicates.contains(record));
    context.summary.duplicates += held.rows;
    store_dead_letters(&mut context, (&batch.shard, rules), &letters).await.map_err(|(_, why)| why)?;
    context.budget.retry(|| context.store.flush()).await?;
    add(window, evaluated, &groups, accumulated);
    context.book(Stage::Acknowledge);
    context.summary.records += batch.records.len() as u64;
    context.summary.batches += 1;
    observe(&mut context, evaluated, &letters, batch.records.len() as u32, trials);
    Ok(())
}

/// The rejected records that the table or the window holds.
async fn held<S: Store>(
    context: &mut Context<'_, S>,
    window: &Window,
    groups: &Groups<'_>,
    batch: &Batch,
) -> Result<HeldRecords, PipelineError> {
    let keys: BTreeMap<u32, Key> =
        groups.rejected.iter().map(|row| (row.group, groups.keys[row.group as usize].clone())).collect();
    if keys.is_empty() {
        return Ok(HeldRecords::default());
    }
    let (of, keys): (Vec<u32>, Vec<Key>) = keys.into_iter().unzip();
    let loaded = context.budget.retry(|| context.store.load_groups(&keys)).await?;
    context.book(Stage::Load);
    let items: HashMap<u32, Item> = of.into_iter().zip(loaded).filter_map(|(of, item)| Some((of, item?))).collect();
    Ok(HeldRecords::find(groups, batch, |row| {
        is_held(items.get(&row.group), batch, row) || window.holds(batch, row, &groups.keys[row.group as usize])
    }))
}

/// Folds each new row by itself, without those of records that are `gone`. A record on which an aggregator fails is accumulated
/// for none: it is rejected, and folding starts again without it.
fn fold_rows<'c, S>(
    context: &mut Context<'_, S>,
    window: &Window,
    Evaluated { projected, record_batches, .. }: Evaluated<'_, 'c>,
    groups: &Groups<'_>,
    mut gone: HashSet<u32>,
) -> Result<Vec<AccumulatedCall<'c>>, PipelineError> {
    let batch = projected.batch;
    loop {
        let (mut all, mut failed, mut duplicates) = (Vec::new(), Rejected::default(), 0);
        for call in &groups.calls {
            let record_batch = &record_batches[call.record_batch];
            let mut known = Known::new(window, record_batch.rulebook, call);
            let candidates = call.rows.iter().filter(|row| !gone.contains(&row.record));
            let (new, held): (Vec<GroupRow>, Vec<GroupRow>) = candidates.partition(|row| {
                known.is_new(&groups.keys[row.group as usize], batch.records[row.record as usize].position, row)
            });
            duplicates += held.len() as u64;
            if !new.is_empty() {
                let rows = fold_alone(context, record_batch, call, new, &mut failed)?;
                all.push(AccumulatedCall { rulebook: record_batch.rulebook, aggregate: call.aggregate, rows });
            }
        }
        if failed.is_empty() {
            context.summary.duplicates += duplicates;
            return Ok(all);
        }
        for (record, reason) in failed.into_iter() {
            let of = record_batches.iter().find(|of| of.records.binary_search(&record).is_ok());
            if of.is_some_and(|of| holds(context, of.rulebook, batch, record, &reason)) {
                // A window takes batches as a whole.
                return Err(context.held.take().map(|(_, why)| why).expect("the record waits"));
            }
            if gone.insert(record) {
                context.rejected.push(record, reason);
            }
        }
    }
}

/// Folds each row from nothing, by one call to the aggregator.
fn fold_alone<S>(
    context: &mut Context<'_, S>,
    record_batch: &RecordBatch<'_>,
    call: &Call,
    rows: Vec<GroupRow>,
    failed: &mut Rejected,
) -> Result<Vec<(GroupRow, Vec<u8>)>, PipelineError> {
    let aggregate = &record_batch.rulebook.rulebook.aggregates[call.aggregate];
    let taken: Vec<u32> = rows.iter().map(|row| row.row).collect();
    let columns = record_batch.columns(&aggregate.inputs);
    let columns: Vec<_> = columns.iter().map(|column| column.take(&taken)).collect();
    let columns: Vec<_> = columns.iter().map(|column| column.as_column()).collect();
    let scores: Vec<f64> = taken.iter().map(|&row| record_batch.scores[row as usize]).collect();
    let alone: Vec<u32> = (0..rows.len() as u32).collect();
    let nothing: PackedBuf = rows.iter().map(|_| &[][..]).collect();
    let mut session = aggregate.aggregator.session().until(context.plugins_until);
    let folded = session.fold(&columns, &scores, &alone, nothing.as_packed())?;
    let plugin = aggregate.aggregator.plugin().digest();
    context.book_calls(&record_batch.rulebook.rulebook.id, Role::Aggregator, &session);
    for (row, fault) in folded.failed {
        let reason = Reason::new(Cause::PluginFailed, fault.to_string()).by(plugin);
        failed.push(rows[row as usize].record, record_batch.reason(reason));
    }
    let states = folded.states.as_packed();
    Ok(rows.into_iter().zip(states.iter()).map(|(row, state)| (row, state.to_vec())).collect())
}

/// What the window, and the batch so far, hold of the groups of one call.
struct Known<'a> {
    window: &'a Window,
    rulebook: &'a BoundRulebook,
    aggregate: usize,
    ordinals: HashMap<u32, HashSet<i64>>,
    last: HashMap<u32, Option<RecordPosition>>,
}

impl<'a> Known<'a> {
    fn new(window: &'a Window, rulebook: &'a BoundRulebook, call: &Call) -> Self {
        Self { window, rulebook, aggregate: call.aggregate, ordinals: HashMap::new(), last: HashMap::new() }
    }

    /// Whether a row is new to its group's part of the window.
    fn is_new(&mut self, key: &Key, position: RecordPosition, row: &GroupRow) -> bool {
        let held = || self.window.deltas(key);
        match self.rulebook.rulebook.aggregates[self.aggregate].rule.dedup {
            DedupRule::Sequence => {
                let last = self.last.entry(row.group).or_insert_with(|| match held().next_back() {
                    Some(Deltas::Positions(deltas)) => deltas.last().map(|row| row.position),
                    _ => None,
                });
                let is_new = last.is_none_or(|last| last < position);
                if is_new {
                    *last = Some(position);
                }
                is_new
            }
            DedupRule::Ordinal(_) => {
                let ordinals = self.ordinals.entry(row.group).or_insert_with(|| {
                    let of = |deltas: &Deltas| match deltas {
                        Deltas::Ordinals(deltas) => deltas.iter().map(|(ordinal, _)| *ordinal).collect(),
                        Deltas::Positions(_) => Vec::new(),
                    };
                    held().flat_map(of).collect()
                });
                ordinals.insert(row.ordinal)
            }
        }
    }
}

/// Adds the rows' states to the window.
fn add(
    window: &mut Window,
    Evaluated { projected, routed, .. }: Evaluated<'_, '_>,
    groups: &Groups<'_>,
    accumulated: Vec<AccumulatedCall<'_>>,
) {
    // Several rulebooks may have folded rows of one group in turn.
    let mut rows: Vec<_> = accumulated
        .into_iter()
        .flat_map(|call| call.rows.into_iter().map(move |(row, state)| (call.rulebook, call.aggregate, row, state)))
        .collect();
    rows.sort_by_key(|(_, _, row, _)| row.record);
    for (bound, nth, row, state) in rows {
        let (rulebook, aggregate, of) = (window.rulebook(bound), nth as u32, &bound.aggregates[nth]);
        let key = &groups.keys[row.group as usize];
        if window.place(key, rulebook, aggregate).is_none() {
            let deltas = match bound.rulebook.aggregates[nth].rule.dedup {
                DedupRule::Sequence => Deltas::Positions(Vec::new()),
                DedupRule::Ordinal(_) => Deltas::Ordinals(Vec::new()),
            };
            let (key, attributes) = (key.clone(), Vec::new());
            window.push(GroupDelta { key, rulebook, aggregate, attributes, reruled: false, deltas });
        }
        let group = window.place(key, rulebook, aggregate).expect("it was added");
        match &mut group.deltas {
            Deltas::Positions(deltas) => {
                let Record { position, arrival_ms, .. } = projected.batch.records[row.record as usize];
                deltas.push(PositionRow { position, arrival_ms, state });
            }
            Deltas::Ordinals(deltas) => deltas.push((row.ordinal, state)),
        }
        group.reruled |= routed.reruled.binary_search(&row.record).is_ok();
        group.attributes = of.attributes.iter().map(|(_, bound)| attribute(bound, projected, row.record)).collect();
    }
}
