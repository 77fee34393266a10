//! A run that is killed at any moment and restarted has the outcome of an uninterrupted run.

use paceline_testbed::outcome::tally;
use paceline_testbed::require;

use crate::support::{DedupMode, Process, Workspace, joined, rulebook, simulate};

/// A minimal random generator: the offsets only have to differ from each other.
struct KillOffsets(u64);

impl KillOffsets {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// A workspace that also counts every racer's records: the other aggregators do not show that a record was counted
/// twice.
fn counting_workspace(dedup: DedupMode) -> Workspace {
    let workspace = Workspace::new(dedup);
    workspace.write("rulebooks/class-3.toml", format!("{}{}", rulebook(3, 1, dedup), tally(dedup)));
    workspace
}

fn twenty_kills_change_nothing(dedup: DedupMode, key: &str, seed: u64) {
    let race = "--racers 200 --seconds 100 --class 3 --race 131 --seed 9 --errors 5 --duplicates 5";
    let input = joined(&simulate(&format!("{race} --key {key}")));
    let source = "[source]\nstdin = true\n";
    let small_batches = "[batch]\nmax-records = 250\n";

    let undisturbed = counting_workspace(dedup);
    undisturbed.configure(source, small_batches);
    let mut process = Process::start(undisturbed.command(&["run", "--json"]));
    process.write_stdin(&input);
    let all: serde_json::Value = serde_json::from_str(&process.finish()).unwrap();

    let killed = counting_workspace(dedup);
    killed.configure(source, small_batches);
    let mut offsets = KillOffsets(seed);
    for _ in 0..20 {
        let mut process = Process::start(killed.command(&["run", "--json"]));
        // The process reads more slowly than the test writes. When the last byte is written, it is still in one of the
        // earlier batches.
        process.write_stdin(&input[..offsets.below(input.len() - 1)]);
        process.kill();
    }
    let mut process = Process::start(killed.command(&["run", "--json"]));
    process.write_stdin(&input);
    let rest: serde_json::Value = serde_json::from_str(&process.finish()).unwrap();

    // The killed runs had committed some of the records.
    assert!(rest["records"].as_u64() < all["records"].as_u64(), "{rest}");
    assert_eq!(killed.items(), undisturbed.items());
    assert_eq!(killed.dead_letters(), undisturbed.dead_letters());
}

#[test]
fn twenty_kills_change_nothing_with_sequence_dedup() {
    require!(Plugins);
    twenty_kills_change_nothing(DedupMode::Sequence, "racer", 1);
}

#[test]
fn twenty_kills_change_nothing_with_ordinal_dedup() {
    require!(Plugins);
    twenty_kills_change_nothing(DedupMode::Ordinal, "random", 2);
}

#[test]
fn a_terminated_run_commits_the_current_batch_and_resumes_later() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    workspace.configure("[source]\nstdin = true\n", "[batch]\nmax-records = 100\n");
    let lines = simulate("--racers 100 --seconds 20 --class 3 --race 131 --seed 9");
    let mut process = Process::start(workspace.command(&["run", "--json"]));
    // The input stays open: without the signal the process would wait forever.
    process.write_stdin(&joined(&lines[..1_500]));
    let id = process.child.id().to_string();
    crate::support::succeed(std::process::Command::new("kill").args(["-TERM", &id]));
    process.wait_for("stopping after the current batch");
    let output = process.child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let first: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = first["records"].as_u64().unwrap();

    let mut process = Process::start(workspace.command(&["run", "--json"]));
    process.write_stdin(&joined(&lines));
    let second: serde_json::Value = serde_json::from_str(&process.finish()).unwrap();
    assert_eq!(first + second["records"].as_u64().unwrap(), 2_000);
    assert_eq!(second["duplicates"], 0);
    assert_eq!(
        workspace.json(&["leaderboard", "--class", "3", "--race", "131"]),
        crate::support::oracle::race(&lines, 131)
    );
}

#[test]
fn a_growing_file_is_resumed_at_its_checkpoint() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    let lines = simulate("--racers 10 --seconds 20 --class 3 --race 131 --seed 9");
    for (end, fresh) in [(90, 90), (90, 0), (200, 110)] {
        workspace.write("messages.ndjson", joined(&lines[..end]));
        assert_eq!(workspace.run()["records"], fresh);
    }
    assert_eq!(
        workspace.json(&["leaderboard", "--class", "3", "--race", "131"]),
        crate::support::oracle::race(&lines, 131)
    );
}

#[test]
fn a_replaced_file_of_the_same_name_is_detected() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    workspace.write("messages.ndjson", joined(&simulate("--racers 10 --seconds 20 --class 3 --race 131 --seed 1")));
    workspace.run();
    workspace.write("messages.ndjson", joined(&simulate("--racers 10 --seconds 25 --class 3 --race 132 --seed 2")));
    let error = workspace.fails(&["run"]);
    assert!(error.contains("messages.ndjson is not the input that was read before"), "{error}");
    assert!(error.contains("give it another `name` in [source]"), "{error}");
    workspace.write("messages.ndjson", "{}\n");
    let error = workspace.fails(&["run"]);
    assert!(error.contains("it has 3 bytes, of which"), "{error}");
}
