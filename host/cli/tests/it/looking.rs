//! Commands that use the store of a run that goes on.

use std::time::{Duration, Instant};

use paceline_pipeline::store::EmbeddedStore;
use paceline_testbed::{poll, require};
use serde_json::{Value, json};

use crate::support::{DedupMode, Process, Workspace, joined, oracle, rulebook, simulate};

/// Asks until the answer is the expected one.
#[track_caller]
fn wait_until(expected: &Value, ask: impl Fn() -> Value) {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = ask();
        if answer == *expected {
            return;
        }
        assert!(Instant::now() < give_up, "{answer} is not {expected}");
        poll::pause(Duration::from_millis(50));
    }
}

#[test]
fn standings_and_dead_letters_are_there_and_redriven_while_a_race_runs() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Sequence);
    workspace.configure("[source]\nstdin = true\n", "");
    let lines = simulate("--racers 10 --seconds 20 --class 3 --race 131 --seed 9");
    // Nobody knows class 4 yet.
    let others = simulate("--racers 2 --seconds 20 --class 4 --race 132 --seed 9");
    let (half, others_half) = (lines.len() / 2, others.len() / 2);

    let mut run = Process::start(workspace.command(&["run", "--json"]));
    run.wait_for("race type 3: class-3@1 is active");
    run.write_stdin(&joined(&lines[..half]));
    run.write_stdin(&joined(&others[..others_half]));
    let standings = |class: &str, race: &str| workspace.json(&["leaderboard", "--class", class, "--race", race]);
    wait_until(&oracle::race(&lines[..half], 131), || standings("3", "131"));
    let letters = || workspace.json(&["dead-letters", "list"]);
    let count = |letters: &Value| json!(letters.as_array().unwrap().len());
    wait_until(&json!(others_half), || count(&letters()));
    let first = letters()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(workspace.json(&["dead-letters", "show", &first])["reason"], "no-rulebook");
    let status = workspace.json(&["rules", "status"]);
    assert_eq!(status["hosts"].as_array().unwrap().len(), 1, "{status}");

    workspace.write("rulebooks/class-4.toml", rulebook(4, 1, DedupMode::Sequence));
    let done = workspace.json(&["dead-letters", "redrive"]);
    assert_eq!((&done["through"], &done["left"]), (&json!(others_half), &json!(0)));
    assert_eq!(standings("4", "132"), oracle::race(&others[..others_half], 132));
    run.wait_for("race type 4: class-4@1 is active");

    // The rest meets what the redrive has written.
    run.write_stdin(&joined(&lines[half..]));
    run.write_stdin(&joined(&others[others_half..]));
    let summary: Value = serde_json::from_str(&run.finish()).unwrap();
    assert_eq!((&summary["duplicates"], &summary["records"]), (&json!(0), &json!(lines.len() + others.len())));
    assert_eq!(standings("3", "131"), oracle::race(&lines, 131));
    assert_eq!(standings("4", "132"), oracle::race(&others, 132));
}

#[test]
fn a_run_that_was_killed_leaves_no_socket_in_the_way() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nstdin = true\n", "");
    let run = Process::start(workspace.command(&["run"]));
    run.wait_for("race type 3: class-3@1 is active");
    run.kill();
    let socket = workspace.path("store.redb.socket");
    assert!(socket.exists());
    assert_eq!(workspace.json(&["dead-letters", "list"]), json!([]));
    let run = Process::start(workspace.command(&["run"]));
    run.wait_for("race type 3: class-3@1 is active");
    assert_eq!(workspace.json(&["dead-letters", "list"]), json!([]));
    run.finish();
    assert!(!socket.exists());
}

#[test]
fn a_run_that_starts_while_commands_have_the_store_open_waits_for_their_ends() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nstdin = true\n", "");
    let file = workspace.path("store.redb");
    let held = EmbeddedStore::open(&file).unwrap();
    std::thread::scope(|scope| {
        let run = Process::start(workspace.command(&["run"]));
        // As commands do, one after another, each for a moment.
        scope.spawn(|| {
            drop(held);
            for _ in 0..5 {
                poll::pause(Duration::from_millis(50));
                drop(EmbeddedStore::open_unless_in_use(&file));
            }
        });
        run.wait_for("race type 3: class-3@1 is active");
        run.finish();
    });
}
