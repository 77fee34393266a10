//! A package with compiled code: its functions start without compiling, and compile what they can't use.

use std::path::PathBuf;
use std::time::Duration;

use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::Function;
use paceline_testbed::{require, rules};

use crate::support::{DedupMode, Deployment, all_committed, beat, event_of, response};

const TIMEOUT: Duration = Duration::from_secs(60);

/// What a host logs of each plugin that it compiles.
const COMPILED: &str = ": compiled on this machine";

/// What it logs of each plugin whose code it takes from the package.
const PACKAGED: &str = ": compiled code of the package is used";

/// A package whose registry is the seed, as `make lambda` writes it. Returns the number of plugins.
fn package() -> (Deployment, usize) {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let config = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    let trusting = config.replace("[rules]\n", "[rules]\nseed = \"registry\"\ntrust-seed = true\n");
    deployment.write("paceline.toml", &trusting);
    let plugins = rules::precompile(&deployment.path("registry"));
    (deployment, plugins)
}

/// The logs of a function that starts with nothing cached and processes an event.
fn started(deployment: &Deployment) -> String {
    // Below a file there is no folder, whoever the user is.
    let cache = deployment.path("paceline.toml/cache");
    let configuration = deployment.configuration(&endpoint()).env("PACELINE_CACHE", cache.to_str().unwrap());
    let function = Function::new(configuration.env("RUST_LOG", "info,paceline_engine=debug")).unwrap();
    let payload = beat(7, 1, 60).to_string().into_bytes();
    let answer = function.invoke(event_of([&*payload]), TIMEOUT);
    assert_eq!(response(answer), all_committed(), "{}", function.logs());
    assert!(!deployment.outcome().items.is_empty());
    function.logs()
}

/// The files of compiled code.
fn files(deployment: &Deployment) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(deployment.path("registry/compiled")).unwrap();
    let files = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    folders.flat_map(|folder| files(folder.unwrap().path())).collect()
}

#[test]
fn a_function_without_a_cache_starts_with_its_packages_code_and_compiles_nothing() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let (deployment, plugins) = package();
    assert_eq!(files(&deployment).len(), plugins);
    let logs = started(&deployment);
    assert_eq!((logs.matches(PACKAGED).count(), logs.matches(COMPILED).count()), (plugins, 0), "{logs}");
    assert!(logs.contains("compiled plugins are not cached in"), "{logs}");
}

#[test]
fn a_function_compiles_what_its_package_has_no_usable_code_of() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let (deployment, plugins) = package();
    let files = files(&deployment);
    std::fs::write(&files[0], b"no code").unwrap();
    std::fs::rename(&files[1], files[1].with_file_name("x86_64-0.elf")).unwrap();
    let logs = started(&deployment);
    assert_eq!((logs.matches(PACKAGED).count(), logs.matches(COMPILED).count()), (plugins - 2, 2), "{logs}");
    assert_eq!(logs.matches("is not used; compiling the plugin: ").count(), 2, "{logs}");
    // A configuration that does not trust the package's code.
    let config = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    deployment.write("paceline.toml", &config.replace("trust-seed = true\n", ""));
    let logs = started(&deployment);
    assert_eq!((logs.matches(PACKAGED).count(), logs.matches(COMPILED).count()), (0, plugins), "{logs}");
}
