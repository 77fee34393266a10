//! `paceline plugin bench`: a plugin's calls, alone and in turns with those of another one.

use std::path::Path;
use std::process::Command;

use paceline_testbed::assertions::assert_contains;
use paceline_testbed::environment::checkout;
use paceline_testbed::{plugins, require};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{fail, paceline, succeed};

const EVENTS: &str = r#"{"event": "update", "cadence": 81, "resistance": 79, "second": 1}
{"event": "final", "cadence": 62, "resistance": 68.6, "second": 2}
"#;

fn bench(folder: &Path, plugin: &str) -> Command {
    std::fs::write(folder.join("events.ndjson"), EVENTS).unwrap();
    let mut command = paceline(&["plugin", "bench"]);
    command.arg(plugins::file(plugin)).arg("--events").arg(folder.join("events.ndjson"));
    // It has the dependencies of this checkout's plugins already.
    command.env("CARGO_TARGET_DIR", checkout().join("target"));
    command
}

/// What `--json` prints, with figures that hold of every machine.
fn measured(command: &mut Command) -> Value {
    let printed: Value = serde_json::from_str(&succeed(command.arg("--json"))).unwrap();
    let calls = printed["calls"].as_array().unwrap();
    let rows: Vec<u64> = calls.iter().map(|call| call["rows"].as_u64().unwrap()).collect();
    assert_eq!(rows, [1, 100, 1_000, 10_000]);
    let seconds: Vec<f64> = calls.iter().map(|call| call["seconds"].as_f64().unwrap()).collect();
    assert!(seconds[0] > 0.0 && seconds[3] > seconds[0], "10,000 rows take longer than one: {printed}");
    assert!(calls.iter().all(|call| call["control"].as_f64().unwrap() > 0.0 && call["turns"].as_u64().unwrap() >= 5));
    printed
}

#[test]
fn a_plugin_is_measured_against_another_one() {
    require!(Plugins);
    let folder = TempDir::new().unwrap();
    let quick = plugins::file("output");
    let against = measured(bench(folder.path(), "output").arg("--against").arg(&quick));
    assert_eq!(against["against"], quick.display().to_string());
    assert_eq!(against["bytes"], std::fs::metadata(&quick).unwrap().len());
    for call in against["calls"].as_array().unwrap() {
        let ratio = call["seconds"].as_f64().unwrap() / call["otherSeconds"].as_f64().unwrap();
        assert!((0.1..10.0).contains(&ratio), "one plugin against itself: {call}");
    }
    // As a person reads it: a heading, a line for each size, in 80 columns.
    let shown = succeed(bench(folder.path(), "climb").arg("--against").arg(&quick));
    let heading = "rows    us a call  ns a row  the other's  ratio  control";
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let table: Vec<Vec<String>> = shown.lines().skip_while(|line| words(line) != words(heading)).map(words).collect();
    let rows: Vec<&str> = table.iter().map(|row| &*row[0]).collect();
    assert_eq!(rows, ["rows", "1", "100", "1,000", "10,000"], "{shown}");
    assert!(table[1..].iter().all(|row| row.len() == 6), "{shown}");
    assert!(shown.contains(&format!("the other is {}", quick.display())), "{shown}");
    // The second line has a path of this machine.
    assert!(shown.lines().enumerate().all(|(at, line)| at == 1 || line.len() <= 80), "{shown}");
}

#[test]
fn a_plugin_is_measured_against_that_of_this_version_or_alone() {
    require!(Plugins, WasmTarget);
    let folder = TempDir::new().unwrap();
    let with_own = measured(&mut bench(folder.path(), "climb"));
    assert_eq!(with_own["against"], "output");
    assert!(with_own["calls"][3]["otherSeconds"].as_f64().unwrap() > 0.0, "{with_own}");
    assert_eq!(measured(&mut bench(folder.path(), "telemetry"))["against"], "telemetry");
    // Without cargo, that plugin can't be built.
    let mut alone = bench(folder.path(), "climb");
    alone.env("PACELINE_CACHE", folder.path().join("cache")).env("PATH", folder.path()).arg("--json");
    let output = alone.output().unwrap();
    assert_contains(
        &String::from_utf8(output.stderr).unwrap(),
        &["WARN", "there is no comparison", "is Rust installed"],
    );
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&printed["against"], &printed["calls"][3]["otherSeconds"]), (&Value::Null, &Value::Null));
    assert_eq!(printed["calls"].as_array().unwrap().len(), 4);
}

#[test]
fn events_on_which_the_plugin_fails_are_left_out() {
    require!(Plugins);
    let folder = TempDir::new().unwrap();
    let failing = |victim: &str| {
        let mut command = bench(folder.path(), "evil-scorer");
        command
            .args(["--setting", "deed=trap-on-row", "--setting", victim])
            .arg("--against")
            .arg(plugins::file("output"));
        command
    };
    let output = failing("victim=62").output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && log.contains("fails on 1 event, which the measurement leaves out"), "{log}");
    let only = r#"{"cadence": 62, "resistance": 68.6}"#;
    let mut all = failing("victim=62");
    std::fs::write(folder.path().join("events.ndjson"), only).unwrap();
    assert_contains(&fail(&mut all), &["the plugin fails on every event", "paceline plugin test"]);
}

#[test]
fn what_can_t_be_compared_is_explained() {
    require!(Plugins);
    let folder = TempDir::new().unwrap();
    let against = |other: &str| fail(bench(folder.path(), "output").arg("--against").arg(plugins::file(other)));
    assert_contains(&against("telemetry"), &["telemetry.wasm", "scorer"]);
    assert_contains(&against("evil-wasi"), &["evil-wasi.wasm", "is refused", "wasi:cli/environment"]);
    let mut nothing = bench(folder.path(), "output");
    std::fs::write(folder.path().join("events.ndjson"), "{}\n").unwrap();
    assert_contains(&fail(&mut nothing), &["events.ndjson has no event that the plugin can read"]);
}
