//! A race of 300,000 messages from a file through `paceline run` into the durable store, and a race that is ten times as
//! long.

use paceline_pipeline::rules::Registry;
use paceline_testbed::rules;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::timing::median;
use crate::{Results, print_line, program, root};

/// Runs of the race.
const RUNS: usize = 5;

struct Run {
    /// From the start of the process to its exit.
    seconds: f64,
    /// From the first record, after the plugins are compiled.
    streaming_seconds: f64,
    peak_mb: f64,
}

/// Waits for the end of a child, and returns its peak resident memory, too.
pub(crate) fn peak_rss_mb(child: &mut Child) -> (ExitStatus, f64) {
    let mut peak_mb = 0.0_f64;
    let status_file = format!("/proc/{}/status", child.id());
    loop {
        // VmHWM is the peak resident memory of the process so far, so the last value before the exit is the result.
        let text = std::fs::read_to_string(&status_file).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_mb = peak_mb.max(kib.unwrap_or(0.0) / 1024.0 * 1.048_576);
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return (status, peak_mb);
        }
        paceline_testbed::poll::pause(std::time::Duration::from_millis(2));
    }
}

/// Runs a race with an empty store.
fn race(folder: &Path, config: &Path, records: u64) -> Run {
    // The registry stays: it is the rules that the run reads.
    let _ = std::fs::remove_file(folder.join("store.redb"));
    let log = folder.join("log");
    let written = std::fs::File::create(&log).expect("the folder can be written");
    let started = Instant::now();
    let mut child = Command::new(program("paceline"))
        .args(["run", "--json", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(written)
        .spawn()
        .expect("paceline is built beside this program");
    let (status, peak_mb) = peak_rss_mb(&mut child);
    let seconds = started.elapsed().as_secs_f64();
    assert!(status.success(), "{status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
    let output = child.wait_with_output().expect("the output can be read");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("the summary is JSON");
    assert_eq!(summary["records"], records);
    assert_eq!(summary["deadLetters"], 0);
    Run { seconds, streaming_seconds: summary["seconds"].as_f64().expect("`seconds` is a number"), peak_mb }
}

/// Writes a race and a configuration that reads it.
fn prepare(folder: &Path, seconds: u32) -> std::path::PathBuf {
    let simulated = Command::new(program("paceline"))
        .args(["simulate", "--racers", "1000", "--class", "3", "--race", "5403307", "--seed", "1", "--seconds"])
        .arg(seconds.to_string())
        .arg("--out")
        .arg(folder.join("messages.ndjson"))
        .status();
    assert!(simulated.expect("paceline is built beside this program").success());
    let alleycat = root().join("examples/alleycat");
    let book = std::fs::read_to_string(alleycat.join("rulebooks/flat.toml")).expect("the example has this file");
    // The plugin rejects seconds after 600 by default.
    let book = book.replace("plugin = \"telemetry\"\n", "plugin = \"telemetry\"\nsettings = { max-second = 86400 }\n");
    std::fs::create_dir_all(folder.join("rulebooks")).expect("the folder can be written");
    std::fs::write(folder.join("rulebooks/class-3.toml"), book).expect("the folder can be written");
    rules::map(&folder.join("rulebooks"));
    let registry = Registry::create_folder(&folder.join("registry")).expect("the folder can be written");
    rules::apply(&folder.join("rulebooks"), &registry).expect("the rulebook is accepted");
    let config = std::fs::read_to_string(alleycat.join("paceline.toml")).expect("the example has this file");
    let config = config.replace("../../target/race/", "");
    let file = folder.join("paceline.toml");
    std::fs::write(&file, config).expect("the folder can be written");
    file
}

pub(crate) fn run(results: &mut Results) {
    print_line("\na race of 1,000 racers through `paceline run`, from a file into the durable store");
    // Not in /tmp, which may be in memory: the store must be as durable as it is for users.
    let folder = tempfile::tempdir_in(root().join("target")).expect("target can be written");
    let config = prepare(folder.path(), 300);
    let runs: Vec<Run> = (0..RUNS).map(|_| race(folder.path(), &config, 300_000)).collect();
    let median_of = |value: fn(&Run) -> f64| median(&mut runs.iter().map(value).collect::<Vec<_>>());
    results.add("race_records_per_second", 300_000.0 / median_of(|run| run.seconds), "records/s", "at least 300000");
    results.add(
        "race_streaming_records_per_second",
        300_000.0 / median_of(|run| run.streaming_seconds),
        "records/s",
        "",
    );
    let peak = median_of(|run| run.peak_mb);
    results.add("race_peak_rss_mb", peak, "MB", "at most 150");

    let config = prepare(folder.path(), 3_000);
    let long = race(folder.path(), &config, 3_000_000);
    results.add("race_10x_records_per_second", 3_000_000.0 / long.seconds, "records/s", "");
    results.add("race_10x_peak_rss_mb", long.peak_mb, "MB", "flat");
    results.add("race_10x_peak_over_race_peak", long.peak_mb / peak, "long/short", "about 1");
}
