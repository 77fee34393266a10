//! A component in a role, with the settings of a rulebook, and its sessions.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, ComponentType, Lift, Lower};

use crate::bisect::bisect;
use crate::call::PluginInstance;
use crate::columns::{Batch, Column, ColumnBuf, Field, Kind, Output, Packed, PackedBuf};
use crate::fault::{CallError, Fault};
use crate::load::{Component, EngineError, Functions, LoadError, Role};
use crate::{CONTRACT, Digest, limits};

/// What the rulebook says to a plugin.
pub type Settings = BTreeMap<String, String>;

/// What a call that blames no row gives: its session can't go on, the batch can be tried again.
pub type Called<T> = Result<T, EngineError>;

/// A component in a role, with settings, whose `describe` has answered.
#[derive(Clone, Debug)]
pub struct Plugin {
    component: Component,
    settings: Arc<Settings>,
    functions: Functions,
    fields: Vec<Field>,
}

impl Plugin {
    /// The name of its bytes.
    pub fn digest(&self) -> Digest {
        self.component.digest()
    }

    /// The fields that it reads, in the order in which a session wants their columns.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn new(component: &Component, settings: &Settings, role: Role) -> Result<Self, LoadError> {
        let functions = *component.functions(role).ok_or(LoadError::WrongRole { wanted: role })?;
        Ok(Self { component: component.clone(), settings: Arc::new(settings.clone()), functions, fields: Vec::new() })
    }

    fn function(&self, at: usize) -> Result<&ComponentExportIndex, String> {
        self.functions[at].as_ref().ok_or_else(|| "there is no such function".to_owned())
    }

    /// Asks `describe`, after a look at the types of the functions that will be called later.
    fn describe<T>(
        &self,
        role: Role,
        check: impl FnOnce(&mut PluginInstance) -> Result<(), (&'static str, String)>,
    ) -> Result<T, LoadError>
    where
        T: ComponentType + Lift + 'static,
        (Result<T, String>,): ComponentNamedList + Lift,
    {
        let in_interface = |(function, reason): (&str, String)| LoadError::Type {
            export: format!("{CONTRACT}/{}.{function}", role.interface()),
            reason,
        };
        let failed = |error| match error {
            CallError::Fault(Fault::Failed(message)) => LoadError::Describe(message),
            CallError::Fault(fault) => LoadError::Describe(fault.to_string()),
            CallError::HostState(error) => LoadError::Describe(format!("{error:#}")),
        };
        let mut instance = PluginInstance::new(&self.component, &self.settings).map_err(failed)?;
        let describe = self.function(0).map_err(|reason| in_interface(("describe", reason)))?;
        instance.check::<(), T>(describe).map_err(|reason| in_interface(("describe", reason)))?;
        check(&mut instance).map_err(in_interface)?;
        Ok(instance.call::<(), T>(&self.component, describe, 0, ()).map_err(failed)?.0)
    }

    fn session(&self) -> Session<'_> {
        Session { plugin: self, instance: None, fuel: 0 }
    }
}

fn check_fields(fields: &[Field]) -> Result<(), LoadError> {
    if fields.len() > limits::FIELDS {
        return Err(LoadError::BadDescription(format!("{} fields, {} are allowed", fields.len(), limits::FIELDS)));
    }
    for Field { path, kind, default } in fields {
        let wanted = match path.as_str() {
            "@payload" => Some(Kind::Blob),
            "@partition-key" => Some(Kind::Text),
            "@arrival-ms" => Some(Kind::Integer),
            pointer if pointer.starts_with('/') && pointer.len() <= 1024 => None,
            _ => {
                return Err(LoadError::BadDescription(format!(
                    "a field `{}`: a path is a JSON Pointer such as `/cadence`, or `@payload`, `@partition-key` or \
                     `@arrival-ms`",
                    path.chars().take(100).collect::<String>()
                )));
            }
        };
        match wanted {
            Some(wanted) if wanted != *kind => {
                return Err(LoadError::BadDescription(format!("the field `{path}` as {kind}: it is a {wanted}")));
            }
            None if *kind == Kind::Blob => {
                return Err(LoadError::BadDescription(format!("the field `{path}` as blob: only `@payload` is one")));
            }
            _ => {}
        }
        if let Some(default) = default
            && default.kind() != *kind
        {
            return Err(LoadError::BadDescription(format!(
                "the field `{path}` as {kind} with a default that is of kind {}",
                default.kind()
            )));
        }
    }
    Ok(())
}

