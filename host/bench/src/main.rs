//! The benchmarks: `make bench` runs them.
//!
//! What is compared is run in turns within one process, so that a machine whose speed drifts bends both alike, and the
//! median of the turns counts. Beside each comparison stands an A/A control: the same thing against itself. The limits
//! of the sandbox are on. Results go to the screen and to `target/bench/summary.json`.
//!
//! # Layout
//!
//! - `timing`: turns and medians.
//! - `score`: the `output` plugin in the sandbox against the same loop outside of it.
//! - `pipeline`: payloads to folded groups, against a plain loop over serde_json.
//! - `event`: a Lambda event's bytes to decoded records, against `aws_lambda_events`.
//! - `function`: what an invocation of the Lambda function costs, and its cold start.
//! - `table`: what a race costs in DynamoDB.
//! - `kpl`: aggregates of the Kinesis Producer Library to user records.
//! - `consumer`: a race from a stream into the store in memory.
//! - `race`: the whole program, from a file to the durable store.
#![forbid(unsafe_code)]

mod consumer;
mod event;
mod function;
mod kpl;
mod pipeline;
mod race;
mod score;
mod table;
mod timing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a benchmark's results go: a name, its value, and the bar that it should stay under or reach.
#[derive(Default)]
struct Results {
    values: BTreeMap<String, f64>,
}

impl Results {
    /// Notes and prints a result. `bar` says what is asked of it.
    fn add(&mut self, name: &str, value: f64, unit: &str, bar: &str) {
        let shown = if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        println!("  {name:<36} {shown:>10} {unit:<16} {bar}");
        self.values.insert(name.to_owned(), value);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}

fn plugin(name: &str) -> Vec<u8> {
    let file = root().join(format!("target/plugins/{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; `make plugins` builds it", file.display()))
}

/// The messages of a race, as the simulator writes them.
fn simulated(racers: usize, seconds: usize) -> Vec<Vec<u8>> {
    let output = Command::new(root().join("target/release/paceline"))
        .args(["simulate", "--class", "3", "--race", "5403307", "--seed", "1"])
        .args(["--racers", &racers.to_string(), "--seconds", &seconds.to_string()])
        .output()
        .expect("the program is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.strip_suffix(b"\n").unwrap_or_default();
    lines.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn main() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        eprintln!("RUST_BACKTRACE is set, which slows the sandbox's errors down: unset it for figures that count");
    }
    // `paceline-bench score` runs one part; the summary is then of that part.
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let mut results = Results::default();
    if wanted("score") {
        score::run(&mut results);
    }
    if wanted("pipeline") {
        pipeline::run(&mut results);
    }
    if wanted("event") {
        event::run(&mut results);
    }
    if wanted("kpl") {
        kpl::run(&mut results);
    }
    if wanted("function") {
        function::run(&mut results);
    }
    if wanted("table") {
        table::run(&mut results);
    }
    if wanted("consumer") {
        consumer::run(&mut results);
    }
    if wanted("race") {
        race::run(&mut results);
    }

    let folder = root().join("target/bench");
    std::fs::create_dir_all(&folder).expect("target can be written");
    let file = folder.join("summary.json");
    let summary = serde_json::to_string_pretty(&results.values).expect("numbers can be written");
    std::fs::write(&file, summary + "\n").expect("target can be written");
    println!("{}", file.display());
}
