//! `paceline doctor` against moto's services: what it reads, and what it does without permissions and under throttling.

pub(crate) mod deployment;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use paceline_testbed::require;
use serde_json::Value;

use crate::support::{DedupMode, Workspace, joined, paceline, simulate};
use deployment::Deployment;

/// The program with an access key, which chooses moto's failures.
fn doctor(deployment: &Deployment, access_key: &str, arguments: &[&str]) -> Command {
    let mut command = paceline(&["doctor"]);
    command.args(arguments).args(["--region", "us-east-1"]);
    command.env("AWS_ENDPOINT_URL", deployment.endpoint()).env("AWS_ACCESS_KEY_ID", access_key);
    command
}

fn output(mut command: Command) -> Output {
    command.output().unwrap()
}

fn document(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    })
}

/// The history that a run records.
fn recorded(deployment: &Deployment, access_key: &str, arguments: &[&str]) -> (Output, Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.json");
    let mut command = doctor(deployment, access_key, arguments);
    command.arg("--json").arg("--record").arg(&file);
    let output = output(command);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output, serde_json::from_str(&text).unwrap())
}

/// The sum of a metric's points in a history.
fn sum(history: &Value, namespace: &str, name: &str, statistic: &str) -> f64 {
    let series = history["series"].as_array().unwrap().iter().filter(|series| {
        series["metric"]["namespace"] == namespace
            && series["metric"]["name"] == name
            && series["statistic"] == statistic
            && series["dimensions"].get("GlobalSecondaryIndexName").is_none()
    });
    let points = series.flat_map(|series| series["points"].as_array().unwrap().iter());
    points.map(|point| point[1].as_f64().unwrap()).sum()
}

fn checks<'a>(document: &'a Value, of: &str) -> Vec<&'a str> {
    let list = document[of].as_array().unwrap_or_else(|| panic!("no `{of}`: {document:#}"));
    list.iter().map(|entry| entry["check"].as_str().unwrap()).collect()
}

#[test]
fn the_function_leads_to_everything_else() {
    require!(Moto);
    let deployment = Deployment::create();
    deployment.put("AWS/Kinesis", "IncomingRecords", &[("StreamName", deployment.name())], 60_000.0);
    deployment.put("AWS/Lambda", "Duration", &[("FunctionName", deployment.name())], 14_000.0);
    deployment.put("AWS/DynamoDB", "ConsumedWriteCapacityUnits", &[("TableName", deployment.name())], 1_200.0);
    deployment.put("paceline", "UncommittedBatches", &[("function", deployment.name())], 3.0);
    let (_, history) = recorded(&deployment, "test", &["--function", deployment.name()]);

    assert_eq!(history["stream"]["name"], deployment.name(), "{history:#}");
    assert_eq!(history["stream"]["shards"].as_array().unwrap().len(), 1);
    assert_eq!(history["stream"]["shards"][0]["share"], 1.0);
    assert_eq!(history["function"]["timeout-seconds"], 15);
    let mapping = &history["function"]["mappings"][0];
    assert_eq!(mapping["batch-size"], 1_000);
    assert_eq!(mapping["reports-failures"], true);
    assert_eq!(mapping["retries"], 3);
    let tables = history["tables"].as_array().unwrap();
    let table = tables.iter().find(|table| table["name"] == deployment.name()).unwrap();
    assert_eq!(table["capacity"]["provisioned"]["write"], 20, "{history:#}");
    assert_eq!(table["indexes"][0]["capacity"]["provisioned"]["write"], 10);
    assert_eq!(tables.len(), 2, "the table of dead letters is in the function's environment: {history:#}");
    assert!(history["dead-letters"]["queue"]["url"].as_str().unwrap().ends_with(deployment.name()), "{history:#}");
    assert_eq!(sum(&history, "kinesis", "IncomingRecords", "sum"), 60_000.0);
    assert_eq!(sum(&history, "lambda", "Duration", "maximum"), 14_000.0);
    assert_eq!(sum(&history, "dynamodb", "ConsumedWriteCapacityUnits", "sum"), 1_200.0);
    assert_eq!(sum(&history, "function", "UncommittedBatches", "sum"), 3.0);
    assert_eq!(history["unavailable"], Value::Null, "{history:#}");
}

