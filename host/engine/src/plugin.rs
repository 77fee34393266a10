//! A component in a role, with the settings of a rulebook.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, ComponentType, Lift, Lower};

use crate::budget::{Cost, Grant};
use crate::call::{PluginInstance, Returned};
use crate::call_deadline::CallDeadline;
use crate::columns::Column;
use crate::contract::{self, Function, Role};
use crate::digest::Digest;
use crate::fault::{CallError, Fault};
use crate::inspect::Language;
use crate::limits::{self, Limits, Work};
use crate::load::{Component, Exports};
use crate::load_error::LoadError;
use crate::schema::{Field, Kind, Value};
use crate::shown_row::{row_line, shown_row};

/// What a rulebook sets for a plugin, by name.
pub type Settings = BTreeMap<String, String>;

/// A component in a role, with settings, whose `describe` has returned.
#[derive(Clone, Debug)]
pub struct Plugin {
    component: Component,
    settings: Arc<Settings>,
    exports: Exports,
    fields: Vec<Field>,
    /// The settings that `describe` asked for.
    asked_settings: Arc<BTreeSet<String>>,
    /// Whether it was reported that calls for many rows need more than they get.
    reported_halves: Arc<AtomicBool>,
    /// Whether a row was reported on which it trapped.
    reported_trap: Arc<AtomicBool>,
}

impl Plugin {
    /// Reports, once, that a call for many rows failed for want of something, and calls for fewer rows succeeded: how many
    /// there were instead of how many, how many times the fuel of those that succeeded they cost, and which limit to raise.
    pub(crate) fn report_halves(&self, fault: &Fault, (calls, planned): (u64, u64), times: f64, limit: &str) {
        if !self.reported_halves.swap(true, Ordering::Relaxed) {
            let digest = self.digest();
            tracing::warn!(
                target: "plugin",
                %digest,
                "{fault}; calls for fewer records succeed, but cost more: {calls} calls instead of {planned}, {times:.1} \
                 times the fuel; raise `{limit}`"
            );
        }
    }

