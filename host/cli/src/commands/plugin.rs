//! `paceline plugin`.

mod bench;
mod build;
mod failed_row;
mod new;
#[cfg(feature = "oci")]
mod oci;
mod profile;
mod record;
mod sample;
mod subject;
mod test;
mod verify;
mod watch;

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use paceline_engine::{Component, Field, LoadError, Output, Role, Settings, Value};

use self::subject::SubjectArguments;
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
    Check(SubjectArguments),
    /// Run sample events through a plugin in the sandbox, compare the results, and show what the calls cost.
    Test(test::Arguments),
    /// Write sample events for a plugin from recorded records, without the fields that it does not read.
    Record(record::Arguments),
    /// Measure how long a plugin's calls take, against another plugin of its kind.
    Bench(bench::Arguments),
    /// Add a plugin to an OCI registry, one of container images.
    #[cfg(feature = "oci")]
    Push(oci::PushArguments),
    /// Fetch a plugin from an OCI registry into a file.
    #[cfg(feature = "oci")]
    Pull(oci::PullArguments),
    /// Check that a plugin keeps the laws of its role, on cases that are drawn from sample events.
    Verify(verify::Arguments),
}

/// Runs the action.
pub(crate) fn plugin(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.action {
        Action::New(arguments) => new::new(&arguments)?,
        Action::Build(arguments) => build::build(&arguments)?,
        Action::Check(arguments) => {
            let wanted = arguments.read()?;
            let refused = || format!("{} is refused", wanted.file.display());
            let component = wanted.engine(wanted.limits.clone())?.load(&wanted.wasm).with_context(refused)?;
            let facts = describe(&component, &wanted.settings).with_context(refused)?;
            report::print_table(&facts)?;
        }
        Action::Record(arguments) => record::record(&arguments)?,
        Action::Bench(arguments) => bench::bench(&arguments)?,
        #[cfg(feature = "oci")]
        Action::Push(arguments) => oci::push(&arguments)?,
        #[cfg(feature = "oci")]
        Action::Pull(arguments) => oci::pull(&arguments)?,
        Action::Test(arguments) => return test::test(&arguments),
        Action::Verify(arguments) => return verify::verify(&arguments),
    }
    Ok(ExitCode::SUCCESS)
}

/// What a component is, as rows of a table.
fn describe(component: &Component, settings: &Settings) -> Result<Vec<Vec<String>>, LoadError> {
    let mut rows = vec![
        vec!["digest".to_owned(), component.digest().to_string()],
        vec!["size".to_owned(), format!("{} bytes", report::thousands(component.bytes() as u64))],
        vec!["runtime".to_owned(), component.language().runtime().to_owned()],
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