/// A plugin that names the records that must not count.
#[derive(Clone, Debug)]
pub struct Validator(Plugin);

/// A plugin that gives each record a number.
#[derive(Clone, Debug)]
pub struct Scorer(Plugin);

/// A plugin that folds records into the states of groups.
#[derive(Clone, Debug)]
pub struct Aggregator {
    plugin: Plugin,
    outputs: Vec<Output>,
}

impl Component {
    /// The component as a validator with these settings.
    pub fn validator(&self, settings: &Settings) -> Result<Validator, LoadError> {
        let mut plugin = Plugin::new(self, settings, Role::Validator)?;
        plugin.fields = plugin.describe::<Vec<Field>>(Role::Validator, |instance| {
            let named = |reason| ("validate", reason);
            instance.check::<(Batch<'_>,), Vec<Rejection>>(plugin.function(1).map_err(named)?).map_err(named)
        })?;
        check_fields(&plugin.fields)?;
        Ok(Validator(plugin))
    }

    /// The component as a scorer with these settings.
    pub fn scorer(&self, settings: &Settings) -> Result<Scorer, LoadError> {
        let mut plugin = Plugin::new(self, settings, Role::Scorer)?;
        plugin.fields = plugin.describe::<Vec<Field>>(Role::Scorer, |instance| {
            let named = |reason| ("score", reason);
            instance.check::<(Batch<'_>,), Vec<f64>>(plugin.function(1).map_err(named)?).map_err(named)
        })?;
        check_fields(&plugin.fields)?;
        Ok(Scorer(plugin))
    }

    /// The component as an aggregator with these settings.
    pub fn aggregator(&self, settings: &Settings) -> Result<Aggregator, LoadError> {
        let mut plugin = Plugin::new(self, settings, Role::Aggregator)?;
        let shape = plugin.describe::<Shape>(Role::Aggregator, |instance| {
            let named = |reason| ("fold", reason);
            instance.check::<FoldParameters<'_>, PackedBuf>(plugin.function(1).map_err(named)?).map_err(named)?;
            let named = |reason| ("merge", reason);
            instance.check::<(Packed<'_>, Packed<'_>), PackedBuf>(plugin.function(2).map_err(named)?).map_err(named)?;
            let named = |reason| ("finish", reason);
            instance.check::<(Packed<'_>,), Vec<ColumnBuf>>(plugin.function(3).map_err(named)?).map_err(named)
        })?;
        check_fields(&shape.fields)?;
        check_outputs(&shape.outputs)?;
        plugin.fields = shape.fields;
        Ok(Aggregator { plugin, outputs: shape.outputs })
    }
}

fn check_outputs(outputs: &[Output]) -> Result<(), LoadError> {
    if outputs.len() > limits::OUTPUTS {
        return Err(LoadError::BadDescription(format!("{} outputs, {} are allowed", outputs.len(), limits::OUTPUTS)));
    }
    for (at, Output { name, .. }) in outputs.iter().enumerate() {
        if name.is_empty() || name.len() > 255 {
            return Err(LoadError::BadDescription(format!(
                "an output whose name has {} bytes: a name has 1 to 255",
                name.len()
            )));
        }
        if outputs[..at].iter().any(|other| other.name == *name) {
            return Err(LoadError::BadDescription(format!("two outputs named `{name}`")));
        }
    }
    Ok(())
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Rejection {
    row: u32,
    reason: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Shape {
    fields: Vec<Field>,
    outputs: Vec<Output>,
}

type FoldParameters<'a> = (Batch<'a>, &'a [f64], &'a [u32], Packed<'a>);

/// The instance of one batch; a fresh one after each call that fails.
struct Session<'p> {
    plugin: &'p Plugin,
    instance: Option<PluginInstance>,
    fuel: u64,
}

impl<'p> Session<'p> {
    /// Calls a function and looks at its answer. After one that can't be, the instance is not asked again: it is as
    /// much in the wrong as one that trapped.
    fn call<P, T>(
        &mut self,
        function: usize,
        rows: usize,
        parameters: P,
        check: impl FnOnce(&T) -> Result<(), Fault>,
    ) -> Result<T, CallError>
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
        (Result<T, String>,): ComponentNamedList + Lift,
    {
        let component = &self.plugin.component;
        // Taken out, and put back only if the call succeeds.
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => PluginInstance::new(component, &self.plugin.settings)?,
        };
        let export = self.plugin.functions[function].as_ref().expect("`describe` checked that it is there");
        let (answer, fuel) = instance.call(component, export, rows, parameters)?;
        self.fuel += fuel;
        check(&answer)?;
        self.instance = Some(instance);
        Ok(answer)
    }

    fn limits(&self) -> &'p limits::Limits {
        self.plugin.component.engine.limits()
    }
}

/// Some rows of a batch's columns: all of them as they are, fewer as a copy.
fn rows_of<'a>(columns: &'a [Column<'a>], rows: &Range<usize>, all: usize) -> Option<Vec<ColumnBuf>> {
    (rows.len() != all).then(|| columns.iter().map(|column| column.slice(rows.clone())).collect())
}

/// Calls `with` with the columns of some of the rows.
fn with_rows<T>(columns: &[Column<'_>], rows: &Range<usize>, all: usize, with: impl FnOnce(Batch<'_>) -> T) -> T {
    match rows_of(columns, rows, all) {
        None => with(Batch { rows: all as u32, columns }),
        Some(copies) => {
            let columns: Vec<_> = copies.iter().map(ColumnBuf::as_column).collect();
            with(Batch { rows: rows.len() as u32, columns: &columns })
        }
    }
}

/// What a validator said of a batch. Rows in ascending order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Validated {
    /// The rows that must not count, and why.
    pub rejected: Vec<(u32, String)>,
    /// The rows that it could not deal with.
    pub failed: Vec<(u32, Fault)>,
}

impl Validator {
    /// What it is as a plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.0
    }

