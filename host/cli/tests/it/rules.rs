//! `paceline rules` through the program.

use std::process::Command;
use std::time::{Duration, Instant};

use paceline_testbed::poll::pause;
use paceline_testbed::{plugins, require, rules};
use serde_json::{Value, json};

use crate::support::{DedupMode, Process, Workspace, fail, joined, paceline, rulebook, simulate, succeed};

/// A command of `paceline rules` with the workspace's configuration.
fn command(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = paceline(&["rules"]);
    command.args(arguments).arg("--config").arg(workspace.path("paceline.toml")).env("PACELINE_OPERATOR", "ann");
    command
}

fn run(workspace: &Workspace, arguments: &[&str]) -> String {
    succeed(&mut command(workspace, arguments))
}

fn json_of(workspace: &Workspace, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(workspace, &[arguments, &["--json"]].concat())).unwrap()
}

/// Publishes a rulebook of class 3 in this version.
fn publish(workspace: &Workspace, version: u64) -> String {
    workspace.write("next.toml", rulebook(3, version, DedupMode::Ordinal));
    let (file, folder) = (workspace.path("next.toml"), plugins::folder());
    run(workspace, &["publish", file.to_str().unwrap(), "--plugins", folder.to_str().unwrap()])
}

#[test]
fn the_life_of_a_change_from_publish_to_roll_back() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    assert!(publish(&workspace, 1).starts_with("publish class-3@1 (sha256:"));
    assert_eq!(publish(&workspace, 1), "nothing to change (revision 1)\n");
    let activated = run(&workspace, &["activate", "class-3@1", "--race-type", "3", "--why", "the first"]);
    assert_eq!(activated, "race type 3: nothing -> class-3@1\nrevision 2\n");
    publish(&workspace, 2);
    let dry = command(&workspace, &["activate", "class-3@2", "--race-type", "3", "--dry-run"]).output().unwrap();
    assert_eq!(dry.status.code(), Some(3));
    assert_eq!(String::from_utf8(dry.stdout).unwrap(), "race type 3: class-3@1 -> class-3@2\nwould be revision 4\n");
    let class = &json_of(&workspace, &["status"])["raceTypes"]["3"];
    assert_eq!((&class["current"], &class["fallback"]), (&json!("class-3@1"), &Value::Null));
    assert_eq!((&class["since"], &class["by"], &class["why"]), (&json!(2), &json!("ann"), &json!("the first")));
    let changed = json_of(&workspace, &["activate", "class-3@2", "--race-type", "3"]);
    assert_eq!((&changed["revision"], &changed["changes"][0]["kind"]), (&json!(4), &json!("activate")));

    let lines = simulate("--racers 5 --seconds 3 --class 3 --race 131 --seed 1");
    workspace.write("messages.ndjson", joined(&lines));
    succeed(paceline(&["run", "--config"]).arg(workspace.path("paceline.toml")));
    assert!(workspace.items().values().all(|item| item.provenance.rulebook.to_string() == "class-3@2"));

    assert_eq!(run(&workspace, &["rollback", "3"]), "race type 3: class-3@2 -> class-3@1, rolled back\nrevision 5\n");
    let repinned = run(&workspace, &["repin", "131", "class-3@2", "--race-type", "3", "--why", "it was right"]);
    assert_eq!(repinned, "race 131 of race type 3: class-3@1 -> class-3@2\nrevision 6\n");
    run(&workspace, &["retire", "3"]);
    let history = json_of(&workspace, &["history", "3"]);
    let kinds: Vec<&str> =
        history.as_array().unwrap().iter().map(|entry| entry["changes"][0]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["activate", "activate", "rollback", "repin", "retire"]);
    assert_eq!((&history[0]["by"], &history[0]["why"]), (&json!("ann"), &json!("the first")));
    assert!(run(&workspace, &["history"]).contains("race type 3: class-3@2 -> class-3@1, rolled back"));
    assert!(run(&workspace, &["status"]).contains("(retired)"));

    let list = json_of(&workspace, &["list"]);
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert!(run(&workspace, &["show", "class-3@2"]).contains("name = \"class-3\"\nversion = 2"));
    let diff = run(&workspace, &["diff", "class-3@1", "class-3@2"]);
    assert!(diff.contains("-version = 1\n") && diff.contains("+version = 2\n"), "{diff}");
    for (arguments, message) in [
        (
            &["activate", "class-3@9", "--race-type", "3"][..],
            "class-3@9 was not published; there are: class-3@1, class-3@2",
        ),
        (&["rollback", "4"], "there is no race type 4; there are: 3"),
        (&["repin", "999", "class-3@1", "--race-type", "3"], "race 999 of race type 3 has no pin in the store"),
        (&["show", "class-3@3"], "was not published"),
    ] {
        let error = fail(&mut command(&workspace, arguments));
        assert!(error.contains(message), "{message}: {error}");
    }
}

