//! The hosts of a store, as `paceline rules` shows them and waits for them.

use std::time::{Duration, Instant};

use paceline_aws::DynamoDbStore;
use paceline_engine::Digest;
use paceline_pipeline::rules::{Acknowledgement, RefusedRulebook};
use paceline_pipeline::store::{EmbeddedStore, Expected, Notice, NoticeStore, notice_time};
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::{require, rules};
use serde_json::{Value, json};

use crate::dynamo::Deployment;
use crate::support::{DedupMode, Workspace, block_on, fail, joined, rulebook, simulate, succeed};

/// A rulebook of class 3 in this version, published.
fn publish(workspace: &Workspace, version: u64) -> Digest {
    workspace.write("next.toml", rulebook(3, version, DedupMode::Ordinal));
    let (file, folder) = (workspace.path("next.toml"), paceline_testbed::plugins::folder());
    let arguments = ["rules", "publish", file.to_str().unwrap(), "--plugins", folder.to_str().unwrap(), "--json"];
    let changed: Value = serde_json::from_str(&workspace.ok(&arguments)).unwrap();
    changed["changes"][0]["rulebook"].as_str().unwrap().parse().unwrap()
}

fn host(id: &str, registry: &Value, revision: u64, refusals: Vec<RefusedRulebook>) -> Notice {
    let acknowledgement = Acknowledgement {
        host: id.to_owned(),
        kind: "run".to_owned(),
        program: "0.1.0".to_owned(),
        registry: Some(registry.as_str().unwrap().to_owned()),
        revision,
        since: "2026-11-25T20:06:22Z".to_owned(),
        refusals,
        problem: None,
    };
    let body = serde_json::to_string(&acknowledgement).unwrap();
    Notice { name: id.to_owned(), body, version: 1, expires: Some(notice_time() + 3600) }
}

/// Others would wait for a host that is gone.
#[test]
fn a_host_that_fails_at_its_start_is_no_host() {
    require!(Plugins, DynamoDbLocal);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&simulate("--racers 5 --seconds 3 --class 3 --race 131 --seed 1")));
    workspace.run();
    workspace.fails(&["run", "--input", "nonexistent"]);
    assert_eq!(workspace.json(&["rules", "status"])["hosts"], json!([]));

    // The address is in use.
    let deployment = Deployment::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("[serve]\nlisten = \"{}\"\n", taken.local_addr().unwrap());
    let stream = "stream = \"alleycat\"\nregion = \"us-east-1\"";
    deployment.configure(stream, &listen);
    let error = fail(&mut deployment.command(&["run"], &endpoint()));
    assert!(error.contains("can't be listened on"), "{error}");
    let status = succeed(&mut deployment.command(&["rules", "status", "--json"], &endpoint()));
    assert_eq!(serde_json::from_str::<Value>(&status).unwrap()["hosts"], json!([]));

    // So is a host without a place for dead letters, which ends before it reads anything.
    deployment.configure(stream, "");
    for kind in ["run", "kcl"] {
        let mut command = deployment.command(&[kind], &endpoint());
        let error = fail(command.env("PACELINE_DEAD_LETTERS", "no-such-table"));
        assert!(error.contains("no-such-table") && error.contains("paceline table create"), "{kind}: {error}");
    }
    let status = succeed(&mut deployment.command(&["rules", "status", "--json"], &endpoint()));
    assert_eq!(serde_json::from_str::<Value>(&status).unwrap()["hosts"], json!([]));
}

