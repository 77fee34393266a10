//! The program `paceline`.
//!
//! # Layout
//!
//! - `commands`: a file for each command.
//! - `progress`, `report`: what a person sees while it runs and at the end.
//! - `serve`: what others see while it runs: metrics, and whether all is well.
//! - `watcher`, `stop`: the folder of rulebooks, and the signals.
#![forbid(unsafe_code)]

mod commands;
mod progress;
mod report;
mod serve;
mod stop;
mod watcher;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs a stream of events through sandboxed WebAssembly plugins that validate, score and aggregate them.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take the source's records through the plugins into the store, until the source ends.
    Run(commands::run::Arguments),
    /// Write the messages of a race, as the Alleycat simulator sends them, or put them into a Kinesis stream.
    Simulate(commands::simulate::Arguments),
    /// Show the standings of a race or of a class.
    Leaderboard(commands::leaderboard::Arguments),
    /// Look at records that could not go on, and drive them through again.
    DeadLetters(commands::dead_letters::Arguments),
    /// Make or check the tables that the configuration names.
    Table(commands::table::Arguments),
    /// Take the records of one shard, as a record processor of Amazon's MultiLangDaemon.
    Kcl(commands::kcl::Arguments),
    /// Ask a running consumer on this machine whether it is well.
    Healthcheck(commands::healthcheck::Arguments),
    /// Build and check plugins.
    Plugin(commands::plugin::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr();
    let done = match arguments.command {
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Simulate(arguments) => commands::simulate::simulate(&arguments),
        Command::Leaderboard(arguments) => commands::leaderboard::leaderboard(&arguments),
        Command::DeadLetters(arguments) => commands::dead_letters::dead_letters(arguments),
        Command::Table(arguments) => commands::table::table(&arguments),
        Command::Kcl(arguments) => commands::kcl::kcl(arguments),
        Command::Healthcheck(arguments) => commands::healthcheck::healthcheck(&arguments),
        Command::Plugin(arguments) => commands::plugin::plugin(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("paceline: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What commands fail with: a message for a person, naming what happened, where, and what to do.
type Failure = String;

/// Standard output is for results. `RUST_LOG` chooses what is logged; plugins log under the target `plugin`.
/// `PACELINE_LOG=json` makes each line a JSON object, for programs that collect logs.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Whoever collects the log of a process, such as the MultiLangDaemon, has no use for colours.
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match std::env::var("PACELINE_LOG").as_deref() {
        Ok("json") => log.json().flatten_event(true).with_span_list(false).init(),
        _ => log.init(),
    }
}
