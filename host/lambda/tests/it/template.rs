//! The CloudFormation template and the program agree.
//!
//! The template is read by lines and indentation, which it uses throughout: a plain YAML parser does not know its short
//! tags (`!Ref`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use paceline_aws::dynamodb::DynamoDbConfig;
use paceline_aws::dynamodb::client;
use paceline_aws::dynamodb::table::{Billing, create};
use paceline_config::Config;
use paceline_pipeline::rules::{Registry, Tail};
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_testbed::dynamodb::{endpoint, unique};
use paceline_testbed::environment::checkout;
use paceline_testbed::lambda::{Configuration, Function};
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::{require, rules, s3};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    DedupMode, Deployment, all_committed, beat, block_on, dynamodb, event_of, registry_in, response, retry_from,
    sequence,
};

/// Variables that the program reads and the template does not set, and why.
const OPTIONAL: [(&str, &str); 3] = [
    ("PACELINE_CACHE", "its default is in /tmp, the only folder that Lambda lets it write to"),
    ("PACELINE_STREAM", "for `paceline run`: the stream of a function is in its mapping"),
    ("PACELINE_LISTEN", "for `paceline run`: a port of a function can't be reached"),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(checkout().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Lines of the template, without comments and empty lines.
struct Lines(Vec<String>);

impl Lines {
    fn template() -> Self {
        let text = read("examples/alleycat/template.yaml");
        let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim_end());
        Self(lines.filter(|line| !line.is_empty() && !line.trim_start().starts_with('#')).map(str::to_owned).collect())
    }

    fn indent(line: &str) -> usize {
        line.len() - line.trim_start().len()
    }

    /// The lines below the first line with this key, by indentation.
    fn below(&self, key: &str) -> Self {
        let is_it = |line: &String| line.trim_start().trim_start_matches("- ") == format!("{key}:");
        let at =
            self.0.iter().position(is_it).unwrap_or_else(|| panic!("there is no `{key}:` in\n{}", self.0.join("\n")));
        let indent = Self::indent(&self.0[at]);
        Self(self.0[at + 1..].iter().take_while(|line| Self::indent(line) > indent).cloned().collect())
    }

    /// The values of a field, in the order of the lines: `{ Name: value, … }` or `Name: value`.
    fn values(&self, field: &str) -> Vec<String> {
        let value = |line: &String| {
            let start =
                [" ", "{"].iter().find_map(|before| line.find(&format!("{before}{field}: ")).map(|at| at + 1))?;
            let rest = &line[start + field.len() + 2..];
            let flat = line.contains('{') && !rest.starts_with("!");
            let end = if flat { rest.find([',', '}']).unwrap_or(rest.len()) } else { rest.len() };
            Some(rest[..end].trim().trim_end_matches([' ', '}']).trim_matches('"').to_owned())
        };
        self.0.iter().filter_map(value).collect()
    }

    fn value(&self, field: &str) -> String {
        self.values(field)
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("there is no `{field}` in\n{}", self.0.join("\n")))
    }

    /// A parameter's default.
    fn default_of(&self, parameter: &str) -> String {
        self.below("Parameters").below(parameter).value("Default")
    }

    /// The keys of the first level.
    fn keys(&self) -> Vec<&str> {
        let indent = self.0.iter().map(|line| Self::indent(line)).min().unwrap_or(0);
        let own = self.0.iter().filter(|line| Self::indent(line) == indent);
        own.filter_map(|line| Some(line.trim_start().split_once(':')?.0)).collect()
    }

    /// The resources of a type, with their lines.
    fn resources(&self, of_type: &str) -> Vec<(String, Self)> {
        let all = self.below("Resources");
        let names: Vec<String> = all.keys().into_iter().map(str::to_owned).collect();
        let found = names.into_iter().map(|name| (name.clone(), all.below(&name)));
        found.filter(|(_, lines)| lines.value("Type") == of_type).collect()
    }

    /// The function's environment variables.
    fn variables(&self) -> BTreeMap<String, String> {
        let lines = self.below("Resources").below("Function").below("Environment").below("Variables");
        lines.keys().into_iter().map(|name| (name.to_owned(), lines.value(name))).collect()
    }
}

