//! The example of the races is sound: its configuration, its rulebooks, its sample events.

use std::path::Path;

use crate::support::{DedupMode, Workspace};
use serde_json::json;

fn alleycat() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/alleycat")
}

/// A place with the example's rulebooks and its configuration, `changed`.
fn example(changed: impl Fn(String) -> String) -> Workspace {
    let workspace = Workspace::new(DedupMode::Ordinal);
    std::fs::remove_file(workspace.path("rulebooks/class-3.toml")).unwrap();
    for class in 1..=6 {
        let name = format!("rulebooks/class-{class}.toml");
        std::fs::copy(alleycat().join(&name), workspace.path(&name)).unwrap();
    }
    let config = std::fs::read_to_string(alleycat().join("paceline.toml")).unwrap();
    let config = config.replace("../../target/plugins", crate::support::plugins().to_str().unwrap());
    workspace.write("paceline.toml", changed(config.replace("../../target/race/", "")));
    std::fs::copy(alleycat().join("events.ndjson"), workspace.path("messages.ndjson")).unwrap();
    workspace
}

fn races_as_it_should(workspace: &Workspace) {
    let summary = workspace.run();
    assert_eq!((&summary["records"], &summary["deadLetters"]), (&json!(6), &json!(1)));
    let race = workspace.json(&["leaderboard", "--race", "131"]);
    assert_eq!(race, json!([{ "racerId": 1, "output": 168.74, "second": 3, "finished": true }]));
    let race = workspace.json(&["leaderboard", "--race", "1619185620265"]);
    assert_eq!(race, json!([{ "racerId": 1, "output": 164.45, "second": 1, "finished": false }]));
    let class = workspace.json(&["leaderboard", "--class", "3"]);
    assert_eq!(class, json!([{ "racerId": 1, "GSI": 168.74, "raceId": 131, "ts": 1_620_566_844_971_i64 }]));
}

#[test]
fn the_example_races_as_it_should() {
    races_as_it_should(&example(|config| config));
}

#[test]
fn what_is_commented_out_are_keys_that_there_are() {
    let with_defaults = |config: String| {
        let tables = config.find("# [batch]").unwrap();
        let (before, after) = config.split_at(tables);
        let (tables, after) = after.split_at(after.find("# paceline leaderboard").unwrap());
        let uncommented: String = tables.lines().map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
        let before = before.replace("# poll-interval-ms", "poll-interval-ms");
        format!("{before}{uncommented}{after}")
    };
    let workspace = example(with_defaults);
    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    for key in
        ["\nmax-payload-bytes = 262144", "\nlog-line-bytes = 1024", "\nconflicts = 20", "\npoll-interval-ms = 200"]
    {
        assert!(config.contains(key), "{key}");
    }
    races_as_it_should(&workspace);
}
