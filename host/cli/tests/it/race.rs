//! The results of a race with invalid, repeated and reordered messages.

use paceline_testbed::require;
use std::collections::BTreeMap;

use crate::support::{DedupMode, Workspace, joined, oracle, simulate, simulate_file};

fn count_lines(lines: impl IntoIterator<Item = Vec<u8>>) -> BTreeMap<Vec<u8>, u32> {
    let mut counts = BTreeMap::new();
    lines.into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
    counts
}

/// Two races of a class with invalid and repeated messages: the leaderboards are the oracle's, and the dead letters are
/// exactly the invalid messages.
fn results_match_the_oracle(dedup: DedupMode, key: &str) {
    let races = [
        "--racers 1000 --seconds 60 --class 3 --race 131 --seed 1",
        "--racers 1000 --seconds 60 --class 3 --race 132 --seed 2",
    ];
    let valid: Vec<_> = races.iter().flat_map(|race| simulate(race)).collect();
    let mixed: Vec<_> =
        races.iter().flat_map(|race| simulate_file(&format!("{race} --errors 5 --duplicates 5 --key {key}"))).collect();
    let workspace = Workspace::new(dedup);
    workspace.write("messages.ndjson", joined(&mixed));
    let summary = workspace.run();

    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"]), oracle::race(&valid, 131));
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "132"]), oracle::race(&valid, 132));
    assert_eq!(workspace.json(&["leaderboard", "--class", "3"]), oracle::class(&valid));

    let valid_lines = count_lines(valid);
    let broken = count_lines(mixed.iter().filter(|line| !valid_lines.contains_key(*line)).cloned());
    let dead = count_lines(workspace.dead_letters().into_iter().map(|letter| letter.payload));
    assert_eq!(dead, broken);
    assert_eq!(summary["records"], mixed.len());
    assert_eq!(summary["deadLetters"], broken.values().sum::<u32>());
}

#[test]
fn results_match_the_oracle_with_sequence_dedup() {
    require!(Plugins);
    results_match_the_oracle(DedupMode::Sequence, "racer");
}

#[test]
fn results_match_the_oracle_with_ordinal_dedup_in_any_order() {
    require!(Plugins);
    results_match_the_oracle(DedupMode::Ordinal, "random");
}

#[test]
fn ordinal_dedup_drops_repeated_messages() {
    require!(Plugins);
    let race = "--racers 100 --seconds 30 --class 3 --race 131 --seed 1 --duplicates 20";
    let workspace = Workspace::new(DedupMode::Ordinal);
    let lines = simulate(race);
    workspace.write("messages.ndjson", joined(&lines));
    let summary = workspace.run();
    let finals = |line: &&Vec<u8>| line.starts_with(br#"{"event":"final""#);
    // Each repeated message is a duplicate in the racer's race. A repeated final message is also one in the class.
    let repeats = lines.len() - 3_000 + lines.iter().filter(finals).count() - 100;
    assert!(repeats > 500, "{repeats}");
    assert_eq!(summary["duplicates"], repeats);
}

#[test]
fn items_do_not_depend_on_the_batch_size() {
    require!(Plugins);
    let mixed =
        simulate_file("--racers 20 --seconds 50 --class 3 --race 131 --seed 5 --errors 5 --duplicates 5 --key random");
    for dedup in [DedupMode::Sequence, DedupMode::Ordinal] {
        let outcomes = [1, 7, 1_000, 10_000].map(|size| {
            let workspace = Workspace::new(dedup);
            workspace.configure("[source]\nfile = \"messages.ndjson\"\n", &format!("[batch]\nmax-records = {size}\n"));
            workspace.write("messages.ndjson", joined(&mixed));
            let summary = workspace.run();
            assert_eq!(summary["batches"], mixed.len().div_ceil(size), "{summary}");
            (workspace.items(), workspace.dead_letters())
        });
        assert_eq!(outcomes[0].0.len(), 40);
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
    }
}

#[test]
fn the_simulator_is_a_source() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure(
        "[source]\nsimulate = { racers = 50, seconds = 20, class = 3, race = 131, seed = 3, errors = 10 }\n",
        "",
    );
    workspace.run();
    let valid = simulate("--racers 50 --seconds 20 --class 3 --race 131 --seed 3");
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"]), oracle::race(&valid, 131));
    // A second run has no records left.
    assert_eq!(workspace.run()["records"], 0);
}

#[test]
fn a_limit_shows_the_first_rows() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let valid = simulate("--racers 30 --seconds 5 --class 3 --race 131 --seed 3");
    workspace.write("messages.ndjson", joined(&valid));
    workspace.run();
    let all = oracle::race(&valid, 131);
    let first = workspace.json(&["leaderboard", "--class", "3", "--race", "131", "--limit", "3"]);
    assert_eq!(first.as_array().unwrap()[..], all.as_array().unwrap()[..3]);
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "999"]), serde_json::json!([]));
    let table = workspace.ok(&["leaderboard", "--class", "3", "--limit", "1"]);
    assert_eq!(table.lines().count(), 2, "{table}");
}

#[test]
fn items_without_the_attribute_that_orders_them_are_reported_as_such() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&simulate("--racers 2 --seconds 2 --class 3 --race 131 --seed 3")));
    workspace.run();
    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    workspace.write("paceline.toml", config.replace("order-by = \"output\"", "order-by = \"outptu\""));
    let output = workspace.command(&["leaderboard", "--class", "3", "--race", "131"]).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let why = "of class 3, race 131 there are 2 items, and none has the attribute `outptu`: correct `order-by` in \
               [leaderboard.race]";
    assert!(output.status.success() && log.contains(why), "{log}");
}

#[test]
fn every_item_names_its_rulebook_and_its_plugins() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&simulate("--racers 2 --seconds 2 --class 3 --race 131 --seed 3")));
    workspace.run();
    let digest = |name: &str| {
        let bytes = paceline_testbed::plugins::bytes(name);
        paceline_engine::Digest::of(&bytes)
    };
    for (key, item) in workspace.items() {
        let aggregator = if key.partition.starts_with("race-") { "last-output" } else { "best-output" };
        let plugins = ["telemetry", "output", aggregator].map(digest);
        assert_eq!(item.provenance.plugins, plugins);
        assert_eq!((item.provenance.rulebook.name.as_str(), item.provenance.rulebook.version), ("class-3", 1));
    }
}
