//! The sample events of a project give what its file of expectations has, in a rulebook.

use std::path::Path;

use paceline_pipeline::model::{Attribute, Key};
use paceline_testbed::plugins;
use serde_json::{Value, json};

use crate::support::{DedupMode, Workspace, joined, succeed};

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asserts that they do.
pub(super) fn pass(folder: &Path, kind: &str) {
    let component = folder.join("my-rule.wasm");
    let (events, expected) = (lines(&folder.join("events.ndjson")), lines(&folder.join("expected.ndjson")));
    match kind {
        "aggregator" => groups(&component, events, &expected),
        _ => records(&component, kind, &events, &expected),
    }
}

/// Each record gives a score, or the reason to reject it.
fn records(component: &Path, kind: &str, events: &[Value], expected: &[Value]) {
    let workspace = Workspace::new(DedupMode::Ordinal);
    let role = if kind == "scorer" { "[score]" } else { "[[validate]]" };
    let key = "key = { PK = \"race\", SK = \"racer-{/racerId}\" }\ndedup = \"sequence\"";
    let last = "[[aggregate]]\nplugin = \"best\"";
    workspace
        .write("flat.toml", format!("name = \"flat\"\nversion = 1\n\n{role}\nplugin = \"mine\"\n\n{last}\n{key}\n"));
    assert_eq!(events.len(), expected.len());
    let mut samples = String::new();
    for (line, (event, expected)) in events.iter().zip(expected).enumerate() {
        assert_eq!(expected["line"], line + 1);
        let mut event = event.clone();
        // What the aggregator reads, without which a rulebook would write nothing.
        event["event"] = "final".into();
        event["raceId"] = 1.into();
        event["deviceTimestamp"] = 1.into();
        let reason = expected.get("rejected").or(expected.get("unreadable"));
        let expect = match (reason, expected.get("score")) {
            (Some(reason), _) => {
                // The event has other members here, so that the byte is another one.
                json!({ "rejected": reason.as_str().unwrap().split(" at byte").next() })
            }
            (None, Some(score)) => json!({ "score": score }),
            (None, None) => {
                assert_eq!(expected["accepted"], true);
                json!({ "rejected": false })
            }
        };
        samples.push_str(&format!("{}\n", json!({ "event": event, "expect": expect })));
    }
    workspace.write("flat.samples.ndjson", samples);
    std::fs::create_dir(workspace.path("plugins")).unwrap();
    std::fs::copy(component, workspace.path("plugins/mine.wasm")).unwrap();
    std::fs::copy(plugins::file("best-output"), workspace.path("plugins/best.wasm")).unwrap();
    let mut publish = workspace.command(&["rules", "publish"]);
    publish.arg(workspace.path("flat.toml")).arg("--plugins").arg(workspace.path("plugins"));
    succeed(&mut publish);
}

/// Each group has the outputs.
fn groups(component: &Path, mut events: Vec<Value>, expected: &[Value]) {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write(
        "rulebooks/class-3.toml",
        format!(
            "name = \"flat\"\nversion = 1\n\n[score]\nplugin = \"output\"\n\n[[aggregate]]\nplugin = {component:?}\n\
             key = {{ PK = \"race\", SK = \"{{/racerId}}\" }}\ndedup = \"sequence\"\n"
        ),
    );
    for event in &mut events {
        // What the scorer `output` gives this score for.
        event["cadence"] = (event["score"].as_f64().unwrap() - 35.0).into();
        event["resistance"] = 35.into();
        event["classId"] = 3.into();
    }
    let lines: Vec<Vec<u8>> = events.iter().map(|event| event.to_string().into_bytes()).collect();
    workspace.write("messages.ndjson", joined(&lines));
    workspace.run();
    let items = workspace.items();
    for group in expected {
        let key = Key::new("race", group["group"].as_str().unwrap());
        for (name, value) in group["outputs"].as_object().unwrap() {
            let found = items[&key].attributes.iter().find(|(written, _)| **written == **name);
            let found = found.map(|(_, attribute)| match attribute {
                Attribute::Integer(value) => json!(value),
                Attribute::Number(value) => json!(value),
                other => panic!("{other:?}"),
            });
            assert_eq!(found.as_ref(), Some(value), "{name} of {key:?}");
        }
    }
    assert_eq!(items.len(), expected.len());
}
