//! An author makes a project with `paceline plugin new`, tests, builds and checks it, outside the checkout.

mod bench;
mod samples;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;

use paceline_testbed::environment::checkout;
use paceline_testbed::{golden, plugins, require};
use tempfile::TempDir;

use crate::support::{fail, joined, paceline, simulate, succeed};

/// Makes a project in a folder.
fn new(parent: &Path, name: &str, kind: &str, language: &str) -> (PathBuf, String) {
    let mut command = paceline(&["plugin", "new", name, "--kind", kind, "--lang", language, "--in"]);
    let printed = succeed(command.arg(parent));
    (parent.join(name), printed)
}

/// A command in a project's folder.
fn in_project(folder: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command
}

fn build(folder: &Path) -> Command {
    plugin(folder, "build")
}

/// A command of `paceline plugin` on a project. Those but `check` build it first.
fn plugin(folder: &Path, action: &str) -> Command {
    let mut command = in_project(folder, env!("CARGO_BIN_EXE_paceline"), &["plugin", action]);
    // It has the dependencies of this checkout's plugins already.
    command.env("CARGO_TARGET_DIR", checkout().join("target"));
    command
}

fn a_new_rust_project_passes(kind: &str) {
    // A path with a blank, as many people have.
    let parent = TempDir::with_prefix("my plugins").unwrap();
    let (folder, printed) = new(parent.path(), "my-rule", kind, "rust");
    assert!(printed.contains("cargo unit") && printed.contains("paceline plugin verify"), "{printed}");
    let mut unit = in_project(&folder, "cargo", &["unit"]);
    let tested = succeed(unit.env("CARGO_TARGET_DIR", checkout().join("target/authors")));
    assert!(tested.contains("test result: ok"), "{tested}");
    let built = succeed(&mut build(&folder));
    assert!(built.starts_with("./my-rule.wasm  "), "{built}");
    let checked = succeed(paceline(&["plugin", "check"]).arg(folder.join("my-rule.wasm")));
    assert!(checked.contains(&format!("role      {kind}")), "{checked}");
    let tested = succeed(&mut plugin(&folder, "test"));
    assert!(tested.contains("results, all as in "), "{tested}");
    let verified = succeed(&mut plugin(&folder, "verify"));
    assert!(verified.contains("same-bytes"), "{verified}");
    samples::pass(&folder, kind);
}

#[test]
fn a_new_scorer_in_rust_passes() {
    require!(Plugins, WasmTarget);
    a_new_rust_project_passes("scorer");
}

#[test]
fn a_new_validator_in_rust_passes() {
    require!(Plugins, WasmTarget);
    a_new_rust_project_passes("validator");
}

#[test]
fn a_new_aggregator_in_rust_passes() {
    require!(Plugins, WasmTarget);
    a_new_rust_project_passes("aggregator");
}

#[test]
fn the_aggregators_of_the_guide_keep_the_laws_and_the_second_migrates_the_states_of_the_first() {
    require!(Plugins, WasmTarget);
    let guide = std::fs::read_to_string(checkout().join("docs/plugins.md")).unwrap();
    let blocks = crate::docs::code_blocks(&guide, "rust");
    let aggregators: Vec<&String> = blocks.iter().filter(|block| block.contains("\naggregator!(")).collect();
    let [first, second] = aggregators[..] else { panic!("{aggregators:#?}") };
    let parent = TempDir::new().unwrap();
    let (folder, _) = new(parent.path(), "best", "aggregator", "rust");
    let source = folder.join("src/lib.rs");
    std::fs::write(&source, first).unwrap();
    succeed(&mut plugin(&folder, "verify"));
    std::fs::rename(folder.join("best.wasm"), folder.join("older.wasm")).unwrap();
    std::fs::write(&source, second).unwrap();
    let verified = succeed(plugin(&folder, "verify").args(["--migrates-from", "older.wasm"]));
    let plain = verified.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plain.contains("of `best/1` that the older plugin wrote are taken"), "{verified}");

    // A migration that forgets the result is no violation, but a fact that its author sees.
    let migrated = "Ok(State { best, second, records: 0 })";
    assert!(second.contains(migrated), "{second}");
    let forgets = second.replace(migrated, &migrated.replace("best,", "best: best * 0.0,"));
    std::fs::write(&source, forgets).unwrap();
    let verified = succeed(plugin(&folder, "verify").args(["--migrates-from", "older.wasm"]));
    let plain = verified.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plain.contains("after the migration `output` differs in"), "{verified}");

    // Other states under the same name.
    let same_name =
        second.replace("\"best/2\"", "\"best/1\"").replace("aggregator!(Best, migration)", "aggregator!(Best)");
    std::fs::write(&source, same_name).unwrap();
    let output = plugin(&folder, "verify").args(["--migrates-from", "older.wasm"]).output().unwrap();
    let plain = String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!output.status.success() && plain.contains("of the same format, `best/1`"), "{plain}");
}

