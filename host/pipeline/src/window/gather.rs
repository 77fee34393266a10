//! Gather: each record of a batch becomes a state of its own.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use paceline_engine::PackedBuf;

use super::{GroupDelta, Deltas, Window};
use crate::batch::Batch;
use crate::dead_letter::{Cause, Reason};
use crate::fold::{Groups, attribute};
use crate::pipeline::{Clock, Pipeline, PipelineError, evaluate, dead_letters};
use crate::position::RecordPosition;
use crate::project::ProjectedRows;
use crate::rulebook::DedupRule;
use crate::rulebook::BoundRulebook;
use crate::store::{Key, Store};
use crate::summary::{Fuel, Stage, Summary};
use crate::record_batch::{Rejected, RecordBatch};

/// What one aggregate of one table gathered: the table, the aggregate, and the records.
type Call = (usize, usize, Vec<Accumulated>);

/// A record's state, ready for the window.
struct Accumulated {
    key: Key,
    ordinal: i64,
    record: u32,
    state: Vec<u8>,
}

impl<S: Store> Pipeline<S> {
    /// Takes a batch up to its records' states, which go into the window instead of the table. Its dead letters are
    /// kept. An error leaves the window as it was: the batch has to come again as a whole.
    pub async fn accumulate(
        &self,
        batch: &Batch,
        window: &mut Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        let mut clock = Clock(Instant::now());
        let budget = self.budget(deadline);
        let (catalog, rows_of_fields, mut dead, routes) = self.prepare(batch, budget, summary, &mut clock).await?;
        let record_batches = evaluate(&catalog, batch, &rows_of_fields, routes, &mut dead, summary, &mut clock)?;
        let groups = Groups::find(&record_batches, batch, &rows_of_fields, &mut dead);
        let (accumulated, duplicates) = accumulate(window, &record_batches, &groups, batch, &mut dead, &mut summary.fuel)?;
        summary.duplicates += duplicates;
        clock.lap(summary, Stage::Fold);

        // The batch's own checkpoint has to wait until the window is closed.
        let dead_letters = dead_letters(batch, dead, &mut HashMap::new());
        let mut first_uncommitted = None;
        self.put_dead_letters(&dead_letters, &mut first_uncommitted, budget, summary).await?;
        if let Some((_, why)) = first_uncommitted {
            return Err(why);
        }
        add(window, &record_batches, batch, &rows_of_fields, accumulated);
        clock.lap(summary, Stage::Acknowledge);
        summary.records += batch.records.len() as u64;
        summary.batches += 1;
        Ok(())
    }
}