#[test]
fn throttled_requests_are_read_by_operation() {
    require!(Moto);
    let deployment = Deployment::create();
    let of = [("TableName", deployment.name()), ("Operation", "BatchExecuteStatement")];
    deployment.put("AWS/DynamoDB", "ThrottledRequests", &of, 90.0);
    let (output, history) = recorded(&deployment, "test", &["--function", deployment.name()]);
    assert_eq!(sum(&history, "dynamodb", "ThrottledRequests", "sum"), 90.0);
    let report = document(&output);
    let found = &report["findings"][0];
    assert_eq!(found["check"], "write-throttles", "{report:#}");
    assert_eq!(found["evidence"][0]["what"], "ThrottledRequests", "{report:#}");
}

/// Each metric of a shard is billed.
#[test]
fn of_many_shards_the_metrics_of_100_are_read_and_the_others_are_counted() {
    require!(Moto);
    let deployment = Deployment::create();
    let many = deployment.many_shards(103);
    let (output, history) = recorded(&deployment, "test", &["--stream", &many]);
    let series = history["series"].as_array().unwrap().iter();
    let of_shards = series.filter(|series| series["dimensions"].get("ShardId").is_some());
    assert_eq!(of_shards.count(), 100, "one metric is on");
    let unavailable = history["unavailable"].as_array().unwrap();
    assert_eq!(unavailable.len(), 1, "{unavailable:#?}");
    assert_eq!(unavailable[0]["what"], "metrics by shard of 3 more shards");
    assert!(unavailable[0]["reason"].as_str().unwrap().ends_with("3 of the others are open"), "{unavailable:#?}");
    assert_eq!(document(&output)["unavailable"], history["unavailable"]);
}

#[test]
fn the_article_s_trouble_is_found_and_a_recorded_history_gives_the_same() {
    require!(Moto);
    let deployment = Deployment::create();
    deployment.trouble();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.json");
    let mut command = doctor(&deployment, "test", &["--function", deployment.name(), "--json"]);
    command.arg("--record").arg(&file);
    let seen = output(command);
    let report = document(&seen);
    assert_eq!(report["severity"], "critical", "{report:#}");
    let first = &report["findings"][0];
    assert_eq!(first["check"], "write-throttles", "the table comes first: {report:#}");
    assert!(!first["consequences"].as_array().unwrap().is_empty(), "{report:#}");

    let mut again = paceline(&["doctor", "--json", "--from"]);
    again.arg(&file).env_remove("AWS_REGION");
    let again = output(again);
    assert_eq!(document(&again), report);
    assert_eq!(again.status.code(), seen.status.code());
    assert_ne!(seen.status.code(), Some(0));

    let mut text = paceline(&["doctor", "--from"]);
    let text = output({
        text.arg(&file);
        text
    });
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("aws dynamodb update-table"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80 || line.trim_start().starts_with("--")), "{text}");
    assert!(!text.contains('\x1b'), "colours are for terminals: {text}");
}

#[test]
fn a_missing_permission_is_named_and_the_rest_is_read() {
    require!(Moto);
    let deployment = Deployment::create();
    deployment.put("AWS/Kinesis", "IncomingRecords", &[("StreamName", deployment.name())], 6.0);
    for (denied, permission) in [
        ("kinesis.ListShards", "kinesis:ListShards"),
        ("cloudwatch.GetMetricData", "cloudwatch:GetMetricData"),
        ("dynamodb", "dynamodb:DescribeTable"),
        ("lambda", "lambda:GetFunctionConfiguration"),
        ("sqs.GetQueueAttributes", "sqs:GetQueueAttributes"),
    ] {
        let name = deployment.name();
        let arguments = ["--function", name, "--stream", name, "--table", name];
        let (output, history) = recorded(&deployment, &format!("without.{denied}"), &arguments);
        let unavailable = history["unavailable"].as_array().unwrap_or_else(|| panic!("{denied}: {history:#}"));
        assert!(unavailable.iter().any(|entry| entry["permission"] == permission), "{denied}: {unavailable:#?}");
        assert_eq!(history["stream"]["name"], name, "{denied}: the stream is read nevertheless");
        let report = document(&output);
        assert!(!report["unavailable"].as_array().unwrap().is_empty(), "{report:#}");
    }
}