/// All Rust files of a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The variables that the program reads: each is a string literal in its source.
fn variables_read() -> BTreeSet<String> {
    let files = ["host/lambda/src", "host/config/src"].iter().flat_map(|folder| sources(&checkout().join(folder)));
    let text: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let after = text.split("\"PACELINE_").skip(1).filter_map(|rest| rest.split_once('"'));
    let name = |(name, _): (&str, &str)| {
        let plain = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        plain.then(|| format!("PACELINE_{name}"))
    };
    after.filter_map(name).collect()
}

#[test]
fn template_and_program_have_the_same_variables() {
    let (set, read_by_it) = (Lines::template().variables(), variables_read());
    assert!(read_by_it.len() >= 7, "the scan finds too little: {read_by_it:?}");
    for name in set.keys().filter(|name| *name != "RUST_LOG") {
        assert!(read_by_it.contains(name), "the template sets {name}, which the program does not read");
    }
    assert!(set.contains_key("RUST_LOG") && read("host/config/src/log.rs").contains("\"RUST_LOG\""));
    for name in &read_by_it {
        let optional = OPTIONAL.iter().any(|(optional, _)| optional == name);
        assert!(
            set.contains_key(name) != optional,
            "the program reads {name}: the template sets it, or OPTIONAL has it, but not both"
        );
    }
    for (name, _) in OPTIONAL {
        assert!(read_by_it.contains(name), "OPTIONAL has {name}, which the program does not read");
    }
}

/// Name and type of the keys of a table or an index.
fn keys_of(description: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let keys = description["KeySchema"].as_array().unwrap().iter();
    keys.map(|key| (text(&key["AttributeName"]), text(&key["KeyType"]))).collect()
}

#[test]
fn the_tables_are_those_that_paceline_table_create_creates() {
    require!(Plugins, DynamoDbLocal);
    // With the configuration of the package, but tables of this test.
    let package = Package::new();
    let config = DynamoDbConfig {
        table: unique("races"),
        dead_letters: Some(unique("letters")),
        endpoint: Some(endpoint()),
        region: Some("us-east-1".to_owned()),
        ..package.config().store.dynamodb.expect("a table in DynamoDB")
    };
    block_on(async { create(&client(&config).await.unwrap(), &config, Billing::OnDemand).await.unwrap() });
    let describe = |table: &str| dynamodb("DescribeTable", &json!({ "TableName": table }))["Table"].clone();
    let template = Lines::template();
    let resources = template.below("Resources");

    let schema = |lines: &Lines| -> Vec<(String, String)> {
        lines.values("AttributeName").into_iter().zip(lines.values("KeyType")).collect()
    };
    for (resource, table) in [("Table", config.table.clone()), ("DeadLetterTable", config.dead_letter_table())] {
        let (lines, made) = (resources.below(resource), describe(&table));
        assert_eq!(schema(&lines.below("KeySchema")), keys_of(&made), "{resource}: keys");
        let types = lines.below("AttributeDefinitions");
        let types: BTreeMap<_, _> =
            types.values("AttributeName").into_iter().zip(types.values("AttributeType")).collect();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let made_types = made["AttributeDefinitions"].as_array().unwrap().iter();
        let made_types: BTreeMap<_, _> =
            made_types.map(|made| (text(&made["AttributeName"]), text(&made["AttributeType"]))).collect();
        assert_eq!(types, made_types, "{resource}: types");
    }

    let indexes = resources.below("Table").below("GlobalSecondaryIndexes");
    let made = describe(&config.table)["GlobalSecondaryIndexes"].clone();
    let made = made.as_array().unwrap();
    let names: Vec<&str> = made.iter().map(|index| index["IndexName"].as_str().unwrap()).collect();
    assert_eq!(indexes.values("IndexName"), names);
    assert_eq!(schema(&indexes.below("KeySchema")), keys_of(&made[0]));
    assert_eq!(indexes.value("ProjectionType"), made[0]["Projection"]["ProjectionType"].as_str().unwrap());
    // Alarms name the index, too.
    let mut with_index = 0;
    for (name, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        let dimensions = alarm.values("Name").into_iter().zip(alarm.values("Value"));
        for (_, index) in dimensions.filter(|(name, _)| name == "GlobalSecondaryIndexName") {
            assert_eq!(index, names[0], "{name}");
            with_index += 1;
        }
    }
    assert!(with_index >= 4, "{with_index}");

    let live = resources.below("DeadLetterTable").below("TimeToLiveSpecification");
    let made = dynamodb("DescribeTimeToLive", &json!({ "TableName": config.dead_letter_table() }));
    assert_eq!(live.value("AttributeName"), made["TimeToLiveDescription"]["AttributeName"].as_str().unwrap());
    let live = resources.below("Table").below("TimeToLiveSpecification");
    let made = dynamodb("DescribeTimeToLive", &json!({ "TableName": config.table }));
    let made = made["TimeToLiveDescription"]["AttributeName"].as_str().unwrap();
    assert_eq!(live.value("AttributeName").trim_matches('"'), made);
    assert_eq!(live.value("Enabled"), "true");
}

