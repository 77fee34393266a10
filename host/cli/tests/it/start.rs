//! Errors at the start and during a run: each is reported once, and nothing is left half done.

use paceline_testbed::{require, rules};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

use crate::support::{DedupMode, Process, Workspace, joined, oracle, paceline, rulebook, simulate, simulate_file};

#[test]
fn an_unknown_key_is_reported_with_its_line_and_the_nearest_known_key() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nfile = \"messages.ndjson\"\n", "[batch]\nmax-record = 5\n");
    let error = workspace.fails(&["run"]);
    assert!(error.contains("paceline.toml: TOML parse error at line "), "{error}");
    assert!(error.contains("max-record = 5") && error.contains("Did you mean `max-records`?"), "{error}");
}

#[test]
fn an_invalid_configuration_fails_the_start() {
    require!(Plugins);
    let file = "[source]\nfile = \"messages.ndjson\"\n";
    let cases = [
        ("[source]\n", "", "[source] names none of `file`, `stdin = true`, `simulate` and `kinesis`"),
        ("[source]\nfile = \"x\"\nstdin = true\n", "", "[source] names more than one of"),
        (
            "[source]\nsimulate = { racers = 1001, seconds = 1, class = 3, race = 1, seed = 1 }\n",
            "",
            "[source.simulate] racers is 1001, not within 1 and 1000",
        ),
        (file, "[batch]\nmax-records = 0\n", "[batch] max-records is 0"),
        (file, "[batch]\nmax-bytes = 1000000000\n", "[batch] max-bytes is 1000000000, at most 268435456 is allowed"),
        (file, "[limits]\nmemory-bytes = 10\n", "[limits] memory-bytes is 10, at least 65536 is needed"),
        (
            file,
            "[limits]\nmemory-bytes = 4294967297\n",
            "[limits] memory-bytes is 4294967297, at most 4294967296 is allowed",
        ),
        (
            file,
            "[limits.ceilings]\nmemory-bytes = 9000000000000000000\n",
            "[limits.ceilings] memory-bytes is 9000000000000000000, at most 4294967296 is allowed",
        ),
        (file, "[limits]\nfuel-per-call = 0\n", "[limits] fuel-per-call is 0, at least 1"),
        (file, "[limits]\ncalls-per-batch = 0\n", "[limits] calls-per-batch is 0, at least 1"),
        (file, "[limits]\ncall-ms = 0\n", "[limits] call-ms is 0, at least 1"),
        (file, "[limits]\nreturned-bytes = 0\n", "[limits] returned-bytes is 0, at least 1"),
        (file, "[limits]\nstate-bytes = 0\n", "[limits] state-bytes is 0, at least 1"),
        ("[source.kinesis]\nstream = \"s\"\nidle-ms = 10\n", "", "[source.kinesis] idle-ms is 10, at least 200"),
        (
            "[source.kinesis]\nstream = \"s\"\ndiscover-every-ms = 1\n",
            "",
            "[source.kinesis] discover-every-ms is 1, at least 100",
        ),
        ("[source.kinesis]\nstream = \"s\"\nrequest-ms = 0\n", "", "[source.kinesis] request-ms is 0, at least 1"),
        (
            "[source.kinesis]\nstream = \"s\"\nresubscribe-ms = 0\n",
            "",
            "[source.kinesis] resubscribe-ms is 0, at least 5000",
        ),
        (
            "[source.kinesis]\nstream = \"s\"\nendpoint = \"kinesis\"\n",
            "",
            "[source.kinesis] endpoint is `kinesis`, which is not a URL such as https://HOST",
        ),
        (
            file,
            "[leaderboard.all]\npartition = \"all\"\norder-by = \"a\"\ntie = \"b\"\nshow = []\n",
            "[leaderboard.all] show is empty: name the attributes to show",
        ),
        (
            file,
            "[leaderboard.all]\npartition = \"all\"\norder-by = \"a\"\ntie = \"b\"\nshow = [\"a\", \"b as a\"]\n",
            "[leaderboard.all] show has the name `a` twice",
        ),
        (file, "[batch]\nmax-records = \"many\"\n", "invalid type: string \"many\""),
        (file, "[[[", "TOML parse error"),
        ("[source]\nfile = \"no-such-file\"\n", "", "no-such-file: No such file or directory"),
        ("[source]\nfile = \"rulebooks\"\n", "", "is a folder, not a file of messages"),
    ];
    for (source, more, message) in cases {
        let workspace = Workspace::new(DedupMode::Ordinal);
        workspace.configure(source, more);
        let error = workspace.fails(&["run"]);
        assert!(error.starts_with("paceline: ") && error.contains(message), "{message}: {error}");
    }
    let error = crate::support::fail(&mut paceline(&["run", "--config", "/no/such/file.toml"]));
    assert!(error.contains("/no/such/file.toml: No such file or directory"), "{error}");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    rules::map(&workspace.path("rulebooks"));
    workspace.configure("[source.kinesis]\nstream = \"alleycat\"\n", "");
    let with_empty = |arguments: &[&str]| {
        let mut command = workspace.command(arguments);
        for name in ["PACELINE_RULES", "PACELINE_STREAM", "PACELINE_LISTEN", "PACELINE_TABLE", "PACELINE_DEAD_LETTERS"]
        {
            command.env(name, "");
        }
        for name in ["PACELINE_SIGNING_KEY", "PACELINE_OPERATOR", "OTEL_SERVICE_NAME", "SOURCE_DATE_EPOCH"] {
            command.env(name, "");
        }
        command.env("USER", "ann");
        crate::support::succeed(&mut command)
    };
    with_empty(&["rules", "apply", workspace.path("rulebooks").to_str().unwrap()]);
    assert!(workspace.path("registry/log").exists());
    let history: serde_json::Value = serde_json::from_str(&with_empty(&["rules", "history", "--json"])).unwrap();
    assert_eq!(history[0]["by"], "ann", "{history}");
}

