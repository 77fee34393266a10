//! Projects in JavaScript and Python, and by cargo component, with their real tools, installed as the author's guide describes. This takes
//! minutes: `make test-authors` runs it, `make test` does not.

use std::path::{Path, PathBuf};
use std::process::Command;

use paceline_testbed::{environment, require};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{build, in_project, new, plugin, samples};
use crate::growing;
use crate::support::{fail, joined, paceline, simulate, succeed};

/// A command of the author's, whose downloads are kept from one run to the next.
fn author(folder: &Path, line: &str) -> Command {
    let cache = std::env::var_os(environment::AUTHORS).expect("`make test-authors` sets the folder of downloads");
    let cache = PathBuf::from(cache);
    let mut command = in_project(folder, "sh", &["-c", line]);
    command.env("npm_config_cache", cache.join("npm")).env("npm_config_prefer_offline", "true");
    command.env("PIP_CACHE_DIR", cache.join("pip"));
    command
}

/// Follows what `plugin new` prints, and checks the sample events.
fn a_new_project_passes(kind: &str, language: &str) {
    let parent = TempDir::with_prefix("my plugins").unwrap();
    let (folder, printed) = new(parent.path(), "my-rule", kind, language);
    let (tools, component): (Vec<&str>, Vec<&str>) = printed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with("cd "))
        .partition(|line| !line.starts_with("paceline "));
    let steps: Vec<&str> =
        ["paceline plugin test", "paceline plugin verify"].into_iter().chain(samples::RACE).collect();
    assert_eq!(component, steps, "{printed}");
    for line in tools {
        succeed(&mut author(&folder, line));
    }
    let built = succeed(&mut build(&folder));
    assert!(built.starts_with("./my-rule.wasm  "), "{built}");
    let checked = succeed(paceline(&["plugin", "check"]).arg(folder.join("my-rule.wasm")));
    let facts: Vec<Vec<&str>> = checked.lines().map(|line| line.split_whitespace().collect()).collect();
    let named = if language == "python" { "Python" } else { "JavaScript" };
    assert!(facts.contains(&vec!["role", kind]) && facts.contains(&vec!["runtime", named]), "{checked}");
    let tested = succeed(&mut plugin(&folder, "test"));
    assert!(tested.contains("results, all as in ") && !tested.contains(" times its "), "{tested}");
    let verified = plugin(&folder, "verify").args(["--cases", "10"]).output().unwrap();
    let shown = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success() && shown.contains("laws kept"), "{shown}");
    // JavaScript's numbers hold no integer beyond 53 bits: the aggregator, which reads one, fails on them aloud.
    let fact = shown.split_whitespace().collect::<Vec<_>>().join(" ").contains("a number of JavaScript can't hold");
    assert_eq!(fact, (language, kind) == ("javascript", "aggregator"), "{shown}");
    samples::pass(&folder, kind);
    // A build leaves nothing behind but the component.
    assert!(!folder.join(".plugin.wasm").exists() && !folder.join("node_modules/.paceline.wasm").exists());
    if kind == "scorer" {
        mistakes_have_messages(&folder, language);
    }
}

/// A rule that returns nothing, that reads the clock, or that logs, as a record demands; and a kind that a field can't have.
const JAVASCRIPT_MISTAKES: [&str; 2] = [
    r#"export const fields = { cadence: "number" };

export function score({ cadence }) {
  if (cadence === 1) return;
  if (cadence === 2) return Date.now();
  console.log(`the cadence is ${cadence}`);
  return cadence;
}
"#,
    r#"export const fields = { cadence: "float" };

export function score({ cadence }) {
  return cadence;
}
"#,
];
const PYTHON_MISTAKES: [&str; 2] = [
    r#"import time

FIELDS = {"cadence": float}


def score(cadence):
    if cadence == 1:
        return None
    if cadence == 2:
        return time.time()
    print(f"the cadence is {cadence:.0f}")
    return cadence
"#,
    r#"FIELDS = {"cadence": "number"}


def score(cadence):
    return cadence
"#,
];

