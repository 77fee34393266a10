//! Rulebooks change during a run.

use paceline_testbed::require;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ruled;
use crate::support::{DedupMode, Process, Workspace, joined, oracle, rulebook, simulate};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::Attribute;
use paceline_pipeline::store::EmbeddedStore;

const SWAPS: u64 = 100;
const RACERS: usize = 20;
const SECONDS: usize = 12;

/// A race's messages, second by second.
fn race(id: u64) -> Vec<Vec<Vec<u8>>> {
    let lines = simulate(&format!("--racers {RACERS} --seconds {SECONDS} --class 3 --race {id} --seed {id}"));
    lines.chunks(RACERS).map(<[_]>::to_vec).collect()
}

#[test]
fn a_hundred_swaps_under_load_lose_or_double_count_no_record_and_each_race_keeps_one_version() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    workspace.configure("[source]\nstdin = true\n", "[batch]\nmax-records = 100\n");
    let mut process = Process::start(workspace.command(&["run", "--json"]));
    let mut stdin = process.stdin.take().unwrap();
    process.wait_for("race type 3: class-3@1 is active");

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
            workspace.write("rulebooks/class-3.toml", "name = \"class-3\"\nversion = 9999\nthis is not TOML\n");
            workspace.try_apply().unwrap_err();
        }
        workspace.write("rulebooks/class-3.toml", rulebook(3, version, DedupMode::Sequence));
        workspace.apply();
        process.wait_for(&format!("race type 3: class-3@{version} is active"));
    }
    done.store(true, Ordering::Relaxed);
    let (all, races) = feeder.join().unwrap();
    let summary: serde_json::Value = serde_json::from_str(&process.finish()).unwrap();

    assert_eq!(summary["records"], all.len());
    assert_eq!(summary["deadLetters"], 0);
    assert_eq!(workspace.json(&["leaderboard", "--class", "3"]), oracle::class(&all));
    let items = workspace.items();
    for (key, item) in items.iter().filter(|(key, _)| key.partition.starts_with("race-")) {
        let version = item.provenance.rulebook.version;
        assert_eq!(item.attribute("ruled"), Some(&Attribute::Text(format!("by version {version}"))), "{key}");
        assert_eq!(item.attribute("seconds"), Some(&Attribute::Integer(SECONDS as i64)), "{key}");
        assert_eq!(item.attribute("finished"), Some(&Attribute::Boolean(true)), "{key}");
    }
    // Every item names the rulebook of its race's pin, that rulebook's plugins, and a revision.
    let store = EmbeddedStore::open(&workspace.path("store.redb")).unwrap();
    let ruled::Evaluated { versions, moved } = ruled::evaluated(&store, &workspace.registry());
    assert_eq!((versions.len() as u64, moved.len()), (races, 0));
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
        assert_eq!(item.provenance.rulebook.version, version, "{key}");
    }
}

#[test]
fn the_content_of_a_published_rulebook_version_cannot_change() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&race(131).concat()));
    workspace.run();
    let changed = rulebook(3, 1, DedupMode::Ordinal).replace("by version", "otherwise by version");
    workspace.write("rulebooks/class-3.toml", changed);
    let error = refused(&workspace);
    assert!(error.contains("class-3@1 was published with other content or other plugins"), "{error}");
    assert!(error.contains("give this one a greater `version`"), "{error}");
}

/// Why the rules of the folder are refused.
fn refused(workspace: &Workspace) -> String {
    ErrorChain(&workspace.try_apply().unwrap_err()).to_string()
}

#[test]
fn incompatible_rulebook_changes_are_refused_during_a_run() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nstdin = true\n", "");
    let process = Process::start(workspace.command(&["run"]));
    process.wait_for("race type 3: class-3@1 is active");
    let change = |text: String| workspace.write("rulebooks/class-3.toml", text);
    change(rulebook(3, 2, DedupMode::Ordinal));
    workspace.apply();
    process.wait_for("race type 3: class-3@2 is active");
    change(rulebook(3, 3, DedupMode::Sequence));
    let error = refused(&workspace);
    assert!(error.contains("class-3@2, which it would replace, has another dedup"), "{error}");
    change(rulebook(3, 3, DedupMode::Ordinal).replace("pin = \"/raceId\"\n", ""));
    let error = refused(&workspace);
    assert!(error.contains("pins by `/raceId`, and this one by nothing"), "{error}");
    change(rulebook(3, 3, DedupMode::Ordinal).replace("\"final\"", "\"update\""));
    let error = refused(&workspace);
    assert!(error.contains("has another `where` for the groups"), "{error}");
    change(rulebook(3, 4, DedupMode::Ordinal).replace("\"output\"", "\"evil-scorer\""));
    let error = refused(&workspace);
    assert!(error.contains("setting `deed` is missing"), "{error}");
    // A version that was in use may become active again.
    change(rulebook(3, 1, DedupMode::Ordinal));
    workspace.apply();
    process.wait_for("race type 3: class-3@1 is active");
    workspace.ok(&["rules", "retire", "3"]);
    process.wait_for("race type 3 is retired");
    workspace.apply();
    process.wait_for("race type 3: class-3@1 is active");
    process.finish();
}
