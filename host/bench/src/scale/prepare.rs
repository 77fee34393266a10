//! Rulebooks and messages of a size. The rules are published before a process is measured.

use std::path::Path;

use paceline_pipeline::rules::Registry;
use paceline_testbed::rules;
use tempfile::TempDir;

use super::axis::{Axis, Job, Kind, Load, RECORDS_OF_A_SHARD};
use crate::consumer::Service;
use crate::plugins::variant;
use crate::{plugin, root};

/// A size that can be measured, as long as this value lives.
pub(super) struct Prepared {
    pub(super) job: Job,
    /// The registry's folder.
    _folder: TempDir,
}

/// Publishes the rules of a size, and starts the stream that it reads.
pub(super) fn prepare(axis: &Axis, size: usize) -> Prepared {
    let load = (axis.load)(size);
    let folder = tempfile::tempdir_in(root().join("target")).expect("target can be written");
    publish(folder.path(), &load);
    let (kind, endpoint) = match load.shards {
        0 => (Kind::Host, String::new()),
        shards => (Kind::Reader, stream(shards, load.racers)),
    };
    let registry = folder.path().join("registry");
    Prepared { job: Job { kind, size, load, registry, endpoint }, _folder: folder }
}

/// A rulebook for each race type, in a registry.
fn publish(folder: &Path, load: &Load) {
    let rulebooks = folder.join("rulebooks");
    let write = |name: &str, bytes: &[u8]| std::fs::write(rulebooks.join(name), bytes).expect("the folder is ours");
    std::fs::create_dir_all(&rulebooks).expect("the folder is ours");
    for name in ["telemetry", "last-output", "output"] {
        write(&format!("{name}.wasm"), &plugin(name));
    }
    let mut race_types = "[race-types]\n".to_owned();
    for number in 1..=load.race_types {
        let scorer = if load.has_own_scorers { format!("output-{number}") } else { "output".to_owned() };
        if load.has_own_scorers {
            write(&format!("{scorer}.wasm"), &variant("output", number));
        }
        write(&format!("{number}.toml"), rulebook(number, &scorer, load.aggregates).as_bytes());
        race_types.push_str(&format!("{number} = \"{number}.toml\"\n"));
    }
    write("rules.toml", format!("{race_types}[plugins]\nfolder = \".\"\n").as_bytes());
    let registry = Registry::create_folder(&folder.join("registry")).expect("the folder is ours");
    rules::apply(&rulebooks, &registry).expect("the rulebooks are accepted");
}

fn rulebook(number: usize, scorer: &str, aggregates: usize) -> String {
    let mut book = format!(
        "name = \"book-{number}\"\nversion = 1\n[[validate]]\nplugin = \"telemetry\"\n\
         settings = {{ max-second = 86400 }}\n[score]\nplugin = \"{scorer}\"\n"
    );
    for aggregate in 0..aggregates {
        book.push_str(&format!(
            "[[aggregate]]\nplugin = \"last-output\"\ndedup = {{ ordinal = \"/second\" }}\n\
             key = {{ PK = \"race-{aggregate}-{{/classId}}-{{/raceId}}\", SK = \"{{/racerId}}\" }}\n"
        ));
    }
    book
}

/// A message of a racer in a second.
pub(super) fn message(race_type: usize, racer: usize, second: usize) -> Vec<u8> {
    let timestamp = 1_620_992_100_000 + second as u64 * 1_000;
    let (cadence, resistance) = (30 + (racer + second) % 61, 33 + (racer * 7 + second) % 54);
    format!(
        r#"{{"event":"update","deviceTimestamp":{timestamp},"second":{second},"raceId":5403307,"name":"Ada","racerId":{racer},"classId":{race_type},"cadence":{cadence},"resistance":{resistance}}}"#
    )
    .into_bytes()
}

/// Starts a stream with the messages of a race, the same number in each shard. Returns its endpoint.
fn stream(shards: usize, racers: usize) -> String {
    let shard = |shard: usize| {
        let at = move |at: usize| message(1, shard * racers + at % racers, 1 + at / racers);
        (0..RECORDS_OF_A_SHARD).map(at).collect::<Vec<_>>()
    };
    let messages: Vec<Vec<Vec<u8>>> = (0..shards).map(shard).collect();
    let messages: Vec<Vec<&[u8]>> = messages.iter().map(|shard| shard.iter().map(Vec::as_slice).collect()).collect();
    Service::start(&messages, RECORDS_OF_A_SHARD / 2).endpoint
}
