//! `paceline rules replay` shows what would differ, and changes nothing.

mod store;
mod stream;

use std::process::Command;

use paceline_testbed::{plugins, require};
use serde_json::{Value, json};

use crate::support::{DedupMode, Workspace, joined, paceline, rulebook, simulate, succeed};

/// A rulebook of class 3 whose formula weighs resistance.
fn weighted(version: u64, weight: &str) -> String {
    let settings = format!("plugin = \"output\"\nsettings = {{ resistance-weight = {weight} }}");
    rulebook(3, version, DedupMode::Ordinal).replace("plugin = \"output\"", &settings)
}

/// A rulebook of class 3 whose validator has another bound.
fn bounded(version: u64, max_cadence: u32) -> String {
    let settings = format!("plugin = \"telemetry\"\nsettings = {{ max-cadence = {max_cadence} }}");
    rulebook(3, version, DedupMode::Ordinal).replace("plugin = \"telemetry\"", &settings)
}

/// A workspace whose races of class 3 run `class-3@1`, and the records of a race, not processed yet.
fn workspace(records: &[Vec<u8>]) -> Workspace {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.apply();
    workspace.write("messages.ndjson", joined(records));
    workspace
}

fn command(workspace: &Workspace, rules: &str, against: &str, more: &[&str]) -> Command {
    let path = |text: &str| match text.ends_with(".toml") {
        true => workspace.path(text).into_os_string(),
        false => text.into(),
    };
    let mut command = paceline(&["rules", "replay", "--config"]);
    command.arg(workspace.path("paceline.toml")).arg("--rules").arg(path(rules)).arg("--against").arg(path(against));
    command.arg("--plugins").arg(plugins::folder()).args(more);
    command
}

/// The result of a replay of `messages.ndjson`.
fn replay(workspace: &Workspace, rules: &str, against: &str, more: &[&str]) -> Value {
    let mut command = command(workspace, rules, against, more);
    command.arg("--from").arg(workspace.path("messages.ndjson")).arg("--json");
    serde_json::from_str(&succeed(&mut command)).unwrap()
}

/// The output by the original's formula, where resistance counts `weight` times.
fn output(cadence: f64, resistance: f64, weight: f64) -> f64 {
    let raw = (cadence + 35.0) * (resistance * weight + 65.0) / 100.0;
    // Math.round(x + "e4") + "e-4"
    let scaled: f64 = format!("{raw}e4").parse().unwrap();
    format!("{}e-4", (scaled + 0.5).floor()).parse().unwrap()
}

/// A message.
fn message(racer: u32, second: u32, cadence: f64, resistance: f64, is_last: bool) -> Vec<u8> {
    let event = if is_last { "final" } else { "update" };
    let value = json!({
        "uuid": "a", "event": event, "deviceTimestamp": 1_620_566_842_000_u64 + u64::from(second) * 1_000,
        "second": second, "name": "Lou", "racerId": racer, "classId": 3, "raceId": 131,
        "cadence": cadence, "resistance": resistance,
    });
    serde_json::to_vec(&value).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[track_caller]
fn assert_near(found: &Value, expected: f64) {
    assert!((number(found) - expected).abs() < 1e-9, "{found} is not {expected}");
}

/// The value of this rank among sorted ones.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(percent * sorted.len()).div_ceil(100) - 1]
}