#[test]
fn alarms_on_the_functions_own_metrics_match_its_output() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let template = Lines::template();
    let own: Vec<_> = template
        .resources("AWS::CloudWatch::Alarm")
        .into_iter()
        .filter(|(_, alarm)| alarm.value("Namespace") == "!Ref MetricsNamespace")
        .collect();
    assert!(!own.is_empty(), "no alarm is on the function's own metrics");
    assert_eq!(template.variables()["PACELINE_METRICS_NAMESPACE"], "!Ref MetricsNamespace");

    let deployment = Deployment::new(DedupMode::Ordinal);
    let namespace = template.default_of("MetricsNamespace");
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 1);
    let mut configuration = deployment.configuration(&proxy.endpoint()).env("PACELINE_METRICS_NAMESPACE", &namespace);
    configuration.name = "the-function".to_owned();
    let function = Function::new(configuration).unwrap();
    let payloads: [&[u8]; 2] = [&beat(1, 1, 60).to_string().into_bytes(), b"no JSON"];
    assert_eq!(response(function.invoke(event_of(payloads), Duration::from_secs(60))), all_committed());
    proxy.set_faults(Faults { throttle: 1.0, ..Faults::default() });
    let later = beat(1, 2, 60).to_string().into_bytes();
    assert_eq!(response(function.invoke(event_of([&*later]), Duration::from_secs(2))), retry_from(&sequence(0)));
    for (name, alarm) in own {
        let metric = alarm.value("MetricName");
        assert!(
            function.wait_for_log(&format!("\"{metric}\":"), Duration::from_secs(60)),
            "{name}: {}",
            function.logs()
        );
        let dimensions = alarm.below("Dimensions");
        // `!Ref` of a function is its name.
        let named = dimensions.values("Value").into_iter().map(|value| match value.as_str() {
            "!Ref Function" => "the-function".to_owned(),
            _ => value,
        });
        let wanted: BTreeMap<String, String> = dimensions.values("Name").into_iter().zip(named).collect();
        let logs = function.logs();
        let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let printed = lines.filter(|line| line.get(&metric).is_some()).any(|line| {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            let set: BTreeMap<String, String> = directive["Dimensions"][0]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap())
                .map(|name| (name.to_owned(), line[name].as_str().unwrap_or_default().to_owned()))
                .collect();
            directive["Namespace"] == json!(namespace) && set == wanted
        });
        assert!(printed, "{name}: no line has {metric} with exactly {wanted:?}:\n{logs}");
    }
}

