//! `paceline torture`: seeds of the simulation.

use std::process::Command;

use paceline_testbed::{plugins, require};
use serde_json::Value;

use crate::support::{fail, paceline, succeed};

/// `paceline torture` with the tests' plugins.
fn torture(arguments: &[&str]) -> Command {
    let mut command = paceline(&["torture"]);
    command.args(arguments).arg("--plugins").arg(plugins::folder());
    command
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(torture(arguments).arg("--json"))).unwrap()
}

#[test]
fn seeds_without_a_bug_pass_and_their_rate_is_shown() {
    require!(Plugins);
    let summary = json(&["--seed", "3", "--seeds", "5"]);
    assert_eq!((&summary["seeds"], &summary["failure"]), (&5.into(), &Value::Null), "{summary}");
    assert!(summary["simulation_seeds_per_minute"].as_f64().unwrap() > 0.0, "{summary}");
}

#[test]
fn the_greatest_seed_is_the_last_one() {
    require!(Plugins);
    let summary = json(&["--seed", &u64::MAX.to_string(), "--seeds", "2"]);
    assert_eq!(summary["seeds"], 1, "{summary}");
}

#[test]
fn no_seeds_and_a_trace_in_json_are_invalid_arguments() {
    for (arguments, words) in
        [(&["--seeds", "0"][..], "0 is not in 1.."), (&["--trace", "--json"], "cannot be used with '--json'")]
    {
        let output = torture(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn a_planted_bug_is_shown_as_a_command_that_fails_again() {
    require!(Plugins);
    let bug = ["--break", "checkpoint-before-commit"];
    let summary = json(&[&bug[..], &["--seeds", "50"]].concat());
    let shrunk = &summary["failure"]["shrunk"];
    let command = shrunk["command"].as_str().unwrap().strip_prefix("paceline torture ").unwrap();
    let again = json(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(again["failure"]["finding"], shrunk["finding"], "{summary}");
}

#[test]
fn unknown_bugs_and_knobs_and_missing_plugins_are_refused() {
    require!(Plugins);
    let error = fail(&mut torture(&["--break", "nothing"]));
    assert!(error.contains("no such bug; the bugs are: dedup-admits-all"), "{error}");
    let error = fail(&mut torture(&["--set", "host=1"]));
    assert!(error.contains("there is no knob `host`; the knobs are: tier, mode, hosts"), "{error}");
    let error = fail(&mut torture(&["--set", "hosts=0"]));
    assert!(error.contains("the knob `hosts` is 0: at least 1 is needed"), "{error}");
    let error = fail(&mut paceline(&["torture", "--plugins", "/nowhere"]));
    assert!(error.contains("/nowhere has no telemetry.wasm: run `make plugins`"), "{error}");
}
