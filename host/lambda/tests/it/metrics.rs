//! The function's output: metrics that CloudWatch can extract, logs as JSON, and payloads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::Function;
use paceline_testbed::otlp::Collector;
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::require;
use serde_json::{Map, Value, json};

use crate::support::{
    DedupMode, Deployment, all_committed, beat, error_message, event_of, response, retry_from, sequence,
};

/// Longer than any invocation takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A word that only payloads contain.
const MARKER: &str = "Zebedee";

/// Three valid messages, and one of each invalid kind.
fn payloads() -> Vec<Vec<u8>> {
    let changed = |field: &str, value: Value| {
        let mut message = beat(4, 1, 60);
        message["name"] = json!(MARKER);
        message[field] = value;
        message.to_string().into_bytes()
    };
    let mut payloads: Vec<Vec<u8>> = (1..=3).map(|racer| changed("racerId", json!(racer))).collect();
    payloads.push(format!("{{\"name\":\"{MARKER}\",").into_bytes());
    payloads.push(format!("\"{MARKER}\"").into_bytes());
    payloads.push(changed("cadence", json!(1_000)));
    payloads.push(changed("event", json!(MARKER)));
    payloads.push(changed("second", json!(MARKER)));
    payloads.push(changed("classId", json!(MARKER)));
    payloads.push(changed("raceId", json!({ "of": MARKER })));
    payloads.push([MARKER.as_bytes(), b"\xff"].concat());
    payloads
}

fn event_with(payloads: &[Vec<u8>]) -> Vec<u8> {
    event_of(payloads.iter().map(Vec::as_slice))
}

/// The lines of output so far, each of which must be a JSON object.
fn lines(function: &Function) -> Vec<Map<String, Value>> {
    let logs = function.logs();
    let read = |line: &str| match serde_json::from_str(line) {
        Ok(Value::Object(line)) => line,
        other => panic!("a line is no JSON object but {other:?}: {line}"),
    };
    logs.lines().map(read).collect()
}

/// A line of metrics.
#[derive(Debug)]
struct Metrics {
    namespace: String,
    /// Name and value.
    dimensions: BTreeMap<String, String>,
    /// Name, unit and values. A value of a histogram occurs as often as it was recorded.
    metrics: BTreeMap<String, (Option<String>, Vec<f64>)>,
    request_id: String,
}

/// Parses a line by CloudWatch's specification:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn metrics(line: &Map<String, Value>) -> Metrics {
    let about = &line["_aws"];
    // Milliseconds since 1970, of this century.
    assert!(
        about["Timestamp"].as_u64().is_some_and(|at| (1_600_000_000_000..4_000_000_000_000).contains(&at)),
        "{line:?}"
    );
    let directives = about["CloudWatchMetrics"].as_array().expect("a list of directives");
    let [directive] = &directives[..] else { panic!("{} directives: {line:?}", directives.len()) };
    let namespace = directive["Namespace"].as_str().expect("a namespace").to_owned();
    let sets = directive["Dimensions"].as_array().expect("a list of sets of dimensions");
    let [set] = &sets[..] else { panic!("{} sets of dimensions: {line:?}", sets.len()) };
    let names: Vec<&str> = set.as_array().unwrap().iter().map(|name| name.as_str().expect("a name")).collect();
    assert!(!names.is_empty() && names.len() <= 30, "{names:?}");
    let dimension = |name: &str| {
        let value = line.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("{name} has no text: {line:?}"));
        assert!(!value.is_empty() && value.len() <= 1_024, "{name} is {value:?}");
        (name.to_owned(), value.to_owned())
    };
    let dimensions = names.into_iter().map(dimension).collect();
    let measured = directive["Metrics"].as_array().expect("a list of metrics");
    assert!(!measured.is_empty() && measured.len() <= 100, "{} metrics", measured.len());
    let metrics = measured.iter().map(|metric| {
        let name = metric["Name"].as_str().expect("a metric's name");
        let unit = metric.get("Unit").map(|unit| unit.as_str().expect("a unit").to_owned());
        (name.to_owned(), (unit, numbers(&line[name])))
    });
    let request_id = line["requestId"].as_str().expect("a request's id").to_owned();
    Metrics { namespace, dimensions, metrics: metrics.collect(), request_id }
}

