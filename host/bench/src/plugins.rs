//! A hundred plugins at once, of all kinds and with bytes of their own each: the memory of `paceline run` with them, and
//! its start.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use paceline_pipeline::rules::Registry;
use paceline_testbed::rules;
use serde_json::Value;

use crate::race::peak_rss_mb;
use crate::timing::median;
use crate::{Results, plugin, print_line, program, root, simulated};

/// Rulebooks, each with a validator, a scorer and two aggregators that no other rulebook has.
const RULEBOOKS: usize = 25;

/// Starts with and without compiled plugins in the cache.
const STARTS: (usize, usize) = (11, 3);

const SCORERS: [&str; 2] = ["output", "climb"];
const AGGREGATORS: [&str; 4] = ["best-output", "energy", "sprint", "history"];

/// A plugin with other bytes: a section that no program reads names the rulebook.
pub(crate) fn variant(name: &str, rulebook: usize) -> Vec<u8> {
    let (section, number) = (b"rulebook", rulebook.to_string());
    let mut wasm = plugin(name);
    // A custom section: its number, its size, the length of its name, its name, its content.
    let size = 1 + section.len() + number.len();
    wasm.extend([0, u8::try_from(size).expect("the section is short"), section.len() as u8]);
    wasm.extend(section);
    wasm.extend(number.as_bytes());
    wasm
}

/// Publishes a rulebook with plugins of its own for each race type, and writes a message for each race type.
fn prepare(folder: &Path) {
    let write = |name: String, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("the folder is ours");
    std::fs::create_dir_all(folder.join("rulebooks")).expect("the folder is ours");
    let message = simulated(1, 1).remove(0);
    let mut message: Value = serde_json::from_slice(&message).expect("the simulator writes JSON");
    let (mut messages, mut race_types) = (String::new(), String::from("[race-types]\n"));
    for number in 1..=RULEBOOKS {
        let (scorer, second) = (SCORERS[number % SCORERS.len()], AGGREGATORS[number % AGGREGATORS.len()]);
        for name in ["telemetry", scorer, "last-output", second] {
            write(format!("rulebooks/{name}-{number}.wasm"), &variant(name, number));
        }
        let book = format!(
            "name = \"book-{number}\"\nversion = 1\n[[validate]]\nplugin = \"telemetry-{number}\"\n\
             [score]\nplugin = \"{scorer}-{number}\"\n\
             [[aggregate]]\nplugin = \"last-output-{number}\"\n\
             key = {{ PK = \"last-{{/classId}}\", SK = \"{{/racerId}}\" }}\ndedup = \"sequence\"\n\
             [[aggregate]]\nplugin = \"{second}-{number}\"\n\
             key = {{ PK = \"second-{{/classId}}\", SK = \"{{/racerId}}\" }}\ndedup = \"sequence\"\n"
        );
        write(format!("rulebooks/{number}.toml"), book.as_bytes());
        race_types.push_str(&format!("{number} = \"{number}.toml\"\n"));
        message["classId"] = number.into();
        messages.push_str(&format!("{message}\n"));
    }
    write("rulebooks/rules.toml".to_owned(), format!("{race_types}[plugins]\nfolder = \".\"\n").as_bytes());
    write("messages.ndjson".to_owned(), messages.as_bytes());
    let config = "[source]\nfile = \"messages.ndjson\"\n[route]\nrace-type = \"/classId\"\n\
                  [rules]\nregistry = \"registry\"\n[store]\nmemory = true\n";
    write("paceline.toml".to_owned(), config.as_bytes());
    let registry = Registry::create_folder(&folder.join("registry")).expect("the folder is ours");
    rules::apply(&folder.join("rulebooks"), &registry).expect("the rulebooks are accepted");
}

struct Start {
    /// From the start of the process to the first record.
    ms: f64,
    peak_mb: f64,
}

/// Runs a message of each race type, with this cache of compiled plugins.
fn start(folder: &Path, cache: &Path) -> Start {
    let started = Instant::now();
    let mut child = Command::new(program("paceline"))
        .args(["run", "--json", "--config"])
        .arg(folder.join("paceline.toml"))
        .env("PACELINE_CACHE", cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("paceline is built beside this program");
    let (status, peak_mb) = peak_rss_mb(&mut child);
    let seconds = started.elapsed().as_secs_f64();
    assert!(status.success(), "{status}");
    let output = child.wait_with_output().expect("the output can be read");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("the summary is JSON");
    assert_eq!((&summary["records"], &summary["deadLetters"]), (&RULEBOOKS.into(), &0.into()), "{summary}");
    let streaming = summary["seconds"].as_f64().expect("`seconds` is a number");
    Start { ms: (seconds - streaming) * 1e3, peak_mb }
}

pub(crate) fn run(results: &mut Results) {
    print_line("\na hundred plugins in 25 rulebooks, each called once, by `paceline run`");
    let folder = tempfile::tempdir_in(root().join("target")).expect("target can be written");
    prepare(folder.path());
    let cache = folder.path().join("cache");
    // The first one fills the cache.
    start(folder.path(), &cache);
    let compiled = std::fs::read_dir(&cache).map_or(0, Iterator::count);
    assert!(compiled >= 4 * RULEBOOKS, "the cache has {compiled} plugins");
    let cached: Vec<Start> = (0..STARTS.0).map(|_| start(folder.path(), &cache)).collect();
    let uncached = (0..STARTS.1).map(|turn| start(folder.path(), &folder.path().join(format!("empty-{turn}"))));
    let uncached: Vec<Start> = uncached.collect();
    let median_of =
        |starts: &[Start], value: fn(&Start) -> f64| median(&mut starts.iter().map(value).collect::<Vec<_>>());
    results.add("hundred_plugins_start_ms_cached", median_of(&cached, |start| start.ms), "ms", "");
    results.add("hundred_plugins_start_ms", median_of(&uncached, |start| start.ms), "ms", "");
    results.add("hundred_plugins_rss_mb", median_of(&cached, |start| start.peak_mb), "MB", "");
    results.add("hundred_plugins_rss_mb_uncached", median_of(&uncached, |start| start.peak_mb), "MB", "");
}
