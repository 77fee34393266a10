//! The example of the races works: its configuration, its rulebooks, its sample events.

use paceline_pipeline::ErrorChain;
use paceline_testbed::{require, rules};
use std::path::Path;

use crate::support::{DedupMode, Workspace, joined, oracle, simulate};
use serde_json::json;

fn alleycat() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/alleycat")
}

/// A workspace with the example's rulebooks and its configuration, `changed`.
fn example(changed: impl Fn(String) -> String) -> Workspace {
    let workspace = Workspace::new(DedupMode::Ordinal);
    std::fs::remove_dir_all(workspace.path("rulebooks")).unwrap();
    rules::apply(&alleycat().join("rulebooks"), &workspace.registry()).unwrap();
    let config = std::fs::read_to_string(alleycat().join("paceline.toml")).unwrap();
    workspace.write("paceline.toml", changed(config.replace("../../target/race/", "")));
    std::fs::copy(alleycat().join("events.ndjson"), workspace.path("messages.ndjson")).unwrap();
    workspace
}

fn assert_expected_results(workspace: &Workspace) {
    let summary = workspace.run();
    assert_eq!((&summary["records"], &summary["deadLetters"]), (&json!(6), &json!(1)));
    let race = workspace.json(&["leaderboard", "--class", "3", "--race", "131"]);
    assert_eq!(race, json!([{ "racerId": 1, "output": 168.74, "second": 3, "finished": true }]));
    let race = workspace.json(&["leaderboard", "--class", "1", "--race", "1619185620265"]);
    assert_eq!(race, json!([{ "racerId": 1, "output": 164.45, "second": 1, "finished": false }]));
    let class = workspace.json(&["leaderboard", "--class", "3"]);
    assert_eq!(class, json!([{ "racerId": 1, "output": 168.74, "raceId": 131, "ts": 1_620_566_844_971_i64 }]));
}

#[test]
fn the_example_has_the_expected_results() {
    require!(Plugins);
    assert_expected_results(&example(|config| config));
}

#[test]
fn the_commented_out_keys_are_valid() {
    require!(Plugins);
    let with_defaults = |config: String| {
        let tables = config.find("# [batch]").unwrap();
        let (before, after) = config.split_at(tables);
        let (tables, after) = after.split_at(after.find("# paceline leaderboard").unwrap());
        let uncommented: String = tables.lines().map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
        let before = before.replace("# poll-interval-ms", "poll-interval-ms").replace("# hold-seconds", "hold-seconds");
        format!("{before}{uncommented}{after}")
    };
    let workspace = example(with_defaults);
    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    for key in
        ["\nmax-payload-bytes = 262144", "\nlog-line-bytes = 1024", "\nconflicts = 20", "\npoll-interval-ms = 1000"]
    {
        assert!(config.contains(key), "{key}");
    }
    assert_expected_results(&workspace);
}

/// The same messages in another class.
fn in_class(lines: &[Vec<u8>], class: &str) -> Vec<Vec<u8>> {
    let text = |line: &Vec<u8>| String::from_utf8(line.clone()).unwrap();
    lines.iter().map(|line| text(line).replace("\"classId\":3", &format!("\"classId\":{class}")).into_bytes()).collect()
}

#[test]
fn classes_with_equal_race_numbers_and_racers_share_no_items_and_use_their_own_rules() {
    require!(Plugins);
    let workspace = example(|config| config);
    let flat = simulate("--racers 20 --seconds 20 --class 3 --race 131 --seed 1");
    let climb = in_class(&flat, "5");
    workspace.write("messages.ndjson", joined(&[flat.clone(), climb.clone()].concat()));
    let summary = workspace.run();
    assert_eq!((&summary["deadLetters"], &summary["duplicates"]), (&json!(0), &json!(0)), "{summary}");

    let flat_race = workspace.json(&["leaderboard", "--class", "3", "--race", "131"]);
    assert_eq!(flat_race, oracle::race(&flat, 131));
    let climb_race = workspace.json(&["leaderboard", "--class", "5", "--race", "131"]);
    assert_eq!(climb_race.as_array().unwrap().len(), 20);
    for row in climb_race.as_array().unwrap() {
        let mut last = climb.iter().map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap());
        let last = last.rfind(|message| message["racerId"] == row["racerId"]).unwrap();
        let number = |name: &str| last[name].as_f64().unwrap();
        // At the end of a race both are integers, so that no rounding is needed.
        let expected = (number("cadence") + 35.0) * (number("resistance") * 1.5 + 65.0) / 100.0;
        assert!((row["output"].as_f64().unwrap() - expected).abs() < 1e-9, "{row}: {expected}");
    }
    assert_eq!(workspace.json(&["leaderboard", "--class", "3"]), oracle::class(&flat));
}

#[test]
fn race_types_with_equal_keys_are_rejected() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    for class in [3, 4] {
        let rulebook = crate::support::rulebook(class, 1, DedupMode::Ordinal);
        workspace
            .write(&format!("rulebooks/class-{class}.toml"), rulebook.replace("{/classId}-{/raceId}", "{/raceId}"));
    }
    let error = ErrorChain(&workspace.try_apply().unwrap_err()).to_string();
    assert!(error.contains("two races with the same number would share items"), "{error}");
    assert!(error.contains("{/classId}"), "{error}");
}

#[test]
fn a_leaderboard_requires_a_class() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let output = workspace.command(&["leaderboard", "--race", "131"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--class <C>"), "{output:?}");
}