/// A mistake of the rule is shown as such, and not as a trap of the interpreter.
fn mistakes_have_messages(folder: &Path, language: &str) {
    let (file, [rule, wrong_kind], messages) = match language {
        "python" => (
            "rule.py",
            PYTHON_MISTAKES,
            ["score returned None, not a number", "the kind of 'cadence' is 'number': use float"],
        ),
        _ => (
            "rule.js",
            JAVASCRIPT_MISTAKES,
            ["score returned undefined, not a number", "the kind of the field 'cadence' is \"float\": one of"],
        ),
    };
    std::fs::write(folder.join(file), rule).unwrap();
    let events = "{\"cadence\": 1}\n{\"cadence\": 2}\n{\"cadence\": 3}\n";
    std::fs::write(folder.join("three.ndjson"), events).unwrap();
    let mut tested = plugin(folder, "test");
    tested.args(["--events", "three.ndjson", "--expect", "three.expected.ndjson", "--update"]);
    let output = tested.env("RUST_LOG", "plugin=info").output().unwrap();
    let (shown, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{shown}{log}");
    for words in ["3 results, of them 2 failed", messages[0], "a plugin has no clock"] {
        assert!(shown.contains(words), "{words}: {shown}{log}");
    }
    assert!(log.contains("plugin: the cadence is 3"), "{log}");
    std::fs::write(folder.join(file), wrong_kind).unwrap();
    let error = fail(&mut plugin(folder, "test"));
    assert!(error.contains(messages[1]), "{error}");
}

#[test]
fn a_new_scorer_in_javascript_passes() {
    require!(Plugins, AuthorTools);
    a_new_project_passes("scorer", "javascript");
}

#[test]
fn a_new_validator_in_javascript_passes() {
    require!(Plugins, AuthorTools);
    a_new_project_passes("validator", "javascript");
}

#[test]
fn a_new_aggregator_in_javascript_passes() {
    require!(Plugins, AuthorTools);
    a_new_project_passes("aggregator", "javascript");
}

#[test]
fn a_new_scorer_in_python_passes() {
    require!(Plugins, AuthorTools);
    a_new_project_passes("scorer", "python");
}

#[test]
fn a_new_validator_in_python_passes() {
    require!(Plugins, AuthorTools);
    a_new_project_passes("validator", "python");
}

#[test]
fn a_new_aggregator_in_python_passes() {
    require!(Plugins, AuthorTools);
    a_new_project_passes("aggregator", "python");
}

/// An aggregator in each language: its state is empty for its language until a score is above 100, or grows with each record.
/// Some records make it fail.
const JAVASCRIPT_RULE: &str = r#"export const fields = { second: "integer", mood: { kind: "text", default: "fine" } };
export const outputs = { records: "integer" };
export const settings = { grows: false };
export const stateFormat = "my-rule/1";

export function fold(state, { second, mood }, score, { grows }) {
  if (mood === "lost") throw new RangeError(`no way in second ${second}`);
  if (mood === "cold") return { best: -Infinity };
  if (!grows) return score > 100 ? (state ?? 0) + 1 : (state ?? null);
  state ??= [];
  state.push([second, score]);
  return state;
}

export function merge(left, right) {
  if (Array.isArray(left)) return [...left, ...right].sort(([one], [other]) => one - other);
  return left === null && right === null ? null : (left ?? 0) + (right ?? 0);
}

export function finish(state) {
  return { records: Array.isArray(state) ? state.length : (state ?? 0) };
}
"#;

const PYTHON_RULE: &str = r#"FIELDS = {"second": int, "mood": {"kind": str, "default": "fine"}}
OUTPUTS = {"records": int}
SETTINGS = {"grows": False}
STATE_FORMAT = "my-rule/1"


def fold(state, score, second, mood, *, grows):
    if mood == "lost":
        raise ValueError(f"no way in second {second}")
    if mood == "cold":
        return {"best": float("-inf")}
    if not grows:
        return (state or 0) + (score > 100)
    state = state or []
    state.append([second, score])
    return state


def merge(left, right):
    return sorted(left + right) if isinstance(left, list) else left + right


def finish(state, *, grows):
    return {"records": len(state) if isinstance(state, list) else state}
"#;

/// What the rules do that the templates don't.
fn another_rule_passes(language: &str, file: &str, rule: &str) {
    let parent = TempDir::with_prefix("my plugins").unwrap();
    let (folder, printed) = new(parent.path(), "my-rule", "aggregator", language);
    for line in printed.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.contains("install")) {
        succeed(&mut author(&folder, line));
    }
    std::fs::write(folder.join(file), rule).unwrap();
    succeed(&mut build(&folder));
    let component = folder.join("my-rule.wasm");
    let on = |action: &str, events: &[Value]| {
        let lines: Vec<Vec<u8>> = events.iter().map(|event| event.to_string().into_bytes()).collect();
        std::fs::write(folder.join("some.ndjson"), joined(&lines)).unwrap();
        let mut command = paceline(&["plugin", action]);
        command.arg(&component).arg("--events").arg(folder.join("some.ndjson"));
        command.args(["--group", "/racerId", "--score", "/score", "--json"]);
        command
    };

    // An exception is shown with its message, and the file and line of the rule.
    let event = |second: i64, mood: &str| json!({ "racerId": second % 3, "second": second, "score": 40 * second, "mood": mood });
    let events = [event(1, "fine"), event(2, "lost"), event(3, "cold"), event(4, "fine"), event(5, "fine")];
    succeed(on("test", &events).arg("--update"));
    let tested: Value = serde_json::from_str(&succeed(&mut on("test", &events))).unwrap();
    let failure = |line: usize| {
        let rows = tested["results"].as_array().unwrap();
        rows.iter().find(|row| row["line"] == line).unwrap()["failed"].as_str().unwrap().to_owned()
    };
    let at = 1 + rule.lines().position(|line| line.contains("no way in second")).unwrap();
    let words = failure(2);
    assert!(words.contains("Error: no way in second 2") && words.contains(&format!("at {file}:{at}")), "{words}");
    // A number that JSON has not is refused: the next batch would go on with another one.
    let words = failure(3);
    let expected = if language == "python" {
        "not JSON compliant"
    } else {
        "the state's best is -Infinity, which JSON can't hold"
    };
    assert!(words.contains(expected), "{words}");

    // The state of a group whose records were all below 100 is one all the same.
    let sound: Vec<Value> = (1..6).map(|second| event(second, "fine")).collect();
    let verified = on("verify", &sound).args(["--cases", "20"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));

    let refused = fail(paceline(&["plugin", "check"]).arg(&component).args(["--setting", "grows=yes"]));
    assert!(refused.contains("setting `grows` is `yes`") && refused.contains("neither true nor false"), "{refused}");

    // 12 to 14 bytes of JSON for each record.
    growing::up_to_the_bound(&growing::workspace(&component, "grows = true"), 16_000);
}