    /// A fresh instance for a batch.
    pub fn session(&self) -> ValidatorSession<'_> {
        ValidatorSession(self.0.session())
    }
}

/// The instance of one batch.
pub struct ValidatorSession<'p>(Session<'p>);

impl ValidatorSession<'_> {
    /// Asks for the rows that must not count. `columns` are those of the plugin's fields, each with `rows` values.
    pub fn validate(&mut self, rows: usize, columns: &[Column<'_>]) -> Called<Validated> {
        let mut rejected = Vec::new();
        let reason_bytes = self.0.limits().reason_bytes;
        let failed = bisect(0..rows, &mut |range| {
            let check = |found: &Vec<_>| check_rejections(found, range.len(), reason_bytes);
            let found = with_rows(columns, &range, rows, |batch| self.0.call(1, range.len(), (batch,), check))?;
            rejected.extend(found.into_iter().map(|Rejection { row, reason }| (row + range.start as u32, reason)));
            Ok(())
        });
        let failed = failed.map_err(EngineError)?;
        rejected.sort_unstable_by_key(|&(row, _)| row);
        Ok(Validated { rejected, failed })
    }

    /// Fuel used so far.
    pub fn fuel(&self) -> u64 {
        self.0.fuel
    }
}

fn check_rejections(rejections: &[Rejection], rows: usize, reason_bytes: usize) -> Result<(), Fault> {
    let mut seen = vec![false; rows];
    for Rejection { row, reason } in rejections {
        match seen.get_mut(*row as usize) {
            None => {
                return Err(Fault::BadAnswer(format!("a rejection of row {row}, where there are {rows} rows")));
            }
            Some(true) => return Err(Fault::BadAnswer(format!("two rejections of row {row}"))),
            Some(seen) => *seen = true,
        }
        if reason.len() > reason_bytes {
            return Err(Fault::BadAnswer(format!(
                "a reason of {} bytes, {reason_bytes} are allowed (bound `reason-bytes`)",
                reason.len()
            )));
        }
    }
    Ok(())
}