/// A metric's values: a number, up to 100 numbers, or numbers with their counts.
fn numbers(value: &Value) -> Vec<f64> {
    let list = |value: &Value| -> Vec<f64> {
        let list = value.as_array().unwrap_or_else(|| panic!("{value} is no list"));
        list.iter().map(|number| number.as_f64().unwrap_or_else(|| panic!("{number} is no number"))).collect()
    };
    let all = match value {
        Value::Number(number) => vec![number.as_f64().expect("a number")],
        Value::Array(_) => list(value),
        Value::Object(_) => {
            let (values, counts) = (list(&value["Values"]), list(&value["Counts"]));
            assert_eq!(values.len(), counts.len(), "{value}");
            values.into_iter().zip(counts).flat_map(|(value, count)| vec![value; count as usize]).collect()
        }
        _ => panic!("{value} is no metric's value"),
    };
    assert!(!all.is_empty() && all.len() <= 100 && all.iter().all(|number| number.is_finite()), "{value}");
    all
}

/// All lines of metrics, after the last one of an invocation.
fn all_metrics(function: &Function) -> Vec<Metrics> {
    // There is a line for each set of dimensions, in any order.
    for last in ["\"IteratorAge\":", "\"Fuel\":", "\"RulebookVersion\":", "\"stage\":\"acknowledge\"", "\"reason\":"] {
        assert!(function.wait_for_log(last, TIMEOUT), "{last} is missing:\n{}", function.logs());
    }
    lines(function).iter().filter(|line| line.contains_key("_aws")).map(metrics).collect()
}

/// The values of a metric with these dimensions in addition to `function`.
fn values(all: &[Metrics], metric: &str, others: &[(&str, &str)]) -> Vec<f64> {
    let others: BTreeMap<String, String> =
        others.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let matching = all.iter().filter(|line| {
        let mut dimensions = line.dimensions.clone();
        dimensions.remove("function");
        dimensions == others
    });
    matching.filter_map(|line| line.metrics.get(metric)).flat_map(|(_, values)| values.clone()).collect()
}

/// The values of a metric's second dimension.
fn spread(all: &[Metrics], metric: &str, dimension: &str) -> BTreeSet<String> {
    let with = all.iter().filter(|line| line.metrics.contains_key(metric));
    with.filter_map(|line| line.dimensions.get(dimension).cloned()).collect()
}

#[test]
fn metrics_follow_the_specification_and_count_the_batch() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let mut configuration = deployment.configuration(&endpoint()).env("PACELINE_METRICS_NAMESPACE", "races");
    configuration.name = "alleycat-function".to_owned();
    let function = Function::new(configuration).unwrap();
    let payloads = payloads();
    assert_eq!(response(function.invoke(event_with(&payloads), TIMEOUT)), all_committed());
    let all = all_metrics(&function);
    for line in &all {
        assert_eq!(line.namespace, "races");
        assert_eq!(line.dimensions.get("function").map(String::as_str), Some("alleycat-function"), "{line:?}");
        assert!(line.dimensions.len() <= 3, "{line:?}");
        assert_eq!(line.request_id.len(), 36, "{line:?}");
    }
    let same: BTreeSet<&String> = all.iter().map(|line| &line.request_id).collect();
    assert_eq!(same.len(), 1);

    assert_eq!(values(&all, "Records", &[]), [11.0]);
    assert_eq!(values(&all, "Groups", &[]), [3.0]);
    assert_eq!(values(&all, "DeadLetters", &[]), [8.0], "the alarm's metric has no second dimension");
    let reasons = spread(&all, "DeadLetters", "reason");
    let by_reason = |reason: &str| values(&all, "DeadLetters", &[("reason", reason)]).iter().sum::<f64>();
    assert_eq!(reasons.iter().map(|reason| by_reason(reason)).sum::<f64>(), 8.0, "{reasons:?}");
    assert_eq!([by_reason("rejected"), by_reason("not-json"), by_reason("not-utf8")], [2.0, 2.0, 1.0], "{reasons:?}");
    // The messages are of 2021, so the age is years.
    let ages = values(&all, "IteratorAge", &[]);
    assert!(!ages.is_empty() && ages.iter().all(|age| *age > 1e11), "{ages:?}");
    let stages = spread(&all, "StageTime", "stage");
    for stage in ["project", "route", "columns", "validate", "score", "load", "fold", "commit", "acknowledge"] {
        assert!(stages.contains(stage), "{stage} is not in {stages:?}");
        assert!(values(&all, "StageTime", &[("stage", stage)]).iter().all(|time| (0.0..60_000.0).contains(time)));
    }
    let plugins = spread(&all, "Fuel", "plugin");
    // There is no final among the messages, so the fourth plugin is not called.
    assert_eq!(plugins.len(), 3, "{plugins:?}");
    for plugin in &plugins {
        assert!(plugin.len() == 12 && plugin.bytes().all(|digit| digit.is_ascii_hexdigit()), "{plugin}");
        let fuel = values(&all, "Fuel", &[("rulebook", "class-3@1"), ("plugin", plugin)]);
        assert!(!fuel.is_empty() && fuel.iter().all(|fuel| *fuel > 0.0));
    }
    assert_eq!([values(&all, "HostsBehind", &[]), values(&all, "FailingVersions", &[])], [[0.0], [0.0]]);
    assert_eq!(values(&all, "RulebookVersion", &[("rulebook", "class-3")]), [1.0]);
    assert!(values(&all, "Requests", &[])[0] >= 4.0, "a pin is read and put, groups and dead letters written");
    // DynamoDB Local reports no units for statements, and none for reading missing items: the rest are those of the
    // pin and of the dead letters.
    assert!(values(&all, "WriteUnits", &[])[0] >= 9.0);
    let units: BTreeMap<&str, Option<&str>> = all
        .iter()
        .flat_map(|line| line.metrics.iter().map(|(name, (unit, _))| (name.as_str(), unit.as_deref())))
        .collect();
    assert_eq!(units["Records"], Some("Count"));
    assert_eq!([units["IteratorAge"], units["StageTime"]], [Some("Milliseconds"); 2]);
}