    /// Reports, once, a row on which it trapped.
    pub(crate) fn report_trap(&self, failed: &[(u32, Fault)], columns: &[Column<'_>]) {
        let mut traps = failed.iter().filter(|(_, fault)| matches!(fault, Fault::Trap(_)));
        if let Some((row, fault)) = traps.next()
            && !self.reported_trap.swap(true, Ordering::Relaxed)
        {
            let (digest, row) = (self.digest(), row_line(&self.fields, columns, *row as usize));
            tracing::warn!(target: "plugin", %digest, "{fault}; the record has {row}; its later traps are not logged");
        }
    }

    /// The fields that it reads of a row, by path, and their values as text. Long ones are cut.
    pub fn shown_row(&self, columns: &[Column<'_>], row: usize) -> Vec<(String, String)> {
        shown_row(&self.fields, columns, row)
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> Digest {
        self.component.digest()
    }

    /// The fields that it reads, in the order in which a session takes their columns.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The settings that its `describe` asked for.
    pub fn asked_settings(&self) -> &BTreeSet<String> {
        &self.asked_settings
    }

    /// Checks that its `describe` asked for each of its settings. One that it did not ask for is mostly misspelt, and the
    /// default of the setting that was meant would hold without a message. Whoever publishes a rulebook checks this. A host
    /// that loads one does not, so that it goes on with what was published before.
    pub fn check_settings(&self) -> Result<(), LoadError> {
        let Some(name) = self.settings.keys().find(|name| !self.asked_settings.contains(*name)) else { return Ok(()) };
        let quoted: Vec<String> = self.asked_settings.iter().map(|name| format!("`{name}`")).collect();
        let asked = if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") };
        Err(LoadError::UnreadSetting { name: name.clone(), asked })
    }

    /// The language that it was written in.
    pub fn language(&self) -> Language {
        self.component.language()
    }

    /// The limits that it runs under.
    pub fn limits(&self) -> &Limits {
        self.component.limits()
    }

    pub(crate) fn call_deadline(&self) -> &CallDeadline {
        self.component.engine().call_deadline()
    }

    pub(crate) fn instantiate(
        &self,
        grant: Grant,
        deadline: &CallDeadline,
    ) -> (Result<PluginInstance<'_>, CallError>, Cost) {
        PluginInstance::new(&self.component, &self.settings, grant, deadline)
    }

    pub(crate) fn export(&self, function: Function) -> &ComponentExportIndex {
        self.exports.get(function).expect("a candidate was checked for it")
    }
}

/// A component on its way to a [`Plugin`]: its exports are checked, then `describe` is called.
pub(crate) struct Candidate<'c> {
    component: &'c Component,
    settings: Arc<Settings>,
    role: Role,
    exports: &'c Exports,
    instance: PluginInstance<'c>,
}

impl<'c> Candidate<'c> {
    pub(crate) fn new(component: &'c Component, settings: &Settings, role: Role) -> Result<Self, LoadError> {
        let exports = component.exports(role).ok_or(LoadError::WrongRole(role))?;
        let settings = Arc::new(settings.clone());
        let grant = grant_to_describe(component.limits());
        let (instance, _) = PluginInstance::new(component, &settings, grant, &CallDeadline::default());
        let mut instance = instance.map_err(describe_error)?;
        instance.note_settings();
        Ok(Self { component, settings, role, exports, instance })
    }

    /// Checks that the component exports a function with the type that the contract gives it.
    pub(crate) fn check<P, T>(&mut self, function: Function) -> Result<(), LoadError>
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
        Returned<T>: ComponentNamedList + Lift,
    {
        let interface = match Function::MIGRATION.contains(&function) {
            true => contract::MIGRATION,
            false => self.role.interface(),
        };
        let name = || format!("{}/{interface}.{}", contract::CONTRACT, function.name());
        let export = self.exports.get(function).ok_or_else(|| LoadError::MissingExport(name()))?;
        self.instance
            .check_type::<P, T>(export)
            .map_err(|error| LoadError::ExportType { export: name(), source: error.into() })
    }

    /// Whether the component exports the interface `migration`, complete or not.
    pub(crate) fn migrates(&self) -> bool {
        self.exports.migrates()
    }

    /// Calls `describe`, of the role's interface or of `migration`.
    pub(crate) fn describe<T>(&mut self, function: Function) -> Result<T, LoadError>
    where
        T: ComponentType + Lift + 'static,
        Returned<T>: ComponentNamedList + Lift,
    {
        self.check::<(), T>(function)?;
        let describe = self.exports.get(function).expect("it was checked");
        self.instance.call(describe, grant_to_describe(self.component.limits()), ()).0.map_err(describe_error)
    }

    /// The plugin that reads these fields, which are what `describe` returned.
    pub(crate) fn into_plugin(self, fields: Vec<Field>) -> Result<Plugin, LoadError> {
        check_fields(&fields)?;
        let Self { component, settings, exports, mut instance, .. } = self;
        let asked_settings = Arc::new(instance.take_asked_settings());
        Ok(Plugin {
            component: component.clone(),
            settings,
            exports: exports.clone(),
            fields,
            asked_settings,
            reported_halves: Arc::default(),
            reported_trap: Arc::default(),
        })
    }
}

/// That of a call without rows.
fn grant_to_describe(limits: &Limits) -> Grant {
    Grant { fuel: limits.fuel(Work::default()), time: limits.call_time(), log_lines: limits.log_lines }
}

fn describe_error(error: CallError) -> LoadError {
    match error {
        CallError::Fault(Fault::Failed(message)) => LoadError::Describe(message),
        CallError::Fault(fault) => LoadError::DescribeFault(fault),
        CallError::Engine(error) => LoadError::Engine(error),
    }
}

fn check_fields(fields: &[Field]) -> Result<(), LoadError> {
    let invalid = |text: String| Err(LoadError::InvalidDescription(text));
    if fields.len() > limits::FIELDS {
        return invalid(format!("{} fields; {} are allowed", fields.len(), limits::FIELDS));
    }
    for Field { path, kind, default } in fields {
        let required = match path.as_str() {
            "@payload" => Some(Kind::Blob),
            "@partition-key" => Some(Kind::Text),
            "@arrival-ms" => Some(Kind::Integer),
            pointer if pointer.starts_with('/') && pointer.len() <= limits::PATH_BYTES => None,
            _ => {
                return invalid(format!(
                    "the path `{}` of a field is neither a JSON Pointer such as `/cadence`, of at most {} bytes, nor \
                     `@payload`, `@partition-key` or `@arrival-ms`",
                    path.chars().take(100).collect::<String>(),
                    limits::PATH_BYTES
                ));
            }
        };
        match required {
            Some(required) if required != *kind => {
                return invalid(format!("the field `{path}` is declared as {kind}; it is a {required}"));
            }
            None if *kind == Kind::Blob => {
                return invalid(format!("the field `{path}` is declared as blob; only `@payload` can be one"));
            }
            _ => {}
        }
        if let Some(Value::Text(default)) = default
            && default.len() > limits::DEFAULT_BYTES
        {
            let (bytes, most) = (default.len(), limits::DEFAULT_BYTES);
            return invalid(format!("the default of the field `{path}` has {bytes} bytes; {most} are allowed"));
        }
        if let Some(default) = default
            && default.kind() != *kind
        {
            return invalid(format!(
                "the field `{path}` is declared as {kind}; its default is of kind {}",
                default.kind()
            ));
        }
    }
    Ok(())
}
