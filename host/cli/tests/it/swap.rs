//! Rulebooks change during a run.

use paceline_testbed::require;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{DedupMode, Process, Workspace, joined, oracle, rulebook, simulate};
use paceline_pipeline::model::Attribute;

const SWAPS: u64 = 50;
const RACERS: usize = 20;
const SECONDS: usize = 12;

/// A race's messages, second by second.
fn race(id: u64) -> Vec<Vec<Vec<u8>>> {
    let lines = simulate(&format!("--racers {RACERS} --seconds {SECONDS} --class 3 --race {id} --seed {id}"));
    lines.chunks(RACERS).map(<[_]>::to_vec).collect()
}

#[test]
fn fifty_swaps_under_load_lose_or_double_count_no_record_and_each_race_keeps_one_version() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    workspace.configure("[source]\nstdin = true\n", "[batch]\nmax-records = 100\n");
    let mut process = Process::start(workspace.command(&["run", "--json"]));
    let mut stdin = process.stdin.take().unwrap();
    process.wait_for("rulebook 3 version 1 is active");

    // Races start one after another and overlap, so that some are always in progress.
    let done = Arc::new(AtomicBool::new(false));
    let enough = Arc::clone(&done);
    let feeder = std::thread::spawn(move || {
        use std::io::Write;
        let template = race(1_000_000);
        let mut all = Vec::new();
        let (mut open, mut next) = (Vec::<(u64, usize)>::new(), 1_u64);
        loop {
            if !enough.load(Ordering::Relaxed) {
                open.push((next, 0));
                next += 1;
            }
            if open.is_empty() {
                return (all, next - 1);
            }
            let mut fresh = Vec::new();
            for (id, second) in &mut open {
                for line in &template[*second] {
                    let line = String::from_utf8(line.clone()).unwrap();
                    fresh.push(line.replace("\"raceId\":1000000,", &format!("\"raceId\":{id},")).into_bytes());
                }
                *second += 1;
            }
            stdin.write_all(&joined(&fresh)).unwrap();
            all.extend(fresh);
            open.retain(|(_, second)| *second < SECONDS);
        }
    });

    for version in 2..=SWAPS + 1 {
        if version % 5 == 0 {
            workspace.replace("rulebooks/class-3.toml", "race-type = \"3\"\nversion = 9999\nthis is not TOML\n");
            process.wait_for("refused: ");
        }
        workspace.replace("rulebooks/class-3.toml", rulebook(3, version, DedupMode::Sequence));
        process.wait_for(&format!("rulebook 3 version {version} is active"));
    }
    done.store(true, Ordering::Relaxed);
    let (all, races) = feeder.join().unwrap();
    let summary: serde_json::Value = serde_json::from_str(&process.finish()).unwrap();

    assert_eq!(summary["records"], all.len());
    assert_eq!(summary["deadLetters"], 0);
    assert_eq!(workspace.json(&["leaderboard", "--class", "3"]), oracle::class(&all));
    let mut versions: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let items = workspace.items();
    for (key, item) in items.iter().filter(|(key, _)| key.partition.starts_with("race-")) {
        let version = item.provenance.version;
        versions.entry(key.partition.clone()).or_default().insert(version);
        assert_eq!(item.attribute("ruled"), Some(&Attribute::Text(format!("by version {version}"))), "{key}");
        assert_eq!(item.attribute("seconds"), Some(&Attribute::Integer(SECONDS as i64)), "{key}");
        assert_eq!(item.attribute("finished"), Some(&Attribute::Boolean(true)), "{key}");
    }
    assert_eq!(versions.len() as u64, races);
    assert_eq!(items.len() as u64, races * RACERS as u64 + RACERS as u64);
    assert!(versions.values().all(|versions| versions.len() == 1), "{versions:?}");
    let used: BTreeSet<u64> = versions.into_values().flatten().collect();
    assert!(used.len() > 10, "{used:?}");
}

#[test]
fn a_race_keeps_its_rulebook_across_a_restart_and_new_races_use_the_new_one() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let first = race(131);
    workspace.write("messages.ndjson", joined(&first[..6].concat()));
    workspace.run();
    workspace.write("rulebooks/class-3.toml", rulebook(3, 2, DedupMode::Ordinal));
    workspace.write("messages.ndjson", joined(&[first.concat(), race(132).concat()].concat()));
    assert_eq!(workspace.run()["deadLetters"], 0);
    for (key, item) in workspace.items().iter().filter(|(key, _)| key.partition.starts_with("race-")) {
        let version = if key.partition == "race-3-131" { 1 } else { 2 };
        assert_eq!(item.provenance.version, version, "{key}");
    }
}

#[test]
fn the_content_of_a_used_rulebook_version_cannot_change() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&race(131).concat()));
    workspace.run();
    let changed = rulebook(3, 1, DedupMode::Ordinal).replace("by version", "otherwise by version");
    workspace.write("rulebooks/class-3.toml", changed);
    let error = workspace.fails(&["run"]);
    assert!(error.contains("race type 3, version 1 was in use with other content"), "{error}");
    assert!(error.contains("give this one a greater `version`"), "{error}");
}

#[test]
fn incompatible_rulebook_changes_are_rejected_during_a_run() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nstdin = true\n", "");
    let process = Process::start(workspace.command(&["run"]));
    process.wait_for("rulebook 3 version 1 is active");
    workspace.replace("rulebooks/class-3.toml", rulebook(3, 2, DedupMode::Ordinal));
    process.wait_for("rulebook 3 version 2 is active");
    workspace.replace("rulebooks/class-3.toml", rulebook(3, 3, DedupMode::Sequence));
    let line = process.wait_for("refused: ");
    assert!(line.contains("have another dedup than in version 2"), "{line}");
    workspace.replace("rulebooks/class-3.toml", rulebook(3, 3, DedupMode::Ordinal).replace("pin = \"/raceId\"\n", ""));
    let line = process.wait_for("refused: ");
    assert!(line.contains("it pins by nothing, version 2 by `/raceId`"), "{line}");
    workspace
        .replace("rulebooks/class-3.toml", rulebook(3, 4, DedupMode::Ordinal).replace("\"output\"", "\"evil-scorer\""));
    let line = process.wait_for("refused: ");
    assert!(line.contains("setting `deed` is missing"), "{line}");
    // A version that was in use may become active again.
    workspace.replace("rulebooks/class-3.toml", rulebook(3, 1, DedupMode::Ordinal));
    process.wait_for("rulebook 3 version 1 is active");
    std::fs::remove_file(workspace.path("rulebooks/class-3.toml")).unwrap();
    process.wait_for("rulebook 3 is retired");
    // A missing folder is reported once, not at every poll. When the folder is back, its rulebooks are loaded again.
    std::fs::rename(workspace.path("rulebooks"), workspace.path("elsewhere")).unwrap();
    process.wait_for("No such file or directory");
    std::fs::write(workspace.path("elsewhere/class-3.toml"), rulebook(3, 4, DedupMode::Ordinal)).unwrap();
    std::fs::rename(workspace.path("elsewhere"), workspace.path("rulebooks")).unwrap();
    let next = process.stderr_lines.recv().unwrap();
    assert!(next.contains("rulebook 3 version 4 is active"), "{next}");
    process.finish();
}
