//! Rules in JavaScript and Python against their twins in Rust: a call of 10,000 rows on a fresh instance.

use std::ffi::OsString;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use paceline_engine::{Engine, Limits, Scorer, Settings};
use paceline_kit::events::{Events, Grouping};
use paceline_testbed::environment::AUTHORS;

use crate::timing::in_turns;
use crate::{Results, plugin, print_line, program, root, simulated};

const ROWS: usize = 10_000;

/// A rule of `examples/rules` in another language than Rust.
pub(crate) struct Twin {
    pub(crate) name: &'static str,
    pub(crate) rule: &'static str,
    language: &'static str,
    file: &'static str,
    /// The command that installs the language's compiler, as `paceline plugin new` prints it.
    install: &'static str,
}

/// The rules that are written in another language, too.
pub(crate) static TWINS: [Twin; 2] = [
    Twin { name: "js", rule: "climb", language: "javascript", file: "rule.js", install: "npm install" },
    Twin {
        name: "python",
        rule: "handicap",
        language: "python",
        file: "rule.py",
        install: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    },
];

fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Twin {
    /// Builds the rule with the language's compiler into a project in `parent`, and returns the component's file. Downloads
    /// are kept in a folder from one run to the next.
    pub(crate) fn build(&self, parent: &Path, downloads: &Path) -> PathBuf {
        let Self { rule, language, file, install, .. } = self;
        let kind = ["plugin", "new", rule, "--kind", "scorer", "--lang", language, "--in"];
        done(Command::new(program("paceline")).args(kind).arg(parent));
        let folder = parent.join(rule);
        let source = root().join("examples/rules").join(rule).join(language).join(file);
        std::fs::copy(source, folder.join(file)).expect("the project can be written");
        let mut command = Command::new("sh");
        command.args(["-c", install]).current_dir(&folder).env("npm_config_cache", downloads.join("npm"));
        done(command.env("npm_config_prefer_offline", "true").env("PIP_CACHE_DIR", downloads.join("pip")));
        done(Command::new(program("paceline")).args(["plugin", "build"]).arg(&folder));
        folder.join(format!("{rule}.wasm"))
    }
}

fn scorer(engine: &Engine, wasm: &[u8]) -> Scorer {
    let component = engine.load(wasm).expect("the plugin loads");
    component.scorer(&Settings::new()).expect("the plugin is a scorer")
}

pub(crate) fn run(results: &mut Results) {
    let Some(downloads) = std::env::var_os(AUTHORS).filter(|folder: &OsString| !folder.is_empty()) else {
        print_line(&format!(
            "\nrules in JavaScript and Python: skipped, because {AUTHORS} is not set; `make bench` sets it"
        ));
        return;
    };
    print_line("\nrules in JavaScript and Python, relative to the same rules in Rust");
    let downloads = PathBuf::from(downloads);
    let folder = tempfile::tempdir_in(root().join("target")).expect("target can be written");
    let events = Events::parse(&simulated(1_000, ROWS / 1_000).join(&b'\n'));
    let engine = Engine::new(Limits::default()).expect("the sandbox starts");
    for twin in &TWINS {
        let rust = scorer(&engine, &plugin(twin.rule));
        let file = twin.build(folder.path(), &downloads);
        let other = scorer(&engine, &std::fs::read(file).expect("the component is built"));
        assert_eq!(rust.plugin().fields(), other.plugin().fields(), "both read the same");
        let input = events.input(other.plugin().fields(), &Grouping::default()).expect("the fields are pointers");
        assert_eq!(input.rows(), ROWS);
        let columns = input.columns();
        let scores = |scorer: &Scorer| scorer.session().score(ROWS, &columns).expect("the rows are scored").scores;
        assert_eq!(scores(&rust), scores(&other), "both return the same bits");
        let [ours, control, theirs] =
            in_turns([&mut || drop(black_box(scores(&rust))), &mut || drop(black_box(scores(&rust))), &mut || {
                drop(black_box(scores(&other)))
            }]);
        let Twin { name, .. } = twin;
        results.add(&format!("plugin_{name}_over_rust_10k"), theirs / ours, &format!("{name}/rust"), "");
        results.add(&format!("plugin_{name}_ns_per_row_10k"), theirs / ROWS as f64, "ns", "");
        results.add(&format!("plugin_{name}_rust_control_10k"), control / ours, "A/A", "");
    }
}