#[test]
fn the_role_allows_the_functions_requests_to_the_tables_and_no_others() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    // Groups, a pin, dead letters.
    let deployment = Deployment::new(DedupMode::Ordinal);
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 1);
    let function = deployment.function(&proxy.endpoint());
    let first: [&[u8]; 2] = [&beat(1, 1, 60).to_string().into_bytes(), b"no JSON"];
    assert_eq!(response(function.invoke(event_of(first), Duration::from_secs(60))), all_committed());
    let second = beat(1, 2, 60).to_string().into_bytes();
    assert_eq!(response(function.invoke(event_of([&*second]), Duration::from_secs(60))), all_committed());

    let statements = Lines::template().below("Resources").below("FunctionRole").below("Statement");
    let allowed: BTreeSet<String> = statements
        .0
        .join("\n")
        .split("Sid: ")
        .skip(1)
        .chain(Lines::template().below("Policies").0.join("\n").split("Sid: ").skip(1))
        .flat_map(|statement| statement.lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| line.strip_prefix("- dynamodb:").map(str::to_owned))
        .collect();
    for operation in proxy.counts().by_operation.keys() {
        let needed = match operation.as_str() {
            "BatchExecuteStatement" => vec!["PartiQLInsert", "PartiQLUpdate"],
            operation => vec![operation],
        };
        for action in needed {
            assert!(
                allowed.contains(action),
                "the function needs {action}, which its role does not allow: {allowed:?}"
            );
        }
    }
    let policies = Lines::template().below("Policies").0.join("\n");
    let query = policies.split("Sid: ").find(|statement| statement.contains("dynamodb:Query")).unwrap();
    assert!(query.contains("ForAllValues:StringLike") && query.contains("\"@rules/*\""), "{query}");
    let forbidden = [
        "Scan",
        "GetItem",
        "UpdateItem",
        "DeleteItem",
        "CreateTable",
        "DeleteTable",
        "PartiQLDelete",
        "PartiQLSelect",
        "*",
    ];
    assert!(forbidden.iter().all(|action| !allowed.contains(*action)), "{allowed:?}");
}

/// A package with the layout of scripts/lambda-package.
struct Package(TempDir);

impl Package {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let example = checkout().join("examples/alleycat");
        std::fs::copy(example.join("lambda.toml"), folder.path().join("paceline.toml")).unwrap();
        let registry = Registry::create_folder(&folder.path().join("registry")).unwrap();
        rules::apply(&example.join("rulebooks"), &registry).unwrap();
        Self(folder)
    }

    fn config(&self) -> Config {
        Config::load(&self.0.path().join("paceline.toml")).unwrap()
    }
}

#[test]
fn the_package_has_every_file_that_its_configuration_names() {
    require!(Plugins);
    let script = read("scripts/lambda-package");
    for step in [
        "cp examples/alleycat/lambda.toml \"$work/paceline.toml\"",
        "rules bundle examples/alleycat/rulebooks --config examples/alleycat/lambda.toml --out \"$work/registry\"",
        "--precompile \"$architecture\"",
    ] {
        assert!(script.contains(step), "scripts/lambda-package has no step `{step}`");
    }
    let template = Lines::template();
    assert_eq!(template.variables()["PACELINE_CONFIG"], "paceline.toml");
    assert_eq!(template.below("Resources").below("Function").value("CodeUri"), "../../target/lambda/paceline.zip");
    assert!(script.contains("archive=target/lambda/paceline.zip"));

    let package = Package::new();
    let config = package.config();
    assert!(config.source.is_none(), "the event source mapping brings the batches");
    let within = package.0.path();
    assert_eq!(Path::new(&config.rules.registry), within.join("registry"));
    assert_eq!(config.rules.seed, Some(within.join("registry")));
    assert!(config.rules.trust_seed, "the package's compiled code is for this package");
    let registry = Registry::create_folder(Path::new(&config.rules.registry)).unwrap();
    let (tail, _) = block_on(Tail::open(&registry)).unwrap();
    let race_types: Vec<&str> = tail.rules.routing.keys().map(String::as_str).collect();
    assert_eq!(race_types, ["1", "2", "3", "4", "5", "6"]);
    for (rulebook, published) in &tail.rules.rulebooks {
        block_on(registry.rulebook(*rulebook)).unwrap();
        for plugin in &published.plugins {
            block_on(registry.plugin(*plugin)).unwrap();
        }
    }
    // The default names of the template's tables are those of the configuration.
    let tables = config.store.dynamodb.expect("a table in DynamoDB");
    assert_eq!(tables.table, template.default_of("TableName"));
    assert_eq!(tables.dead_letter_table(), template.default_of("DeadLetterTableName"));
}

