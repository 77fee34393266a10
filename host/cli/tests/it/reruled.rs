//! A roll-back during a race marks the race's items, and the leaderboard shows it.

use paceline_testbed::require;
use serde_json::Value;

use crate::support::{DedupMode, Workspace, joined, rulebook, simulate};

const RACERS: usize = 4;

/// A race's messages, second by second.
fn race(id: u64) -> Vec<Vec<Vec<u8>>> {
    let lines = simulate(&format!("--racers {RACERS} --seconds 6 --class 3 --race {id} --seed {id}"));
    lines.chunks(RACERS).map(<[_]>::to_vec).collect()
}

#[test]
fn a_roll_back_during_a_race_marks_its_items_and_no_others() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let mut messages = Vec::new();
    let mut run = |seconds: &[Vec<Vec<u8>>]| {
        messages.extend(seconds.concat());
        workspace.write("messages.ndjson", joined(&messages));
        assert_eq!(workspace.run()["deadLetters"], 0);
    };
    let (before, during) = (race(130), race(131));
    run(&before[..2]);
    workspace.write("rulebooks/class-3.toml", rulebook(3, 2, DedupMode::Ordinal));
    run(&race(129));
    run(&during[..3]);
    workspace.ok(&["rules", "rollback", "3"]);
    workspace.write("rulebooks/class-3.toml", rulebook(3, 1, DedupMode::Ordinal));
    run(&before[2..]);
    run(&during[3..]);
    run(&race(132));

    for (key, item) in workspace.items() {
        assert_eq!(item.reruled, key.partition == "race-3-131", "{key}");
        let version = if key.partition == "race-3-129" { 2 } else { 1 };
        assert_eq!(item.provenance.rulebook.version, version, "{key}");
    }
    let board = |more: &[&str]| workspace.json(&[&["leaderboard", "--class", "3"], more].concat());
    let rows = |value: Value| value.as_array().unwrap().clone();
    let marked = rows(board(&["--race", "131"]));
    assert_eq!(marked.len(), RACERS);
    assert!(marked.iter().all(|row| row["@reruled"] == true && row["second"] == 6), "{marked:?}");
    for others in [board(&["--race", "130"]), board(&["--race", "129"]), board(&["--race", "132"]), board(&[])] {
        assert!(rows(others).iter().all(|row| row.get("@reruled").is_none()));
    }
    let table = workspace.ok(&["leaderboard", "--class", "3", "--race", "131"]);
    let mut lines = table.lines();
    assert!(lines.next().unwrap().ends_with("  @reruled"), "{table}");
    assert!(lines.all(|line| line.ends_with("  yes")), "{table}");
    assert!(!workspace.ok(&["leaderboard", "--class", "3", "--race", "130"]).contains("@reruled"));
}
