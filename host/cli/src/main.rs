//! The program `paceline`.
//!
//! # Layout
//!
//! - `commands`: a file for each command.
//! - `setup`, `stop`, `follower`: configuration, runtime and store; signals; the task that follows the rules' log.
//! - `progress`, `report`: what a person sees during a run and at its end.
//! - `serve`: metrics and health, over HTTP.
//! - `observer`: a deployment, observed from outside; `dashboard`: the page of it.
#![forbid(unsafe_code)]

mod commands;
#[cfg(feature = "aws")]
mod dashboard;
mod follower;
#[cfg(feature = "aws")]
mod observer;
mod progress;
mod report;
#[cfg(feature = "aws")]
mod serve;
mod setup;
mod stop;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use paceline_pipeline::ErrorChain;
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use setup::UsageError;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs a stream of events through sandboxed WebAssembly plugins that validate, score and aggregate them.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Process the source's records with the plugins and store the results, until the source ends.
    Run(commands::run::Arguments),
    /// Write the messages of a simulated Alleycat race to a file, or put them into a Kinesis stream.
    Simulate(commands::simulate::Arguments),
    /// Show the standings of a race or the best results of a class.
    Leaderboard(commands::leaderboard::Arguments),
    /// List, show and redrive records that could not be processed.
    DeadLetters(commands::dead_letters::Arguments),
    /// Create or check the tables that the configuration names.
    #[cfg(feature = "aws")]
    Table(commands::table::Arguments),
    /// Serve a page that shows a deployment.
    #[cfg(feature = "aws")]
    Dashboard(commands::dashboard::Arguments),
    /// Find what is wrong with a deployment, why, and what to do.
    #[cfg(feature = "aws")]
    Doctor(commands::doctor::Arguments),
    /// Process the records of one shard, as a record processor of Amazon's MultiLangDaemon.
    #[cfg(feature = "aws")]
    Kcl(commands::kcl::Arguments),
    /// Query the health of a running consumer on this machine.
    #[cfg(feature = "aws")]
    Healthcheck(commands::healthcheck::Arguments),
    /// Publish rulebooks, change what race types run, and show what holds.
    Rules(commands::rules::Arguments),
    /// Make, build and check plugins.
    Plugin(commands::plugin::Arguments),
    /// Compute what a load uses of a deployment's quotas, how late it is, what it costs, and the cheapest setting.
    Plan(Box<commands::plan::Arguments>),
    /// Run simulated hosts, stores and streams with faults, seed by seed, and compare each with a model.
    #[cfg(feature = "simulation")]
    Torture(commands::torture::Arguments),
}

/// The exit code of invalid arguments, which is clap's.
const INVALID_ARGUMENTS: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr();
    let outcome = run(arguments.command);
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let code = if error.is::<UsageError>() { ExitCode::from(INVALID_ARGUMENTS) } else { ExitCode::FAILURE };
            let error = ErrorChain(error.as_ref());
            match report::logs_json() {
                // Whatever the filter of the log is, who started the command learns why it failed.
                true => report::note_json(&json!({ "level": "ERROR", "message": error.to_string() })),
                false => report::note(&format!("paceline: {error}")),
            }
            code
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Rules(arguments) => return commands::rules::rules(arguments),
        #[cfg(feature = "simulation")]
        Command::Torture(arguments) => return commands::torture::torture(&arguments),
        Command::Run(arguments) => commands::run::run(arguments)?,
        Command::Simulate(arguments) => commands::simulate::simulate(&arguments)?,
        Command::Leaderboard(arguments) => commands::leaderboard::leaderboard(&arguments)?,
        Command::DeadLetters(arguments) => commands::dead_letters::dead_letters(arguments)?,
        #[cfg(feature = "aws")]
        Command::Table(arguments) => commands::table::table(&arguments)?,
        #[cfg(feature = "aws")]
        Command::Doctor(arguments) => return commands::doctor::doctor(&arguments),
        #[cfg(feature = "aws")]
        Command::Dashboard(arguments) => commands::dashboard::dashboard(&arguments)?,
        #[cfg(feature = "aws")]
        Command::Kcl(arguments) => commands::kcl::kcl(arguments)?,
        #[cfg(feature = "aws")]
        Command::Healthcheck(arguments) => commands::healthcheck::healthcheck(&arguments)?,
        Command::Plugin(arguments) => return commands::plugin::plugin(arguments),
        Command::Plan(arguments) => return commands::plan::plan(&arguments),
    }
    Ok(ExitCode::SUCCESS)
}

/// Logs to standard error; standard output is for results. `RUST_LOG` is the filter; plugins log under the target
/// `plugin`. `PACELINE_LOG=json` makes each line a JSON object, for programs that collect logs.
fn log_to_stderr() {
    // Programs that collect logs, such as the MultiLangDaemon, have no use for colours.
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        // It would report the error where the log can't be written, and panic.
        .log_internal_errors(false);
    match report::logs_json() {
        true => paceline_config::log_to(log.json().flatten_event(true).with_span_list(false).finish()),
        false => paceline_config::log_to(log.finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// README, CONTRIBUTING and all of docs.
    fn documents() -> Vec<PathBuf> {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut documents = vec![checkout.join("README.md"), checkout.join("CONTRIBUTING.md")];
        let mut folders = vec![checkout.join("docs")];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.extension().is_some_and(|kind| kind == "md") => documents.push(path),
                    false => {}
                }
            }
        }
        documents
    }

    /// The lines of a document's shell blocks that run this program.
    fn commands(text: &str) -> Vec<String> {
        let joined = text.replace("\\\n", " ");
        let mut in_shell = false;
        let command = |line: &str| {
            let line = line.trim();
            if let Some(language) = line.strip_prefix("```") {
                in_shell = language == "sh";
            }
            let command = line.split(" #").next().unwrap_or_default().trim();
            (in_shell && command.starts_with("paceline ")).then(|| command.to_owned())
        };
        joined.lines().filter_map(command).collect()
    }

    #[test]
    fn the_commands_in_the_documents_are_valid() {
        let mut count = 0;
        for document in documents() {
            for command in commands(&std::fs::read_to_string(&document).unwrap()) {
                count += 1;
                if let Err(error) = Arguments::try_parse_from(command.split_whitespace()) {
                    panic!("{}: {command}: {error}", document.display());
                }
            }
        }
        assert!(count > 15, "{count} commands");
    }

    /// What the doctor says to do, in the reports of its scenarios.
    #[test]
    fn the_commands_of_the_doctor_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../doctor/tests/reports");
        let mut count = 0;
        for report in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let text = std::fs::read_to_string(&report).unwrap().replace("\\\n", " ");
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix("do "));
            for command in lines.map(str::trim).filter(|command| command.starts_with("paceline ")) {
                count += 1;
                if let Err(error) = Arguments::try_parse_from(command.split_whitespace()) {
                    panic!("{}: {command}: {error}", report.display());
                }
            }
        }
        assert!(count > 30, "{count} commands");
    }

    #[test]
    fn the_definitions_of_the_arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_race_alone_has_no_leaderboard() {
        let parsed =
            Arguments::try_parse_from(["paceline", "leaderboard", "--config", "paceline.toml", "--race", "131"]);
        let error = parsed.err().unwrap().to_string();
        assert!(error.contains("--class <C>"), "{error}");
    }
}
