//! The Dockerfile and the configuration in the images match each other and the repository. The images themselves are
//! not built here, because that requires a container engine.

use paceline_pipeline::rules::Registry;
use paceline_testbed::{require, rules};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::dynamo::{Deployment, environment};
use crate::support::{Process, paceline};
use paceline_config::Config;
use paceline_testbed::dynamodb::endpoint;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A stage of the Dockerfile: its name, its base image or stage, and its instructions.
#[derive(Debug)]
struct Stage {
    name: String,
    from: String,
    instructions: Vec<(String, String)>,
}

impl Stage {
    /// The arguments of all instructions of this kind, in order.
    fn all(&self, instruction: &str) -> impl Iterator<Item = &str> {
        self.instructions.iter().filter(move |(name, _)| name == instruction).map(|(_, arguments)| arguments.as_str())
    }
}

/// The stages, with the defaults of `ARG` substituted.
fn stages() -> Vec<Stage> {
    let text = read("examples/alleycat/Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let whole = lines.join("\n").replace("\\\n", " ");
    let mut defaults: Vec<(String, String)> = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    for line in whole.lines().filter(|line| !line.trim().is_empty()) {
        let (instruction, arguments) = line.trim().split_once(' ').unwrap();
        let mut arguments = arguments.split_whitespace().collect::<Vec<_>>().join(" ");
        if stages.is_empty() && instruction == "ARG" {
            let (name, value) = arguments.split_once('=').unwrap();
            defaults.push((format!("${{{name}}}"), value.to_owned()));
        } else if instruction == "FROM" {
            defaults.iter().for_each(|(name, value)| arguments = arguments.replace(name, value));
            let (from, name) = arguments.split_once(" AS ").unwrap();
            stages.push(Stage { name: name.to_owned(), from: from.to_owned(), instructions: Vec::new() });
        } else {
            stages.last_mut().unwrap().instructions.push((instruction.to_owned(), arguments));
        }
    }
    stages
}

/// A stage and the stages that it is based on, the lowest first.
fn image<'a>(stages: &'a [Stage], name: &str) -> Vec<&'a Stage> {
    let stage = stages.iter().find(|stage| stage.name == name).unwrap_or_else(|| panic!("there is no stage {name}"));
    let below = stages.iter().any(|other| other.name == stage.from).then(|| image(stages, &stage.from));
    below.into_iter().flatten().chain([stage]).collect()
}

/// The arguments of the last instruction of this kind in an image.
fn last<'a>(image: &[&'a Stage], instruction: &str) -> &'a str {
    let arguments = image.iter().rev().find_map(|stage| stage.all(instruction).last());
    arguments.unwrap_or_else(|| panic!("there is no {instruction}"))
}

/// The words of an instruction in exec form. In shell form the shell would receive the signals.
fn exec_form(arguments: &str) -> Vec<String> {
    serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{arguments}: {error}"))
}

#[test]
fn base_images_have_version_tags_and_rust_matches_the_toolchain() {
    let stages = stages();
    let named = |name: &str| stages.iter().any(|stage| stage.name == name);
    for stage in stages.iter().filter(|stage| !named(&stage.from)) {
        let (_, tag) = stage.from.split_once(':').unwrap_or_else(|| panic!("{} has no tag", stage.from));
        assert!(!tag.contains("latest") && !tag.contains('$'), "{}", stage.from);
    }
    let value = |file: &str, key: &str| {
        let text = read(file);
        text.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim_matches([' ', '=', '"']).to_owned()
    };
    let toolchain = value("rust-toolchain.toml", "channel");
    assert_eq!(stages[0].from, format!("rust:{toolchain}-bookworm"));
    let oldest = value("Cargo.toml", "rust-version");
    assert!(toolchain == oldest || toolchain.starts_with(&format!("{oldest}.")), "{toolchain}, {oldest}");
}

#[test]
fn every_copy_source_exists() {
    require!(Plugins, DynamoDbLocal);
    let (stages, ignored) = (stages(), read("examples/alleycat/Dockerfile.dockerignore"));
    let mut copied = 0;
    for (at, stage) in stages.iter().enumerate() {
        for arguments in stage.all("COPY") {
            let words: Vec<&str> = arguments.split(' ').collect();
            if let Some(from) = words[0].strip_prefix("--from=") {
                assert!(stages[..at].iter().any(|stage| stage.name == from), "COPY {arguments}");
                continue;
            }
            for source in &words[..words.len() - 1] {
                assert!(root().join(source).exists(), "COPY {arguments}");
                assert!(ignored.lines().all(|line| line != *source), "COPY {arguments}");
                copied += 1;
            }
        }
    }
    assert!(copied >= 5, "{copied}");
    // The build stage has to write the files to the paths that `COPY --from=build` reads.
    let build = stages.iter().find(|stage| stage.name == "build").unwrap();
    let built = build.all("RUN").last().unwrap();
    for argument in ["/out/paceline", "--out /out/registry", "--precompile \"$(uname -m)\""] {
        assert!(built.contains(argument), "{built}");
    }
}

