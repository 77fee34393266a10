//! Plugins that fold records into the states of groups.

use std::cell::LazyCell;
use std::fmt::Display;
use std::ops::Range;

use wasmtime::component::{ComponentType, Lift};

use crate::bisect::{Bisected, pieces, whole};
use crate::columns::{Batch, Column, ColumnBuf};
use crate::contract::{Function, Role};
use crate::fault::{CallError, Fault};
use crate::limits::{self, Work};
use crate::load::Component;
use crate::load_error::LoadError;
use crate::packed::{Packed, PackedBuf};
use crate::plugin::{Candidate, Plugin, Settings};
use crate::schema::{Field, Output};
use crate::session::{Called, Session};
use crate::states::{check_migrated_formats, check_state_format, check_states, replaced};
use crate::touched::{Touched, by_group};

/// A plugin that folds records into the states of groups.
#[derive(Clone, Debug)]
pub struct Aggregator {
    plugin: Plugin,
    outputs: Vec<Output>,
    state_format: String,
    migrates_from: Vec<String>,
}

/// The calls of one batch to an aggregator.
pub type AggregatorSession<'p> = Session<'p, Aggregator>;

/// What an aggregator made of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The new states, as many as were passed.
    pub states: PackedBuf,
    /// The rows that it failed on, in ascending order. They are in no state.
    pub failed: Vec<(u32, Fault)>,
}

/// What an aggregator made of pairs of states.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// A state for each pair. A pair that failed keeps its left state, unchanged; its right state is not in it.
    pub states: PackedBuf,
    /// The pairs that it failed on, in ascending order.
    pub failed: Vec<(u32, Fault)>,
}

/// What an aggregator made of states of another format.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The states in the aggregator's own format, as many as were passed. A state that failed is unchanged: the
    /// aggregator can't read it.
    pub states: PackedBuf,
    /// The states that it failed on, in ascending order.
    pub failed: Vec<(u32, Fault)>,
}

/// What an aggregator outputs for groups.
#[derive(Debug, Default, PartialEq)]
pub struct Finished {
    /// A column for each output, with a value for each group. The values of a group that failed mean nothing.
    pub columns: Vec<ColumnBuf>,
    /// The groups that it failed on, in ascending order.
    pub failed: Vec<(u32, Fault)>,
}

impl Component {
    /// The component as an aggregator with these settings.
    pub fn aggregator(&self, settings: &Settings) -> Result<Aggregator, LoadError> {
        let mut candidate = Candidate::new(self, settings, Role::Aggregator)?;
        candidate.check::<FoldParameters<'_>, PackedBuf>(Function::Fold)?;
        candidate.check::<(Packed<'_>, Packed<'_>), PackedBuf>(Function::Merge)?;
        candidate.check::<(Packed<'_>,), Vec<ColumnBuf>>(Function::Finish)?;
        let Shape { fields, outputs, state_format } = candidate.describe(Function::Describe)?;
        check_outputs(&outputs)?;
        check_state_format(&state_format)?;
        let migrates_from =
            migration(&mut candidate, &state_format).map_err(|error| LoadError::Migration(Box::new(error)))?;
        let plugin = candidate.into_plugin(fields)?;
        Ok(Aggregator { plugin, outputs, state_format, migrates_from })
    }
}

/// The state formats that the component migrates from, where it exports `migration`.
fn migration(candidate: &mut Candidate<'_>, own: &str) -> Result<Vec<String>, LoadError> {
    if !candidate.migrates() {
        return Ok(Vec::new());
    }
    candidate.check::<MigrateParameters<'_>, PackedBuf>(Function::Migrate)?;
    let formats: Vec<String> = candidate.describe(Function::DescribeMigration)?;
    check_migrated_formats(&formats, own)?;
    Ok(formats)
}

impl Aggregator {
    /// The aggregator as a plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// What it outputs for each group.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The name of its states' format. It belongs beside every state that `fold`, `merge` or `migrate` returned.
    pub fn state_format(&self) -> &str {
        &self.state_format
    }

    /// The state formats that it migrates from. Its own is not among them.
    pub fn migrates_from(&self) -> &[String] {
        &self.migrates_from
    }

    /// Whether it can go on with states of this format, as they are or by `migrate`.
    pub fn takes(&self, format: &str) -> bool {
        format == self.state_format || self.migrates_from.iter().any(|from| from == format)
    }

