//! The corpora of the fuzzers, and whether `fuzz/` has a program and a corpus for each.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use paceline_fuzz::TARGETS;
use paceline_testbed::environment::checkout;

/// Bytes that all corpora may have together: they are in every clone.
const MAX_BYTES: usize = 1 << 20;

/// The files of a folder, sorted by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn names(folder: &str, extension: &str) -> BTreeSet<String> {
    let files = files(&checkout().join(folder));
    let of = |file: PathBuf| file.file_name().unwrap().to_str().unwrap().strip_suffix(extension).unwrap().to_owned();
    files.into_iter().map(of).collect()
}

/// Runs a target on each file of its corpus.
#[track_caller]
fn corpus_passes(name: &str) {
    let (_, check) = TARGETS.into_iter().find(|(other, _)| *other == name).unwrap();
    let files = files(&checkout().join("fuzz/corpus").join(name));
    assert!(files.len() >= 5, "{name} has {} files", files.len());
    let failed: Vec<_> = files
        .into_iter()
        .filter(|file| {
            let data = fs::read(file).unwrap();
            catch_unwind(AssertUnwindSafe(|| check(&data))).is_err()
        })
        .map(|file| file.strip_prefix(checkout()).unwrap().display().to_string())
        .collect();
    assert!(failed.is_empty(), "the panics above are of {failed:#?}; `scripts/fuzz {name} FILE` runs one of them");
}

macro_rules! corpora {
    ($($target:ident)*) => {
        /// The targets that have a test below.
        const TESTED: &[&str] = &[$(stringify!($target)),*];

        $(#[test]
        fn $target() {
            corpus_passes(stringify!($target));
        })*
    };
}

corpora! { dedup_state kcl_line kpl_aggregate lambda_event log_entry projection rulebook window_state }

#[test]
fn each_target_has_a_program_a_corpus_and_a_test() {
    let targets: BTreeSet<String> = TARGETS.into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names("fuzz/fuzz_targets", ".rs"), targets);
    assert_eq!(names("fuzz/corpus", ""), targets);
    assert_eq!(TESTED.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), targets);
    let manifest = fs::read_to_string(checkout().join("fuzz/Cargo.toml")).unwrap();
    for name in &targets {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "fuzz/Cargo.toml has no {path}");
        let program = fs::read_to_string(checkout().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("{name}::check")), "{program}");
    }
}

#[test]
fn the_corpora_are_small() {
    let folders = TARGETS.map(|(name, _)| checkout().join("fuzz/corpus").join(name));
    let bytes: usize = folders.iter().flat_map(|folder| files(folder)).map(|file| fs::read(file).unwrap().len()).sum();
    assert!(bytes <= MAX_BYTES, "the corpora have {bytes} bytes");
}

/// Name and version of each package of a lock file that comes from a registry.
fn locked(file: &str) -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(checkout().join(file)).unwrap();
    let packages = text.split("[[package]]").skip(1).filter(|package| package.contains("\nsource = "));
    let value = |package: &str, key: &str| {
        let (_, rest) = package.split_once(&format!("\n{key} = \"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    packages.map(|package| (value(package, "name"), value(package, "version"))).collect()
}

/// A fuzzer that runs other versions than the programs do would look for faults that they do not have, and miss theirs.
#[test]
fn the_fuzzers_are_built_with_the_versions_of_the_workspace() {
    let workspace = locked("Cargo.lock");
    let known: BTreeSet<&String> = workspace.iter().map(|(name, _)| name).collect();
    let fuzzers = locked("fuzz/Cargo.lock");
    let others: Vec<_> =
        fuzzers.iter().filter(|package| known.contains(&package.0) && !workspace.contains(*package)).collect();
    assert!(others.is_empty(), "copy Cargo.lock to fuzz/Cargo.lock, and build the fuzzers: {others:#?}");
}

/// The packages of the checkout in a lock file, with the names of what each depends on.
fn locked_members(file: &str) -> Vec<(String, BTreeSet<String>)> {
    let text = fs::read_to_string(checkout().join(file)).unwrap();
    let members = text.split("[[package]]").skip(1).filter(|package| !package.contains("\nsource = "));
    let quoted = |line: &str| line.split('"').nth(1).map(|name| name.split(' ').next().unwrap_or_default().to_owned());
    let member = |package: &str| {
        let mut names = package.lines().filter(|line| !line.starts_with("version")).filter_map(quoted);
        (names.next().unwrap(), names.collect())
    };
    members.map(member).collect()
}

/// Asserts that a lock file has what the crates of the workspace need, those but `own`, which are no crates of it.
#[track_caller]
fn must_have_all_dependencies(lock_file: &str, own: &[&str]) {
    let members = locked_members(lock_file);
    assert!(members.iter().any(|(name, _)| name == "paceline-engine"), "{members:#?}");
    for (name, locked) in members.iter().filter(|(name, _)| !own.contains(&&**name)) {
        let file = format!("host/{}/Cargo.toml", name.strip_prefix("paceline-").unwrap());
        let manifest = fs::read_to_string(checkout().join(&file)).unwrap();
        let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
        let lines = dependencies.lines().take_while(|line| !line.starts_with('['));
        let needed = lines.filter(|line| !line.starts_with('#') && !line.contains("optional = true"));
        for dependency in needed.filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty()) {
            assert!(
                locked.contains(dependency),
                "{file} needs {dependency}: `cargo metadata` in the folder of {lock_file} updates it"
            );
        }
    }
}

/// Without them, the fuzzers would be built with a lock file that is not the committed one.
#[test]
fn the_fuzzers_lock_file_has_all_dependencies_of_the_workspace() {
    must_have_all_dependencies("fuzz/Cargo.lock", &["paceline-fuzzers"]);
}

/// `make bench-peers` builds with `--locked`, and `make test` does not build it.
#[test]
fn the_lock_file_of_the_hosts_side_by_side_has_all_dependencies_of_the_workspace() {
    let guests = ["arrow-udf-guest", "extism-guest", "fluvio-guest", "records-guest", "peers-rule"];
    let plugins = ["output", "paceline-plugin", "paceline-plugin-macros"];
    must_have_all_dependencies(
        "host/bench/peers/Cargo.lock",
        &[&guests[..], &plugins, &["paceline-bench-peers"]].concat(),
    );
}
