//! The policies of `examples/alleycat/policies` allow what the commands do, and nothing else.
//!
//! Proxies in front of the local services record what each request needs permission for.

mod policy;
mod scene;

use std::collections::BTreeSet;

use paceline_testbed::proxy::Access;
use paceline_testbed::require;

use policy::{Policy, matches};
use scene::{NAMES, Scene};

/// Actions that the commands below do not need, as `SID ACTION`, and when they are needed.
const RARE: &[(&str, &str, &str)] = &[
    ("kcl", "Daemon*", "the daemon's own requests: Amazon's guide lists them, and it is not started here"),
    ("rules", "FollowAndNote dynamodb:BatchGetItem", "a race is repinned"),
];

/// Asserts that a policy allows these and nothing else.
#[track_caller]
fn must_fit(policy: &Policy, accesses: &BTreeSet<Access>) {
    let refused = policy.refused(accesses);
    assert!(refused.is_empty(), "{} does not allow {refused:#?}", policy.name);
    let unused = policy.unused(accesses);
    let rare: Vec<&str> = RARE.iter().filter(|(name, ..)| *name == policy.name).map(|(_, action, _)| *action).collect();
    let is_rare = |action: &&String| rare.iter().any(|pattern| matches(pattern, action));
    let needless: Vec<&String> = unused.iter().filter(|action| !is_rare(action)).collect();
    assert!(needless.is_empty(), "{} allows what nothing needs: {needless:#?}", policy.name);
    let needed: Vec<_> = rare.iter().filter(|pattern| !unused.iter().any(|action| matches(pattern, action))).collect();
    assert!(needed.is_empty(), "{}: these are not rare: {needed:?}", policy.name);
}

#[test]
fn policies_have_the_form_that_iam_takes() {
    let names = policy::all();
    let expected =
        ["dashboard", "dead-letters", "doctor", "kcl", "leaderboard", "replay", "rules", "run", "simulate", "table"];
    assert_eq!(names, expected.map(str::to_owned).into());
    names.iter().for_each(|name| policy::check_shape(name, NAMES));
    for (name, action, reason) in RARE {
        assert!(names.contains(*name) && !reason.is_empty(), "{name}: {action}");
    }
}

#[test]
fn run_reads_the_stream_and_commits() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local);
    let scene = Scene::new();
    for (consumer, write) in [("poll", "statements"), ("fan-out", "items")] {
        scene.configure(&format!("consumer = \"{consumer}\"\n"), &format!("write = \"{write}\"\n"));
        // The second half changes items of the first one.
        for half in [0, 1] {
            scene.put_race(consumer, half);
            scene.run_until_done();
        }
    }
    must_fit(&scene.policy("run"), &scene.accesses());
}

#[test]
fn a_record_processor_of_the_daemon_commits() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local);
    let scene = Scene::new();
    for write in ["statements", "items"] {
        scene.configure("", &format!("write = \"{write}\"\n"));
        scene.process_as_daemon();
    }
    must_fit(&scene.policy("kcl"), &scene.accesses());
}

#[test]
fn a_race_is_simulated_into_a_stream() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local);
    let scene = Scene::new();
    scene.ok(&[
        "simulate",
        "--stream",
        scene.stream(),
        "--racers",
        "5",
        "--seconds",
        "5",
        "--class",
        "3",
        "--race",
        "1",
        "--seed",
        "1",
    ]);
    must_fit(&scene.policy("simulate"), &scene.accesses());
}

#[test]
fn rules_are_published_changed_and_shown() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local);
    let scene = Scene::new();
    scene.change_rules();
    must_fit(&scene.policy("rules"), &scene.accesses());
}

#[test]
fn recorded_records_are_replayed() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local);
    let scene = Scene::new();
    scene.replay();
    must_fit(&scene.policy("replay"), &scene.accesses());
}

#[test]
fn tables_are_created_and_checked() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local);
    let scene = Scene::without_tables();
    for action in ["create", "create", "check"] {
        scene.ok_configured(&["table", action]);
    }
    must_fit(&scene.policy("table"), &scene.accesses());
}

#[test]
fn standings_are_read() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local);
    let scene = Scene::new();
    scene.ok_configured(&["leaderboard", "--class", "3", "--race", "131"]);
    must_fit(&scene.policy("leaderboard"), &scene.accesses());
}

#[test]
fn dead_letters_are_listed_redriven_and_made() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local, Moto);
    let scene = Scene::new();
    scene.dead_letters();
    must_fit(&scene.policy("dead-letters"), &scene.accesses());
}

#[test]
fn the_doctor_examines_a_deployment() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local, Moto);
    let scene = Scene::new();
    scene.examine();
    must_fit(&scene.policy("doctor"), &scene.accesses());
}

#[test]
fn the_dashboard_shows_a_deployment() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, S3Local, Moto);
    let scene = Scene::new();
    scene.show();
    must_fit(&scene.policy("dashboard"), &scene.accesses());
}
