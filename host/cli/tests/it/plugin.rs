//! An author writes a rule, builds it, checks it, and runs a race with it.

use paceline_testbed::environment::checkout;
use paceline_testbed::{plugins, require};
use serde_json::{Value, json};
use std::path::Path;

use crate::support::{DedupMode, Workspace, fail, joined, paceline, simulate, succeed};

fn check(name: &str) -> std::process::Command {
    let mut command = paceline(&["plugin", "check"]);
    command.arg(plugins::file(name));
    command
}

#[test]
fn check_describes_a_plugin() {
    require!(Plugins);
    let output = succeed(&mut check("last-output"));
    for fact in [
        "role      aggregator",
        "state     last-output/2, migrates no other",
        "reads     /second (integer)",
        "writes    finished (boolean)",
        "imports   nothing",
    ] {
        assert!(output.contains(fact), "{fact}: {output}");
    }
    let output = succeed(&mut check("telemetry"));
    for fact in ["imports   paceline:plugin/settings@0.2.0", "contract  0.2.0", "settings  events, max-cadence, "] {
        assert!(output.contains(fact), "{fact}: {output}");
    }
}

#[test]
fn check_refuses_a_component_that_has_not_the_role() {
    require!(Plugins);
    let error = fail(check("output").args(["--role", "aggregator"]));
    assert!(error.contains("output.wasm is refused: it is not an aggregator: it does not export"), "{error}");
    assert!(succeed(check("output").args(["--role", "scorer"])).contains("role      scorer"));
}

#[test]
fn check_describes_a_plugin_as_json() {
    require!(Plugins);
    let printed = succeed(check("energy").args(["--json", "--limit", "call-ms=3000"]));
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&printed["runtime"], &printed["contract"], &printed["imports"]),
        (&json!("none"), &json!("0.2.0"), &json!(["paceline:plugin/log@0.2.0"]))
    );
    assert_eq!(printed["limits"], json!({ "call-ms": 3000 }));
    let fields = json!([{ "path": "/second", "kind": "integer", "default": null }]);
    assert_eq!((&printed["roles"][0]["role"], &printed["roles"][0]["fields"]), (&json!("aggregator"), &fields));
    assert_eq!(printed["roles"][0]["outputs"][0], json!({ "name": "energy", "kind": "number" }));
    let role = &printed["roles"][0];
    assert_eq!(
        (&role["settings"], &role["stateFormat"], &role["migrates"]),
        (&json!([]), &json!("energy/1"), &json!([]))
    );
}

/// A new project's race has this version's plugins as files, for authors without a checkout. Their bytes hang on the folder
/// in which they were built, so what they are is compared.
#[test]
fn the_plugins_that_come_with_a_project_are_those_of_this_version() {
    require!(Plugins);
    let folder = tempfile::TempDir::new().unwrap();
    succeed(paceline(&["plugin", "new", "power", "--kind", "validator", "--in"]).arg(folder.path()));
    let events = folder.path().join("power/events.ndjson");
    for plugin in ["output", "energy"] {
        let (own, came) = (plugins::file(plugin), format!("power/race/plugins/paceline-{plugin}.wasm"));
        let came = folder.path().join(came);
        let described = |file: &Path| {
            let text = succeed(paceline(&["plugin", "check", "--json"]).arg(file));
            let Value::Object(mut what) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
            assert!(["digest", "bytes"].into_iter().all(|member| what.remove(member).is_some()), "{text}");
            what
        };
        assert_eq!(described(&came), described(&own), "{plugin}: build it and copy it to host/kit/templates/race");
        let results = |file: &Path| {
            let results = folder.path().join("results.ndjson");
            let mut test = paceline(&["plugin", "test", "--update", "--score", "/cadence", "--group", "/racerId"]);
            succeed(test.arg(file).arg("--events").arg(&events).arg("--expect").arg(&results));
            std::fs::read_to_string(results).unwrap()
        };
        assert_eq!(results(&came), results(&own), "{plugin}: build it and copy it to host/kit/templates/race");
    }
}

#[test]
fn limits_of_a_project_hold_where_its_arguments_name_no_others() {
    require!(Plugins, WasmTarget);
    let folder = tempfile::TempDir::new().unwrap();
    succeed(paceline(&["plugin", "new", "power", "--kind", "scorer", "--in"]).arg(folder.path()));
    let project = folder.path().join("power");
    let text = std::fs::read_to_string(project.join("plugin.toml")).unwrap();
    std::fs::write(project.join("plugin.toml"), text.replace("[limits]\n", "[limits]\ncall-ms = 3_000\n")).unwrap();
    let limits = |more: &[&str]| {
        let mut command = paceline(&["plugin", "check", "--json"]);
        command.arg(&project).args(more).env("CARGO_TARGET_DIR", checkout().join("target"));
        let printed: Value = serde_json::from_str(&succeed(&mut command)).unwrap();
        printed["limits"].clone()
    };
    assert_eq!(limits(&["--limit", "fuel-per-row=40000"]), json!({ "call-ms": 3000, "fuel-per-row": 40000 }));
    assert_eq!(limits(&["--limit", "call-ms=4000"]), json!({ "call-ms": 4000 }));
}