#[test]
fn days_of_pins_without_the_embedded_store_are_refused() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nfile = \"messages.ndjson\"\n", "");
    let file = workspace.path("paceline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("path = \"store.redb\"", "memory = true\npin-days = 30")).unwrap();
    let error = workspace.fails(&["run"]);
    assert!(error.contains("[store] `pin-days` is for the embedded store"), "{error}");
}

#[test]
fn an_invalid_rulebook_is_refused_and_changes_nothing() {
    require!(Plugins);
    let book = rulebook(3, 1, DedupMode::Ordinal);
    let cases = [
        (book.replace("version = 1", "versoin = 1"), "Did you mean `version`?"),
        (book.replace("\"output\"", "\"ouput\""), "and no file is named for it: `--plugins FOLDER`"),
        (book.replace("\"output\"", "\"ouput\""), "did you mean `output`?"),
        (book.replace("\"final\"", "1.5"), "a field is compared with a boolean, an integer or a text"),
        (
            book.replace("plugin = \"telemetry\"", "plugin = \"telemetry\"\nsettings = { max-cadnce = 90 }"),
            "is refused: its `describe` asks for no setting `max-cadnce`; it asks for: `events`, `max-cadence`, ",
        ),
        (
            book.replace("\"output\"", "\"telemetry\""),
            "it is not a scorer: it does not export `paceline:plugin/scoring@0.2.0`",
        ),
        (
            book.replace("plugin = \"telemetry\"", "plugin = \"telemetry\"\nsettings = { max-cadence = \"fast\" }"),
            "its `describe` fails: setting `max-cadence` is `fast`: not a number",
        ),
        (
            book.replace("racerId = \"{/racerId}\", ruled", "output = \"{/racerId}\", ruled"),
            "the attribute `output` is also an output of",
        ),
        (
            book.replace("racerId = \"{/racerId}\", ruled", "PK = \"{/racerId}\", ruled"),
            "the attribute `PK` belongs to the key",
        ),
        (book.replace("\"output\"", &format!("\"sha256:{}\"", "0".repeat(64))), "has no plugins/0000"),
    ];
    for (text, message) in cases {
        let workspace = Workspace::new(DedupMode::Ordinal);
        workspace.write("rulebooks/class-3.toml", text);
        rules::map(&workspace.path("rulebooks"));
        let folder = workspace.path("rulebooks");
        let error = workspace.fails(&["rules", "apply", folder.to_str().unwrap()]);
        assert!(error.contains("rulebooks/class-3.toml: ") && error.contains(message), "{message}: {error}");
        let status = workspace.json(&["rules", "status"]);
        assert_eq!((&status["revision"], &status["raceTypes"]), (&json!(0), &json!({})));
    }
}