    /// Starts the calls of a batch.
    pub fn session(&self) -> AggregatorSession<'_> {
        Session::new(&self.plugin, self)
    }
}

impl AggregatorSession<'_> {
    /// Folds rows, in order, into the states of their groups. `columns` are those of the plugin's fields, each with as
    /// many values as there are `scores` and `groups`; `groups[i]` is row i's index into `states`.
    pub fn fold(
        &mut self,
        columns: &[Column<'_>],
        scores: &[f64],
        groups: &[u32],
        states: Packed<'_>,
    ) -> Called<Folded> {
        let rows = scores.len();
        let most = self.plugin().limits().returned_bytes / 2;
        let all = Work::of_rows(&(0..rows), columns).and_states(states);
        let mut touched = Touched::new(rows, states);
        // Most batches are one call, which takes the rows as they are.
        let order = LazyCell::new(|| by_group(groups));
        let pieces = match states.bytes.len() > most {
            true => pieces(touched.new_bytes(order.iter().map(|&row| groups[row as usize])), most),
            false => whole(rows),
        };
        let Bisected { mut failed, .. } = self.bisect(all, pieces, |session, range| {
            if range.len() == rows {
                let batch = Batch { rows: rows as u32, columns };
                return session.fold_rows(batch, (scores, groups), &mut touched);
            }
            let mut some = order[range].to_vec();
            // The contract: a call has its rows in the order of the stream.
            some.sort_unstable();
            let scores: Vec<f64> = some.iter().map(|&row| scores[row as usize]).collect();
            let groups: Vec<u32> = some.iter().map(|&row| groups[row as usize]).collect();
            Batch::with_taken(columns, &some, |batch| session.fold_rows(batch, (&scores, &groups), &mut touched))
        })?;
        failed.iter_mut().for_each(|(row, _)| *row = order[*row as usize]);
        failed.sort_unstable_by_key(|&(row, _)| row);
        self.plugin().report_trap(&failed, columns);
        Ok(Folded { states: touched.into_states(), failed })
    }

    /// Folds the rows of a batch by one call. `groups[i]` is row i's index into all states.
    fn fold_rows(
        &mut self,
        batch: Batch<'_>,
        (scores, groups): (&[f64], &[u32]),
        touched: &mut Touched<'_>,
    ) -> Result<(), CallError> {
        let state_bytes = self.plugin().limits().state_bytes;
        touched.fold(groups, |groups, before| {
            let check = |after: &PackedBuf| check_states(after, before.len(), state_bytes);
            let work = Work::of_rows(&(0..scores.len()), batch.columns).and_states(before);
            self.call::<FoldParameters<'_>, _>(Function::Fold, work, (batch, scores, groups, before), check)
        })
    }

    /// Merges states that were folded apart: `left[i]` with `right[i]`, which are of the same group. Panics where one
    /// side has more states than the other.
    pub fn merge(&mut self, left: Packed<'_>, right: Packed<'_>) -> Called<Merged> {
        assert_eq!(left.len(), right.len(), "each state has a partner");
        let state_bytes = self.plugin().limits().state_bytes;
        let (all, pieces) = self.work_of(&[left, right]);
        let Bisected { results, failed, .. } = self.bisect(all, pieces, |session, range| {
            let check = |merged: &PackedBuf| check_states(merged, range.len(), state_bytes);
            left.with_rows(&range, |left| {
                right.with_rows(&range, |right| {
                    let work = Work { rows: range.len(), bytes: left.bytes.len() + right.bytes.len() };
                    session.call(Function::Merge, work, (left, right), check)
                })
            })
        })?;
        Ok(Merged { states: replaced(left, &results), failed })
    }

    /// Converts states of another format to the aggregator's own. States that have its own format are returned as they
    /// are; those of a format that it does not take all fail. Neither is a call.
    pub fn migrate(&mut self, from_format: &str, states: Packed<'_>) -> Called<Migrated> {
        let unchanged = |failed| Ok(Migrated { states: states.iter().collect(), failed });
        if from_format == self.role.state_format() {
            return unchanged(Vec::new());
        }
        if !self.role.takes(from_format) {
            let fault = Fault::StateFormat(from_format.to_owned());
            return unchanged((0..states.len() as u32).map(|state| (state, fault.clone())).collect());
        }
        let state_bytes = self.plugin().limits().state_bytes;
        let (all, pieces) = self.work_of(&[states]);
        let Bisected { results, failed, .. } = self.bisect(all, pieces, |session, range| {
            let check = |migrated: &PackedBuf| check_states(migrated, range.len(), state_bytes);
            states.with_rows(&range, |some| {
                let work = Work { rows: range.len(), bytes: some.bytes.len() };
                session.call::<MigrateParameters<'_>, _>(Function::Migrate, work, (from_format, some), check)
            })
        })?;
        Ok(Migrated { states: replaced(states, &results), failed })
    }

    /// Computes the outputs of each group.
    pub fn finish(&mut self, states: Packed<'_>) -> Called<Finished> {
        let outputs = self.role.outputs();
        let (all, pieces) = self.work_of(&[states]);
        let Bisected { results, failed, .. } = self.bisect(all, pieces, |session, range| {
            let check = |columns: &Vec<_>| check_columns(columns, outputs, range.len());
            states.with_rows(&range, |some| {
                let work = Work { rows: range.len(), bytes: some.bytes.len() };
                session.call(Function::Finish, work, (some,), check)
            })
        })?;
        let mut columns: Vec<_> = outputs.iter().map(|output| ColumnBuf::new(output.kind)).collect();
        for (range, some) in results {
            for (column, some) in columns.iter_mut().zip(some) {
                // The gap to the range before are groups that failed.
                column.pad(range.start);
                column.append(some);
            }
        }
        columns.iter_mut().for_each(|column| column.pad(states.len()));
        Ok(Finished { columns, failed })
    }

    /// The work of calls on these states, row by row, and the rows in pieces that the host can take back.
    fn work_of(&self, states: &[Packed<'_>]) -> (Work, Vec<Range<usize>>) {
        let rows = states[0].len();
        let all = Work { rows, bytes: states.iter().map(|states| states.bytes.len()).sum() };
        let most = self.plugin().limits().returned_bytes / 2;
        if all.bytes <= most {
            return (all, whole(rows));
        }
        let mut bytes = vec![0; rows];
        for states in states {
            bytes.iter_mut().zip(states.iter()).for_each(|(bytes, state)| *bytes += state.len());
        }
        (all, pieces(bytes.into_iter(), most))
    }
}

type FoldParameters<'a> = (Batch<'a>, &'a [f64], &'a [u32], Packed<'a>);
type MigrateParameters<'a> = (&'a str, Packed<'a>);

/// What `describe` returns.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Shape {
    fields: Vec<Field>,
    outputs: Vec<Output>,
    #[component(name = "state-format")]
    state_format: String,
}

