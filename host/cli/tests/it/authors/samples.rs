//! The race of a new project, by the commands of its README: what the rule judges there is what its file of expectations has.

use std::collections::BTreeMap;
use std::path::Path;

use paceline_testbed::environment::checkout;
use serde_json::{Value, json};

use super::in_project;
use crate::support::succeed;

/// The commands of the guide and of the project's README. They name no file outside the project.
pub(super) const RACE: [&str; 3] = [
    "paceline rules apply race/rulebooks --config race/paceline.toml",
    "paceline run --config race/paceline.toml",
    "paceline leaderboard --config race/paceline.toml --class 1 --race 1",
];

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a command of the guide prints, in the project's folder.
fn run(folder: &Path, line: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_paceline")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let path = [program.to_owned()].into_iter().chain(std::env::split_paths(&path));
    let mut command = in_project(folder, "sh", &["-c", line]);
    command.env("PATH", std::env::join_paths(path).unwrap());
    succeed(command.env("PACELINE_CACHE", checkout().join("target/tmp/compiled")))
}

/// Runs the race, and asserts that it is judged by the rule.
pub(super) fn pass(folder: &Path, kind: &str) {
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let missing: Vec<&str> = RACE.into_iter().filter(|line| !readme.contains(&format!("\n{line}\n"))).collect();
    assert!(missing.is_empty(), "the README has no {missing:?}");
    let guide = std::fs::read_to_string(checkout().join("docs/plugins.md")).unwrap();
    assert!(guide.contains(&RACE.join("\n   ")), "the guide has other commands");
    let json = |line: &str| -> Value { serde_json::from_str(&run(folder, &format!("{line} --json"))).unwrap() };

    run(folder, RACE[0]);
    let summary = json(RACE[1]);
    let expected = lines(&folder.join("expected.ndjson"));
    let refused = |line: &&Value| line.get("rejected").or(line.get("unreadable")).is_some();
    assert_eq!(summary["deadLetters"], expected.iter().filter(refused).count(), "{summary}");
    assert_eq!(summary["records"], lines(&folder.join("events.ndjson")).len(), "{summary}");

    let standings = json(RACE[2]);
    let standings = standings.as_array().unwrap();
    let racer = |row: &Value| (row["racerId"].as_i64().unwrap(), row.clone());
    let found: BTreeMap<i64, Value> = standings.iter().map(racer).collect();
    match kind {
        "aggregator" => assert_eq!(found, outputs(&expected)),
        _ => assert_eq!(without_energy(&found), without_energy(&energies(folder, &expected))),
    }
    if kind == "scorer" {
        assert_eq!(found, energies(folder, &expected));
    }
    let by = if kind == "aggregator" { "output" } else { "energy" };
    let order: Vec<f64> = standings.iter().map(|row| row[by].as_f64().unwrap()).collect();
    assert!(order.is_sorted_by(|one, next| one >= next) && order[0] > 0.0, "{standings:?}");
    // A person's way to look at it.
    let shown = run(folder, RACE[2]);
    assert!(shown.starts_with("#  racerId") && shown.lines().all(|line| line.len() <= 80), "{shown}");
}

/// The outputs of each group.
fn outputs(expected: &[Value]) -> BTreeMap<i64, Value> {
    let group = |line: &Value| {
        let racer: i64 = line["group"].as_str().unwrap().parse().unwrap();
        let mut outputs = line["outputs"].clone();
        outputs["racerId"] = racer.into();
        (racer, outputs)
    };
    expected.iter().map(group).collect()
}

/// What `examples/rules/energy` makes of the records that the rule accepts or scores.
fn energies(folder: &Path, expected: &[Value]) -> BTreeMap<i64, Value> {
    let mut racers = BTreeMap::<i64, (i64, i64, i64)>::new();
    for (event, expected) in lines(&folder.join("events.ndjson")).iter().zip(expected) {
        if expected.get("rejected").or(expected.get("unreadable")).is_some() {
            continue;
        }
        let racer = racers.entry(event["racerId"].as_i64().unwrap()).or_default();
        racer.0 += (expected["score"].as_f64().unwrap_or_default() * 1e4).round() as i64;
        racer.1 += 1;
        racer.2 = racer.2.max(event["second"].as_i64().unwrap());
    }
    let row = |(racer, (parts, records, second)): (i64, (i64, i64, i64))| {
        let energy = parts as f64 / 1e4 / 1e3;
        (racer, json!({ "racerId": racer, "energy": energy, "records": records, "second": second }))
    };
    racers.into_iter().map(row).collect()
}

/// A validator's race has the scores of another rule.
fn without_energy(rows: &BTreeMap<i64, Value>) -> BTreeMap<i64, Value> {
    let mut rows = rows.clone();
    rows.values_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("energy")));
    rows
}
