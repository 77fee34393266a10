//! A folder with a configuration, rulebooks and a store, and the program to run on it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::DeadLetter;
use paceline_pipeline::model::{Item, Key, Provenance, RulesRevision};
use paceline_pipeline::rules::Registry;
use paceline_pipeline::rules::operator::Changed;
use paceline_pipeline::store::{DeadLetterStore, EmbeddedStore, GroupStore};
use paceline_testbed::environment;
pub(crate) use paceline_testbed::outcome::{DedupMode, block_on};
use paceline_testbed::rules::{self, ApplyError};
use serde_json::Value;
use tempfile::TempDir;

/// A rulebook of the races: its race type, version and dedup.
pub(crate) fn rulebook(race_type: u32, version: u64, dedup: DedupMode) -> String {
    let dedup = |field: &str| match dedup {
        DedupMode::Sequence => r#""sequence""#.to_owned(),
        DedupMode::Ordinal => format!(r#"{{ ordinal = "{field}" }}"#),
    };
    format!(
        r#"
name = "class-{race_type}"
version = {version}
pin = "/raceId"

[[validate]]
plugin = "telemetry"

[score]
plugin = "output"

[[aggregate]]
plugin = "last-output"
key = {{ PK = "race-{{/classId}}-{{/raceId}}", SK = "racer-{{/racerId}}" }}
attributes = {{ classId = "{{/classId}}", racerId = "{{/racerId}}", ruled = "by version {version}" }}
dedup = {}

[[aggregate]]
plugin = "best-output"
where = {{ "/event" = "final" }}
key = {{ PK = "class-{{/classId}}", SK = "racer-{{/racerId}}" }}
attributes = {{ racerId = "{{/racerId}}" }}
dedup = {}
"#,
        dedup("/second"),
        dedup("/raceId")
    )
}

/// A folder with a configuration, rulebooks and a store.
pub(crate) struct Workspace {
    folder: TempDir,
}

impl Workspace {
    /// A workspace with a rulebook for class 3, and the source `messages.ndjson`.
    pub(crate) fn new(dedup: DedupMode) -> Self {
        let workspace = Self { folder: TempDir::new().unwrap() };
        std::fs::create_dir(workspace.path("rulebooks")).unwrap();
        workspace.write("rulebooks/class-3.toml", rulebook(3, 1, dedup));
        workspace.configure("[source]\nfile = \"messages.ndjson\"\n", "");
        workspace
    }

    /// Writes the configuration: the source, and more at the end.
    pub(crate) fn configure(&self, source: &str, more: &str) {
        self.write(
            "paceline.toml",
            format!(
                r#"{source}
[route]
race-type = "/classId"

[rules]
registry = "registry"
poll-interval-ms = 20

[store]
path = "store.redb"

[leaderboard.race]
partition = "race-{{class}}-{{race}}"
order-by = "output"
tie = "racerId"
show = ["racerId", "output", "second", "finished"]

[leaderboard.class]
partition = "class-{{class}}"
order-by = "output"
tie = "racerId"
show = ["racerId", "output", "raceId", "ts"]

{more}"#
            ),
        );
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Makes the rules those of the folder `rulebooks`.
    pub(crate) fn apply(&self) -> Changed {
        self.try_apply().unwrap_or_else(|error| panic!("{}", ErrorChain(&error)))
    }

    /// Makes the rules those of the folder `rulebooks`, if they are accepted.
    pub(crate) fn try_apply(&self) -> Result<Changed, ApplyError> {
        rules::map(&self.path("rulebooks"));
        rules::apply(&self.path("rulebooks"), &self.registry())
    }

    /// The registry.
    pub(crate) fn registry(&self) -> Registry {
        Registry::create_folder(&self.path("registry")).unwrap()
    }

    /// A command of the program with this workspace's configuration. Before one that processes records, the rules of the
    /// folder `rulebooks` are applied.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let processes = matches!(arguments, ["run" | "kcl", ..] | ["dead-letters", "redrive", ..]);
        if processes && self.path("rulebooks").is_dir() {
            self.apply();
        }
        let mut command = paceline(arguments);
        command.arg("--config").arg(self.path("paceline.toml"));
        command
    }

    /// Runs a command to its end, asserts that it succeeds, and returns its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        succeed(&mut self.command(arguments))
    }

    /// Runs a command to its end, asserts that it fails, and returns its standard error.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        fail(&mut self.command(arguments))
    }

    /// Runs the source to its end and returns the summary.
    pub(crate) fn run(&self) -> Value {
        serde_json::from_str(&self.ok(&["run", "--json"])).unwrap()
    }

    /// Runs the source to its end and returns the standard error.
    pub(crate) fn run_with_stderr(&self) -> String {
        self.apply();
        let output = self.command(&["run"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        stderr
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// All items, without their revisions, which count writes.
    pub(crate) fn items(&self) -> BTreeMap<Key, Item> {
        let store = EmbeddedStore::open(&self.path("store.redb")).unwrap();
        let items = block_on(store.list_groups()).unwrap();
        // Each workspace has a registry of its own.
        let without_rules = |item: &Item| {
            let provenance = Provenance { rules: RulesRevision::default(), ..Provenance::clone(&item.provenance) };
            Arc::new(provenance)
        };
        items
            .into_iter()
            .map(|(key, item)| (key, Item { revision: 0, provenance: without_rules(&item), ..item }))
            .collect()
    }

    /// All dead letters.
    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        let store = EmbeddedStore::open(&self.path("store.redb")).unwrap();
        block_on(store.list_dead_letters()).unwrap()
    }
}

/// The program.
pub(crate) fn paceline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_paceline"));
    command
        .args(arguments)
        .env_remove("RUST_BACKTRACE")
        .env("PACELINE_CACHE", environment::checkout().join("target/tmp/compiled"))
        .stdin(Stdio::null());
    command
}