#[test]
fn both_images_run_unprivileged_and_declare_stop_signal_and_health_check() {
    let stages = stages();
    for name in ["run", "kcl"] {
        let image = image(&stages, name);
        let user = last(&image, "USER").split(':').next().unwrap();
        assert!(user.parse::<u32>().is_ok_and(|user| user > 0), "{name} runs as {user}");
        assert_eq!(last(&image, "STOPSIGNAL"), "SIGTERM");
        assert_eq!(last(&image, "VOLUME"), "/var/lib/paceline");
        let program = &exec_form(last(&image, "ENTRYPOINT"))[0];
        let copied = image
            .iter()
            .flat_map(|stage| stage.all("COPY"))
            .any(|arguments| arguments.ends_with(&format!(" {program}")));
        assert!(copied, "{name} has no {program}");
        exec_form(last(&image, "CMD"));
    }
    let run = image(&stages, "run");
    let config = Config::load(&root().join("examples/alleycat/kinesis.toml")).unwrap();
    assert_eq!(last(&run, "EXPOSE"), config.serve.listen.unwrap().port().to_string());
    let (_, health) = last(&run, "HEALTHCHECK").split_once(" CMD ").unwrap();
    let (health, main) = (exec_form(health), exec_form(last(&run, "CMD")));
    assert_eq!(health[..2], ["/usr/local/bin/paceline", "healthcheck"]);
    assert_eq!(
        (&health[2..], &main[..]),
        (&main[1..], &["run", "--config", "/etc/paceline/kinesis.toml"].map(Into::into)[..])
    );
    assert_eq!(last(&image(&stages, "kcl"), "HEALTHCHECK"), "NONE");
    let entrypoint = read("examples/alleycat/kcl-entrypoint");
    for path in [health.last().unwrap(), "/usr/local/bin/paceline", "/opt/kcl", "/var/lib/paceline/daemon.properties"] {
        assert!(entrypoint.contains(path), "{path}");
    }
}

#[test]
fn the_configuration_works_at_its_path_in_the_image() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::new();
    let workspace = |path: &str| deployment.workspace.path(path);
    let stages = stages();
    for arguments in image(&stages, "run").iter().flat_map(|stage| stage.all("COPY")) {
        let words: Vec<&str> = arguments.split(' ').collect();
        let to = words.last().unwrap().trim_start_matches('/');
        let from = match words[..] {
            ["--from=build", "/out/registry", _] => {
                let registry = Registry::create_folder(&workspace(to)).unwrap();
                rules::apply(&root().join("examples/alleycat/rulebooks"), &registry).unwrap();
                continue;
            }
            ["--from=build", ..] => continue,
            [from, _] => root().join(from),
            _ => panic!("COPY {arguments}"),
        };
        copy(&from, &workspace(to));
    }
    let file = workspace("etc/paceline/kinesis.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("/var/lib/paceline", workspace("volume").to_str().unwrap())).unwrap();

    let mut command = paceline(&["kcl", "--config", file.to_str().unwrap()]);
    environment(&mut command, &endpoint());
    let (table, letters) = (&deployment.table.table, deployment.table.dead_letter_table());
    command.env("PACELINE_TABLE", table).env("PACELINE_DEAD_LETTERS", letters);
    let mut process = Process::start(command);
    let mut answers = BufReader::new(process.child.stdout.take().unwrap());
    process.write_stdin(b"{\"action\":\"initialize\",\"shardId\":\"shardId-000000000000\"}\n");
    let mut answer = String::new();
    answers.read_line(&mut answer).unwrap();
    assert_eq!(answer, "{\"action\":\"status\",\"responseFor\":\"initialize\"}\n");
    assert_eq!(process.finish(), "");
}

/// Copies a file, or a folder recursively.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        for entry in std::fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
}

#[test]
fn the_commented_out_keys_are_valid() {
    let text = read("examples/alleycat/kinesis.toml");
    let key = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) || line.starts_with('[');
    let mut keys = 0;
    let uncommented = text.lines().map(|line| match line.strip_prefix("# ").filter(key) {
        Some(setting) => {
            keys += 1;
            format!("{setting}\n")
        }
        None => format!("{line}\n"),
    });
    let workspace = crate::support::Workspace::new(crate::support::DedupMode::Ordinal);
    workspace.write("kinesis.toml", uncommented.collect::<String>());
    let config = Config::load(&workspace.path("kinesis.toml")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(keys, 40);
    // The commented-out values are the defaults.
    let plain = Config::load(&root().join("examples/alleycat/kinesis.toml")).unwrap();
    let kinesis = |config: Config| {
        let kinesis = config.source.unwrap().kinesis.unwrap();
        (paceline_aws::kinesis::KinesisConfig { region: None, ..kinesis }, config.batch, config.limits, config.retry)
    };
    let (uncommented, plain) = (kinesis(config), kinesis(plain));
    assert_eq!((uncommented.0, uncommented.1, uncommented.3), (plain.0, plain.1, plain.3));
    assert_eq!(format!("{:?}", uncommented.2), format!("{:?}", plain.2));
}
