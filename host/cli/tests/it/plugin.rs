//! What an author does: write a rule, build it, check it, race with it.

use std::path::Path;

use crate::support::{DedupMode, Workspace, fail, joined, paceline, plugins, simulate, succeed};

fn check(name: &str) -> std::process::Command {
    let mut command = paceline(&["plugin", "check"]);
    command.arg(plugins().join(format!("{name}.wasm")));
    command
}

#[test]
fn check_says_what_a_plugin_is() {
    let said = succeed(&mut check("last-output"));
    for fact in ["role     aggregator", "reads    /second (integer)", "writes   finished (boolean)", "imports  nothing"]
    {
        assert!(said.contains(fact), "{fact}: {said}");
    }
    let said = succeed(&mut check("telemetry"));
    assert!(said.contains("imports  paceline:plugin/settings@0.1.0"), "{said}");
}

#[test]
fn check_says_why_a_plugin_would_be_refused() {
    let said = fail(&mut check("evil-wasi"));
    assert!(said.contains("it imports `wasi:cli/environment@0.2.0`"), "{said}");
    let said = fail(&mut check("evil-scorer"));
    assert!(said.contains("setting `deed` is missing"), "{said}");
    let said = succeed(check("evil-scorer").args(["--setting", "deed=remember"]));
    assert!(said.contains("role     scorer"), "{said}");
    let said = fail(paceline(&["plugin", "check"]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")));
    assert!(said.contains("this is not WebAssembly"), "{said}");
}

#[test]
fn a_rule_of_ten_lines_is_built_checked_and_raced_with() {
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
    // The versions that this checkout was tested with.
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
    // What the plugins of this checkout have built already need not be built again.
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let mut build = paceline(&["plugin", "build"]);
    build.env("CARGO_TARGET_DIR", target.canonicalize().unwrap());
    let built = succeed(build.arg(workspace.path("my-rule")).arg("--out").arg(workspace.path("")));
    assert!(built.contains("my-rule.wasm"), "{built}");
    let said = succeed(paceline(&["plugin", "check"]).arg(workspace.path("my-rule.wasm")));
    assert!(said.contains("reads    /bike/resistance (number, default 50)"), "{said}");

    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    workspace.write("paceline.toml", config.replace("[plugins]\n", "[plugins]\nmy-rule = \"my-rule.wasm\"\n"));
    let book = crate::support::rulebook(3, 1, DedupMode::Ordinal);
    workspace.write("rulebooks/class-3.toml", book.replace("\"output\"", "\"my-rule\""));
    let lines = simulate("--racers 1 --seconds 1 --class 3 --race 131 --seed 1");
    workspace.write("messages.ndjson", joined(&lines));
    workspace.run();
    let message: serde_json::Value = serde_json::from_slice(&lines[0]).unwrap();
    let output = message["cadence"].as_f64().unwrap() * 50.0;
    assert_eq!(workspace.json(&["leaderboard", "--race", "131"])[0]["output"], output);
}

#[test]
fn what_is_no_plugin_is_not_built() {
    let workspace = Workspace::new(DedupMode::Ordinal);
    let error = fail(paceline(&["plugin", "build"]).arg(workspace.path("rulebooks")));
    assert!(error.contains("there is no Cargo.toml"), "{error}");
}
