//! What a poll of the rules' log adds to the invocation that starts it: events of a second, to a function that polls a
//! bucket in each invocation and to two that do not poll.

use std::fs;
use std::time::Instant;

use paceline_pipeline::rules::Registry;
use paceline_testbed::lambda::Function;
use tempfile::TempDir;

use super::deployed::{add_garbage, bucket, function, invoke, package};
use crate::Results;
use crate::timing::median;

/// Invocations of each function that are measured.
const TURNS: usize = 301;
/// Invocations before them: the plugins' templates are learned, and connections opened.
const WARM_UP: usize = 20;
/// A function that polls whenever an invocation starts, unless a poll is under way.
const EACH_MS: u32 = 1;
/// A function that does not poll while this benchmark runs.
const NEVER_MS: u32 = 3_600_000;

pub(crate) fn run(results: &mut Results, event: &[u8]) {
    let packages = [EACH_MS, NEVER_MS, NEVER_MS].map(polling_every);
    let seed = Registry::folder(&packages[0].path().join("registry")).expect("the package has a registry");
    let Some(location) = bucket(&seed) else { return };
    let functions =
        packages.each_ref().map(|package| function(package.path(), &package.path().join("cache"), Some(&location)));
    let mut times: [Vec<f64>; 3] = Default::default();
    for turn in 0..WARM_UP + TURNS {
        for step in 0..functions.len() {
            // The order rotates, so that no function always follows the same other one.
            let index = (turn + step) % functions.len();
            let time = invocation_ms(&functions[index], event);
            if turn >= WARM_UP {
                times[index].push(time);
            }
        }
    }
    check(&functions, &location, event);
    let [polling, resting, control] = &mut times;
    let (polling_p99, resting_p99) = (percentile_99(polling), percentile_99(resting));
    let (polling, resting, control) = (median(polling), median(resting), median(control));
    results.add("poll_adds_ms", polling - resting, "ms", "target: at most 2");
    results.add("poll_adds_ms_p99", polling_p99 - resting_p99, "ms", "of the 99th percentiles");
    results.add("poll_adds_ms_control", control - resting, "ms", "two functions that do not poll");
}

/// Checks that the first function polls and the others do not: only it sees what is added to the log.
fn check(functions: &[Function; 3], location: &str, event: &[u8]) {
    add_garbage(location);
    let sees = |function: &Function| function.logs().contains("of the rules' log is skipped");
    for function in functions {
        // A poll may end beside a later invocation.
        (0..WARM_UP).for_each(|_| invoke(function, event));
    }
    assert_eq!(functions.each_ref().map(sees), [true, false, false], "{}", functions[0].logs());
}

/// The package with another poll interval.
fn polling_every(interval_ms: u32) -> TempDir {
    let folder = package();
    let file = folder.path().join("paceline.toml");
    let config = fs::read_to_string(&file).expect("the package has a configuration");
    let (before, after) = config.split_once("# poll-interval-ms = 1000").expect("the example shows the interval");
    let config = format!("{before}poll-interval-ms = {interval_ms}{after}");
    fs::write(&file, config).expect("the temporary folder can be written");
    folder
}

fn invocation_ms(function: &Function, event: &[u8]) -> f64 {
    let started = Instant::now();
    invoke(function, event);
    started.elapsed().as_secs_f64() * 1e3
}

fn percentile_99(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}