#[test]
fn who_activates_what_cannot_be_taken_back_is_told_so_before() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    publish(&workspace, 1);
    run(&workspace, &["activate", "class-3@1", "--race-type", "3"]);
    let more =
        "[[aggregate]]\nplugin = \"best-output\"\nkey = { PK = \"more\", SK = \"{/classId}\" }\ndedup = \"sequence\"\n";
    workspace.write("next.toml", rulebook(3, 2, DedupMode::Ordinal) + more);
    let (file, folder) = (workspace.path("next.toml"), plugins::folder());
    run(&workspace, &["publish", file.to_str().unwrap(), "--plugins", folder.to_str().unwrap()]);
    let activate = ["activate", "class-3@2", "--race-type", "3"];
    let dry = command(&workspace, &[&activate[..], &["--dry-run"]].concat()).output().unwrap();
    let why = "race type 3: no roll-back to class-3@1: class-3@2, which it would replace, has other groups";
    for said in [String::from_utf8(dry.stdout).unwrap(), run(&workspace, &activate)] {
        assert!(said.contains(why), "{said}");
    }
    let class = &json_of(&workspace, &["status"])["raceTypes"]["3"];
    assert_eq!((&class["before"], &class["fallback"]), (&json!("class-3@1"), &Value::Null));
    assert!(run(&workspace, &["status"]).contains("class-3@1 (no roll-back)"));
    let error = fail(&mut command(&workspace, &["rollback", "3"]));
    assert!(error.contains("can't return to class-3@1; activate a corrected version instead: "), "{error}");
    assert!(error.contains("Activate it for new races only, or keep the keys"), "{error}");
    publish(&workspace, 3);
    let back = json_of(&workspace, &["activate", "class-3@3", "--race-type", "3"]);
    assert_eq!(back["noRollback"][0]["fallback"], "class-3@2");
}

#[test]
fn an_error_of_a_rulebook_names_its_file_once_and_its_plugins_by_name_and_file() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    publish(&workspace, 1);
    run(&workspace, &["activate", "class-3@1", "--race-type", "3"]);
    workspace.write("broken.wasm", "not WebAssembly");
    let first = rulebook(3, 2, DedupMode::Ordinal);
    let error_of = |text: String| {
        workspace.write("next.toml", text);
        let (file, folder) = (workspace.path("next.toml"), plugins::folder());
        fail(&mut command(&workspace, &["publish", file.to_str().unwrap(), "--plugins", folder.to_str().unwrap()]))
    };
    let broken = format!("plugin `./broken.wasm` ({}) is refused: ", workspace.path("./broken.wasm").display());
    let scorer = format!("scorer `evil-scorer` ({}) is refused: ", plugins::file("evil-scorer").display());
    let cases = [
        (first.replace("\"output\"", "\"nope\""), "next.toml: there is no plugin `nope`: "),
        (first.replace("\"output\"", "\"./broken.wasm\""), &*broken),
        (first.replace("\"output\"", "\"evil-scorer\""), &*scorer),
        (first.replace("version = 2", "version = two"), "next.toml: TOML parse error at line 3"),
    ];
    for (text, message) in cases {
        let error = error_of(text);
        assert!(error.contains(message) && !error.contains("sha256:"), "{message}: {error}");
        assert_eq!(error.matches("next.toml").count(), 1, "{error}");
    }
    let unlike = error_of(first.replace("\"output\"", "\"zzzz\""));
    assert!(unlike.contains("there is no plugin `zzzz`") && !unlike.contains("did you mean"), "{unlike}");
    let missing = fail(&mut command(&workspace, &["publish", "nowhere.toml"]));
    assert!(missing.contains("nowhere.toml: the file can't be read: No such file"), "{missing}");

    // What does not follow says what to do instead.
    for (version, text, activated, why) in [
        (2, first.replace("racer-{/racerId}", "rider-{/racerId}"), "now", "or keep the keys"),
        (3, first.replace("pin = \"/raceId\"\n", ""), "next-race", "Keep `pin`, or give the records another race type"),
    ] {
        workspace.write("next.toml", text.replace("version = 2", &format!("version = {version}")));
        let (file, folder) = (workspace.path("next.toml"), plugins::folder());
        run(&workspace, &["publish", file.to_str().unwrap(), "--plugins", folder.to_str().unwrap()]);
        let name = format!("class-3@{version}");
        let error = fail(&mut command(&workspace, &["activate", &name, "--race-type", "3", "--when", activated]));
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_rulebook_sets_the_limits_of_a_plugin() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let with_limits = |limits: &str| {
        let used = "plugin = \"last-output\"";
        let rulebook = rulebook(3, 1, DedupMode::Ordinal);
        workspace.write("next.toml", rulebook.replace(used, &format!("{used}\nlimits = {limits}")));
        let (file, folder) = (workspace.path("next.toml"), plugins::folder());
        command(&workspace, &["publish", file.to_str().unwrap(), "--plugins", folder.to_str().unwrap()])
    };
    let error = fail(&mut with_limits("{ call-ms = 60_000 }"));
    let why =
        "its limits are refused: `call-ms` is 60000; at most 10000 is allowed (`limits.ceilings.call-ms` of the host)";
    assert!(error.contains(why), "{error}");
    let error = fail(&mut with_limits("{ log-lines = 5 }"));
    assert!(error.contains("unknown field `log-lines`"), "{error}");
    // Under a bound that no state keeps to, every record becomes a dead letter.
    succeed(&mut with_limits("{ state-bytes = 1, call-ms = 9_000 }"));
    run(&workspace, &["activate", "class-3@1", "--race-type", "3"]);
    let shown = run(&workspace, &["show", "class-3@1"]);
    assert!(shown.contains("state-bytes = 1"), "{shown}");
    workspace.write("messages.ndjson", joined(&simulate("--racers 2 --seconds 3 --class 3 --race 131 --seed 1")));
    let ran = succeed(paceline(&["run", "--config"]).arg(workspace.path("paceline.toml")));
    assert!(ran.contains("plugin-failed 6"), "{ran}");
}