#[test]
fn throttled_requests_are_tried_again() {
    require!(Moto);
    let deployment = Deployment::create();
    deployment.put("AWS/Kinesis", "IncomingRecords", &[("StreamName", deployment.name())], 6.0);
    let key = "throttled.cloudwatch+throttled.kinesis+throttled.lambda";
    let (_, history) = recorded(&deployment, key, &["--function", deployment.name()]);
    assert_eq!(history["unavailable"], Value::Null, "{history:#}");
    assert_eq!(sum(&history, "kinesis", "IncomingRecords", "sum"), 6.0);
}

#[test]
fn names_that_do_not_exist_are_reported() {
    require!(Moto);
    let deployment = Deployment::create();
    let (output, history) = recorded(&deployment, "test", &["--function", "nobody", "--table", "nothing"]);
    let what: Vec<_> = history["unavailable"].as_array().unwrap().iter().map(|entry| entry["what"].clone()).collect();
    assert_eq!(what, ["function nobody", "table nothing"], "{history:#}");
    assert!(checks(&document(&output), "not-checked").len() > 3);
}

#[test]
fn nothing_named_is_an_error() {
    let output = output(paceline(&["doctor"]));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--function NAME") && text.contains("--queue URL"), "{text}");
    assert_eq!(output.status.code(), Some(2), "its arguments are invalid");
}

#[test]
fn a_queue_alone_is_a_deployment() {
    require!(Moto);
    let deployment = Deployment::create();
    let url = format!("{}/123456789012/{}", deployment.endpoint(), deployment.name());
    let (output, history) = recorded(&deployment, "test", &["--queue", &url]);
    assert_eq!(history["dead-letters"]["queue"]["url"], url, "{history:#}");
    let report = document(&output);
    assert!(checks(&report, "healthy").contains(&"failed-batches"), "{report:#}");
    assert!(checks(&report, "not-checked").contains(&"dead-letters"), "their table was not read: {report:#}");
}

/// CloudWatch refuses a time in which no period ends.
#[test]
fn a_span_shorter_than_the_metrics_period_is_invalid() {
    for command in ["doctor", "dashboard"] {
        for span in ["0s", "10s", "59s"] {
            let output = output(paceline(&[command, "--host", "127.0.0.1:1", "--since", span]));
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(text.contains("shorter than the metrics' period"), "{command} {span}: {text}");
            assert_eq!(output.status.code(), Some(2), "{command} {span}");
        }
    }
}

/// An address that nothing listens at.
fn closed_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_host_that_refuses_the_connection_is_in_the_verdict() {
    let workspace = Workspace::new(DedupMode::Sequence);
    let address = closed_address();
    workspace.configure("[source]\nfile = \"messages.ndjson\"\n", &format!("[serve]\nlisten = \"{address}\"\n"));
    workspace.registry();
    let output = output(workspace.command(&["doctor", "--json", "--since", "5m"]));
    let report = document(&output);
    let verdict = report["verdict"].as_str().unwrap();
    assert!(verdict.starts_with(&format!("unknown: metrics of host {address} could not be read; ")), "{report:#}");
    assert_eq!(report["complete"], false, "{report:#}");
    assert_eq!(output.status.code(), Some(5));
}