/// What `paceline plugin build` sets for cargo where the machine's own compiler has no standard library for WebAssembly: see
/// `scripts/wasm-toolchain`.
fn wasm_toolchain() -> Vec<(&'static str, PathBuf)> {
    let library =
        succeed(Command::new("rustc").args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]));
    if Path::new(library.trim()).is_dir() {
        return Vec::new();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let folder = cache.join("paceline/wasm-toolchain");
    vec![
        ("RUSTC", folder.join("rustc")),
        ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", folder.join("rust-lld")),
        ("CARGO_ENCODED_RUSTFLAGS", format!("--sysroot={}", folder.join("sysroot").display()).into()),
    ]
}

#[test]
fn what_plain_cargo_builds_is_refused_with_the_command_that_makes_a_component() {
    require!(WasmTarget);
    let parent = TempDir::with_prefix("my plugins").unwrap();
    let (folder, _) = new(parent.path(), "my-rule", "scorer", "rust");
    let target = checkout().join("target/authors/plain");
    let mut cargo = in_project(&folder, "cargo", &["build", "--release"]);
    succeed(cargo.env("CARGO_TARGET_DIR", &target).envs(wasm_toolchain()));
    let module = target.join("wasm32-unknown-unknown/release/my_rule.wasm");
    let refused = fail(paceline(&["plugin", "check"]).arg(module));
    assert!(
        refused.contains("this is a core module, not a component: build it with `paceline plugin build`"),
        "{refused}"
    );
}

#[test]
fn the_other_plugins_of_a_project_s_race_are_those_of_this_repository() {
    require!(Plugins);
    let parent = TempDir::new().unwrap();
    let (folder, _) = new(parent.path(), "my-rule", "validator", "python");
    let race = folder.join("race.ndjson");
    std::fs::write(&race, joined(&simulate("--racers 20 --seconds 30 --class 3 --race 131 --seed 1"))).unwrap();
    let on_race = |component: &Path, more: &[&str]| {
        let mut command = paceline(&["plugin", "test"]);
        command.arg(component).arg("--events").arg(&race).arg("--expect").arg(folder.join("results.ndjson"));
        command.args(["--group", "/racerId", "--score", "/cadence"]).args(more);
        command.output().unwrap()
    };
    for name in ["energy", "output"] {
        let built = plugins::file(name);
        let carried = format!("paceline-{name}.wasm");
        if golden::is_updating() {
            std::fs::copy(&built, checkout().join("host/kit/templates/race").join(&carried)).unwrap();
            continue;
        }
        assert!(on_race(&built, &["--update"]).status.success());
        // The bytes may be those of another compiler.
        let tested = on_race(&folder.join("race/plugins").join(&carried), &[]);
        assert!(
            tested.status.success(),
            "host/kit/templates/race/{carried} is not what this repository builds. `make plugins`, then copy it: \
             PACELINE_UPDATE=1 cargo test -p paceline the_other_plugins\n{}",
            String::from_utf8_lossy(&tested.stdout)
        );
    }
}

#[test]
fn the_same_project_in_another_folder_gives_the_same_bytes() {
    require!(WasmTarget);
    let parent = TempDir::new().unwrap();
    std::fs::create_dir(parent.path().join("a longer name")).unwrap();
    let bytes = |parent: &Path| {
        let (folder, _) = new(parent, "my-rule", "scorer", "rust");
        succeed(&mut build(&folder));
        std::fs::read(folder.join("my-rule.wasm")).unwrap()
    };
    assert!(bytes(parent.path()) == bytes(&parent.path().join("a longer name")));
}