#[test]
fn who_only_looks_creates_no_registry() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    rules::map(&workspace.path("rulebooks"));
    let folder = workspace.path("rulebooks");
    let dry = command(&workspace, &["apply", folder.to_str().unwrap(), "--dry-run"]).output().unwrap();
    assert_eq!(dry.status.code(), Some(3), "{}", String::from_utf8_lossy(&dry.stderr));
    let error = fail(&mut command(&workspace, &["status"]));
    assert!(error.contains("registry has no rules"), "{error}");
    assert!(!workspace.path("registry").exists());
}

#[test]
fn a_watched_folder_takes_up_what_is_whole_and_refuses_what_is_not() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let folder = workspace.path("rulebooks");
    rules::map(&folder);
    // The plugin comes after its rulebook.
    let rules = std::fs::read_to_string(folder.join("rules.toml")).unwrap();
    workspace.write("rulebooks/rules.toml", format!("{rules}output = \"late.wasm\"\n"));
    let mut watch = command(&workspace, &["apply", folder.to_str().unwrap(), "--watch"]);
    let watch = Process::start({
        watch.env("RUST_LOG", "info");
        watch
    });
    let line = watch.wait_for("refused, and nothing changed");
    assert!(line.contains("late.wasm"), "{line}");
    std::fs::copy(plugins::file("output"), folder.join("late.wasm")).unwrap();
    let revision = |wanted: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = command(&workspace, &["status", "--json"]).output().unwrap();
            let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
            if status["revision"] == wanted {
                return status;
            }
            assert!(Instant::now() < deadline, "{status}");
            pause(Duration::from_millis(50));
        }
    };
    assert_eq!(revision(1)["raceTypes"]["3"]["current"], "class-3@1");
    // Half of the next version, a hidden file and one of somebody else's.
    let next = rulebook(3, 2, DedupMode::Ordinal);
    workspace.write("rulebooks/class-3.toml", &next[..next.len() / 2]);
    workspace.write("rulebooks/.class-3.toml.swp", "not TOML");
    workspace.write("rulebooks/notes.txt", "not TOML");
    watch.wait_for("refused, and nothing changed");
    workspace.write("rulebooks/class-3.toml", next);
    assert_eq!(revision(2)["raceTypes"]["3"]["current"], "class-3@2");
    // A folder that is gone for a moment retires nothing.
    std::fs::rename(&folder, workspace.path("elsewhere")).unwrap();
    watch.wait_for("rules.toml");
    std::fs::rename(workspace.path("elsewhere"), &folder).unwrap();
    assert_eq!(revision(2)["raceTypes"]["3"]["current"], "class-3@2");
    watch.kill();
}