#[test]
fn the_package_works_with_the_templates_variables() {
    require!(Plugins, DynamoDbLocal, S3Local, UtilLinux);
    let package = Package::new();
    let folder = package.0.path();
    // The bucket has the package's rules, as `paceline rules` puts them there.
    let bucket = format!("s3://{}/{}", s3::BUCKET, unique("template"));
    let seed = Registry::folder(&folder.join("registry")).unwrap();
    block_on(seed.copy_to(&registry_in(&bucket))).unwrap();

    // References have the parameters' defaults, except for the tables.
    let tables = Deployment::new(DedupMode::Ordinal);
    let template = Lines::template();
    let mut configuration = Configuration::new(env!("CARGO_BIN_EXE_bootstrap"));
    configuration.task_root = folder.to_owned();
    for (name, value) in template.variables() {
        let value = match value.strip_prefix("!Ref ") {
            None if value.starts_with("!Sub s3://${RulesBucket}/") => bucket.clone(),
            None => value,
            Some("Table") => tables.table.table.clone(),
            Some("DeadLetterTable") => tables.table.dead_letter_table(),
            Some(parameter) => template.default_of(parameter),
        };
        configuration = configuration.env(name, value);
    }
    let deployed = tables.configuration(&endpoint());
    configuration.environment.extend(deployed.environment);
    let function = Function::new(configuration).unwrap();
    let payloads: Vec<Vec<u8>> = (1..=6)
        .map(|class| {
            let mut message = beat(7, 1, 60);
            message["classId"] = json!(class);
            message["raceId"] = json!(100 + class);
            message["event"] = json!("final");
            message.to_string().into_bytes()
        })
        .chain([b"no JSON".to_vec()])
        .collect();
    let event = event_of(payloads.iter().map(Vec::as_slice));
    assert_eq!(response(function.invoke(event, Duration::from_secs(60))), all_committed());
    let store = tables.store();
    let items = block_on(store.list_groups()).unwrap();
    let keys: BTreeSet<String> = items.iter().map(|(key, _)| key.partition.to_string()).collect();
    let wanted: BTreeSet<String> =
        (1..=6).flat_map(|class| [format!("class-{class}"), format!("race-{class}-{}", 100 + class)]).collect();
    assert_eq!(keys, wanted);
    assert_eq!(block_on(store.list_dead_letters()).unwrap().len(), 1);
    let logs = function.logs();
    let warnings: Vec<&str> = logs.lines().filter(|line| line.contains("\"WARN\"")).collect();
    assert!(warnings.iter().all(|line| line.contains("are dead letters")), "defaults are incompatible: {warnings:?}");
}

