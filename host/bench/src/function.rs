//! The Lambda function: the processor time of an invocation, and the time of a cold start.

use paceline_pipeline::rules::Registry;
use paceline_testbed::rules;
use std::path::Path;
use std::time::{Duration, Instant};

use paceline_testbed::lambda::{Configuration, Function, Invocation};
use tempfile::TempDir;

use crate::event::lambda_event;
use crate::timing::median;
use crate::{Results, print_line, root, simulated};

/// Records in an event.
const RECORDS: usize = 10_000;

/// Cold starts with a cache of compiled plugins, and as many without.
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

fn function(package: &Path, cache: &Path) -> Function {
    let mut configuration = Configuration::new(root().join("target/release/bootstrap"));
    configuration.task_root = package.to_owned();
    let configuration =
        configuration.env("PACELINE_CACHE", cache.to_str().expect("the path is UTF-8")).env("RUST_LOG", "warn");
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
        let function = function(package.path(), &package.path().join("cache"));
        invoke(&function, events[0].as_bytes());
        let before = function.processor_time();
        events[1..].iter().for_each(|event| invoke(&function, event.as_bytes()));
        let spent = function.processor_time() - before;
        costs.push(spent.as_nanos() as f64 / ((events.len() - 1) * RECORDS) as f64);
    }
    results.add("lambda_cpu_ns_per_record", median(&mut costs), "ns", "target: below 1200");

    let first = lambda_event(&lines[..1_000]);
    let (mut cached, mut compiled) = (Vec::new(), Vec::new());
    for turn in 0..STARTS {
        let empty = tempfile::tempdir().expect("the temporary folder can be written");
        for (cache, times) in [(package.path().join("cache"), &mut cached), (empty.path().join("cache"), &mut compiled)]
        {
            let started = Instant::now();
            let function = function(package.path(), &cache);
            invoke(&function, first.as_bytes());
            // The first turn warms up the cache of the file system.
            if turn > 0 {
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    results.add("cold_start_ms_cached", median(&mut cached), "ms", "target: below 60");
    results.add("cold_start_ms", median(&mut compiled), "ms", "target: below 250");
}