#[test]
fn each_batch_has_its_own_metrics() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    for _ in 0..2 {
        assert_eq!(response(function.invoke(event_with(&payloads()), TIMEOUT)), all_committed());
    }
    assert!(function.wait_for_log("\"Duplicates\":", TIMEOUT), "{}", function.logs());
    let all = all_metrics(&function);
    assert_eq!(values(&all, "Records", &[]), [11.0, 11.0]);
    // All records are duplicates: three are in their groups, the others are dead letters. So no group is written.
    assert_eq!(values(&all, "Groups", &[]), [3.0]);
    assert_eq!(values(&all, "Duplicates", &[]), [11.0]);
    let requests: BTreeSet<&String> = all.iter().map(|line| &line.request_id).collect();
    assert_eq!(requests.len(), 2);
}

#[test]
fn log_lines_of_a_batch_have_its_request_id() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let only = Some(vec!["BatchExecuteStatement".to_owned()]);
    let proxy = FaultProxy::start(&endpoint(), Faults { throttle: 1.0, only, ..Faults::default() }, 1);
    // A filter leaves out lines, and no ids.
    let function = Function::new(deployment.configuration(&proxy.endpoint()).env("RUST_LOG", "warn")).unwrap();
    let valid = &payloads()[..3];
    assert_eq!(response(function.invoke(event_with(valid), Duration::from_secs(3))), retry_from(&sequence(0)));
    assert!(function.wait_for_log("is not committed from this record on", TIMEOUT), "{}", function.logs());
    // Values of 0 are not printed: there are no `Records`.
    assert!(function.wait_for_log("\"Throttles\":", TIMEOUT), "{}", function.logs());
    assert!(function.wait_for_log("\"cause\":", TIMEOUT), "{}", function.logs());
    error_message(function.invoke(b"{}".to_vec(), TIMEOUT));
    assert!(
        function.wait_for_log("the invocation failed, and Lambda retries the whole batch", TIMEOUT),
        "{}",
        function.logs()
    );

    let lines = lines(&function);
    // The batch is counted, the event that is none is not.
    let uncommitted: Vec<&Value> = lines.iter().filter_map(|line| line.get("UncommittedBatches")).collect();
    assert_eq!(uncommitted, [1]);
    let line_with = |message: &str| {
        let line = lines
            .iter()
            .find(|line| line.get("message").and_then(Value::as_str).is_some_and(|text| text.contains(message)));
        line.unwrap_or_else(|| panic!("no line contains {message}"))
    };
    let request = |line: &Map<String, Value>| {
        let id = line.get("span").and_then(|span| span["requestId"].as_str());
        id.unwrap_or_else(|| panic!("no request in {line:?}")).to_owned()
    };
    let metrics: BTreeSet<String> =
        lines.iter().filter_map(|line| line.get("requestId")?.as_str()).map(str::to_owned).collect();
    let partial = line_with("is not committed from this record on");
    assert!(metrics.contains(&request(partial)), "{partial:?}, {metrics:?}");
    // The records are in fields, too.
    assert_eq!(partial["level"], "ERROR", "an outage has its reason at the level that operators look for");
    assert_eq!(partial["shard"], "alleycat/shardId-000000000000");
    assert_eq!((&partial["from"], &partial["records"]), (&json!(sequence(0)), &json!(3)));
    let failed = line_with("the invocation failed, and Lambda retries the whole batch");
    assert_eq!(failed["level"], "ERROR");
    assert_ne!(request(failed), request(partial));
    let logged = lines.iter().filter(|line| line.contains_key("level"));
    assert!(logged.clone().count() >= 2, "{lines:?}");
    logged.for_each(|line| assert_eq!(request(line).len(), 36, "{line:?}"));
}

