//! A stop signal while a plugin spins: the call ends within seconds, its batch is not acknowledged, and nobody is blamed.

use std::time::{Duration, Instant};

use paceline_testbed::outcome::DedupMode;
use paceline_testbed::require;

use crate::stream::deployment::{Deployment, signal};
use crate::support::{Process, Workspace, joined, oracle, rulebook, simulate_file};

/// With these a call may spin for longer than a test waits.
const NO_LIMITS: &str = "[limits]\ncall-ms = 600000\nfuel-per-call = 1000000000000000\n";

/// Less than the limits allow, and far more than a call gets after a signal.
const IN_TIME: Duration = Duration::from_secs(60);

fn spinning(rulebook: &str) -> String {
    rulebook.replace("plugin = \"output\"", "plugin = \"evil-scorer\"\nsettings = { deed = \"log\" }")
}

#[test]
fn a_file_whose_plugin_spins_is_left_at_a_signal_and_read_again() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nfile = \"messages.ndjson\"\n", NO_LIMITS);
    let lines = simulate_file("--racers 5 --seconds 20 --class 3 --race 131 --seed 1");
    workspace.write("messages.ndjson", joined(&lines));
    workspace.write("rulebooks/class-3.toml", spinning(&rulebook(3, 1, DedupMode::Ordinal)));
    let process = Process::start(workspace.command(&["run", "--json"]));
    process.wait_for("and another thing");
    let began = Instant::now();
    signal(&process.child, "TERM");
    let summary: serde_json::Value = serde_json::from_str(&process.finish()).unwrap();
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    assert_eq!((&summary["records"], &summary["deadLetters"]), (&0.into(), &0.into()), "{summary}");
    assert!(workspace.items().is_empty() && workspace.dead_letters().is_empty());

    workspace.write("rulebooks/class-3.toml", rulebook(3, 2, DedupMode::Ordinal));
    assert_eq!(workspace.run()["records"], lines.len());
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"]), oracle::race(&lines, 131));
}

/// `timeout` signals its child, and then the group that the child is in.
#[test]
fn two_signals_at_once_are_one() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nfile = \"messages.ndjson\"\n", NO_LIMITS);
    workspace.write("messages.ndjson", joined(&simulate_file("--racers 5 --seconds 20 --class 3 --race 131 --seed 1")));
    workspace.write("rulebooks/class-3.toml", spinning(&rulebook(3, 1, DedupMode::Ordinal)));
    let process = Process::start(workspace.command(&["run", "--json"]));
    process.wait_for("and another thing");
    signal(&process.child, "TERM");
    process.wait_for("stopping after the current batch");
    signal(&process.child, "TERM");
    let summary: serde_json::Value = serde_json::from_str(&process.finish()).unwrap();
    assert_eq!(summary["records"], 0, "{summary}");
}

#[test]
fn shards_whose_plugins_spin_are_left_at_a_signal() {
    require!(Plugins, DynamoDbLocal, KinesisLocal);
    // More shards than threads, so that no thread is left to receive the signal.
    let deployment = Deployment::new(DedupMode::Ordinal, 8);
    deployment.configure("", NO_LIMITS);
    let rules = std::fs::read_to_string(deployment.path("rulebooks/class-3.toml")).unwrap();
    deployment.write("rulebooks/class-3.toml", &spinning(&rules).replace("version = 1", "version = 2"));
    deployment.apply();
    let messages = crate::stream::race::messages(paceline_simulator::PartitionKey::Racer, 3);
    deployment.put(&messages);
    let running = deployment.start_without_proxies();
    running.process.wait_for("and another thing");
    let began = Instant::now();
    let summary = running.stop();
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    assert_eq!(summary["records"], 0, "{summary}");
    assert!(deployment.outcome().dead_letters.is_empty());
}
