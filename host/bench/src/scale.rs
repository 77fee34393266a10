//! How cost grows with shards, racers, race types, plugins and aggregates: processor time and memory of a process for each
//! size, and the exponent between neighbouring sizes. Nothing should grow faster than its work.
//!
//! Each size runs in a process of its own, so that its peak memory is its own, with rules that are published before. The
//! sizes of an axis take turns; the medians count. The largest one runs twice in each turn: an A/A control.
//!
//! - `axis`: what grows, and what a size is made of.
//! - `prepare`: rulebooks and messages of a size.
//! - `process`: processor time and memory of a process.
//! - `host`: a process that takes batches through the pipeline.
//! - `reader`: a process that reads a stream.
//! - `growth`: exponents and the table.
//! - `chart`: the chart of the documentation.

mod axis;
mod chart;
mod growth;
mod host;
mod prepare;
mod process;
mod reader;

use std::process::Command;

use paceline_testbed::environment::AWS_VARIABLES;
use serde_json::{Value, json};

use self::axis::{AXES, Axis, Job, Kind};
use self::growth::{Growth, Point};
use self::process::Cost;
use crate::timing::median;
use crate::{print_line, root};

/// How often each size runs.
const TURNS: usize = 5;

/// Measures all axes, or the one with this name. Writes `target/bench/scale.json`, and the chart if all were measured.
pub(crate) fn run(only: Option<&str>) {
    let axes: Vec<&Axis> = AXES.iter().filter(|axis| only.is_none_or(|name| axis.name == name)).collect();
    assert!(!axes.is_empty(), "there is no axis {only:?}");
    let growths: Vec<Growth> = axes.into_iter().map(measure).collect();
    let file = root().join("target/bench/scale.json");
    std::fs::create_dir_all(file.with_file_name("")).expect("target can be written");
    let all: serde_json::Map<String, Value> =
        growths.iter().map(|growth| (growth.axis.key(), growth.to_json())).collect();
    let text = serde_json::to_string_pretty(&json!(all)).expect("numbers can be written");
    std::fs::write(&file, text + "\n").expect("target can be written");
    print_line(&format!("\n{}", file.display()));
    if only.is_none() {
        let file = root().join("target/bench/scale.svg");
        std::fs::write(&file, chart::draw(&growths)).expect("target can be written");
        print_line(&file.display().to_string());
    }
    let flagged: Vec<String> = growths.iter().flat_map(Growth::flagged).collect();
    match flagged.is_empty() {
        true => print_line("nothing grows faster than its work"),
        false => print_line(&format!("faster than its work grow: {}", flagged.join("; "))),
    }
}

/// Measures one size in this process, and prints what it cost.
pub(crate) fn run_size(job: &str) {
    let job: Job = serde_json::from_str(job).expect("the job is what this program wrote");
    let cost = match job.kind {
        Kind::Host => host::run(&job),
        Kind::Reader => reader::run(&job),
    };
    print_line(&serde_json::to_string(&cost).expect("numbers can be written"));
}

/// Measures all sizes of an axis in turns.
fn measure(axis: &'static Axis) -> Growth {
    print_line(&format!("\nhow cost grows with {}: {}", axis.name, axis.what));
    let prepared: Vec<prepare::Prepared> = axis.sizes.iter().map(|size| prepare::prepare(axis, *size)).collect();
    // The last one again: the A/A control.
    let runs: Vec<&prepare::Prepared> = prepared.iter().chain(prepared.last()).collect();
    let mut costs = vec![Vec::new(); runs.len()];
    for turn in 0..TURNS {
        for step in 0..runs.len() {
            // The order rotates, so that no size always follows the same other one.
            let at = (turn + step) % runs.len();
            costs[at].push(in_a_process(&runs[at].job));
        }
    }
    let median_of = |costs: &[Cost], value: fn(&Cost) -> f64| median(&mut costs.iter().map(value).collect::<Vec<_>>());
    let point = |(run, costs): (&&prepare::Prepared, &Vec<Cost>)| Point {
        size: run.job.size,
        records: run.job.records_in_a_step(),
        cpu_ns_per_record: median_of(costs, Cost::cpu_ns_per_record),
        memory_mb: median_of(costs, Cost::memory_mb),
    };
    let mut points: Vec<Point> = runs.iter().zip(&costs).map(point).collect();
    let again = points.pop().expect("there is a control");
    let control = again.cpu_ns_per_record / points[points.len() - 1].cpu_ns_per_record;
    let growth = Growth { axis, points, control };
    print_line(&growth.table());
    growth
}

/// Runs a size in a process of its own.
fn in_a_process(job: &Job) -> Cost {
    let own = std::env::current_exe().expect("a program knows its file");
    let job = serde_json::to_string(job).expect("the job can be written");
    let mut command = Command::new(own);
    // The reader's client signs its requests.
    command.args(["scale-size", &job]).envs(AWS_VARIABLES);
    let output = command.output().expect("this program can be started");
    assert!(output.status.success(), "{job}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the process prints its cost")
}