#[test]
fn a_plugin_is_tried_with_the_settings_and_limits_of_a_rulebook() {
    require!(Plugins);
    let folder = tempfile::TempDir::new().unwrap();
    let (scorer, file) = (plugins::file("evil-scorer"), folder.path().join("remembering.toml"));
    let rulebook = |more: &str| {
        let text = format!(
            "name = \"remembering\"\nversion = 1\n\n[score]\nplugin = {scorer:?}\nsettings = {{ deed = \"remember\" }}\n\
             limits = {{ fuel-per-row = 30_000, call-ms = 2_000 }}\n\n{more}[[aggregate]]\nplugin = \"best-output\"\n\
             key = {{ PK = \"race\", SK = \"{{/racerId}}\" }}\ndedup = \"sequence\"\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    let check = |name: &str, more: &[&str]| {
        let mut command = check(name);
        command.args(["--json", "--rulebook"]).arg(&file).args(more);
        command
    };
    rulebook("");
    // Without its setting the scorer is refused.
    let printed: Value = serde_json::from_str(&succeed(&mut check("evil-scorer", &[]))).unwrap();
    assert_eq!(printed["limits"], json!({ "fuel-per-row": 30_000, "call-ms": 2_000 }));
    let more = check("evil-scorer", &["--limit", "fuel-per-row=40000"]).output().unwrap();
    let printed: Value = serde_json::from_slice(&more.stdout).unwrap();
    assert_eq!(printed["limits"], json!({ "fuel-per-row": 40_000, "call-ms": 2_000 }));
    let refused = fail(&mut check("energy", &[]));
    assert!(refused.contains("remembering.toml: no plugin in it is `energy`; its plugins are `"), "{refused}");
    assert!(refused.contains("`best-output`"), "{refused}");
    rulebook(&format!("[[validate]]\nplugin = {scorer:?}\n\n"));
    let refused = fail(&mut check("evil-scorer", &[]));
    assert!(refused.contains("uses `evil-scorer` with different settings or limits"), "{refused}");
}

#[test]
fn check_reports_why_a_plugin_is_rejected() {
    require!(Plugins);
    let output = fail(&mut check("evil-wasi"));
    assert!(output.contains("it imports `wasi:cli/environment@0.2.0`"), "{output}");
    let output = fail(&mut check("evil-scorer"));
    assert!(output.contains("setting `deed` is missing"), "{output}");
    let output = succeed(check("evil-scorer").args(["--setting", "deed=remember"]));
    assert!(output.contains("role      scorer"), "{output}");
    let output = fail(paceline(&["plugin", "check"]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")));
    assert!(output.contains("this is not WebAssembly"), "{output}");
}

#[test]
fn a_ten_line_rule_is_built_checked_and_used_in_a_race() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/sdk").canonicalize().unwrap();
    std::fs::create_dir_all(workspace.path("my-rule/src")).unwrap();
    workspace.write(
        "my-rule/Cargo.toml",
        format!(
            "[package]\nname = \"my-rule\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
             [dependencies]\npaceline-plugin = {{ path = {sdk:?} }}\n\n[workspace]\n"
        ),
    );
    // The dependency versions of this checkout.
    std::fs::copy(sdk.join("../../Cargo.lock"), workspace.path("my-rule/Cargo.lock")).unwrap();
    workspace.write(
        "my-rule/src/lib.rs",
        r#"
use paceline_plugin::{Fields, scorer};

#[derive(Fields)]
struct Effort {
    cadence: f64,
    #[field(path = "/bike/resistance", default = 50.0)]
    resistance: f64,
}

fn power(row: Effort) -> f64 {
    row.cadence * row.resistance
}

scorer!(power);
"#,
    );
    // The shared target folder has the dependencies of this checkout's plugins already.
    let mut build = paceline(&["plugin", "build"]);
    build.env("CARGO_TARGET_DIR", checkout().join("target"));
    let built = succeed(build.arg(workspace.path("my-rule")).arg("--out").arg(workspace.path("")));
    assert!(built.contains("my-rule.wasm"), "{built}");
    let output = succeed(paceline(&["plugin", "check"]).arg(workspace.path("my-rule.wasm")));
    assert!(output.contains("reads     /bike/resistance (number, default 50)"), "{output}");

    let book = crate::support::rulebook(3, 1, DedupMode::Ordinal);
    workspace.write("rulebooks/class-3.toml", book.replace("\"output\"", "\"../my-rule.wasm\""));
    let lines = simulate("--racers 1 --seconds 1 --class 3 --race 131 --seed 1");
    workspace.write("messages.ndjson", joined(&lines));
    workspace.run();
    let message: Value = serde_json::from_slice(&lines[0]).unwrap();
    let output = message["cadence"].as_f64().unwrap() * 50.0;
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"])[0]["output"], output);
}

#[test]
fn a_folder_without_a_package_is_not_built() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let error = fail(paceline(&["plugin", "build"]).arg(workspace.path("rulebooks")));
    assert!(error.contains("there is no plugin.toml and no Cargo.toml"), "{error}");
}

/// `examples/hello-scorer` in a folder of the workspace, so that building it does not change the checkout.
fn hello_scorer(workspace: &Workspace) -> std::path::PathBuf {
    let checkout = checkout();
    let (from, to) = (checkout.join("examples/hello-scorer"), workspace.path("hello-scorer"));
    for file in ["src/lib.rs", "tests/output.rs"] {
        std::fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let manifest = std::fs::read_to_string(from.join("Cargo.toml")).unwrap();
    let sdk = checkout.join("plugins/sdk").display().to_string();
    std::fs::write(to.join("Cargo.toml"), manifest.replace("../../plugins/sdk", &sdk)).unwrap();
    std::fs::copy(checkout.join("Cargo.lock"), to.join("Cargo.lock")).unwrap();
    to
}

#[test]
fn the_example_plugin_is_tested_built_and_checked() {
    require!(Plugins, WasmTarget);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let folder = hello_scorer(&workspace);
    let target = checkout().join("target");
    let mut test = std::process::Command::new("cargo");
    test.args(["test", "--quiet", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    // The projects that authors make have the same dependencies.
    succeed(test.env("CARGO_TARGET_DIR", target.join("authors")));
    let component = workspace.path("hello-scorer.wasm");
    let mut build = paceline(&["plugin", "build"]);
    build.env("CARGO_TARGET_DIR", &target).arg(&folder).arg("--out").arg(&component);
    succeed(&mut build);
    let output = succeed(paceline(&["plugin", "check"]).arg(&component));
    for fact in ["role      scorer", "reads     /cadence (number)", "reads     /resistance (number)"] {
        assert!(output.contains(fact), "{fact}: {output}");
    }
}

/// The checkout's plugin SDK and one of its plugins, as a workspace of their own in another folder.
fn copy_of_output(to: &Path) -> std::path::PathBuf {
    let checkout = checkout();
    let manifest = std::fs::read_to_string(checkout.join("Cargo.toml")).unwrap();
    let members = manifest.lines().find(|line| line.starts_with("members = ")).unwrap();
    let ours = "members = [\"plugins/sdk\", \"plugins/sdk-macros\", \"plugins/output\"]";
    std::fs::create_dir_all(to).unwrap();
    std::fs::write(to.join("Cargo.toml"), manifest.replace(members, ours)).unwrap();
    std::fs::copy(checkout.join("Cargo.lock"), to.join("Cargo.lock")).unwrap();
    for folder in ["wit", "plugins/sdk", "plugins/sdk-macros", "plugins/output", "docs"] {
        let mut copy = std::process::Command::new("cp");
        let parent = to.join(folder).parent().unwrap().to_owned();
        std::fs::create_dir_all(&parent).unwrap();
        succeed(copy.arg("-R").arg(checkout.join(folder)).arg(parent));
    }
    to.join("plugins/output")
}

#[test]
fn the_same_source_gives_the_same_bytes_in_every_folder() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let build = |name: &str, target: Option<&Path>| {
        let plugin = copy_of_output(&workspace.path(name));
        let out = workspace.path(&format!("{name}.wasm"));
        let mut build = paceline(&["plugin", "build"]);
        match target {
            Some(target) => build.env("CARGO_TARGET_DIR", target),
            None => build.env_remove("CARGO_TARGET_DIR"),
        };
        succeed(build.arg(plugin).arg("--out").arg(&out));
        std::fs::read(out).unwrap()
    };
    // One with the dependencies that were built in this checkout, the other one with all of its own.
    let one = build("one", Some(&checkout().join("target")));
    let two = build("another-with-a-longer-name", None);
    assert!(one == two, "{} and {} bytes", one.len(), two.len());
    let home = std::env::var("HOME").unwrap();
    assert!(!String::from_utf8_lossy(&one).contains(&home), "a path of this machine is in the plugin");
}
