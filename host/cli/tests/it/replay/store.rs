//! A replay beside a store: what is committed, dead letters, and nothing that is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use paceline_pipeline::model::{Cause, DeadLetter, Item, Key};
use paceline_testbed::require;
use serde_json::{Value, json};

use super::{bounded, command, message, number, replay, weighted, workspace};
use crate::support::{Workspace, fail, simulate, succeed};

/// Files by their paths.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// All that a replay could change.
fn state(workspace: &Workspace) -> (BTreeMap<Key, Item>, Vec<DeadLetter>, Files) {
    (workspace.items(), workspace.dead_letters(), files(&workspace.path("registry")))
}

fn files(folder: &Path) -> Files {
    let mut files = BTreeMap::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => drop(files.insert(path.clone(), std::fs::read(path).unwrap())),
        }
    }
    files
}

#[test]
fn what_is_committed_is_compared_group_by_group_and_nothing_is_written() {
    require!(Plugins);
    let mut records = simulate("--racers 20 --seconds 10 --class 3 --race 131 --seed 2 --errors 10");
    records.extend([message(901, 1, 95.0, 50.0, false), message(902, 1, 95.0, 20.0, false)]);
    let workspace = workspace(&records);
    workspace.run();
    let before = state(&workspace);
    assert!(!before.1.is_empty());
    workspace.write("next.toml", weighted(2, "1.1"));
    let same = replay(&workspace, "class-3@1", "committed", &[]);
    assert_eq!(
        (&same["against"], &same["scores"], &same["cost"]["against"]),
        (&json!("committed"), &json!(null), &json!(null))
    );
    assert_eq!((&same["items"]["equal"], &same["items"]["different"]), (&json!(before.0.len()), &json!(0)));
    assert_eq!(same["rejections"]["rules"], same["rejections"]["against"]);
    let of_class_3 = before.1.iter().filter(|letter| letter.reason.cause != Cause::NoRulebook).count();
    assert_eq!(same["rejections"]["rules"]["total"], of_class_3);
    assert_eq!(same["otherRaceTypes"], before.1.len() - of_class_3);
    let next = replay(&workspace, "next.toml", "committed", &["--race-type", "3"]);
    let output = &next["items"]["attributes"]["output"];
    assert_eq!(output["different"], next["items"]["different"]);
    assert!(number(&output["difference"]["min"]) > 0.0, "{output}");
    assert_eq!(next["rejections"]["newlyRejected"]["count"], 0);
    let text =
        succeed(command(&workspace, "next.toml", "committed", &["--from"]).arg(workspace.path("messages.ndjson")));
    assert!(text.contains("Scores can't be compared"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    // The dead letters, under a rulebook that accepts some of them.
    workspace.write("wide.toml", bounded(3, 1_000_000));
    let letters = ["--from", "dead-letters", "--reason", "rejected", "--json"];
    let letters = succeed(&mut command(&workspace, "wide.toml", "class-3@1", &letters));
    let letters: Value = serde_json::from_str(&letters).unwrap();
    let rejections = &letters["rejections"];
    assert_eq!((&letters["records"], &rejections["against"]["total"]), (&json!(2), &json!(2)));
    assert_eq!(rejections["rules"], json!({ "total": 1, "byCause": { "rejected": 1 } }));
    let accepted = &rejections["newlyAccepted"];
    assert_eq!((&accepted["count"], &letters["items"]["onlyRules"]), (&json!(1), &json!(1)));
    assert_eq!(accepted["first"][0]["text"], "cadence is 95, not within 30 and 90");
    assert!(before.1.iter().any(|letter| letter.id == accepted["first"][0]["position"].as_str().unwrap()));
    assert!(state(&workspace) == before, "a replay changed something");
}

#[test]
fn a_replay_that_is_not_possible_says_why() {
    require!(Plugins);
    let workspace = workspace(&[message(1, 1, 60.0, 50.0, false)]);
    let registry = files(&workspace.path("registry"));
    let next = weighted(2, "1.1");
    workspace.write("half.toml", &next[..next.len() / 2]);
    workspace.write("foreign.toml", next.replace("plugin = \"output\"", "plugin = \"outptu\""));
    workspace.write("folder.toml", next);
    let messages = workspace.path("messages.ndjson").to_str().unwrap().to_owned();
    let file = ["--from", messages.as_str()];
    for (rules, against, more, message) in [
        ("class-3@7", "class-3@1", &file[..], "class-3@7 was not published; there are: class-3@1"),
        ("class-3@1", "flat@1", &file, "flat@1 was not published; there are: class-3@1"),
        ("half.toml", "class-3@1", &file, "half.toml"),
        ("gone.toml", "class-3@1", &file, "gone.toml"),
        ("foreign.toml", "class-3@1", &file, "did you mean `output`?"),
        ("class-3@1", "class-3@1", &["--from", "nowhere.ndjson"], "nowhere.ndjson"),
        ("class-3@1", "class-3@1", &["--from", "stream"], "no [source.kinesis]"),
        ("class-3@1", "committed", &file, "store.redb: nothing is committed yet"),
        ("class-3@1", "class-3@1", &["--from", "dead-letters"], "store.redb: nothing is committed yet"),
        ("class-3@1", "class-3@1", &["--from", &messages, "--since", "10m"], "--since is for --from stream"),
        ("class-3@1", "class-3@1", &["--from", "-", "--reason", "rejected"], "--reason is for --from dead-letters"),
    ] {
        let error = fail(&mut command(&workspace, rules, against, more));
        assert!(error.contains(message), "{rules} against {against} {more:?}: {error}");
    }
    let output = command(&workspace, "class-3", "committed", &file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("NAME@VERSION") && error.contains(".toml"), "{error}");
    assert_eq!(files(&workspace.path("registry")), registry);
    assert!(!workspace.path("store.redb").exists());
}