#[test]
fn a_rule_in_javascript_fails_by_line_and_grows_up_to_the_bound() {
    require!(Plugins, AuthorTools);
    another_rule_passes("javascript", "rule.js", JAVASCRIPT_RULE);
}

#[test]
fn a_rule_in_python_fails_by_line_and_grows_up_to_the_bound() {
    require!(Plugins, AuthorTools);
    another_rule_passes("python", "rule.py", PYTHON_RULE);
}

/// The guide's command for cargo component, in a project as `plugin new` makes it. Never by way of rustup: what would be
/// missing is not installed.
fn cargo_component(folder: &Path, target: &Path) -> Command {
    let tools = PathBuf::from(std::env::var_os(environment::AUTHORS).expect("`make test-authors` sets it"));
    let path = std::env::var_os("PATH").unwrap();
    let first = [tools.join("rust/bin"), tools.join("cargo-component/bin")];
    let mut command = author(folder, "cargo component build --release");
    command.env("PATH", std::env::join_paths(first.into_iter().chain(std::env::split_paths(&path))).unwrap());
    // Those of the cargo that runs the tests.
    let variables = ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER"];
    variables.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.env("CARGO_TARGET_DIR", target);
    command
}

#[test]
fn new_projects_in_rust_are_built_by_cargo_component() {
    require!(Plugins, WasmTarget, AuthorTools);
    // From one run to the next, the dependencies stay.
    let target = environment::checkout().join("target/cargo-component");
    for kind in ["scorer", "validator", "aggregator"] {
        let parent = TempDir::with_prefix("my plugins").unwrap();
        let (folder, _) = new(parent.path(), "my-rule", kind, "rust");
        succeed(&mut cargo_component(&folder, &target));
        let component = folder.join("my-rule.wasm");
        std::fs::copy(target.join("wasm32-unknown-unknown/release/my_rule.wasm"), &component).unwrap();
        let checked = succeed(paceline(&["plugin", "check"]).arg(&component));
        assert!(checked.contains(&format!("role      {kind}")) && !checked.contains("wasi:"), "{checked}");
        let mut test = in_project(&folder, env!("CARGO_BIN_EXE_paceline"), &["plugin", "test", "my-rule.wasm"]);
        if kind == "aggregator" {
            test.args(["--group", "/racerId", "--score", "/score"]);
        }
        let tested = succeed(&mut test);
        assert!(tested.contains("results, all as in "), "{tested}");
        samples::pass(&folder, kind);
        // What it writes into the project is not committed by the author.
        let ignored = std::fs::read_to_string(folder.join(".gitignore")).unwrap();
        assert!(folder.join("src/bindings.rs").is_file() && ignored.contains("/src/bindings.rs"), "{ignored}");
    }
}