/// Folds each record by itself. The states by call, and how many records the window has already.
fn accumulate(
    window: &Window,
    record_batches: &[RecordBatch<'_>],
    groups: &Groups<'_>,
    batch: &Batch,
    dead: &mut Rejected,
    fuel: &mut Fuel,
) -> Result<(Vec<Call>, u64), PipelineError> {
    let mut gone: HashSet<u32> = dead.iter().map(|(record, _)| *record).collect();
    // A record that an aggregator can't deal with is gathered for none: the gathering starts anew without it.
    loop {
        let (mut all, mut bad, mut duplicates) = (Vec::new(), Rejected::new(), 0);
        for (at, nth, group_rows) in groups.calls() {
            let record_batch = &record_batches[at];
            let plan = record_batch.plan;
            let aggregate = &plan.rulebook.aggregates[nth];
            let mut known = Known::default();
            let new: Vec<_> = group_rows
                .iter()
                .filter(|group_row| !gone.contains(&group_row.record))
                .filter(|group_row| {
                    let key = &groups.keys[group_row.group as usize];
                    let new = known.admit(window, plan, nth, key, group_row.group, batch, group_row.record, group_row.ordinal);
                    duplicates += u64::from(!new);
                    new
                })
                .collect();
            if new.is_empty() {
                continue;
            }
            let rows: Vec<u32> = new.iter().map(|group_row| group_row.row).collect();
            let columns = record_batch.columns(&aggregate.inputs);
            let taken: Vec<_> = columns.iter().map(|column| column.take(&rows)).collect();
            let taken: Vec<_> = taken.iter().map(|column| column.as_column()).collect();
            let scores: Vec<f64> = rows.iter().map(|&row| record_batch.scores[row as usize]).collect();
            let alone: Vec<u32> = (0..new.len() as u32).collect();
            let nothing: PackedBuf = new.iter().map(|_| &[][..]).collect();
            let mut session = aggregate.aggregator.session();
            let folded = session.fold(&taken, &scores, &alone, nothing.as_packed())?;
            let plugin = aggregate.aggregator.plugin().digest();
            *fuel.entry(plugin).or_default() += session.fuel();
            let book = &plan.rulebook.book;
            bad.extend(folded.failed.into_iter().map(|(row, fault)| {
                let reason = Reason::new(Cause::PluginFailed, fault.to_string()).by(plugin);
                (new[row as usize].record, reason.under(&book.race_type, book.version))
            }));
            let accumulated = new.iter().zip(folded.states.as_packed().iter()).map(|(group_row, state)| Accumulated {
                key: groups.keys[group_row.group as usize].clone(),
                ordinal: group_row.ordinal,
                record: group_row.record,
                state: state.to_vec(),
            });
            all.push((at, nth, accumulated.collect()));
        }
        if bad.is_empty() {
            return Ok((all, duplicates));
        }
        for (record, reason) in bad {
            if gone.insert(record) {
                dead.push((record, reason));
            }
        }
    }
}

/// What the window and the batch so far have of the groups of one call.
#[derive(Default)]
struct Known {
    ordinals: HashMap<u32, HashSet<i64>>,
    last: HashMap<u32, Option<RecordPosition>>,
}

impl Known {
    /// Whether a record is new to its group's part of the window.
    #[expect(clippy::too_many_arguments, reason = "a record, its group, and what the window has of it")]
    fn admit(
        &mut self,
        window: &Window,
        plan: &BoundRulebook,
        nth: usize,
        key: &Key,
        group: u32,
        batch: &Batch,
        record: u32,
        ordinal: i64,
    ) -> bool {
        let held = || {
            let digest = plan.rulebook.digest.as_bytes();
            let rulebook = window.rulebooks.iter().position(|name| name.digest == *digest)?;
            let at = window.index.get(&(key.clone(), rulebook as u32, nth as u32))?;
            Some(&window.groups[*at].rows)
        };
        match plan.rulebook.aggregates[nth].rule.dedup {
            DedupRule::Sequence => {
                let last = self.last.entry(group).or_insert_with(|| match held() {
                    Some(Deltas::Positions(rows)) => rows.last().map(|(position, _)| *position),
                    _ => None,
                });
                last.is_none_or(|last| last < batch.records[record as usize].position)
            }
            DedupRule::Ordinal(_) => {
                let ordinals = self.ordinals.entry(group).or_insert_with(|| match held() {
                    Some(Deltas::Ordinals(rows)) => rows.iter().map(|(ordinal, _)| *ordinal).collect(),
                    _ => HashSet::new(),
                });
                ordinals.insert(ordinal)
            }
        }
    }
}

fn add(window: &mut Window, record_batches: &[RecordBatch<'_>], batch: &Batch, rows_of_fields: &ProjectedRows, accumulated: Vec<Call>) {
    for (record_batch, nth, rows) in accumulated {
        let plan = record_batches[record_batch].plan;
        let rulebook = window.rulebook(plan);
        for Accumulated { key, ordinal, record, state } in rows {
            let aggregate = nth as u32;
            let at = *window.index.entry((key.clone(), rulebook, aggregate)).or_insert_with(|| {
                let rows = match plan.rulebook.aggregates[nth].rule.dedup {
                    DedupRule::Sequence => Deltas::Positions(Vec::new()),
                    DedupRule::Ordinal(_) => Deltas::Ordinals(Vec::new()),
                };
                window.groups.push(GroupDelta { key, rulebook, aggregate, attributes: Vec::new(), rows });
                window.groups.len() - 1
            });
            let delta = &mut window.groups[at];
            match &mut delta.rows {
                Deltas::Positions(rows) => rows.push((batch.records[record as usize].position, state)),
                Deltas::Ordinals(rows) => rows.push((ordinal, state)),
            }
            let attributes = &plan.aggregates[nth].attributes;
            delta.attributes = attributes.iter().map(|(_, plan)| attribute(plan, batch, rows_of_fields, record)).collect();
        }
    }
}
