//! `paceline plugin test`: sample events through a plugin in the sandbox, against expected results, with the bill.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use paceline_testbed::outcome::block_on;
use paceline_testbed::{kinesis, require};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{DedupMode, Workspace, fail, joined, paceline, simulate, succeed};

/// A folder with a plugin and events.
struct Folder(TempDir);

impl Folder {
    fn new(plugin: &str, events: impl AsRef<[u8]>) -> Self {
        let folder = Self(TempDir::new().unwrap());
        std::fs::copy(paceline_testbed::plugins::file(plugin), folder.0.path().join("plugin.wasm")).unwrap();
        folder.write("events.ndjson", events);
        folder
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn test(&self, arguments: &[&str]) -> Command {
        let mut command = paceline(&["plugin", "test"]);
        command.arg(self.0.path().join("plugin.wasm")).args(arguments);
        command
    }
}

const EFFORTS: &str = r#"{"cadence": 81, "resistance": 79}

{"cadence": "fast", "resistance": 79}
{"cadence": 62, "resistance": 68.6}
"#;

#[test]
fn only_results_that_differ_are_shown() {
    require!(Plugins);
    let folder = Folder::new("output", EFFORTS);
    folder.write(
        "expected.ndjson",
        "{\"line\": 1, \"score\": 167.04}\n{\"line\": 4, \"score\": 130}\n{\"line\": 5, \"score\": 1}\n",
    );
    let shown = fail_with_output(&mut folder.test(&[]));
    let differences: Vec<Vec<&str>> = shown
        .lines()
        .skip_while(|line| !line.contains("expected  found"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(differences[0][..4], ["line", "3", "unreadable", "-"], "{shown}");
    assert!(shown.contains("the field `/cadence` is a text at byte 12, not a number"), "{shown}");
    assert_eq!(differences[1], ["line", "4", "score", "130", "129.592"], "{shown}");
    assert_eq!(differences[2], ["line", "5", "score", "1", "-"], "{shown}");
    assert_eq!(differences.len(), 3, "{shown}");
    assert!(!shown.contains("167.04"), "what is as expected is not shown: {shown}");
}

#[test]
fn a_difference_that_the_expectation_allows_is_none() {
    require!(Plugins);
    let folder = Folder::new("output", "{\"cadence\": 81, \"resistance\": 79}\n");
    folder.write("expected.ndjson", "{\"line\": 1, \"score\": 167, \"within\": 0.1}\n");
    succeed(&mut folder.test(&[]));
    folder.write("expected.ndjson", "{\"line\": 1, \"score\": 167, \"within\": 0.01}\n");
    fail_with_output(&mut folder.test(&[]));
}

#[test]
fn results_can_be_written_and_are_as_expected_then() {
    require!(Plugins);
    let folder = Folder::new("telemetry", joined(&simulate("--racers 1 --seconds 9 --class 3 --race 131 --seed 1")));
    let error = fail(&mut folder.test(&[]));
    assert!(error.contains("`paceline plugin test --update` writes the results there"), "{error}");
    succeed(&mut folder.test(&["--update"]));
    assert_eq!(folder.read("expected.ndjson").lines().next(), Some(r#"{"accepted":true,"line":1}"#));
    let shown = succeed(&mut folder.test(&[]));
    assert!(shown.contains("9 results, all as in "), "{shown}");
    // The same plugin with another setting gives other results.
    let shown = fail_with_output(&mut folder.test(&["--setting", "max-cadence=1"]));
    assert!(shown.contains("rejected") && shown.contains("not within"), "{shown}");
}

#[test]
fn an_aggregator_is_tested_by_its_groups() {
    require!(Plugins);
    let events = r#"{"event": "update", "second": 1, "deviceTimestamp": 1, "racerId": 7, "points": 10.5}
{"event": "final", "second": 2, "deviceTimestamp": 2, "racerId": 7, "points": 12}
{"event": "update", "second": 1, "deviceTimestamp": 1, "racerId": 8, "points": 9}
"#;
    let folder = Folder::new("last-output", events);
    let by = ["--group", "/racerId", "--score", "/points"];
    succeed(folder.test(&by).arg("--update"));
    let lines: Vec<Value> =
        folder.read("expected.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["group"], "7");
    assert_eq!(
        lines[0]["outputs"],
        json!({"final": 12.0, "finished": true, "output": 12.0, "second": 2, "seconds": 2, "ts": 2})
    );
    // A number that is not finite is not written: there is no result yet.
    assert_eq!(lines[1]["outputs"], json!({"finished": false, "output": 9.0, "second": 1, "seconds": 1, "ts": 1}));
    let shown = succeed(folder.test(&by).arg("--json"));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["differences"], json!([]));
    let rows: Vec<u64> = shown["bill"].as_array().unwrap().iter().map(|cost| cost["rows"].as_u64().unwrap()).collect();
    assert_eq!(rows, [1, 100, 1_000, 10_000]);
    assert!(shown["bill"][3]["stateBytes"].as_u64() > shown["bill"][0]["stateBytes"].as_u64(), "{shown}");
}

#[test]
fn a_plugin_beyond_a_bound_is_measured_and_reported() {
    require!(Plugins);
    let folder = Folder::new("telemetry", joined(&simulate("--racers 1 --seconds 9 --class 3 --race 131 --seed 1")));
    folder.write("host.toml", configuration("fuel-per-row = 100\nfuel-per-byte = 1\nfuel-per-call = 20_000\n"));
    let config = folder.0.path().join("host.toml");
    succeed(folder.test(&["--update", "--config"]).arg(&config));
    let shown = succeed(folder.test(&["--config"]).arg(&config));
    assert!(shown.contains("at 10,000 rows a call needs ") && shown.contains(" times its fuel"), "{shown}");
    assert!(shown.contains("raise fuel-per-row") && shown.contains("`--limit fuel-per-row=VALUE`"), "{shown}");
    // The second line has a path of this machine.
    assert!(shown.lines().enumerate().all(|(at, line)| at == 1 || line.chars().count() <= 80), "{shown}");
    // The advice can be tried before a rulebook has it.
    let enough = ["--limit", "fuel-per-row=20_000", "--limit", "fuel-per-call=2_000_000", "--config"];
    let shown = succeed(folder.test(&enough).arg(&config));
    assert!(!shown.contains(" times its fuel"), "{shown}");
    let error = fail(folder.test(&["--limit", "fuel-per-row=2_000_000", "--config"]).arg(&config));
    assert!(error.contains("`fuel-per-row` is 2000000; at most ") && error.contains("limits.ceilings"), "{error}");
    let error = fail(&mut folder.test(&["--limit", "fuel=1"]));
    assert!(error.contains("unknown field `fuel`, expected one of `memory-bytes`"), "{error}");
}

#[test]
fn an_event_on_which_a_plugin_fails_is_shown_with_what_the_plugin_reads_of_it() {
    require!(Plugins);
    let events = "{\"cadence\": 81, \"resistance\": 79}\n{\"cadence\": 66, \"resistance\": 2.5, \"name\": \"ann\"}\n";
    let folder = Folder::new("evil-scorer", events);
    let deed = ["--setting", "deed=trap-on-row"];
    let updated = succeed(folder.test(&deed).arg("--update"));
    assert!(
        updated.contains("expected.ndjson  2 results, of them 1 failed\n\nline 2 fails: the plugin trapped"),
        "{updated}"
    );
    let shown = succeed(&mut folder.test(&deed));
    let fields = "\nThe plugin reads of it:\n  /cadence     66\n  /resistance  2.5\n";
    assert!(shown.contains("\nline 2 fails: the plugin trapped") && shown.contains(fields), "{shown}");
    assert!(!shown.contains("ann"), "{shown}");
    let shown: Value = serde_json::from_str(&succeed(folder.test(&deed).arg("--json"))).unwrap();
    let fields = json!({ "/cadence": "66", "/resistance": "2.5" });
    assert_eq!((&shown["failed"][0]["line"], &shown["failed"][0]["fields"]), (&json!(2), &fields));
    let why = shown["failed"][0]["failed"].as_str().unwrap();
    assert!(why.contains("the plugin trapped"), "{why}");
}

#[test]
fn events_of_which_the_plugin_can_read_none_are_no_test() {
    require!(Plugins);
    let folder = Folder::new("output", "{\"cadense\": 81, \"resistance\": 79}\n");
    let error = fail(folder.test(&[]).arg("--update"));
    assert!(error.contains("can read none of the events; line 1: the field `/cadence` is missing"), "{error}");
    assert!(!folder.0.path().join("expected.ndjson").exists());
}

#[test]
fn a_setting_that_the_plugin_does_not_ask_for_is_refused() {
    require!(Plugins);
    let folder = Folder::new("telemetry", EFFORTS);
    let error = fail(&mut folder.test(&["--setting", "max-cadnce=90"]));
    assert!(error.contains("asks for no setting `max-cadnce`; it asks for: `events`, `max-cadence`"), "{error}");
    let error = fail(&mut folder.test(&["--setting", "max-cadence=fast"]));
    assert!(error.contains("Give settings by `--setting NAME=VALUE` or `--rulebook FILE`"), "{error}");
}

#[test]
fn calls_that_are_measured_log_nothing() {
    require!(Plugins);
    let folder = Folder::new("evil-scorer", "{\"cadence\": 81, \"resistance\": 79}\n");
    let deed = ["--setting", "deed=log"];
    let output = folder.test(&deed).arg("--update").output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && log.contains(" plugin:"), "{log}");
    assert!(log.matches("more lines dropped").count() <= 1, "{log}");
}

#[test]
fn a_profile_names_the_functions_that_take_the_time() {
    require!(Plugins);
    let folder = Folder::new("output", EFFORTS);
    succeed(&mut folder.test(&["--update"]));
    let shown: Value = serde_json::from_str(&succeed(&mut folder.test(&["--profile", "--json"]))).unwrap();
    let profile = &shown["profile"];
    assert!(profile["samples"].as_u64().unwrap() > 0, "{profile}");
    let functions = profile["functions"].as_array().unwrap();
    let name = functions[0]["function"].as_str().unwrap();
    // Not a number: the component has names.
    assert!(!name.starts_with("function ") && functions[0]["own"].as_f64().unwrap() > 0.0, "{profile}");
    let shown = succeed(&mut folder.test(&["--profile"]));
    assert!(shown.contains("own") && shown.contains("with calls") && shown.contains(name), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

#[test]
fn events_that_are_none_and_expectations_in_another_form_are_refused() {
    require!(Plugins);
    let folder = Folder::new("output", "\n\n");
    let error = fail(&mut folder.test(&[]));
    assert!(error.contains("events.ndjson has no events"), "{error}");
    folder.write("events.ndjson", EFFORTS);
    for (line, why) in [
        ("{\"line\": 1", "line 2: not a JSON object: "),
        ("{\"score\": 1}", "line 2: a result has either `line`, of its event, or `group`"),
        ("{\"line\": \"1\", \"score\": 1}", "line 2: `line` is not the number of a line"),
        ("{\"line\": 1, \"score\": 2}", "line 2: a second result of line 1"),
        ("{\"line\": 3, \"score\": 2, \"within\": \"much\"}", "line 2: `within` is not a number"),
    ] {
        folder.write("expected.ndjson", format!("{{\"line\": 1, \"score\": 167.04}}\n{line}\n"));
        let error = fail(&mut folder.test(&[]));
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn a_watched_plugin_is_tested_again_when_a_file_changes() {
    require!(Plugins);
    let folder = Folder::new("output", "{\"cadence\": 81, \"resistance\": 79}\n");
    folder.write("expected.ndjson", "{\"line\": 1, \"score\": 1}\n");
    let mut watching = folder.test(&["--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let mut wait_for = |words: &str| assert!(lines.any(|line| line.contains(words)), "{words}");
    wait_for("1 difference from");
    folder.write("expected.ndjson", "{\"line\": 1");
    wait_for("not a JSON object");
    folder.write("expected.ndjson", "{\"line\": 1, \"score\": 167.04}\n");
    wait_for("1 result, all as in");
    std::fs::copy(paceline_testbed::plugins::file("telemetry"), folder.0.path().join("plugin.wasm")).unwrap();
    wait_for("can read none of the events");
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn events_are_recorded_from_dead_letters_without_what_no_plugin_reads() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let lines = simulate("--racers 2 --seconds 5 --class 3 --race 131 --seed 1");
    let broken = lines.iter().enumerate().map(|(at, line)| match at % 2 {
        0 => String::from_utf8(line.clone()).unwrap().replacen("\"cadence\":", "\"cadence\":1", 1).into_bytes(),
        _ => line.clone(),
    });
    let broken: Vec<Vec<u8>> = broken.chain([b"{\"classId\":3,".to_vec()]).collect();
    workspace.write("messages.ndjson", joined(&broken));
    workspace.run();
    assert!(workspace.dead_letters().len() > 2, "some are rejected, and one is not JSON");
    let record = |out: &str, arguments: &[&str]| {
        let mut command = paceline(&["plugin", "record"]);
        command.arg(paceline_testbed::plugins::file("telemetry")).arg("--config").arg(workspace.path("paceline.toml"));
        command.args(["--from", "dead-letters", "--out"]).arg(workspace.path(out)).args(arguments);
        command
    };
    let shown = succeed(&mut record("events.ndjson", &["--keep", "/racerId"]));
    assert!(shown.contains("left out, not JSON objects: 1"), "{shown}");
    let events = std::fs::read_to_string(workspace.path("events.ndjson")).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!events.is_empty());
    for event in &events {
        let members: Vec<&String> = event.as_object().unwrap().keys().collect();
        assert_eq!(members, ["cadence", "event", "racerId", "resistance", "second"], "{event}");
    }
    // They are what the plugin rejected.
    let tested = paceline(&["plugin", "test"])
        .arg(paceline_testbed::plugins::file("telemetry"))
        .args(["--update", "--events"])
        .arg(workspace.path("events.ndjson"))
        .output()
        .unwrap();
    assert!(tested.status.success());
    let results = std::fs::read_to_string(workspace.path("expected.ndjson")).unwrap();
    assert!(results.lines().all(|line| line.contains("rejected")), "{results}");
    let error = fail(&mut record("events.ndjson", &[]));
    assert!(error.contains("events.ndjson exists already: name another file with --out"), "{error}");
    let error = fail(&mut record("other.ndjson", &["--reason", "bad-score"]));
    assert!(error.contains("there are no records with the reason `bad-score`"), "{error}");
    let none = record("none.ndjson", &["--max-events", "0"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2), "{}", String::from_utf8_lossy(&none.stderr));
    succeed(&mut record("some.ndjson", &["--max-events", "1"]));
    assert_eq!(std::fs::read_to_string(workspace.path("some.ndjson")).unwrap().lines().count(), 1);
}

/// The command that records ten events, and what it wrote.
fn recorded(workspace: &Workspace, from: &str, arguments: &[&str]) -> (String, Vec<Value>) {
    let out = workspace.path("recorded.ndjson");
    let mut command = paceline(&["plugin", "record"]);
    command.arg(paceline_testbed::plugins::file("output")).arg("--config").arg(workspace.path("paceline.toml"));
    command.args(["--from", from, "--out"]).arg(&out).args(arguments);
    if from == "stream" {
        command.env("AWS_ENDPOINT_URL_KINESIS", kinesis::endpoint()).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    }
    let shown = succeed(&mut command);
    let text = std::fs::read_to_string(&out).unwrap();
    std::fs::remove_file(out).unwrap();
    (shown, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// What the scorer `output` reads of the messages, each once: messages that differ in nothing that it reads are one event.
fn read_by_output(messages: &[Vec<u8>]) -> Vec<Value> {
    let of = |message: &Vec<u8>| {
        let message: Value = serde_json::from_slice(message).unwrap();
        json!({ "cadence": message["cadence"], "resistance": message["resistance"] })
    };
    let mut read: Vec<Value> = Vec::new();
    for event in messages.iter().map(of) {
        if !read.contains(&event) {
            read.push(event);
        }
    }
    read
}

#[test]
fn events_are_recorded_from_a_file() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let messages = simulate("--racers 1 --seconds 12 --class 3 --race 131 --seed 1");
    // A message that comes again is no other event, and what is no JSON object has no members.
    let lines = [&messages[..], &messages[..3], &[b"[1]".to_vec()]].concat();
    workspace.write("some.ndjson", joined(&lines));
    let file = workspace.path("some.ndjson").display().to_string();
    let (shown, events) = recorded(&workspace, &file, &[]);
    let expected = read_by_output(&messages);
    assert!(shown.contains(&format!("{} events; left out, not JSON objects: 1", expected.len())), "{shown}");
    assert_eq!(events, expected);
    assert_eq!(recorded(&workspace, &file, &["--max-events", "5"]).1, expected[..5]);
}

#[test]
fn events_are_recorded_from_a_stream() {
    require!(Plugins, KinesisLocal);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let messages = simulate("--racers 1 --seconds 12 --class 3 --race 131 --seed 1");
    let stream = block_on(kinesis::TestStream::new("recorded", 1));
    let keyed: Vec<(String, Vec<u8>)> = messages.iter().map(|message| ("key".to_owned(), message.clone())).collect();
    block_on(stream.put(keyed));
    let source = format!("[source.kinesis]\nstream = \"{}\"\nidle-ms = 200\n", stream.name());
    workspace.configure(&source, "");
    let expected = read_by_output(&messages);
    assert_eq!(recorded(&workspace, "stream", &[]).1, expected);
    assert_eq!(recorded(&workspace, "stream", &["--since", "1h", "--max-events", "5"]).1, expected[..5]);
    assert!(!workspace.path("store.redb").exists(), "there is no checkpoint");
}

fn configuration(limits: &str) -> String {
    format!(
        "[source]\nfile = \"x\"\n[route]\nrace-type = \"/classId\"\n[rules]\nregistry = \"rules\"\n[store]\npath = \
         \"store\"\n[limits]\n{limits}"
    )
}

/// Standard output of a command that has to fail.
fn fail_with_output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}