/// A rule of `examples/rules` in another language gives the bits of its twin in Rust: on the twin's sample events, and on
/// those of a race.
fn a_twin_is_equal(rule: &str, language: &str, file: &str) {
    let parent = TempDir::with_prefix("my plugins").unwrap();
    let (folder, printed) = new(parent.path(), rule, "scorer", language);
    let example = environment::checkout().join("examples/rules").join(rule);
    std::fs::copy(example.join(language).join(file), folder.join(file)).unwrap();
    for line in printed.lines().filter_map(|line| line.strip_prefix("  ")) {
        // The unit test of the project is that of another rule.
        if line.contains("install") {
            succeed(&mut author(&folder, line));
        }
    }
    succeed(&mut build(&folder));
    let on = |component: &Path, events: &Path, expected: &Path, more: &[&str]| {
        let mut command = paceline(&["plugin", "test"]);
        command.arg(component).arg("--events").arg(events).arg("--expect").arg(expected).args(more);
        succeed(&mut command)
    };
    let own = folder.join(format!("{rule}.wasm"));
    on(&own, &example.join("events.ndjson"), &example.join("expected.ndjson"), &[]);
    let race = folder.join("race.ndjson");
    std::fs::write(&race, joined(&simulate("--racers 20 --seconds 100 --class 3 --race 131 --seed 1"))).unwrap();
    let expected = folder.join("race.expected.ndjson");
    on(&paceline_testbed::plugins::file(rule), &race, &expected, &["--update"]);
    let shown = on(&own, &race, &expected, &[]);
    assert!(shown.contains("2,000 results, all as in"), "{shown}");
}

#[test]
fn the_rule_of_climbs_in_javascript_equals_its_twin_in_rust() {
    require!(Plugins, AuthorTools);
    a_twin_is_equal("climb", "javascript", "rule.js");
}

#[test]
fn the_rule_of_handicaps_in_python_equals_its_twin_in_rust() {
    require!(Plugins, AuthorTools);
    a_twin_is_equal("handicap", "python", "rule.py");
}