#[test]
fn without_rules_nothing_starts() {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", "");
    let folder = workspace.path("rulebooks");
    workspace.write("rulebooks/rules.toml", "[race-types]\n");
    let error = workspace.fails(&["rules", "apply", folder.to_str().unwrap()]);
    assert!(error.contains("rules.toml maps no race type") && error.contains("paceline rules retire"), "{error}");
    let file = workspace.path("rulebooks/rules.toml");
    let error = workspace.fails(&["rules", "apply", file.to_str().unwrap()]);
    assert!(error.contains("rules.toml is a file: `apply` takes a folder"), "{error}");
    let error = workspace.fails(&["rules", "apply", workspace.path("rulebook").to_str().unwrap()]);
    assert!(error.contains("rulebook/rules.toml: a folder of rulebooks has a rules.toml"), "{error}");
    let mut run = paceline(&["run", "--config"]);
    let error = crate::support::fail(run.arg(workspace.path("paceline.toml")));
    assert!(error.contains("registry has no rules") && error.contains("paceline rules apply FOLDER"), "{error}");
    assert!(!workspace.path("store.redb").exists(), "the store exists after a failed start");
}

/// A file that can never be written, as on a full disk.
fn full() -> std::fs::File {
    std::fs::File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&simulate("--racers 5 --seconds 3 --class 3 --race 131 --seed 1")));
    for form in ["json", "text"] {
        let mut command = workspace.command(&["run", "--json"]);
        let output = command.env("PACELINE_LOG", form).env("RUST_LOG", "trace").stderr(full()).output().unwrap();
        assert!(output.status.success(), "{form}: {}", output.status);
        assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).is_ok(), "{form}");
    }
    let mut command = paceline(&["run", "--config", "/no/such/file.toml"]);
    assert_eq!(command.stderr(full()).output().unwrap().status.code(), Some(1), "no panic");
}

#[test]
fn a_log_for_programs_has_nothing_but_json() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&simulate("--racers 5 --seconds 3 --class 3 --race 131 --seed 1")));
    let lines = |command: &mut std::process::Command| -> Vec<serde_json::Value> {
        let stderr = command.env("PACELINE_LOG", "json").output().unwrap().stderr;
        let parsed = String::from_utf8(stderr).unwrap();
        parsed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect()
    };
    let of_run = lines(&mut workspace.command(&["run"]));
    assert!(of_run.iter().any(|line| line["message"] == "race type 3: class-3@1 is active (revision 1)"), "{of_run:?}");
    let of_failure = lines(&mut paceline(&["run", "--config", "/no/such/file.toml"]));
    assert_eq!(of_failure.len(), 1, "{of_failure:?}");
    assert!(of_failure[0]["message"].as_str().unwrap().contains("/no/such/file.toml"), "{of_failure:?}");
}

#[test]
fn a_filter_of_the_log_that_is_none_is_reported() {
    let output = paceline(&["run", "--config", "/no/such/file.toml"]).env("RUST_LOG", "garbage=[").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("RUST_LOG is not a filter such as `info,plugin=debug`, so `info` is used"), "{stderr}");
}

