//! `paceline plugin`.

mod build;

use std::path::PathBuf;

use clap::Subcommand;
use paceline_engine::{Component, Engine, Field, Limits, LoadError, Output, Role, Settings, Value};

use crate::{Failure, report};

/// What `plugin` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build the plugin in a folder: cargo, then from core module to component.
    Build(build::Arguments),
    /// Say what a component is, or why a host would refuse it.
    Check {
        /// The component.
        file: PathBuf,
        /// A setting that it is to be described with, as a rulebook would give it.
        #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = setting)]
        settings: Vec<(String, String)>,
    },
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Builds or checks a plugin.
pub(crate) fn plugin(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::Build(arguments) => build::build(&arguments),
        Action::Check { file, settings } => {
            let wasm = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let refused = |refusal: LoadError| format!("{} is refused: {refusal}", file.display());
            let engine = Engine::new(Limits::default()).map_err(|error| error.to_string())?;
            let component = engine.load(&wasm).map_err(refused)?;
            describe(&component, &settings.into_iter().collect()).map_err(refused)
        }
    }
}

fn describe(component: &Component, settings: &Settings) -> Result<(), LoadError> {
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
    report::print_table(&rows).map_err(LoadError::Invalid)
}

fn value(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) => format!("{value:?}"),
    }
}
