//! The Lambda function: the processor time of an invocation, and the time of a cold start with each kind of registry.

use std::path::Path;
use std::time::{Duration, Instant};

use paceline_aws::s3::open;
use paceline_pipeline::rules::Registry;
use paceline_testbed::dynamodb::unique;
use paceline_testbed::environment::{AWS_VARIABLES, S3_ENDPOINT};
use paceline_testbed::lambda::{Configuration, Function, Invocation};
use paceline_testbed::{rules, s3};
use tempfile::TempDir;

use crate::event::lambda_event;
use crate::timing::median;
use crate::{Results, print_line, program, root, simulated};

/// Records in an event.
const RECORDS: usize = 10_000;

/// Cold starts of each kind.
const STARTS: usize = 11;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A package with a rulebook of the example and the memory store, which needs no network.
fn package() -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let alleycat = root().join("examples/alleycat");
    let registry =
        Registry::create_folder(&folder.path().join("registry")).expect("the temporary folder can be written");
    rules::apply(&alleycat.join("rulebooks"), &registry).expect("the rules are accepted");
    let config = std::fs::read_to_string(alleycat.join("lambda.toml")).expect("the example has this file");
    let (before, after) = config.split_once("[store.dynamodb]").expect("the example names a table");
    let (_, after) = after.split_once("# [limits]").expect("the example shows the limits");
    let config = format!("{before}[store]\nmemory = true\n\n# [limits]{after}");
    std::fs::write(folder.path().join("paceline.toml"), config).expect("the temporary folder can be written");
    folder
}

/// The function, with its package's registry or another one.
fn function(package: &Path, cache: &Path, registry: Option<&str>) -> Function {
    let mut configuration = Configuration::new(program("bootstrap"));
    configuration.task_root = package.to_owned();
    let mut configuration =
        configuration.env("PACELINE_CACHE", cache.to_str().expect("the path is UTF-8")).env("RUST_LOG", "warn");
    if let Some(registry) = registry {
        configuration =
            configuration.env("PACELINE_RULES", registry).env("AWS_ENDPOINT_URL_S3", s3::endpoint_or_none());
        configuration = AWS_VARIABLES.into_iter().fold(configuration, |all, (name, value)| all.env(name, value));
    }
    Function::new(configuration).expect("the function is built")
}

fn invoke(function: &Function, event: &[u8]) {
    match function.invoke(event.to_vec(), TIMEOUT) {
        Invocation::Ok(response) => assert_eq!(response["batchItemFailures"], serde_json::json!([])),
        other => panic!("{other:?}\n{}", function.logs()),
    }
}

pub(crate) fn run(results: &mut Results) {
    print_line("\nthe Lambda function with the memory store");
    let package = package();
    let lines = simulated(1_000, 300);
    let events: Vec<String> = lines.chunks(RECORDS).map(lambda_event).collect();

    // A whole race. Each of its events updates 1,000 groups.
    let mut costs = Vec::new();
    for _ in 0..5 {
        let function = function(package.path(), &package.path().join("cache"), None);
        invoke(&function, events[0].as_bytes());
        let before = function.processor_time();
        events[1..].iter().for_each(|event| invoke(&function, event.as_bytes()));
        let spent = function.processor_time() - before;
        costs.push(spent.as_nanos() as f64 / ((events.len() - 1) * RECORDS) as f64);
    }
    results.add("lambda_cpu_ns_per_record", median(&mut costs), "ns", "target: below 1200");

    cold_starts(results, &package, lambda_event(&lines[..1_000]).as_bytes());
}

/// A kind of cold start: a name in the results, the registry in its environment, and whether plugins are compiled before.
struct Start {
    name: &'static str,
    registry: Option<String>,
    is_cached: bool,
    target: &'static str,
}

/// From the start of the process to the first answer.
fn cold_starts(results: &mut Results, package: &TempDir, event: &[u8]) {
    let seed = Registry::folder(&package.path().join("registry")).expect("the package has a registry");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts");
    let shared = tempfile::tempdir().expect("the temporary folder can be written");
    let folder = Registry::create_folder(shared.path()).expect("the temporary folder can be written");
    runtime.block_on(seed.copy_to(&folder)).expect("the registry can be copied");
    let folder = shared.path().to_str().expect("the path is UTF-8").to_owned();
    let mut starts = vec![
        Start { name: "cold_start_ms_cached", registry: None, is_cached: true, target: "target: below 60" },
        Start { name: "cold_start_ms", registry: None, is_cached: false, target: "target: below 250" },
        Start { name: "cold_start_ms_cached_folder", registry: Some(folder), is_cached: true, target: "" },
    ];
    if std::env::var_os(S3_ENDPOINT).is_some() {
        let location = format!("s3://{}/{}", s3::BUCKET, unique("bench"));
        runtime.block_on(async {
            let location_of_bucket = location.parse().expect("it is a location");
            let objects = open(&location_of_bucket, None, Some(&s3::endpoint())).await.expect("S3 can be used");
            seed.copy_to(&Registry::new(objects, &location)).await.expect("the registry can be copied");
        });
        let bucket = |name, is_cached| Start { name, registry: Some(location.clone()), is_cached, target: "" };
        starts.extend([bucket("cold_start_ms_cached_bucket", true), bucket("cold_start_ms_bucket", false)]);
    } else {
        print_line(&format!(
            "  a registry in a bucket: skipped, because {S3_ENDPOINT} is not set; `make bench` starts one"
        ));
    }

    let mut times = vec![Vec::new(); starts.len()];
    for turn in 0..STARTS {
        for (start, times) in starts.iter().zip(&mut times) {
            let empty = tempfile::tempdir().expect("the temporary folder can be written");
            let cache = if start.is_cached { package.path() } else { empty.path() }.join("cache");
            let started = Instant::now();
            let function = function(package.path(), &cache, start.registry.as_deref());
            invoke(&function, event);
            // The first turn warms up the cache of the file system.
            if turn > 0 {
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    for (start, times) in starts.iter().zip(&mut times) {
        results.add(start.name, median(times), "ms", start.target);
    }
}