/// What a scorer said of a batch.
#[derive(Debug, Default, PartialEq)]
pub struct Scored {
    /// A score for each row; 0 for a row that failed.
    pub scores: Vec<f64>,
    /// The rows that it could not deal with, in ascending order.
    pub failed: Vec<(u32, Fault)>,
}

impl Scorer {
    /// What it is as a plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.0
    }

    /// A fresh instance for a batch.
    pub fn session(&self) -> ScorerSession<'_> {
        ScorerSession(self.0.session())
    }
}

/// The instance of one batch.
pub struct ScorerSession<'p>(Session<'p>);

impl ScorerSession<'_> {
    /// Asks for the score of each row. `columns` are those of the plugin's fields, each with `rows` values.
    pub fn score(&mut self, rows: usize, columns: &[Column<'_>]) -> Called<Scored> {
        let mut all = Vec::new();
        let failed = bisect(0..rows, &mut |range| {
            let check = |scores: &Vec<f64>| match scores.len() == range.len() {
                true => Ok(()),
                false => Err(Fault::BadAnswer(format!("{} scores for {} rows", scores.len(), range.len()))),
            };
            let scores = with_rows(columns, &range, rows, |batch| self.0.call(1, range.len(), (batch,), check))?;
            if range.len() == rows {
                all = scores;
            } else {
                all.resize(rows, 0.0);
                all[range].copy_from_slice(&scores);
            }
            Ok(())
        });
        let mut failed = failed.map_err(EngineError)?;
        all.resize(rows, 0.0);
        let before = failed.len();
        for (row, score) in all.iter_mut().enumerate().filter(|(_, score)| !score.is_finite()) {
            failed.push((row as u32, Fault::Score(std::mem::take(score).to_string())));
        }
        if before > 0 {
            failed.sort_unstable_by_key(|&(row, _)| row);
        }
        Ok(Scored { scores: all, failed })
    }

    /// Fuel used so far.
    pub fn fuel(&self) -> u64 {
        self.0.fuel
    }
}

/// What an aggregator made of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The new states, as many as came in.
    pub states: PackedBuf,
    /// The rows that it could not deal with, in ascending order; they are in no state.
    pub failed: Vec<(u32, Fault)>,
}

/// Pairs of states, merged.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The merged state of each pair; empty for a pair that failed.
    pub states: PackedBuf,
    /// The pairs that could not be merged, in ascending order.
    pub failed: Vec<(u32, Fault)>,
}

/// What an aggregator writes of groups.
#[derive(Debug, Default, PartialEq)]
pub struct Finished {
    /// A column for each output, with a value for each group. That of a group that failed means nothing.
    pub columns: Vec<ColumnBuf>,
    /// The groups that it could not deal with, in ascending order.
    pub failed: Vec<(u32, Fault)>,
}

impl Aggregator {
    /// What it is as a plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// What it writes of each group.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// A fresh instance for a batch.
    pub fn session(&self) -> AggregatorSession<'_> {
        AggregatorSession { session: self.plugin.session(), outputs: &self.outputs }
    }
}

