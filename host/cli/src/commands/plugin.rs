//! `paceline plugin`.

mod build;
mod new;

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use paceline_engine::{Component, Engine, Field, Limits, LoadError, Output, Role, Settings, Value};

use crate::report;

/// Arguments of `paceline plugin`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a folder with a new plugin: a rule, its tests, sample events.
    New(new::Arguments),
    /// Build the plugin in a folder to a component, with the tools of its language.
    Build(build::Arguments),
    /// Describe a component, or explain why a host would refuse it.
    Check {
        /// The component.
        file: PathBuf,
        /// A setting of the plugin, as in a rulebook.
        #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = setting)]
        settings: Vec<(String, String)>,
    },
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Builds or checks a plugin.
pub(crate) fn plugin(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.action {
        Action::New(arguments) => new::new(&arguments),
        Action::Build(arguments) => build::build(&arguments),
        Action::Check { file, settings } => {
            let wasm = std::fs::read(&file).with_context(|| file.display().to_string())?;
            let refused = || format!("{} is refused", file.display());
            let engine = Engine::new(Limits::default())?;
            let component = engine.load(&wasm).with_context(refused)?;
            let facts = describe(&component, &settings.into_iter().collect()).with_context(refused)?;
            report::print_table(&facts)
        }
    }
}

/// What a component is, as rows of a table.
fn describe(component: &Component, settings: &Settings) -> Result<Vec<Vec<String>>, LoadError> {
    let mut rows = vec![
        vec!["digest".to_owned(), component.digest().to_string()],
        vec!["size".to_owned(), format!("{} bytes", report::thousands(component.bytes() as u64))],
        vec![
            "imports".to_owned(),
            match component.imports() {
                [] => "nothing".to_owned(),
                imports => imports.join(", "),
            },
        ],
    ];
    for role in component.roles() {
        let (fields, outputs): (Vec<Field>, Vec<Output>) = match role {
            Role::Validator => (component.validator(settings)?.plugin().fields().to_vec(), Vec::new()),
            Role::Scorer => (component.scorer(settings)?.plugin().fields().to_vec(), Vec::new()),
            Role::Aggregator => {
                let aggregator = component.aggregator(settings)?;
                (aggregator.plugin().fields().to_vec(), aggregator.outputs().to_vec())
            }
        };
        rows.push(vec!["role".to_owned(), role.to_string()]);
        for Field { path, kind, default } in fields {
            let default = default.map_or(String::new(), |default| format!(", default {}", value(&default)));
            rows.push(vec!["reads".to_owned(), format!("{path} ({kind}{default})")]);
        }
        for Output { name, kind } in outputs {
            rows.push(vec!["writes".to_owned(), format!("{name} ({kind})")]);
        }
    }
    Ok(rows)
}

fn value(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) => format!("{value:?}"),
    }
}
