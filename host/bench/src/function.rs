//! The function that Lambda starts: what an invocation costs in processor time, and how long a cold start takes.

use std::path::Path;
use std::time::{Duration, Instant};

use paceline_testbed::lambda::{Configuration, Function, Invocation};
use tempfile::TempDir;

use crate::event::lambda_event;
use crate::timing::median;
use crate::{Results, root, simulated};

/// Records of an event.
const RECORDS: usize = 10_000;

/// Cold starts of each sort.
const STARTS: usize = 11;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A package with the example's rulebooks, whose store is the process's memory: no network.
fn package() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room");
    let alleycat = root().join("examples/alleycat");
    std::fs::create_dir(folder.path().join("rulebooks")).expect("there is room");
    std::fs::copy(alleycat.join("rulebooks/class-3.toml"), folder.path().join("rulebooks/class-3.toml"))
        .expect("there is room");
    let config = std::fs::read_to_string(alleycat.join("lambda.toml")).expect("it is there");
    let (before, after) = config.split_once("[store.dynamodb]").expect("the example names a table");
    let (_, after) = after.split_once("# [limits]").expect("the example shows the limits");
    let plugins = root().join("target/plugins");
    let config = format!("{before}[store]\nmemory = true\n\n# [limits]{after}")
        .replace("\"plugins/", &format!("\"{}/", plugins.display()))
        .replace("/tmp/paceline/registry", "registry");
    std::fs::write(folder.path().join("paceline.toml"), config).expect("there is room");
    folder
}

fn function(package: &Path, cache: &Path) -> Function {
    let mut configuration = Configuration::new(root().join("target/release/bootstrap"));
    configuration.task_root = package.to_owned();
    let configuration =
        configuration.env("PACELINE_CACHE", cache.to_str().expect("a path in UTF-8")).env("RUST_LOG", "warn");
    Function::new(configuration).expect("the function is built")
}

fn invoke(function: &Function, event: &[u8]) {
    match function.invoke(event.to_vec(), TIMEOUT) {
        Invocation::Ok(answer) => assert_eq!(answer["batchItemFailures"], serde_json::json!([])),
        other => panic!("{other:?}\n{}", function.logs()),
    }
}

pub(crate) fn run(results: &mut Results) {
    println!("\nthe function behind the runtime API, its store in memory");
    let package = package();
    let lines = simulated(1_000, 300);
    let events: Vec<String> = lines.chunks(RECORDS).map(lambda_event).collect();

    // A whole race, event by event, so that every one of them folds and writes 1,000 groups.
    let mut costs = Vec::new();
    for _ in 0..5 {
        let function = function(package.path(), &package.path().join("cache"));
        invoke(&function, events[0].as_bytes());
        let before = function.processor_time();
        events[1..].iter().for_each(|event| invoke(&function, event.as_bytes()));
        let spent = function.processor_time() - before;
        costs.push(spent.as_nanos() as f64 / ((events.len() - 1) * RECORDS) as f64);
    }
    results.add("lambda_cpu_ns_per_record", median(&mut costs), "ns", "aim: below 1200");

    let first = lambda_event(&lines[..1_000]);
    let (mut cached, mut compiled) = (Vec::new(), Vec::new());
    for turn in 0..STARTS {
        let empty = tempfile::tempdir().expect("there is room");
        for (cache, times) in [(package.path().join("cache"), &mut cached), (empty.path().join("cache"), &mut compiled)]
        {
            let started = Instant::now();
            let function = function(package.path(), &cache);
            invoke(&function, first.as_bytes());
            // The first turn warms the file system's cache.
            if turn > 0 {
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    results.add("cold_start_ms_cached", median(&mut cached), "ms", "aim: below 60");
    results.add("cold_start_ms", median(&mut compiled), "ms", "aim: below 250");
}