#[test]
fn a_bundle_is_reproducible_and_continues_the_one_before() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let folder = workspace.path("rulebooks");
    rules::map(&folder);
    let bundle = |out: &str, onto: Option<&str>| {
        let out = workspace.path(out);
        let mut command = command(&workspace, &["bundle", folder.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        command.env("SOURCE_DATE_EPOCH", "315532800");
        if let Some(onto) = onto {
            command.arg("--onto").arg(workspace.path(onto));
        }
        succeed(&mut command);
        std::fs::read(out.join("log/00000000000000000001.json")).unwrap()
    };
    let first = bundle("one", None);
    assert_eq!(bundle("again", None), first);
    workspace.write("rulebooks/class-3.toml", rulebook(3, 2, DedupMode::Ordinal));
    assert_eq!(bundle("two", Some("one")), first, "the log of the package before");
    assert!(workspace.path("two/log/00000000000000000002.json").exists());
    assert_eq!(std::fs::read_dir(workspace.path("two/rulebooks")).unwrap().count(), 2);
    let dry = command(
        &workspace,
        &["bundle", folder.to_str().unwrap(), "--dry-run", "--out", workspace.path("three").to_str().unwrap()],
    )
    .output()
    .unwrap();
    assert_eq!(dry.status.code(), Some(3));
    assert!(!workspace.path("three").exists() && !workspace.path("registry").exists());
}

#[test]
fn a_time_of_a_build_that_is_none_is_refused() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let folder = workspace.path("rulebooks");
    rules::map(&folder);
    let apply = |seconds: &str| {
        let mut command = command(&workspace, &["apply", folder.to_str().unwrap()]);
        command.env("SOURCE_DATE_EPOCH", seconds);
        command
    };
    for wrong in ["abc", "-1", "1.5", "253402300800", "99999999999999999"] {
        let error = fail(&mut apply(wrong));
        assert!(error.contains(&format!("SOURCE_DATE_EPOCH is `{wrong}`, which is not a time")), "{error}");
    }
    assert!(!workspace.path("registry/log").exists());
    succeed(&mut apply("253402300799"));
    assert_eq!(json_of(&workspace, &["history"])[0]["at"], "9999-12-31T23:59:59.000Z");
}

