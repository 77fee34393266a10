//! `paceline plugin check`: what a component is, or why a host would refuse it.

use paceline_engine::{Aggregator, Component, Field, LoadError, Output, PluginLimits, Role, Settings, Value};
use paceline_kit::subject::Subject;
use serde_json::json;

use super::subject::SubjectArguments;
use crate::report;

/// Arguments of `paceline plugin check`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A role of a component, and what `describe` says of it.
struct Described {
    role: Role,
    settings: Vec<String>,
    fields: Vec<Field>,
    outputs: Vec<Output>,
    /// The state format that an aggregator writes, and those that it migrates.
    state: Option<(String, Vec<String>)>,
}

fn state(aggregator: &Aggregator) -> (String, Vec<String>) {
    (aggregator.state_format().to_owned(), aggregator.migrates_from().to_vec())
}

/// Describes a component.
pub(super) fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let wanted = arguments.subject.read()?;
    let component = wanted.component()?;
    // A role that was named is described, or refused if the component has it not.
    let roles = wanted.role.map_or_else(|| component.roles(), |role| vec![role]);
    let described = describe(&component, &wanted.settings, roles);
    let described = described.map_err(|error| {
        let fails = matches!(error, LoadError::Describe(_));
        wanted.with_hint(anyhow::Error::new(error).context(format!("{} is refused", wanted.file.display())), fails)
    })?;
    let limits = set(&wanted.plugin_limits)?;
    match arguments.json {
        true => report::print_json(&to_json(&component, &described, &limits)),
        false => report::print_table(&to_rows(&component, &described, &limits)),
    }
}

fn describe(component: &Component, settings: &Settings, roles: Vec<Role>) -> Result<Vec<Described>, LoadError> {
    let of = |role| {
        let subject = match role {
            Role::Validator => Subject::Validator(component.validator(settings)?),
            Role::Scorer => Subject::Scorer(component.scorer(settings)?),
            Role::Aggregator => Subject::Aggregator(component.aggregator(settings)?),
        };
        let (outputs, state) = match &subject {
            Subject::Aggregator(aggregator) => (aggregator.outputs().to_vec(), Some(state(aggregator))),
            Subject::Validator(_) | Subject::Scorer(_) => (Vec::new(), None),
        };
        let plugin = subject.plugin();
        plugin.check_settings()?;
        let settings = plugin.asked_settings().iter().cloned().collect();
        Ok(Described { role, settings, fields: plugin.fields().to_vec(), outputs, state })
    };
    roles.into_iter().map(of).collect()
}

/// The limits that are set for the plugin, with their names.
fn set(limits: &PluginLimits) -> anyhow::Result<serde_json::Map<String, serde_json::Value>> {
    match serde_json::to_value(limits)? {
        serde_json::Value::Object(limits) => Ok(limits),
        other => anyhow::bail!("limits are a table, not {other}"),
    }
}

fn to_rows(
    component: &Component,
    described: &[Described],
    limits: &serde_json::Map<String, serde_json::Value>,
) -> Vec<Vec<String>> {
    let imports = match component.imports() {
        [] => "nothing".to_owned(),
        imports => imports.join(", "),
    };
    let mut rows = vec![
        ["digest".to_owned(), component.digest().to_string()],
        ["size".to_owned(), format!("{} bytes", report::thousands(component.bytes() as u64))],
        ["runtime".to_owned(), component.language().runtime().to_owned()],
        ["contract".to_owned(), component.contract_version().to_owned()],
        ["imports".to_owned(), imports],
    ];
    rows.extend(limits.iter().map(|(name, value)| ["limit".to_owned(), format!("{name} {value}")]));
    for Described { role, settings, fields, outputs, state } in described {
        rows.push(["role".to_owned(), role.to_string()]);
        if !settings.is_empty() {
            rows.push(["settings".to_owned(), settings.join(", ")]);
        }
        if let Some((format, migrates)) = state {
            let from = if migrates.is_empty() { "no other".to_owned() } else { migrates.join(", ") };
            rows.push(["state".to_owned(), format!("{format}, migrates {from}")]);
        }
        for Field { path, kind, default } in fields {
            let default = default.as_ref().map_or(String::new(), |default| format!(", default {}", value(default)));
            rows.push(["reads".to_owned(), format!("{path} ({kind}{default})")]);
        }
        for Output { name, kind } in outputs {
            rows.push(["writes".to_owned(), format!("{name} ({kind})")]);
        }
    }
    rows.into_iter().map(Vec::from).collect()
}

fn to_json(
    component: &Component,
    described: &[Described],
    limits: &serde_json::Map<String, serde_json::Value>,
) -> serde_json::Value {
    let field = |field: &Field| {
        let default = field.default.as_ref().map(|default| match default {
            Value::Boolean(value) => json!(value),
            Value::Integer(value) => json!(value),
            Value::Number(value) => json!(value),
            Value::Text(value) => json!(value),
        });
        json!({ "path": field.path, "kind": field.kind.to_string(), "default": default })
    };
    let output = |output: &Output| json!({ "name": output.name, "kind": output.kind.to_string() });
    let role = |described: &Described| {
        json!({
            "role": described.role.to_string(),
            "settings": described.settings,
            "stateFormat": described.state.as_ref().map(|(format, _)| format),
            "migrates": described.state.as_ref().map(|(_, migrates)| migrates),
            "fields": described.fields.iter().map(field).collect::<Vec<_>>(),
            "outputs": described.outputs.iter().map(output).collect::<Vec<_>>(),
        })
    };
    json!({
        "digest": component.digest().to_string(),
        "bytes": component.bytes(),
        "runtime": component.language().runtime(),
        "contract": component.contract_version(),
        "imports": component.imports(),
        "limits": limits,
        "roles": described.iter().map(role).collect::<Vec<_>>(),
    })
}

fn value(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) => format!("{value:?}"),
    }
}