#[test]
fn an_event_is_a_trace_with_its_stages() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let mut collector = Collector::start();
    let configuration = deployment.configuration(&endpoint());
    let configuration = configuration.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    let function = Function::new(configuration.env("OTEL_SERVICE_NAME", "races")).unwrap();
    assert_eq!(response(function.invoke(event_with(&payloads()), TIMEOUT)), all_committed());
    let spans = collector.wait_for(|spans| !spans.is_empty());
    let batch = spans.iter().find(|span| span["name"] == "batch").unwrap();
    assert_eq!((&batch["service"], &batch["status"]["code"]), (&json!("races"), &json!(0)), "{batch:#}");
    let attribute = |key: &str| {
        let found = batch["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key);
        found.unwrap_or_else(|| panic!("{key} is not in {batch:#}"))["value"].clone()
    };
    assert_eq!(attribute("paceline.records"), json!({ "intValue": "11" }));
    assert_eq!(attribute("paceline.dead_letters"), json!({ "intValue": "8" }));
    assert_eq!(attribute("paceline.shard"), json!({ "stringValue": "alleycat/shardId-000000000000" }));
    assert_eq!(attribute("faas.invocation_id")["stringValue"].as_str().unwrap().len(), 36);
    let children = spans.iter().filter(|span| span["parentSpanId"] == batch["spanId"]);
    let stages: BTreeSet<&str> = children.map(|span| span["name"].as_str().unwrap()).collect();
    for stage in ["project", "route", "columns", "validate", "score", "load", "fold", "commit", "acknowledge"] {
        assert!(stages.contains(stage), "{stage} is not in {stages:?}");
    }
}

#[test]
fn no_payload_is_in_the_log_at_any_level() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    for level in [
        "info",
        "debug",
        "info,bootstrap=trace,paceline_lambda=trace,paceline_pipeline=trace,paceline_aws=trace,paceline_engine=trace,paceline_config=trace,plugin=trace",
    ] {
        let deployment = Deployment::new(DedupMode::Ordinal);
        // With throttling, so that there are warnings.
        let faults = Faults { throttle: 0.3, partial: 0.3, ..Faults::default() };
        let proxy = FaultProxy::start(&endpoint(), faults, 5);
        let function = Function::new(deployment.configuration(&proxy.endpoint()).env("RUST_LOG", level)).unwrap();
        let payloads = payloads();
        assert_eq!(response(function.invoke(event_with(&payloads), TIMEOUT)), all_committed());
        proxy.set_faults(Faults { throttle: 1.0, ..Faults::default() });
        let later: Vec<Vec<u8>> = (2..4)
            .map(|second| {
                let mut message = beat(1, second, 60);
                message["name"] = json!(MARKER);
                message.to_string().into_bytes()
            })
            .collect();
        assert_eq!(response(function.invoke(event_with(&later), Duration::from_secs(2))), retry_from(&sequence(0)));
        error_message(function.invoke(format!("{{\"Records\":[{{\"name\":\"{MARKER}\"}}]}}").into_bytes(), TIMEOUT));
        assert!(
            function.wait_for_log("the invocation failed, and Lambda retries the whole batch", TIMEOUT),
            "{}",
            function.logs()
        );
        assert!(function.kill_all());
        let logs = function.logs();
        let encoded = paceline_aws::base64::encode(&payloads[0]);
        for secret in [MARKER, "deviceTimestamp", &encoded[..60]] {
            let leaks: Vec<&str> = logs.lines().filter(|line| line.contains(secret)).collect();
            assert!(leaks.is_empty(), "at {level} {} lines contain {secret}, the first: {}", leaks.len(), leaks[0]);
        }
    }
}