#[test]
fn defaults_that_depend_on_each_other_agree() {
    require!(Plugins);
    let template = Lines::template();
    let number = |parameter: &str| -> u64 { template.default_of(parameter).parse().unwrap() };
    let timeout_ms = number("FunctionTimeout") * 1_000;
    let retry = Package::new().config().retry;
    assert!(retry.deadline_ms < timeout_ms, "the store is retried for {} of {timeout_ms} ms", retry.deadline_ms);
    // An outage is seen in minutes, and a batch that waits for more records is none.
    let behind_ms = number("BehindAlarmMinutes") * 60_000;
    assert!((60_000..=600_000).contains(&behind_ms));
    assert!(behind_ms > 2 * (timeout_ms + number("MaximumBatchingWindowInSeconds") * 1_000));
    assert!(number("BatchSize") <= 10 || number("MaximumBatchingWindowInSeconds") >= 1);
    assert_eq!((number("ParallelizationFactor"), number("TumblingWindowInSeconds")), (1, 0));
    // Without it, Lambda ignores the first uncommitted record of a response.
    let mapping = template.below("Resources").below("Function").below("Events");
    assert_eq!(mapping.value("FunctionResponseTypes"), "[ReportBatchItemFailures]");
    // Without it, there is no DroppedEventCount for the alarm.
    assert_eq!(mapping.below("MetricsConfig").value("Metrics"), "[EventCount]");
}

/// What DynamoDB takes under one partition key, in write units a second. A race is one.
const PARTITION_UNITS: f64 = 1_000.0;

/// The article's load: 1,000 racers, each with a message a second, on one shard.
#[test]
fn by_default_a_race_of_1_000_racers_fits_into_one_partition_of_the_table() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let template = Lines::template();
    let number = |parameter: &str| -> usize { template.default_of(parameter).parse().unwrap() };
    let (window, racers) = (number("MaximumBatchingWindowInSeconds"), 1_000);
    assert!(number("BatchSize") >= racers * window, "a batch has all records of its window");
    // A batch as it comes with these settings. Items that are written whole report their units, statements do not.
    let deployment = Deployment::new(DedupMode::Ordinal);
    deployment.configure("write = \"items\"\n");
    let function = deployment.function(&endpoint());
    let all = (1..=window).flat_map(|second| (0..racers).map(move |racer| (second, racer)));
    let payloads: Vec<Vec<u8>> =
        all.map(|(second, racer)| beat(racer as u32, second as u32, 60).to_string().into_bytes()).collect();
    let event = event_of(payloads.iter().map(Vec::as_slice));
    assert!(event.len() < 6 << 20, "an event of {} bytes", event.len());
    assert_eq!(response(function.invoke(event, Duration::from_secs(60))), all_committed());
    assert!(function.wait_for_log("\"WriteUnits\":", Duration::from_secs(60)), "{}", function.logs());
    let logs = function.logs();
    let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let units: f64 = lines.filter_map(|line| line["WriteUnits"].as_f64()).sum();
    // One unit for each racer, whatever the number of its records.
    assert!((1_000.0..1_100.0).contains(&units), "{units} write units for a batch");
    assert!(units / window as f64 <= PARTITION_UNITS / 4.0, "{units} write units in {window} s");
}

#[test]
fn an_outage_has_alarms_that_go_off_within_minutes() {
    let template = Lines::template();
    let alarms = template.resources("AWS::CloudWatch::Alarm");
    let alarm = |metric: &str, threshold: &str| {
        let found = alarms
            .iter()
            .find(|(_, alarm)| alarm.value("MetricName") == metric && alarm.value("Threshold") == threshold);
        &found.unwrap_or_else(|| panic!("no alarm on {metric} has the threshold {threshold}")).1
    };
    for alarm in [alarm("UncommittedBatches", "0"), alarm("IteratorAge", "!Ref BehindAlarmMinutes")] {
        let seconds: u32 = alarm.value("Period").parse().unwrap();
        let periods: u32 = alarm.value("EvaluationPeriods").parse().unwrap();
        assert!(seconds * periods <= 300, "{seconds} s × {periods}");
    }
}
