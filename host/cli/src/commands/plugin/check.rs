//! `paceline plugin check`: what a component is, or why a host would refuse it.

use anyhow::Context;
use paceline_engine::{Component, Field, LoadError, Output, PluginLimits, Role, Settings, Value};
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
    fields: Vec<Field>,
    outputs: Vec<Output>,
}

/// Describes a component.
pub(super) fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let wanted = arguments.subject.read()?;
    let component = wanted.component()?;
    let described = describe(&component, &wanted.settings);
    let described = described.with_context(|| format!("{} is refused", wanted.file.display()))?;
    let limits = set(&wanted.plugin_limits)?;
    match arguments.json {
        true => report::print_json(&to_json(&component, &described, &limits)),
        false => report::print_table(&to_rows(&component, &described, &limits)),
    }
}

fn describe(component: &Component, settings: &Settings) -> Result<Vec<Described>, LoadError> {
    let of = |role| {
        let (fields, outputs) = match role {
            Role::Validator => (component.validator(settings)?.plugin().fields().to_vec(), Vec::new()),
            Role::Scorer => (component.scorer(settings)?.plugin().fields().to_vec(), Vec::new()),
            Role::Aggregator => {
                let aggregator = component.aggregator(settings)?;
                (aggregator.plugin().fields().to_vec(), aggregator.outputs().to_vec())
            }
        };
        Ok(Described { role, fields, outputs })
    };
    component.roles().into_iter().map(of).collect()
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
    for Described { role, fields, outputs } in described {
        rows.push(["role".to_owned(), role.to_string()]);
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