#[test]
fn a_subcommand_without_its_configuration_is_an_invalid_argument() {
    let output = paceline(&["rules", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--config FILE is missing"));
}

#[test]
fn two_runs_do_not_share_a_store() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nstdin = true\n", "");
    let first = Process::start(workspace.command(&["run"]));
    first.wait_for("race type 3: class-3@1 is active");
    let error = workspace.fails(&["run"]);
    assert!(error.contains("store.redb is open in another process"), "{error}");
    first.finish();
}

/// The program, run by a user that file permissions apply to. They do not apply to root.
fn unprivileged(workspace: &Workspace) -> std::process::Command {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let is_root = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() == 0;
    let program = env!("CARGO_BIN_EXE_paceline");
    let mut command = match is_root {
        true => {
            // The program may lie in a folder that only root can enter.
            std::fs::copy(program, workspace.path("paceline")).unwrap();
            command.arg(workspace.path("paceline"));
            command
        }
        false => std::process::Command::new(program),
    };
    command.args(["run", "--config"]).arg(workspace.path("paceline.toml")).env_remove("RUST_BACKTRACE");
    command
}

#[test]
fn an_unwritable_folder_is_reported() {
    require!(Plugins, UtilLinux);
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.write("messages.ndjson", joined(&simulate("--racers 5 --seconds 5 --class 3 --race 131 --seed 1")));
    workspace.apply();
    let mode = |name: &str, mode: u32| {
        std::fs::set_permissions(workspace.path(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    let mut command = unprivileged(&workspace);
    mode("", 0o555);
    let error = crate::support::fail(&mut command);
    mode("", 0o755);
    assert!(error.contains("store.redb can't be opened: ") && error.contains("Permission denied"), "{error}");
    assert!(!workspace.path("store.redb").exists(), "the store exists after a failed start");
}

#[test]
fn a_run_stops_on_a_full_disk_and_resumes_with_free_space() {
    require!(Plugins, UtilLinux);
    let workspace = Workspace::new(DedupMode::Sequence);
    workspace.configure("[source]\nfile = \"messages.ndjson\"\n", "[batch]\nmax-records = 1000\n");
    let lines = simulate_file("--racers 1000 --seconds 30 --class 3 --race 131 --seed 1 --errors 20");
    workspace.write("messages.ndjson", joined(&lines));
    std::fs::create_dir(workspace.path("small")).unwrap();
    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    workspace.write("paceline.toml", config.replace("path = \"store.redb\"", "path = \"small/store.redb\""));
    // A disk of 3 MiB in its own mount namespace. The script keeps the store of the full disk.
    workspace.apply();
    let script = r#"
        mount -t tmpfs -o size=3m tmpfs "$1/small" || exit 99
        "$2" run --config "$1/paceline.toml"; status=$?
        cp "$1/small/store.redb" "$1/kept.redb"
        exit $status
    "#;
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(workspace.path("")).arg(env!("CARGO_BIN_EXE_paceline")).env_remove("RUST_BACKTRACE");
    let error = crate::support::fail(&mut command);
    assert!(error.contains("small/store.redb failed: ") && error.contains("No space left on device"), "{error}");

    std::fs::rename(workspace.path("kept.redb"), workspace.path("small/store.redb")).unwrap();
    let summary = workspace.run();
    assert!(summary["records"].as_u64().unwrap() < lines.len() as u64, "{summary}");
    let valid = simulate("--racers 1000 --seconds 30 --class 3 --race 131 --seed 1");
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"]), oracle::race(&valid, 131));
    let letters = workspace.json(&["dead-letters", "list"]);
    assert_eq!(letters.as_array().unwrap().len(), lines.len() - valid.len());
}

#[test]
fn without_address_space_for_a_pool_the_outcome_is_the_same() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let valid = simulate("--racers 50 --seconds 20 --class 3 --race 131 --seed 1");
    workspace.write("messages.ndjson", joined(&valid));
    workspace.apply();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -v 33554432; exec \"$0\" run --config \"$1\"", env!("CARGO_BIN_EXE_paceline")]);
    let output = command.arg(workspace.path("paceline.toml")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.contains("no pool of instances on this machine"), "{stderr}");
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"]), oracle::race(&valid, 131));
}