/// The store of a service that cannot be reached, and rules in a folder.
#[test]
fn without_a_store_neither_pins_nor_versions_are_sound() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    let table = format!("[store.dynamodb]\ntable = \"races\"\nendpoint = \"http://{}\"\n", closed_address());
    workspace.write("paceline.toml", config.replace("[store]\npath = \"store.redb\"\n", &table));
    workspace.apply();
    let mut command = workspace.command(&["doctor", "--json", "--region", "us-east-1"]);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_ENDPOINT_URL", format!("http://{}", closed_address()));
    let output = output(command);
    let report = document(&output);
    for check in ["missing-rulebook", "failing-version", "hosts-behind", "dead-letters"] {
        assert!(checks(&report, "not-checked").contains(&check), "{check}: {report:#}");
    }
    assert_eq!(output.status.code(), Some(5), "{report:#}");
}

/// What attributes dead letters to a host that is behind.
#[test]
fn a_history_has_the_race_types_changes_and_that_of_a_letter() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    let mut lines = simulate("--racers 1 --seconds 3 --class 3 --race 131 --seed 9");
    lines.extend(simulate("--racers 1 --seconds 3 --class 99 --race 132 --seed 9"));
    workspace.write("messages.ndjson", joined(&lines));
    workspace.run();
    let file = workspace.path("history.json");
    let mut command = workspace.command(&["doctor", "--json"]);
    command.arg("--record").arg(&file);
    output(command);
    let history: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let race_type = &history["rules"]["race-types"]["3"];
    assert_eq!(race_type["since"], history["rules"]["revision"], "{history:#}");
    assert_eq!(race_type["pinned"]["class-3@1"], 1, "{history:#}");
    let newest = &history["dead-letters"]["newest"];
    let message = newest[0]["message"].as_str().unwrap_or_else(|| panic!("{history:#}"));
    assert_eq!(newest[0]["reason"], "no-rulebook", "{newest:#}");
    assert!(message.contains("race type `99`"), "the doctor looks for it: {message}");
}

#[test]
fn a_history_that_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.json");
    for (content, expected) in [("{", "history.json"), (r#"{"format": 99}"#, "format")] {
        std::fs::write(&file, content).unwrap();
        let mut command = paceline(&["doctor", "--from"]);
        command.arg(&file);
        let output = output(command);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(expected), "{text}");
        assert_eq!(output.status.code(), Some(1));
    }
}

/// With the reason.
#[test]
fn a_registry_that_does_not_exist_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paceline.toml");
    let text = "[source]\nfile = \"m.ndjson\"\n[route]\nrace-type = \"/classId\"\n\
                [rules]\nregistry = \"nowhere\"\n[store]\nmemory = true\n";
    std::fs::write(&file, text).unwrap();
    let mut command = paceline(&["doctor", "--json", "--config"]);
    command.arg(&file);
    let report = document(&output(command));
    let unavailable = report["unavailable"].as_array().unwrap();
    let rules = unavailable.iter().find(|entry| entry["what"] == "rules").unwrap_or_else(|| panic!("{report:#}"));
    assert!(rules["reason"].as_str().unwrap().contains("nowhere"), "{report:#}");
}

/// A shard that a host does not show any more is read by another one, or has ended. Its last age is no age of now.
#[test]
fn the_age_of_a_shard_that_has_moved_is_forgotten() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let host = std::thread::spawn(move || {
        for reading in 0..3 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            let shards: &[&str] = if reading == 0 { &["a", "b"] } else { &["a"] };
            let samples = shards.iter().map(|shard| {
                format!("paceline_iterator_age_seconds{{shard=\"{shard}\"}} 1\npaceline_records_total{{shard=\"{shard}\"}} 5\n")
            });
            let body: String = samples.collect();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.json");
    let mut command = paceline(&["doctor", "--json", "--host", &address, "--record"]);
    command.arg(&file);
    output(command);
    host.join().unwrap();
    let history: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let series = history["series"].as_array().unwrap();
    let shards = |name: &str| {
        let of_name = series.iter().filter(|series| series["metric"]["name"] == name);
        of_name.map(|series| series["dimensions"]["shard"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shards("paceline_iterator_age_seconds"), ["a"], "{history:#}");
    assert_eq!(shards("paceline_records_total"), ["a", "b"], "{history:#}");
}