#[test]
fn resistance_that_counts_a_tenth_more_gives_the_differences_that_are_computed_by_hand() {
    require!(Plugins);
    let records = simulate("--racers 30 --seconds 40 --class 3 --race 131 --seed 5");
    let workspace = workspace(&records);
    workspace.write("next.toml", weighted(2, "1.1"));
    let found = replay(&workspace, "next.toml", "class-3@1", &["--racer", "105", "--limit", "3"]);
    assert_eq!((&found["records"], &found["raceTypes"]), (&json!(1_200), &json!(["3"])));
    assert_eq!((&found["rules"]["version"], &found["against"]["version"]), (&json!(2), &json!(1)));

    let mut by_hand: Vec<(f64, f64, u64)> = Vec::new();
    for record in &records {
        let value: Value = serde_json::from_slice(record).unwrap();
        let (cadence, resistance) = (number(&value["cadence"]), number(&value["resistance"]));
        let (before, after) = (output(cadence, resistance, 1.0), output(cadence, resistance, 1.1));
        by_hand.push((before, after, value["racerId"].as_u64().unwrap()));
    }
    let mut differences: Vec<f64> = by_hand.iter().map(|(before, after, _)| after - before).collect();
    differences.sort_by(f64::total_cmp);
    let scores = &found["scores"];
    assert_eq!((&scores["rows"], &scores["equal"], &scores["different"]), (&json!(1_200), &json!(0), &json!(1_200)));
    let figures = &scores["difference"];
    assert_near(&figures["min"], differences[0]);
    assert_near(&figures["max"], differences[1_199]);
    assert_near(&figures["mean"], differences.iter().sum::<f64>() / 1_200.0);
    for percent in [1, 5, 50, 95, 99] {
        assert_near(&figures[format!("p{percent}")], percentile(&differences, percent));
    }
    let largest = scores["largest"].as_array().unwrap();
    assert_eq!(largest.len(), 3);
    for (row, difference) in largest.iter().zip(differences.iter().rev()) {
        assert_near(&row["difference"], *difference);
        let at: usize = row["position"].as_str().unwrap().strip_prefix("messages.ndjson:").unwrap().parse().unwrap();
        let starts = records.iter().scan(0, |at, line| Some(std::mem::replace(at, *at + line.len() + 1)));
        let record = starts.collect::<Vec<usize>>().binary_search(&at).expect("a record begins there");
        let (before, after, racer) = by_hand[record];
        assert_eq!((number(&row["against"]), number(&row["rules"])), (before, after));
        assert_eq!(row["groups"][0], json!({ "PK": "race-3-131", "SK": format!("racer-{racer}") }));
    }

    let named = &found["named"][0];
    let ours: Vec<f64> =
        by_hand.iter().filter(|(.., racer)| *racer == 105).map(|(before, after, _)| after - before).collect();
    assert_eq!((&named["SK"], &named["scores"]["rows"]), (&json!("racer-105"), &json!(40)));
    assert_near(&named["scores"]["difference"]["mean"], ours.iter().sum::<f64>() / 40.0);
    // The last second of a racer decides the race and the class.
    let (before, after, _) = by_hand.iter().rev().find(|(.., racer)| *racer == 105).unwrap();
    assert_eq!(named["places"]["race"][0]["value"], json!({ "against": before, "rules": after }));
    assert_eq!(found["items"]["attributes"]["output"]["different"], 60, "30 in the race, 30 in the class");

    for cost in [&found["cost"]["rules"], &found["cost"]["against"]] {
        assert_eq!((&cost["rows"], &cost["failedRows"]), (&json!(1_200), &json!(0)));
        assert!(number(&cost["fuelPerRow"]) > 0.0 && number(&cost["nsPerRow"]) > number(&cost["pluginNsPerRow"]));
        assert_eq!(cost["fuelByPlugin"].as_object().unwrap().len(), 4);
    }
    let same = replay(&workspace, "class-3@1", "class-3@1", &[]);
    assert_eq!((&same["scores"]["equal"], &same["scores"]["largest"]), (&json!(1_200), &json!([])));
    assert_eq!((&same["items"]["equal"], &same["places"][1]["changed"]), (&json!(60), &json!(0)));
}