#[test]
fn a_name_or_a_place_that_is_no_good_is_explained() {
    let parent = TempDir::new().unwrap();
    let refused =
        |arguments: &[&str]| fail(paceline(&["plugin", "new"]).args(arguments).arg("--in").arg(parent.path()));
    let error = refused(&["My Rule", "--kind", "scorer"]);
    assert!(error.contains("`My Rule` can't be a plugin's name: it begins with a letter from a to z"), "{error}");
    new(parent.path(), "power", "scorer", "python");
    let error = refused(&["power", "--kind", "scorer"]);
    assert!(error.contains("power exists already: choose another name"), "{error}");
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let parent = TempDir::new().unwrap();
    let build = |language: &str| {
        let (folder, _) = new(parent.path(), &format!("in-{language}"), "scorer", language);
        // No tool of this machine is found.
        fail(build(&folder).env("PATH", parent.path()))
    };
    let error = build("javascript");
    assert!(error.contains("jco is not installed for .: run `npm install` in that folder"), "{error}");
    let error = build("python");
    let install = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
    assert!(
        error.contains(&format!("componentize-py is not installed for .: run `{install}` in that folder")),
        "{error}"
    );
    let error = build("rust");
    assert!(error.contains("can't be started; is Rust installed?"), "{error}");
}

/// A tool in a project, as a script.
#[cfg(unix)]
fn fake_tool(folder: &Path, tool: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join(tool);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
#[cfg(unix)]
fn another_version_of_a_tool_and_its_errors_are_shown() {
    let parent = TempDir::new().unwrap();
    for (language, tool, version) in
        [("javascript", "node_modules/.bin/jco", "1.35.0"), ("python", ".venv/bin/componentize-py", "0.25.1")]
    {
        let (folder, _) = new(parent.path(), &format!("in-{language}"), "scorer", language);
        fake_tool(&folder, tool, "echo 0.0.7");
        let error = fail(&mut build(&folder));
        assert!(
            error.contains(&format!("has the version 0.0.7, not {version}, which paceline is tested with")),
            "{error}"
        );
        fake_tool(
            &folder,
            tool,
            &format!("[ \"$1\" = --version ] && echo {version} && exit\necho no such rule >&2; exit 1"),
        );
        let error = fail(&mut build(&folder));
        assert!(error.contains("failed. It printed:\n  no such rule"), "{error}");
    }
}

/// A workspace of a new project in a folder with a blank, whose manifest has no package.
fn workspace(parent: &TempDir) -> PathBuf {
    let root = parent.path().join("my workspace");
    std::fs::create_dir(&root).unwrap();
    let (folder, _) = new(&root, "my-rule", "scorer", "rust");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest.replace("[workspace]\n", "")).unwrap();
    std::fs::rename(folder.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
    std::fs::write(root.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"my-rule\"]\n").unwrap();
    root
}

#[test]
fn a_member_of_a_workspace_is_built_and_the_workspace_explained() {
    require!(WasmTarget);
    let parent = TempDir::new().unwrap();
    let root = workspace(&parent);
    let error = fail(&mut build(&root));
    assert!(error.contains("is a workspace without a package: name the folder of a plugin, "), "{error}");
    assert!(error.contains("my workspace/my-rule"), "{error}");
    succeed(&mut build(&root.join("my-rule")));
    assert!(root.join("my-rule/my-rule.wasm").is_file());
}

#[test]
fn flags_of_the_author_s_configuration_change_nothing() {
    require!(WasmTarget);
    let parent = TempDir::new().unwrap();
    let (folder, _) = new(parent.path(), "my-rule", "scorer", "rust");
    succeed(&mut build(&folder));
    let before = std::fs::read(folder.join("my-rule.wasm")).unwrap();
    let flags = "[build]\ntarget = \"wasm32-wasip2\"\nrustflags = [\"-Copt-level=0\"]\n\
                 [target.wasm32-unknown-unknown]\nrustflags = [\"-Ctarget-feature=-simd128\"]\n";
    std::fs::write(folder.join(".cargo/config.toml"), flags).unwrap();
    succeed(&mut build(&folder));
    assert!(before == std::fs::read(folder.join("my-rule.wasm")).unwrap());
}

#[test]
fn a_package_that_is_no_library_for_webassembly_is_explained() {
    require!(WasmTarget);
    let parent = TempDir::new().unwrap();
    let (folder, _) = new(parent.path(), "my-rule", "scorer", "rust");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest.replace("[\"cdylib\", \"rlib\"]", "[\"rlib\"]")).unwrap();
    let error = fail(&mut build(&folder));
    assert!(
        error.contains("builds no WebAssembly module: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]"),
        "{error}"
    );
}