fn check_outputs(outputs: &[Output]) -> Result<(), LoadError> {
    let invalid = |text: String| Err(LoadError::InvalidDescription(text));
    if outputs.len() > limits::OUTPUTS {
        return invalid(format!("{} outputs; {} are allowed", outputs.len(), limits::OUTPUTS));
    }
    for (at, Output { name, .. }) in outputs.iter().enumerate() {
        if name.is_empty() || name.len() > limits::OUTPUT_NAME_BYTES {
            let most = limits::OUTPUT_NAME_BYTES;
            return invalid(format!("an output whose name has {} bytes; a name has 1 to {most}", name.len()));
        }
        if outputs[..at].iter().any(|other| other.name == *name) {
            return invalid(format!("two outputs named `{name}`"));
        }
    }
    Ok(())
}

fn check_columns(columns: &[ColumnBuf], outputs: &[Output], groups: usize) -> Result<(), Fault> {
    if columns.len() != outputs.len() {
        return Err(Fault::InvalidResult(format!("{} columns for {} outputs", columns.len(), outputs.len())));
    }
    for (column, Output { name, kind }) in columns.iter().zip(outputs) {
        let invalid =
            |wrong: &dyn Display| Fault::InvalidResult(format!("the column of the output `{name}` has {wrong}"));
        column.check(*kind, groups).map_err(|wrong| invalid(&wrong))?;
        let (longest, most) = (column.longest(), limits::OUTPUT_BYTES);
        if longest > most {
            return Err(invalid(&format_args!("a value of {longest} bytes; {most} are allowed")));
        }
    }
    Ok(())
}
