//! The simulation: seeds a minute, and planted bugs that they find.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::timing::median;
use crate::{Results, print_line, program, root};

/// Seeds whose time is measured, and how often.
const SEEDS: u32 = 2_000;
const RUNS: usize = 3;

/// Seeds within which each planted bug has to be found.
const PLANTED_WITHIN: u32 = 200;

/// The report of `paceline torture`.
fn torture(arguments: &[&str]) -> Value {
    let output = Command::new(program("paceline"))
        .args(["torture", "--json", "--plugins"])
        .arg(root().join("target/plugins"))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("paceline is built beside this program");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("the report of `paceline torture {}` is not JSON: {error}", arguments.join(" ")))
}

pub(crate) fn run(results: &mut Results) {
    print_line("\nthe simulation of hosts, each seed twice, on all processors");
    let mut rates: Vec<f64> = (0..RUNS)
        .map(|_| {
            let report = torture(&["--seed", "1", "--seeds", &SEEDS.to_string()]);
            assert_eq!(report["failure"], Value::Null, "a seed fails");
            report["simulation_seeds_per_minute"].as_f64().expect("the rate is a number")
        })
        .collect();
    results.add("simulation_seeds_per_minute", median(&mut rates), "seeds/min", "target: at least 10000 on two cores");

    let report = torture(&["--break", "all", "--seeds", &PLANTED_WITHIN.to_string()]);
    let number = |name: &str| report[name].as_f64().expect("it is a number");
    let all = format!("target: {}", number("simulation_planted"));
    results.add("simulation_planted_found", number("simulation_planted_found"), "bugs", &all);
}
