//! `paceline plugin verify`: the report on the screen and for programs, and the exit code.

use std::process::Command;

use paceline_testbed::require;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{fail, joined, paceline, simulate_file, succeed};

/// A folder with a plugin and events.
fn folder(plugin: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::copy(paceline_testbed::plugins::file(plugin), folder.path().join("plugin.wasm")).unwrap();
    let events = simulate_file("--racers 3 --seconds 9 --class 3 --race 131 --seed 1");
    std::fs::write(folder.path().join("events.ndjson"), joined(&events)).unwrap();
    folder
}

fn verify(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = paceline(&["plugin", "verify"]);
    command.arg(folder.path().join("plugin.wasm")).args(arguments);
    command
}

#[test]
fn a_plugin_that_keeps_all_laws_passes() {
    require!(Plugins);
    let output = succeed(&mut verify(&folder("last-output"), &["--group", "/racerId"]));
    for line in ["passed    fold-cuts     folding in one call", "passed    merge-laws", "9 laws kept; 200 cases a law"]
    {
        assert!(output.contains(line), "{line}: {output}");
    }
    assert!(!output.contains('\x1b'), "{output}");
}

#[test]
fn a_violated_law_is_shown_and_fails() {
    require!(Plugins);
    let folder = folder("wrong-aggregator");
    let output = verify(&folder, &["--setting", "wrong=keeps-left"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let screen = String::from_utf8(output.stdout).unwrap();
    for words in ["VIOLATED  merge-laws", "not commutative", "merge(1, 2)", "→ Choose by what stands in the states"] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");

    let output = verify(&folder, &["--setting", "wrong=keeps-left", "--json", "--seed", "5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["role"], &report["violations"], &report["seed"]), (&json!("aggregator"), &json!(1), &json!(5)));
    let laws = report["laws"].as_array().unwrap();
    let merge = laws.iter().find(|law| law["law"] == "merge-laws").unwrap();
    assert_eq!((&merge["kept"], &merge["findings"][0]["severity"]), (&json!(false), &json!("violation")));
    assert_eq!(merge["findings"][0]["example"]["rows"].as_array().unwrap().len(), 2, "{merge}");
}

#[test]
fn states_of_an_older_plugin_are_part_of_the_verification() {
    require!(Plugins);
    let folder = folder("evil-migration");
    let best = paceline_testbed::plugins::file("best-output");
    let screen = succeed(verify(&folder, &["--migrates-from"]).arg(&best));
    let plain = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plain.contains("that the older plugin wrote are taken"), "{screen}");
    let output = verify(&folder, &["--setting", "victim=131", "--migrates-from"]).arg(&best).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let screen = String::from_utf8(output.stdout).unwrap();
    assert!(screen.contains("race 131 is the victim"), "{screen}");
    let last = paceline_testbed::plugins::file("last-output");
    let error = fail(verify(&folder, &["--migrates-from"]).arg(last));
    assert!(error.contains("migrates no states of the format `last-output/2`"), "{error}");
}

#[test]
fn no_cases_and_an_older_plugin_of_one_without_states_are_refused() {
    require!(Plugins);
    let folder = folder("output");
    let output = verify(&folder, &["--cases", "0"]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("0 is not in 1.."), "{error}");
    let best = paceline_testbed::plugins::file("best-output");
    let error = fail(verify(&folder, &["--migrates-from"]).arg(best));
    assert!(error.contains("is a scorer, and only aggregators have states: leave out --migrates-from"), "{error}");
}

#[test]
fn events_without_the_fields_are_explained() {
    require!(Plugins);
    let folder = folder("output");
    std::fs::write(folder.path().join("events.ndjson"), "{\"cadence\": \"fast\", \"resistance\": 79}\n").unwrap();
    let error = fail(&mut verify(&folder, &[]));
    assert!(error.contains("line 1: ") && error.contains("would see none of the 1 sample events"), "{error}");
}
