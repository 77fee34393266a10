//! The benchmarks: `make bench` runs them.
//!
//! Alternatives run in turns within one process, so that a drift of the machine's speed affects both alike; the result is
//! the median of the turns. Each comparison comes with an A/A control: the same code against itself. The limits of the
//! sandbox are on. Results go to standard output and to `target/bench/summary.json`.
//!
//! # Layout
//!
//! - `timing`: measures alternatives in turns.
//! - `score`: the `output` plugin in the sandbox against the same loop in native code.
//! - `projection`: JSON payloads to their declared fields.
//! - `pipeline`: payloads to folded groups, against a plain loop over serde_json.
//! - `event`: a Lambda event's bytes to decoded records, against `aws_lambda_events`.
//! - `function`: the processor time of the Lambda function, and its cold start.
//! - `invocation`: whole invocations into DynamoDB Local, against the sample's functions in node.
//! - `table`: the cost of a race in DynamoDB.
//! - `kpl`: aggregates of the Kinesis Producer Library to user records.
//! - `consumer`: a race from a stream into the memory store.
//! - `race`: a race from a file into the durable store, by `paceline run`.
//! - `swap`: rulebooks that are replaced while races flow.
//! - `plugins`: a hundred plugins at once.
//! - `languages`: rules in JavaScript and Python against the same rules in Rust.
//! - `simulation`: seeds of the simulation.
//! - `instructions`: instructions a record, which a test compares.
//! - `scale`: how cost grows.
#![forbid(unsafe_code)]

mod consumer;
mod event;
mod function;
mod instructions;
mod invocation;
mod kpl;
mod languages;
mod packed;
mod pipeline;
mod plugins;
mod projection;
mod race;
mod scale;
mod score;
mod simulation;
mod swap;
mod table;
mod timing;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use paceline_simulator::{Messages, PartitionKey, Race};

/// That of the programs which are measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The results of the benchmarks, by name.
#[derive(Default)]
struct Results {
    values: BTreeMap<String, f64>,
}

impl Results {
    /// Records and prints a result. `target` is shown beside it and may be empty.
    fn add(&mut self, name: &str, value: f64, unit: &str, target: &str) {
        let shown = if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        print_line(&format!("  {name:<36} {shown:>10} {unit:<16} {target}"));
        self.values.insert(name.to_owned(), value);
    }
}

fn print_line(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output can be written");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout exists")
}

/// A program that was built together with this one: `target/release/paceline`.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program knows its file");
    own.with_file_name(name)
}

fn plugin(name: &str) -> Vec<u8> {
    let file = root().join(format!("target/plugins/{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; `make plugins` builds it", file.display()))
}

/// The messages of a race, as the simulator sends them.
fn simulated(racers: usize, seconds: usize) -> Vec<Vec<u8>> {
    let number = |number: usize| u32::try_from(number).expect("a race is small");
    let race = Race {
        racers: number(racers),
        seconds: number(seconds),
        class: 3,
        race: 5_403_307,
        seed: 1,
        key: PartitionKey::Racer,
        errors: 0.0,
        duplicates: 0.0,
    };
    Messages::new(&race).map(|(_, message)| message).collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // What Valgrind runs.
        ["count", part, size] => instructions::work(part, size.parse().expect("the size is a number")),
        ["scale"] => scale::run(None),
        ["scale", axis] => scale::run(Some(axis)),
        // What `scale` runs.
        ["scale-size", job] => scale::run_size(job),
        ["instructions", ..] => return instructions::run(&arguments[1..]),
        _ => measure(arguments.first().map(String::as_str)),
    }
    ExitCode::SUCCESS
}

/// Runs one part or all. The summary then contains only the results of that part.
fn measure(only: Option<&str>) {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        print_line("RUST_BACKTRACE is set, which slows down errors of the sandbox: unset it for valid results");
    }
    let is_selected = |part: &str| only.is_none_or(|only| only == part);
    let mut results = Results::default();
    if is_selected("score") {
        score::run(&mut results);
    }
    if is_selected("projection") {
        projection::run(&mut results);
    }
    if is_selected("pipeline") {
        pipeline::run(&mut results);
    }
    if is_selected("event") {
        event::run(&mut results);
    }
    if is_selected("kpl") {
        kpl::run(&mut results);
    }
    if is_selected("function") {
        function::run(&mut results);
    }
    if is_selected("invocation") {
        invocation::run(&mut results);
    }
    if is_selected("table") {
        table::run(&mut results);
        packed::run(&mut results);
    }
    if is_selected("consumer") {
        consumer::run(&mut results);
    }
    if is_selected("race") {
        race::run(&mut results);
    }
    if is_selected("swap") {
        swap::run(&mut results);
    }
    if is_selected("plugins") {
        plugins::run(&mut results);
    }
    if is_selected("languages") {
        languages::run(&mut results);
    }
    if is_selected("simulation") {
        simulation::run(&mut results);
    }

    let folder = root().join("target/bench");
    std::fs::create_dir_all(&folder).expect("target can be written");
    let file = folder.join("summary.json");
    let summary = serde_json::to_string_pretty(&results.values).expect("numbers can be written");
    std::fs::write(&file, summary + "\n").expect("target can be written");
    print_line(&file.display().to_string());
}