/// The instance of one batch.
pub struct AggregatorSession<'p> {
    session: Session<'p>,
    outputs: &'p [Output],
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
        let (rows, wanted) = (scores.len(), states.len());
        let state_bytes = self.session.limits().state_bytes;
        let mut folded: Option<PackedBuf> = None;
        let failed = bisect(0..rows, &mut |range| {
            let before = folded.as_ref().map_or(states, PackedBuf::as_packed);
            let check = |after: &PackedBuf| check_states(after, wanted, state_bytes);
            let after = with_rows(columns, &range, rows, |batch| {
                let parameters = (batch, &scores[range.clone()], &groups[range.clone()], before);
                self.session.call::<FoldParameters<'_>, _>(1, range.len() + wanted, parameters, check)
            })?;
            folded = Some(after);
            Ok(())
        });
        let failed = failed.map_err(EngineError)?;
        let states = folded.unwrap_or_else(|| states.iter().collect());
        Ok(Folded { states, failed })
    }

    /// Merges pairs of states of the same groups that were folded apart.
    pub fn merge(&mut self, left: Packed<'_>, right: Packed<'_>) -> Called<Merged> {
        let state_bytes = self.session.limits().state_bytes;
        let mut states = PackedBuf::default();
        let mut failed = Vec::new();
        let blamed = bisect(0..left.len(), &mut |range| {
            let (some_left, some_right) = (left.slice(range.clone()), right.slice(range.clone()));
            let check = |merged: &PackedBuf| check_states(merged, range.len(), state_bytes);
            match self.session.call(2, range.len(), (some_left.as_packed(), some_right.as_packed()), check) {
                Ok(merged) => merged.as_packed().iter().for_each(|state| states.push(state)),
                Err(CallError::Fault(fault)) if range.len() == 1 => {
                    states.push(&[]);
                    failed.push((range.start as u32, fault));
                }
                Err(error) => return Err(error),
            }
            Ok(())
        });
        blamed.map_err(EngineError)?;
        Ok(Merged { states, failed })
    }

    /// Asks what is written of each group.
    pub fn finish(&mut self, states: Packed<'_>) -> Called<Finished> {
        let mut columns: Vec<_> = self.outputs.iter().map(|output| ColumnBuf::new(output.kind)).collect();
        let mut failed = Vec::new();
        let blamed = bisect(0..states.len(), &mut |range| {
            let some = (range.len() != states.len()).then(|| states.slice(range.clone()));
            let some = some.as_ref().map_or(states, PackedBuf::as_packed);
            let check = |found: &Vec<_>| check_finished(found, self.outputs, range.len());
            match self.session.call(3, range.len(), (some,), check) {
                Ok(found) => columns.iter_mut().zip(found).for_each(|(all, some)| all.append(some)),
                // One group alone, and it fails: something has to stand in its place for the columns to stay aligned.
                Err(CallError::Fault(fault)) if range.len() == 1 => {
                    columns.iter_mut().for_each(|column| column.append(blank(column.kind())));
                    failed.push((range.start as u32, fault));
                }
                Err(error) => return Err(error),
            }
            Ok(())
        });
        blamed.map_err(EngineError)?;
        Ok(Finished { columns, failed })
    }

    /// Fuel used so far.
    pub fn fuel(&self) -> u64 {
        self.session.fuel
    }
}

fn check_states(states: &PackedBuf, wanted: usize, allowed: usize) -> Result<(), Fault> {
    states.check(wanted).map_err(|wrong| Fault::BadAnswer(format!("states with {wrong}")))?;
    match states.as_packed().iter().map(<[u8]>::len).max() {
        Some(longest) if longest > allowed => {
            Err(Fault::BadAnswer(format!("a state of {longest} bytes, {allowed} are allowed (bound `state-bytes`)")))
        }
        _ => Ok(()),
    }
}

fn blank(kind: Kind) -> ColumnBuf {
    match kind {
        Kind::Boolean => ColumnBuf::Booleans(vec![false]),
        Kind::Integer => ColumnBuf::Integers(vec![0]),
        Kind::Number => ColumnBuf::Numbers(vec![0.0]),
        Kind::Text => ColumnBuf::Texts([&[][..]].into_iter().collect()),
        Kind::Blob => ColumnBuf::Blobs([&[][..]].into_iter().collect()),
    }
}

fn check_finished(columns: &[ColumnBuf], outputs: &[Output], groups: usize) -> Result<(), Fault> {
    if columns.len() != outputs.len() {
        return Err(Fault::BadAnswer(format!("{} columns for {} outputs", columns.len(), outputs.len())));
    }
    for (column, Output { name, kind }) in columns.iter().zip(outputs) {
        column.check(*kind, groups).map_err(|wrong| Fault::BadAnswer(format!("for the output `{name}` {wrong}")))?;
    }
    Ok(())
}
