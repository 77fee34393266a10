//! The rules in `examples/rules`: each gives what its file expects, and a stream with races of all of them goes by theirs.

use paceline_pipeline::model::{Attribute, Key};
use paceline_testbed::environment::checkout;
use paceline_testbed::require;
use serde_json::{Value, json};

use crate::support::{DedupMode, Workspace, joined, paceline, succeed};

/// A rule, and the fields that tell the groups of its events apart and have their scores.
const RULES: [(&str, &[&str]); 5] = [
    ("climb", &[]),
    ("handicap", &[]),
    ("energy", &["--group", "/racerId", "--score", "/output"]),
    ("sprint", &["--group", "/racerId", "--score", "/output"]),
    ("history", &["--group", "/classId", "--score", "/output"]),
];

#[test]
fn each_rule_gives_what_its_file_expects_and_keeps_the_laws() {
    require!(Plugins);
    for (rule, grouping) in RULES {
        let folder = checkout().join("examples/rules").join(rule);
        let on_events = |action: &str| {
            let mut command = paceline(&["plugin", action]);
            command.arg(paceline_testbed::plugins::file(rule)).args(grouping);
            command.arg("--events").arg(folder.join("events.ndjson"));
            command
        };
        let tested = succeed(on_events("test").arg("--expect").arg(folder.join("expected.ndjson")));
        assert!(tested.contains("results, all as in"), "{rule}: {tested}");
        let verified = succeed(on_events("verify").args(["--cases", "30"]));
        assert!(verified.contains("laws kept"), "{rule}: {verified}");
    }
}

#[test]
fn a_stream_with_races_of_all_rules_goes_by_theirs() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let mut messages = Vec::new();
    for class in ["climb", "handicap", "sprint", "history"] {
        for second in 1..=30 {
            messages.push(json!({
                "event": if second == 30 { "final" } else { "update" },
                "deviceTimestamp": second * 1000, "second": second, "raceId": 131, "racerId": 1, "classId": class,
                // (65 + 35) * (80 + 65) / 100 = 145; with the resistance above 60 twice, 165.
                "cadence": 65, "resistance": 80, "personalBest": 290,
            }));
        }
    }
    let lines: Vec<Vec<u8>> = messages.iter().map(|message: &Value| message.to_string().into_bytes()).collect();
    workspace.write("messages.ndjson", joined(&lines));
    let config = workspace.path("paceline.toml");
    let rulebooks = checkout().join("examples/rules/rulebooks");
    succeed(paceline(&["rules", "apply"]).arg(&rulebooks).arg("--config").arg(&config));
    succeed(paceline(&["run", "--config"]).arg(&config));
    let items = workspace.items();
    let attribute = |partition: &str, sort: &str, name: &str| {
        let item = &items[&Key::new(partition, sort)];
        item.attribute(name).cloned()
    };
    let number = |value| Some(Attribute::Number(value));
    assert_eq!(attribute("race-climb-131", "racer-1", "final"), number(165.0));
    assert_eq!(attribute("race-climb-131", "energy-1", "energy"), number(4.95));
    assert_eq!(attribute("race-handicap-131", "racer-1", "final"), number(50.0));
    assert_eq!(attribute("race-sprint-131", "racer-1", "sprint"), number(145.0));
    assert_eq!(attribute("race-sprint-131", "racer-1", "second"), Some(Attribute::Integer(20)));
    assert_eq!(attribute("class-history", "history", "best"), number(145.0));
    assert_eq!(items.len(), 5, "{items:#?}");
}
