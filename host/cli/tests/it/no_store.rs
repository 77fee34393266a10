//! Commands that only read the store say so where there is none, and create none.

use paceline_testbed::{plugins, require};

use crate::support::{DedupMode, Workspace};

/// Asserts that each command that only reads the store fails with these words.
fn reading_fails(workspace: &Workspace, words: &str) {
    let (telemetry, out) = (plugins::file("telemetry"), workspace.path("events.ndjson"));
    let (telemetry, out) = (telemetry.to_str().unwrap(), out.to_str().unwrap());
    for arguments in [
        &["leaderboard", "--class", "3"][..],
        &["dead-letters", "list"],
        &["dead-letters", "show", "1"],
        &["rules", "repin", "131", "class-3@1", "--race-type", "3"],
        &["rules", "replay", "--rules", "class-3@1", "--against", "committed", "--from", "messages.ndjson"],
        &["plugin", "record", telemetry, "--from", "dead-letters", "--out", out],
    ] {
        let error = workspace.fails(arguments);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn a_store_that_does_not_exist_is_named_and_not_created() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.apply();
    let store = workspace.path("store.redb");
    reading_fails(&workspace, &format!("there is no store {}: nothing is committed yet", store.display()));
    assert!(!store.exists());
}

#[test]
fn a_store_in_memory_has_nothing_to_show() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.apply();
    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    workspace.write("paceline.toml", config.replace("path = \"store.redb\"", "memory = true"));
    reading_fails(&workspace, "`store.memory = true`): there is nothing to show");
}
