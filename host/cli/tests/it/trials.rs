//! Rulebooks on trial, through the program.

use std::process::Command;

use paceline_testbed::{plugins, require};
use serde_json::Value;

use crate::support::{DedupMode, Workspace, fail, joined, oracle, paceline, rulebook, simulate, succeed};

fn rules(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = paceline(&["rules"]);
    command.args(arguments).arg("--config").arg(workspace.path("paceline.toml"));
    command
}

fn status(workspace: &Workspace) -> Value {
    let status: Value = serde_json::from_str(&succeed(&mut rules(workspace, &["status", "--json"]))).unwrap();
    status["raceTypes"]["3"].clone()
}

/// A workspace with class-3@1 active and class-3@2 published, whose scorer traps on each record with the cadence 57:
/// on some percent of the records.
fn workspace() -> Workspace {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.apply();
    let trapping = "plugin = \"evil-scorer\"\nsettings = { deed = \"trap-on-row\", victim = 57.0 }";
    workspace.write("next.toml", rulebook(3, 2, DedupMode::Ordinal).replace("plugin = \"output\"", trapping));
    let (file, folder) = (workspace.path("next.toml"), plugins::folder());
    succeed(&mut rules(&workspace, &["publish", file.to_str().unwrap(), "--plugins", folder.to_str().unwrap()]));
    workspace
}

/// Runs a race, from an input of its own. Returns its messages.
fn race(workspace: &Workspace, race: i64) -> Vec<Vec<u8>> {
    workspace.configure(&format!("[source]\nfile = \"messages.ndjson\"\nname = \"race-{race}\"\n"), "");
    let lines = simulate(&format!("--racers 100 --seconds 60 --class 3 --race {race} --seed 1"));
    workspace.write("messages.ndjson", joined(&lines));
    succeed(paceline(&["run", "--config"]).arg(workspace.path("paceline.toml")));
    lines
}

fn victims(lines: &[Vec<u8>]) -> u64 {
    lines.iter().filter(|line| String::from_utf8_lossy(line).contains("\"cadence\":57,")).count() as u64
}

#[test]
fn a_shadow_changes_no_result_and_status_shows_what_it_made_of_the_records() {
    require!(Plugins);
    let workspace = workspace();
    let begun = succeed(&mut rules(&workspace, &["shadow", "class-3@2", "--race-type", "3", "--why", "try it"]));
    assert_eq!(begun, "race type 3: class-3@2 as a shadow of class-3@1\nrevision 3\n");
    let number = |value: &Value| value.as_u64().unwrap();
    let (mut records, mut bad) = (0, 0);
    // A shadow that the machine lets wait uses up its time, and is skipped by the rest of a race: then by the next one.
    let candidate = (131..141).find_map(|race| {
        let lines = self::race(&workspace, race);
        let id = race.to_string();
        assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", &id]), oracle::race(&lines, race));
        (records, bad) = (records + lines.len() as u64, bad + victims(&lines));
        let candidate = status(&workspace)["candidate"].clone();
        (number(&candidate["tally"]["candidate"]["failed"]) > 0).then_some(candidate)
    });
    let candidate = candidate.expect("a shadow that compares something in one of ten races");
    assert_eq!((&candidate["rulebook"], &candidate["mode"]["kind"]), (&"class-3@2".into(), &"shadow".into()));
    let (tally, shadow) = (&candidate["tally"], &candidate["tally"]["shadow"]);
    assert_eq!(number(&tally["candidate"]["evaluated"]) + number(&shadow["skipped"]), records);
    assert_eq!(number(&tally["current"]["evaluated"]), records);
    // It sees a part of a batch at least, in which there are victims.
    let failed = number(&tally["candidate"]["failed"]);
    assert!(failed > 0 && failed <= bad, "{tally}");
    assert_eq!(shadow["onlyShadowRejects"], tally["candidate"]["failed"]);
    let text = succeed(&mut rules(&workspace, &["status"]));
    assert!(text.contains("race type 3: class-3@2, shadow since revision 3"), "{text}");
    assert!(text.contains("rejected by the shadow only"), "{text}");
    succeed(&mut rules(&workspace, &["rollback", "3"]));
    assert_eq!(status(&workspace)["candidate"], Value::Null);
}

#[test]
fn a_canary_that_fails_is_taken_back_and_its_dead_letters_complete_the_results() {
    require!(Plugins);
    let workspace = workspace();
    let begun = succeed(&mut rules(&workspace, &["canary", "class-3@2", "--race-type", "3", "--share", "100%"]));
    assert_eq!(begun, "race type 3: 100% of the new races -> class-3@2, beside class-3@1\nrevision 3\n");
    let lines = race(&workspace, 131);
    let candidate = &status(&workspace)["candidate"];
    assert!(candidate["veto"].as_str().is_some_and(|why| why.contains("plugins failed on")), "{candidate}");
    let refused = fail(&mut rules(&workspace, &["promote", "3"]));
    assert!(refused.contains("class-3@2 has failed: plugins failed on"), "{refused}");
    // The race that began with it goes on with the current rulebook, also where a process starts.
    succeed(paceline(&["dead-letters", "redrive", "--config"]).arg(workspace.path("paceline.toml")));
    let items = workspace.items();
    assert!(items.values().any(|item| item.provenance.rulebook.version == 1));
    let ended = succeed(&mut rules(&workspace, &["rollback", "3", "--why", "it traps"]));
    assert_eq!(ended, "race type 3: class-3@2 -> class-3@1, rolled back\nrevision 4\n");
    assert!(workspace.dead_letters().is_empty(), "{:?}", workspace.dead_letters());
    let seconds = lines.len() as u64 / 100;
    assert_eq!(seconds, 60);
    let last = items.iter().filter(|(key, _)| key.partition == "race-3-131").count();
    assert_eq!(last, 100);
}

#[test]
fn a_share_that_is_none_is_refused() {
    require!(Plugins);
    let workspace = workspace();
    let arguments = ["canary", "class-3@2", "--race-type", "3", "--share", "0.001%"];
    let output = rules(&workspace, &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let refused = String::from_utf8(output.stderr).unwrap();
    assert!(refused.contains("a share is a percentage from 0% to 100% with at most two decimals"), "{refused}");
}