#[test]
fn records_that_only_one_of_the_rulebooks_rejects_are_counted_and_listed() {
    require!(Plugins);
    let records: Vec<Vec<u8>> = vec![
        message(1, 1, 60.0, 50.0, false),
        message(1, 2, 85.0, 50.0, false),
        message(2, 1, 95.0, 50.0, false),
        b"{".to_vec(),
        message(2, 2, 82.0, 50.0, true),
        String::from_utf8(message(3, 1, 60.0, 50.0, false)).unwrap().replace("\"classId\":3", "\"classId\":9").into(),
    ];
    let workspace = workspace(&records);
    workspace.write("strict.toml", bounded(2, 80));
    let found = replay(&workspace, "strict.toml", "class-3@1", &["--limit", "1"]);
    let rejections = &found["rejections"];
    assert_eq!(rejections["against"], json!({ "total": 2, "byCause": { "not-json": 1, "rejected": 1 } }));
    assert_eq!(rejections["rules"], json!({ "total": 4, "byCause": { "not-json": 1, "rejected": 3 } }));
    assert_eq!((&rejections["newlyRejected"]["count"], &rejections["newlyAccepted"]["count"]), (&json!(2), &json!(0)));
    let first = &rejections["newlyRejected"]["first"];
    assert_eq!(first.as_array().unwrap().len(), 1, "--limit 1");
    assert_eq!(first[0]["position"], format!("messages.ndjson:{}", records[0].len() + 1));
    assert_eq!(first[0]["text"], "cadence is 85, not within 30 and 80");
    assert_eq!(found["otherRaceTypes"], 1);
    assert_eq!(found["scores"]["rows"], 1, "both accept it");
    let back = replay(&workspace, "class-3@1", "strict.toml", &["--race-type", "3"]);
    assert_eq!(back["rejections"]["newlyAccepted"]["count"], 2);
    let text =
        succeed(command(&workspace, "strict.toml", "class-3@1", &["--from"]).arg(workspace.path("messages.ndjson")));
    assert!(text.contains("newly rejected: 2") && text.contains("rejected: cadence is 85, not within"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// Places after the last second. Racer 1 pedals fast, racer 2 pedals against much resistance, racers 3 and 4 in between.
#[test]
fn places_won_and_lost_are_those_of_the_leaderboard() {
    require!(Plugins);
    let last = [(1, 90.0, 40.0), (2, 50.0, 80.0), (3, 60.0, 50.0), (4, 70.0, 60.0)];
    let records: Vec<Vec<u8>> =
        last.iter().map(|(racer, cadence, resistance)| message(*racer, 2, *cadence, *resistance, true)).collect();
    let workspace = workspace(&records);
    workspace.write("next.toml", weighted(2, "2"));
    let found = replay(&workspace, "next.toml", "class-3@1", &["--racer", "4"]);
    let ranks = |weight: f64| {
        let mut order: Vec<(u32, f64)> =
            last.iter().map(|(racer, cadence, resistance)| (*racer, output(*cadence, *resistance, weight))).collect();
        order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        order.into_iter().map(|(racer, _)| racer).collect::<Vec<u32>>()
    };
    assert_eq!((ranks(1.0), ranks(2.0)), (vec![1, 4, 2, 3], vec![4, 2, 1, 3]));
    let race = found["places"].as_array().unwrap().iter().find(|places| places["leaderboard"] == "race").unwrap();
    assert_eq!((&race["boards"], &race["changed"], &race["otherFirst"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!((&race["up"], &race["down"], &race["appeared"]), (&json!(2), &json!(1), &json!(0)));
    let moves: Vec<(&str, u64, u64)> = race["moves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            let place = |name: &str| found[name].as_u64().unwrap();
            (found["SK"].as_str().unwrap(), place("from"), place("to"))
        })
        .collect();
    assert_eq!(moves, [("racer-1", 1, 3), ("racer-2", 3, 2), ("racer-4", 2, 1)], "the largest move first");
    let value = json!({ "against": output(90.0, 40.0, 1.0), "rules": output(90.0, 40.0, 2.0) });
    assert_eq!(race["moves"][0]["value"], value);
    assert_eq!(found["named"][0]["places"]["class"][0]["from"], 2);
    // `paceline leaderboard` shows the same places.
    workspace.run();
    let board = workspace.json(&["leaderboard", "--class", "3", "--race", "131"]);
    let shown: Vec<u64> = board.as_array().unwrap().iter().map(|row| row["racerId"].as_u64().unwrap()).collect();
    assert_eq!(shown, [1, 4, 2, 3]);
}