#[test]
fn signatures_begin_with_the_key_and_are_trusted_afterwards() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let folder = workspace.path("rulebooks");
    rules::map(&folder);
    run(&workspace, &["apply", folder.to_str().unwrap()]);
    let key = workspace.path("operator.key");
    let public = succeed(paceline(&["rules", "keygen"]).arg(&key));
    let signing = ["--key", key.to_str().unwrap()];
    let error = fail(&mut command(&workspace, &["sign"]));
    assert!(error.contains("no key to sign with") && error.contains("--key FILE"), "{error}");
    let untrusting = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    let trusting = untrusting.replace("[rules]\n", &format!("[rules]\ntrusted-keys = [\"{}\"]\n", public.trim_end()));

    // With the key first, the rules are not known, and nobody may begin others.
    workspace.write("paceline.toml", &trusting);
    for change in [&["sign"][..], &["apply", folder.to_str().unwrap()], &["retire", "3"]] {
        let error = fail(&mut command(&workspace, &[change, &signing].concat()));
        assert!(error.contains("entry 1: it is not signed by a trusted key"), "{error}");
        assert!(error.contains("a configuration without `rules.trusted-keys`"), "{error}");
    }
    assert!(!workspace.path("registry/log/00000000000000000002.json").exists());
    let verified = command(&workspace, &["verify"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(1), "no entry is trusted");

    workspace.write("paceline.toml", &untrusting);
    run(&workspace, &[&["sign"][..], &signing].concat());
    workspace.write("paceline.toml", &trusting);
    let verified: Value = serde_json::from_str(&run(&workspace, &["verify", "--json"])).unwrap();
    assert_eq!(verified["problems"], json!([]));
    let note = "entry 1: it is not signed by a trusted key (it has no signature); entry 2 is, and has the whole rules";
    assert_eq!(verified["notes"], json!([note]));
    workspace.write("messages.ndjson", joined(&simulate("--racers 5 --seconds 3 --class 3 --race 131 --seed 1")));
    succeed(paceline(&["run", "--config"]).arg(workspace.path("paceline.toml")));

    // An entry that somebody without a key put between trusted ones is no earlier one.
    workspace.write("paceline.toml", &untrusting);
    run(&workspace, &["retire", "3"]);
    workspace.write("paceline.toml", &trusting);
    run(&workspace, &[&["sign"][..], &signing].concat());
    let verified = command(&workspace, &["verify", "--json"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(1));
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    let problem = "entry 3: it is not signed by a trusted key (it has no signature)";
    assert_eq!((&verified["problems"], &verified["notes"]), (&json!([problem]), &json!([note])));
}

#[test]
fn a_missing_entry_is_reported_and_what_comes_after_it_is_read() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    for version in [1, 2] {
        publish(&workspace, version);
        run(&workspace, &["activate", &format!("class-3@{version}"), "--race-type", "3"]);
    }
    let out = workspace.path("out");
    let (registry, folder) = (workspace.path("registry"), workspace.path("rulebooks"));
    rules::map(&folder);
    std::fs::remove_file(workspace.path("registry/log/00000000000000000002.json")).unwrap();
    let missing = "entry 2 is missing; the log has entries up to 4";

    let verified = command(&workspace, &["verify"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(1));
    let verified = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.contains(missing) && verified.ends_with("3 entries, 2 rulebooks, 4 plugins\n"), "{verified}");
    let verified = command(&workspace, &["verify", "--json"]).output().unwrap();
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verified["revision"], verified["problems"].as_array().unwrap().len()), (&json!(4), 1), "{verified}");

    let history = run(&workspace, &["history", "3"]);
    assert!(history.contains(missing) && history.contains("race type 3: class-3@1 -> class-3@2"), "{history}");
    assert_eq!(json_of(&workspace, &["history"])[1], json!({ "missing": { "first": 2, "last": 2 } }));

    let (folder, out) = (folder.to_str().unwrap(), out.to_str().unwrap());
    let onto = ["bundle", folder, "--out", out, "--onto", registry.to_str().unwrap()];
    let error = fail(&mut command(&workspace, &onto));
    assert!(error.contains("has no log/00000000000000000002.json: put the object back"), "{error}");
}

#[test]
fn changes_are_signed_and_verified() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let key = workspace.path("operator.key");
    let public = succeed(paceline(&["rules", "keygen"]).arg(&key));
    let other = succeed(paceline(&["rules", "keygen", "--json"]).arg(workspace.path("other.key")));
    let other: Value = serde_json::from_str(&other).unwrap();
    assert!(other["publicKey"].as_str().is_some_and(|key| key.starts_with("ed25519:")), "{other}");
    let error = fail(paceline(&["rules", "keygen"]).arg(&key));
    assert!(error.contains("operator.key") && error.contains("File exists"), "{error}");
    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    let trusted = format!("[rules]\ntrusted-keys = [\"{}\"]\n", public.trim_end());
    workspace.write("paceline.toml", config.replace("[rules]\n", &trusted));
    let folder = workspace.path("rulebooks");
    rules::map(&folder);
    let error = fail(&mut command(&workspace, &["apply", folder.to_str().unwrap()]));
    assert!(error.contains("give such a key with --key FILE"), "{error}");
    let signing = ["--key", key.to_str().unwrap()];
    run(&workspace, &[&["apply", folder.to_str().unwrap()][..], &signing].concat());
    assert!(run(&workspace, &["verify"]).starts_with("1 entries, 1 rulebooks, 4 plugins"));
    run(&workspace, &[&["sign"][..], &signing].concat());
    workspace.write("messages.ndjson", joined(&simulate("--racers 5 --seconds 3 --class 3 --race 131 --seed 1")));
    succeed(paceline(&["run", "--config"]).arg(workspace.path("paceline.toml")));
    // Who alters the log is found, and a plugin, too.
    let entry = workspace.path("registry/log/00000000000000000002.json");
    let text = std::fs::read_to_string(&entry).unwrap();
    std::fs::write(&entry, text.replace("\"ann\"", "\"bob\"")).unwrap();
    let plugin = std::fs::read_dir(workspace.path("registry/plugins")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(plugin, "").unwrap();
    let verified = command(&workspace, &["verify", "--json"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(1));
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    let problems = verified["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].as_str().unwrap().contains("entry 2: it is not signed by a trusted key"), "{problems:?}");
    assert!(problems[1].as_str().unwrap().contains("was changed"), "{problems:?}");
}