#[test]
fn status_shows_hosts_pinned_races_and_who_changed_what() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&simulate("--racers 5 --seconds 3 --class 3 --race 131 --seed 1")));
    workspace.run();
    let status = workspace.json(&["rules", "status"]);
    let class = &status["raceTypes"]["3"];
    assert_eq!((&class["current"], &class["since"], &class["by"]), (&json!("class-3@1"), &json!(1), &json!("test")));
    assert_eq!(class["pinnedRaces"], json!({ "byRulebook": { "class-3@1": 1 }, "more": false }));
    assert_eq!((&status["head"]["revision"], &status["hosts"]), (&json!(1), &json!([])), "the host has signed off");
    assert!(workspace.ok(&["rules", "status"]).contains("no host has acknowledged the rules"));

    let registry = &status["registry"];
    let two = publish(&workspace, 2);
    let refusal = RefusedRulebook {
        race_type: None,
        name: "class-3@2".to_owned(),
        rulebook: two,
        reason: "too little memory".to_owned(),
    };
    let put = |notice: &Notice| {
        let store = EmbeddedStore::open(&workspace.path("store.redb")).unwrap();
        assert!(block_on(store.put_notice("hosts", notice, Expected::Anything)).unwrap());
    };
    put(&host("ahead", registry, 2, Vec::new()));
    put(&host("behind", registry, 1, Vec::new()));
    put(&host("small", registry, 2, vec![refusal]));
    let text = workspace.ok(&["rules", "status"]);
    assert!(text.contains("2 of 3 hosts are on revision 2; 1 refused: class-3@2"), "{text}");
    assert!(text.contains("small: class-3@2 is refused: too little memory"), "{text}");
    assert!(text.contains("1 class-3@1"), "{text}");
    let status = workspace.json(&["rules", "status"]);
    let current: Vec<bool> =
        status["hosts"].as_array().unwrap().iter().map(|host| host["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [true, false, true]);

    // What a host refuses is not tried, promoted or activated by mistake.
    let canary = ["rules", "canary", "class-3@2", "--race-type", "3", "--share", "5%"];
    let error = workspace.fails(&canary);
    assert!(error.contains("small: class-3@2 is refused: too little memory") && error.contains("--force"), "{error}");
    workspace.ok(&[&canary[..], &["--force"]].concat());
    let error = workspace.fails(&["rules", "promote", "3"]);
    assert!(error.contains("small: class-3@2 is refused: too little memory"), "{error}");
    workspace.ok(&["rules", "rollback", "3"]);
    let activate = ["rules", "activate", "class-3@2", "--race-type", "3"];
    let error = workspace.fails(&activate);
    assert!(error.contains("small: class-3@2 is refused: too little memory") && error.contains("--force"), "{error}");
    workspace.ok(&[&activate[..], &["--force"]].concat());
    assert_eq!(workspace.json(&["rules", "status"])["revision"], 5);

    // While a host has the store open, the rest is shown.
    let store = EmbeddedStore::open(&workspace.path("store.redb")).unwrap();
    let output = workspace.command(&["rules", "status"]).output().unwrap();
    assert!(output.status.success());
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(out.contains("class-3@2") && error.contains("hosts and pinned races are not shown"), "{out}{error}");
    drop(store);
}

#[test]
fn a_registry_that_was_replaced_is_refused_until_it_is_adopted() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&simulate("--racers 5 --seconds 3 --class 3 --race 131 --seed 1")));
    workspace.run();
    std::fs::rename(workspace.path("registry"), workspace.path("before")).unwrap();
    workspace.write("rulebooks/class-3.toml", rulebook(3, 2, DedupMode::Ordinal));
    let error = workspace.fails(&["run"]);
    assert!(error.contains("have followed the registry") && error.contains("paceline rules adopt"), "{error}");
    let text = workspace.ok(&["rules", "status"]);
    assert!(text.contains("hosts refuse this registry"), "{text}");
    let dry = workspace.command(&["rules", "adopt", "--dry-run"]).output().unwrap();
    assert_eq!(dry.status.code(), Some(3));
    let text = workspace.ok(&["rules", "adopt", "--why", "moved"]);
    assert!(text.starts_with("hosts follow revision 1 of the registry"), "{text}");
    assert!(workspace.ok(&["rules", "adopt"]).starts_with("nothing to change"));
    assert_eq!(workspace.json(&["rules", "status"])["head"]["why"], "moved");
    workspace.write("next.ndjson", joined(&simulate("--racers 5 --seconds 3 --class 3 --race 132 --seed 1")));
    workspace.ok(&["run", "--input", workspace.path("next.ndjson").to_str().unwrap()]);
}

#[test]
fn an_activation_waits_for_hosts_that_have_not_read_the_publishing_entry() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    let workspace = &deployment.workspace;
    workspace.apply();
    let command = |arguments: &[&str]| deployment.command(&[&["rules"], arguments].concat(), &endpoint());
    rules::map(&workspace.path("rulebooks"));
    workspace.write("next.toml", rulebook(3, 2, DedupMode::Ordinal));
    let (file, folder) = (workspace.path("next.toml"), paceline_testbed::plugins::folder());
    succeed(&mut command(&["publish", file.to_str().unwrap(), "--plugins", folder.to_str().unwrap()]));
    let status: Value = serde_json::from_str(&succeed(&mut command(&["status", "--json"]))).unwrap();
    let put = |revision| {
        let notice = host("slow", &status["registry"], revision, Vec::new());
        block_on(async {
            let store = DynamoDbStore::connect(&deployment.table).await.unwrap();
            assert!(store.put_notice("hosts", &notice, Expected::Anything).await.unwrap());
        });
    };
    put(1);
    let started = Instant::now();
    let activate = ["activate", "class-3@2", "--race-type", "3"];
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| succeed(&mut command(&activate)));
        put(2);
        assert!(waiting.join().unwrap().contains("class-3@1 -> class-3@2"));
    });
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    // A host that has read it is not waited for, nor one if that is not wanted.
    put(0);
    let started = Instant::now();
    succeed(&mut command(&["activate", "class-3@1", "--race-type", "3", "--no-wait"]));
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    let error = fail(&mut command(&["activate", "class-3@9", "--race-type", "3"]));
    assert!(error.contains("was not published"), "{error}");
}