pub(crate) fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {status}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

pub(crate) fn fail(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{command:?}: {status}\n{}\n{stderr}", String::from_utf8_lossy(&stdout));
    stderr
}

/// The lines that the simulator writes, without line ends.
pub(crate) fn simulate(arguments: &str) -> Vec<Vec<u8>> {
    let arguments: Vec<&str> = ["simulate"].into_iter().chain(arguments.split(' ')).collect();
    let output = paceline(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    lines(&output.stdout)
}

/// The lines that the simulator writes, without blank ones: in a file, those are no messages.
pub(crate) fn simulate_file(arguments: &str) -> Vec<Vec<u8>> {
    simulate(arguments).into_iter().filter(|line| !line.is_empty()).collect()
}

pub(crate) fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let ended = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    ended.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

pub(crate) fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

/// A running program. The test writes its standard input.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    /// The lines of its standard error.
    pub(crate) stderr_lines: Receiver<String>,
}

impl Process {
    #[expect(clippy::disallowed_methods, reason = "the child must not wait until the test reads its lines")]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, stderr_lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { stdin: child.stdin.take(), child, stderr_lines }
    }

    /// Waits for a line of standard error that contains this text.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        let mut stderr = Vec::new();
        while let Ok(line) = self.stderr_lines.recv() {
            if line.contains(words) {
                return line;
            }
            stderr.push(line);
        }
        panic!("the process ended without {words:?} on standard error: {stderr:?}");
    }

    /// Closes the input, waits until the process exits with success, and returns its standard output.
    pub(crate) fn finish(mut self) -> String {
        drop(self.stdin.take());
        let output = self.child.wait_with_output().unwrap();
        let stderr: Vec<_> = self.stderr_lines.iter().collect();
        assert!(output.status.success(), "{}: {stderr:?}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Kills the process, as a power failure does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn write_stdin(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }
}

/// The expected leaderboards, computed from valid messages independently of the pipeline.
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    struct Message {
        racer: i64,
        race: i64,
        second: i64,
        sent_ms: i64,
        output: f64,
        is_final: bool,
    }

    fn message(line: &[u8]) -> Message {
        let value: Value = serde_json::from_slice(line).unwrap();
        let integer = |name: &str| value[name].as_i64().unwrap();
        let number = |name: &str| value[name].as_f64().unwrap();
        let raw = (number("cadence") + 35.0) * (number("resistance") + 65.0) / 100.0;
        // Math.round(x + "e4") + "e-4"
        let scaled: f64 = format!("{raw}e4").parse().unwrap();
        let output = format!("{}e-4", (scaled + 0.5).floor()).parse().unwrap();
        Message {
            racer: integer("racerId"),
            race: integer("raceId"),
            second: integer("second"),
            sent_ms: integer("deviceTimestamp"),
            output,
            is_final: value["event"] == "final",
        }
    }

    fn sorted(mut rows: Vec<(f64, i64, Value)>) -> Value {
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        rows.into_iter().map(|(_, _, row)| row).collect()
    }

    pub(crate) fn race(lines: &[Vec<u8>], race: i64) -> Value {
        let mut last: BTreeMap<i64, Message> = BTreeMap::new();
        for message in lines.iter().map(|line| message(line)).filter(|message| message.race == race) {
            if last.get(&message.racer).is_none_or(|before| before.second < message.second) {
                last.insert(message.racer, message);
            }
        }
        let row = |(racer, last): (i64, Message)| {
            let row = json!({
                "racerId": racer, "output": last.output, "second": last.second, "finished": last.is_final,
            });
            (last.output, racer, row)
        };
        sorted(last.into_iter().map(row).collect())
    }

    pub(crate) fn class(lines: &[Vec<u8>]) -> Value {
        let mut best: BTreeMap<i64, Message> = BTreeMap::new();
        for message in lines.iter().map(|line| message(line)).filter(|message| message.is_final) {
            let better = |before: &Message| {
                message.output > before.output || message.output == before.output && message.sent_ms < before.sent_ms
            };
            if best.get(&message.racer).is_none_or(better) {
                best.insert(message.racer, message);
            }
        }
        let row = |(racer, best): (i64, Message)| {
            let row = json!({ "racerId": racer, "output": best.output, "raceId": best.race, "ts": best.sent_ms });
            (best.output, racer, row)
        };
        sorted(best.into_iter().map(row).collect())
    }
}
