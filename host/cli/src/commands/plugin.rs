//! `paceline plugin`.

mod bench;
mod build;
mod check;
mod failed_row;
mod new;
#[cfg(feature = "oci")]
mod oci;
mod profile;
mod record;
mod rulebook;
mod sample;
mod subject;
mod test;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;

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
    Check(check::Arguments),
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
        Action::Check(arguments) => check::check(&arguments)?,
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
