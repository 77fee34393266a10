//! Gather: each record of a batch becomes a state of its own.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use paceline_engine::PackedBuf;

use super::{Partial, Rows, Window};
use crate::batch::Batch;
use crate::dead_letter::{Cause, Reason};
use crate::fold::{Groups, attribute};
use crate::pipeline::{Clock, Pipeline, PipelineError, judge, letters};
use crate::position::Place;
use crate::project::Cells;
use crate::rulebook::FenceRule;
use crate::ruling::Plan;
use crate::store::{Key, Store};
use crate::summary::{Fuel, Stage, Summary};
use crate::table::{Dead, Table};

/// What one aggregate of one table gathered: the table, the aggregate, and the records.
type Call = (usize, usize, Vec<Gathered>);

/// A record's state, ready for the window.
struct Gathered {
    key: Key,
    ordinal: i64,
    record: u32,
    state: Vec<u8>,
}

impl<S: Store> Pipeline<S> {
    /// Takes a batch up to its records' states, which go into the window instead of the table. Its dead letters are
    /// kept. An error leaves the window as it was: the batch has to come again as a whole.
    pub async fn gather(
        &self,
        batch: &Batch,
        window: &mut Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<(), PipelineError> {
        let mut clock = Clock(Instant::now());
        let patience = self.patience(deadline);
        let (catalog, cells, mut dead, routes) = self.prepare(batch, patience, summary, &mut clock).await?;
        let tables = judge(&catalog, batch, &cells, routes, &mut dead, summary, &mut clock)?;
        let groups = Groups::find(&tables, batch, &cells, &mut dead);
        let (gathered, behind) = gather(window, &tables, &groups, batch, &mut dead, &mut summary.fuel)?;
        summary.behind += behind;
        clock.lap(summary, Stage::Fold);

        // The batch's own checkpoint has to wait until the window is closed.
        let letters = letters(batch, dead, &mut HashMap::new());
        let mut not_safe = None;
        self.bury(&letters, &mut not_safe, patience, summary).await?;
        if let Some((_, why)) = not_safe {
            return Err(why);
        }
        add(window, &tables, batch, &cells, gathered);
        clock.lap(summary, Stage::Acknowledge);
        summary.records += batch.records.len() as u64;
        summary.batches += 1;
        Ok(())
    }
}

/// Folds each record by itself. The states by call, and how many records the window has already.
fn gather(
    window: &Window,
    tables: &[Table<'_>],
    groups: &Groups<'_>,
    batch: &Batch,
    dead: &mut Dead,
    fuel: &mut Fuel,
) -> Result<(Vec<Call>, u64), PipelineError> {
    let mut gone: HashSet<u32> = dead.iter().map(|(record, _)| *record).collect();
    // A record that an aggregator can't deal with is gathered for none: the gathering starts anew without it.
    loop {
        let (mut all, mut bad, mut behind) = (Vec::new(), Dead::new(), 0);
        for (at, nth, touches) in groups.calls() {
            let table = &tables[at];
            let plan = table.plan;
            let aggregate = &plan.ruling.aggregates[nth];
            let mut known = Known::default();
            let new: Vec<_> = touches
                .iter()
                .filter(|touch| !gone.contains(&touch.record))
                .filter(|touch| {
                    let key = &groups.keys[touch.group as usize];
                    let new = known.admit(window, plan, nth, key, touch.group, batch, touch.record, touch.ordinal);
                    behind += u64::from(!new);
                    new
                })
                .collect();
            if new.is_empty() {
                continue;
            }
            let rows: Vec<u32> = new.iter().map(|touch| touch.row).collect();
            let columns = table.columns(&aggregate.needs);
            let taken: Vec<_> = columns.iter().map(|column| column.take(&rows)).collect();
            let taken: Vec<_> = taken.iter().map(|column| column.as_column()).collect();
            let scores: Vec<f64> = rows.iter().map(|&row| table.scores[row as usize]).collect();
            let alone: Vec<u32> = (0..new.len() as u32).collect();
            let nothing: PackedBuf = new.iter().map(|_| &[][..]).collect();
            let mut session = aggregate.aggregator.session();
            let folded = session.fold(&taken, &scores, &alone, nothing.as_packed())?;
            let plugin = aggregate.aggregator.plugin().digest();
            *fuel.entry(plugin).or_default() += session.fuel();
            let book = &plan.ruling.book;
            bad.extend(folded.failed.into_iter().map(|(row, fault)| {
                let reason = Reason::new(Cause::PluginFailed, fault.to_string()).by(plugin);
                (new[row as usize].record, reason.under(&book.race_type, book.version))
            }));
            let gathered = new.iter().zip(folded.states.as_packed().iter()).map(|(touch, state)| Gathered {
                key: groups.keys[touch.group as usize].clone(),
                ordinal: touch.ordinal,
                record: touch.record,
                state: state.to_vec(),
            });
            all.push((at, nth, gathered.collect()));
        }
        if bad.is_empty() {
            return Ok((all, behind));
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
    last: HashMap<u32, Option<Place>>,
}

impl Known {
    /// Whether a record is new to its group's part of the window.
    #[expect(clippy::too_many_arguments, reason = "a record, its group, and what the window has of it")]
    fn admit(
        &mut self,
        window: &Window,
        plan: &Plan,
        nth: usize,
        key: &Key,
        group: u32,
        batch: &Batch,
        record: u32,
        ordinal: i64,
    ) -> bool {
        let held = || {
            let digest = plan.ruling.digest.as_bytes();
            let ruling = window.rulings.iter().position(|name| name.digest == *digest)?;
            let at = window.index.get(&(key.clone(), ruling as u32, nth as u32))?;
            Some(&window.groups[*at].rows)
        };
        match plan.ruling.aggregates[nth].rule.fence {
            FenceRule::Sequence => {
                let last = self.last.entry(group).or_insert_with(|| match held() {
                    Some(Rows::Places(rows)) => rows.last().map(|(place, _)| *place),
                    _ => None,
                });
                last.is_none_or(|last| last < batch.records[record as usize].place)
            }
            FenceRule::Ordinal(_) => {
                let ordinals = self.ordinals.entry(group).or_insert_with(|| match held() {
                    Some(Rows::Ordinals(rows)) => rows.iter().map(|(ordinal, _)| *ordinal).collect(),
                    _ => HashSet::new(),
                });
                ordinals.insert(ordinal)
            }
        }
    }
}

fn add(window: &mut Window, tables: &[Table<'_>], batch: &Batch, cells: &Cells, gathered: Vec<Call>) {
    for (table, nth, rows) in gathered {
        let plan = tables[table].plan;
        let ruling = window.ruling(plan);
        for Gathered { key, ordinal, record, state } in rows {
            let aggregate = nth as u32;
            let at = *window.index.entry((key.clone(), ruling, aggregate)).or_insert_with(|| {
                let rows = match plan.ruling.aggregates[nth].rule.fence {
                    FenceRule::Sequence => Rows::Places(Vec::new()),
                    FenceRule::Ordinal(_) => Rows::Ordinals(Vec::new()),
                };
                window.groups.push(Partial { key, ruling, aggregate, attributes: Vec::new(), rows });
                window.groups.len() - 1
            });
            let partial = &mut window.groups[at];
            match &mut partial.rows {
                Rows::Places(rows) => rows.push((batch.records[record as usize].place, state)),
                Rows::Ordinals(rows) => rows.push((ordinal, state)),
            }
            let attributes = &plan.aggregates[nth].attributes;
            partial.attributes = attributes.iter().map(|(_, plan)| attribute(plan, batch, cells, record)).collect();
        }
    }
}
