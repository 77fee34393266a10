//! Little address space: what the machine does not give is the host's trouble, and no plugin's or record's.

use std::process::Command;

use paceline_testbed::outcome::DedupMode;
use paceline_testbed::require;

use crate::support::{Workspace, joined, oracle, simulate_file};

/// `paceline run` of a workspace within so many KiB of address space.
fn run_within(workspace: &Workspace, kibibytes: u32) -> Command {
    workspace.apply();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {kibibytes} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_paceline"), "run"])
        .arg("--config")
        .arg(workspace.path("paceline.toml"))
        .env("PACELINE_CACHE", workspace.path("compiled"))
        .env_remove("RUST_BACKTRACE");
    command
}

#[test]
fn a_host_with_little_address_space_blames_nobody_and_runs_as_soon_as_there_is_enough() {
    require!(Plugins);
    let lines = simulate_file("--racers 50 --seconds 20 --class 3 --race 131 --seed 2");
    // Too little to start, and then step by step enough. The exact bounds depend on the machine.
    let sizes = [40_000, 70_000, 100_000, 130_000, 3_000_000];
    for kibibytes in sizes {
        let workspace = Workspace::new(DedupMode::Ordinal);
        workspace.write("messages.ndjson", joined(&lines));
        let output = run_within(&workspace, kibibytes).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(kibibytes > sizes[0] || !output.status.success(), "it runs within {kibibytes} KiB: {stderr}");
        assert!(kibibytes < sizes[4] || output.status.success(), "{stderr}");
        // A later run with all of the machine ends it.
        workspace.run();
        assert!(workspace.dead_letters().is_empty(), "{kibibytes}: {stderr}");
        let leaderboard = workspace.json(&["leaderboard", "--class", "3", "--race", "131"]);
        assert_eq!(leaderboard, oracle::race(&lines, 131), "{kibibytes}");
    }
}
