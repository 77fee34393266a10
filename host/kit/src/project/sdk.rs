//! The SDK and the contract of this version, as files of a project outside the repository.

use toml::{Table, Value};

/// Embeds files of the repository, with their paths in a project's folder `paceline`.
macro_rules! embedded {
    ($($path:literal from $source:literal,)*) => {
        &[$(($path, include_str!(concat!("../../../../", $source)))),*]
    };
}

/// The contract.
pub(super) const WIT: &str = include_str!("../../../../wit/plugin.wit");

const SOURCES: &[(&str, &str)] = embedded! {
    "sdk/src/aggregator.rs" from "plugins/sdk/src/aggregator.rs",
    "sdk/src/big.rs" from "plugins/sdk/src/big.rs",
    "sdk/src/bindings.rs" from "plugins/sdk/src/bindings.rs",
    "sdk/src/bindings/aggregator.rs" from "plugins/sdk/src/bindings/aggregator.rs",
    "sdk/src/bindings/common.rs" from "plugins/sdk/src/bindings/common.rs",
    "sdk/src/bindings/migration.rs" from "plugins/sdk/src/bindings/migration.rs",
    "sdk/src/bindings/scorer.rs" from "plugins/sdk/src/bindings/scorer.rs",
    "sdk/src/bindings/validator.rs" from "plugins/sdk/src/bindings/validator.rs",
    "sdk/src/decimal.rs" from "plugins/sdk/src/decimal.rs",
    "sdk/src/fields.rs" from "plugins/sdk/src/fields.rs",
    "sdk/src/heap.rs" from "plugins/sdk/src/heap.rs",
    "sdk/src/lanes.rs" from "plugins/sdk/src/lanes.rs",
    "sdk/src/lib.rs" from "plugins/sdk/src/lib.rs",
    "sdk/src/log.rs" from "plugins/sdk/src/log.rs",
    "sdk/src/migration.rs" from "plugins/sdk/src/migration.rs",
    "sdk/src/panic.rs" from "plugins/sdk/src/panic.rs",
    "sdk/src/scorer.rs" from "plugins/sdk/src/scorer.rs",
    "sdk/src/settings.rs" from "plugins/sdk/src/settings.rs",
    "sdk/src/state.rs" from "plugins/sdk/src/state.rs",
    "sdk/src/text.rs" from "plugins/sdk/src/text.rs",
    "sdk/src/validator.rs" from "plugins/sdk/src/validator.rs",
    "sdk-macros/src/lib.rs" from "plugins/sdk-macros/src/lib.rs",
};

const MANIFESTS: &[(&str, &str)] = embedded! {
    "sdk/Cargo.toml" from "plugins/sdk/Cargo.toml",
    "sdk-macros/Cargo.toml" from "plugins/sdk-macros/Cargo.toml",
};

const WORKSPACE: &str = include_str!("../../../../Cargo.toml");
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// What a Rust project depends on: the SDK, and serde for an aggregator's states.
const ROOTS: &[&str] = &["paceline-plugin", "serde"];

/// The embedded files are not what this module expects.
#[derive(Debug, thiserror::Error)]
pub enum SdkError {
    /// A file is not TOML.
    #[error("the embedded {0} is not TOML")]
    Toml(&'static str, #[source] Box<toml::de::Error>),
    /// A manifest inherits what the workspace lacks.
    #[error("the embedded {0} inherits `{1}`, which the workspace lacks")]
    Inherits(&'static str, String),
}

fn parse(name: &'static str, text: &str) -> Result<Table, SdkError> {
    toml::from_str(text).map_err(|error| SdkError::Toml(name, Box::new(error)))
}

/// The files below `paceline/` of a Rust project.
pub(super) fn files() -> Result<Vec<(String, String)>, SdkError> {
    let workspace = parse("Cargo.toml", WORKSPACE)?;
    let mut files = vec![("paceline/wit/plugin.wit".to_owned(), WIT.to_owned())];
    for &(path, text) in SOURCES {
        files.push((format!("paceline/{path}"), text.to_owned()));
    }
    for &(path, text) in MANIFESTS {
        let manifest = resolved(path, parse(path, text)?, &workspace)?;
        files.push((format!("paceline/{path}"), manifest.to_string()));
    }
    Ok(files)
}

/// A manifest with plain values for what it inherits, and without the workspace's lints.
fn resolved(path: &'static str, mut manifest: Table, workspace: &Table) -> Result<Table, SdkError> {
    manifest.remove("lints");
    let shared = |section: &str, key: &str| {
        let value = workspace.get("workspace").and_then(|it| it.get(section)).and_then(|it| it.get(key));
        value.cloned().ok_or_else(|| SdkError::Inherits(path, format!("{section}.{key}")))
    };
    for section in ["package", "dependencies"] {
        let Some(Value::Table(table)) = manifest.get_mut(section) else { continue };
        for (key, value) in table.iter_mut().filter(|(_, value)| inherits(value)) {
            let own = value.as_table().cloned().unwrap_or_default();
            *value = shared(section, key)?;
            if section == "dependencies" {
                *value = dependency(value.clone(), own);
            }
        }
    }
    Ok(manifest)
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// A dependency of the workspace with what a member adds to it. Crates of the repository are neighbours.
fn dependency(shared: Value, mut own: Table) -> Value {
    own.remove("workspace");
    let mut table = match shared {
        Value::Table(table) => table,
        version => Table::from_iter([("version".to_owned(), version)]),
    };
    if let Some(Value::String(path)) = table.get_mut("path") {
        *path = path.replace("plugins/", "../");
    }
    if let (Some(Value::Array(features)), Some(Value::Array(more))) = (table.get_mut("features"), own.get("features")) {
        features.extend(more.iter().filter(|feature| !features.contains(feature)).cloned().collect::<Vec<_>>());
        own.remove("features");
    }
    table.extend(own);
    Value::Table(table)
}

/// The lock file of a Rust project: the versions that this repository is tested with. Cargo adds the project itself.
pub(super) fn lock() -> Result<String, SdkError> {
    let lock = parse("Cargo.lock", LOCK)?;
    let all = packages(&lock);
    let needed = closure(all);
    let kept = all.iter().filter(|package| needed.iter().any(|it| is_named(package, it))).cloned().collect();
    let mut pruned = Table::new();
    pruned.insert("version".to_owned(), lock.get("version").cloned().unwrap_or(Value::Integer(4)));
    pruned.insert("package".to_owned(), Value::Array(kept));
    Ok(format!("# This file has the versions that paceline is tested with.\n{pruned}"))
}

/// The names of the packages that a Rust project is built with: it can't have one of them.
pub(super) fn package_names() -> Result<Vec<String>, SdkError> {
    let lock = parse("Cargo.lock", LOCK)?;
    let names = closure(packages(&lock)).into_iter().map(|it| it.split(' ').next().unwrap_or_default().to_owned());
    Ok(names.collect())
}

fn packages(lock: &Table) -> &[Value] {
    lock.get("package").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a lock file's `NAME` or `NAME VERSION` is this package.
fn is_named(package: &Value, name: &str) -> bool {
    let mut words = name.split(' ');
    words.next() == Some(text(package, "name"))
        && words.next().is_none_or(|version| version == text(package, "version"))
}

/// What the roots depend on, themselves included, as `NAME` or `NAME VERSION`.
fn closure(packages: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = ROOTS.iter().map(|&root| root.to_owned()).collect();
    let mut done = 0;
    while let Some(name) = names.get(done).cloned() {
        done += 1;
        for package in packages.iter().filter(|package| is_named(package, &name)) {
            let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
            for dependency in dependencies.filter_map(Value::as_str) {
                if !names.iter().any(|known| known == dependency) {
                    names.push(dependency.to_owned());
                }
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_sdk_is_embedded() {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
        let found: BTreeSet<String> = ["sdk/src", "sdk/src/bindings", "sdk-macros/src"]
            .into_iter()
            .flat_map(|folder| {
                std::fs::read_dir(plugins.join(folder)).unwrap().map(move |entry| (folder, entry.unwrap()))
            })
            .filter(|(_, entry)| entry.file_type().unwrap().is_file())
            .map(|(folder, entry)| format!("{folder}/{}", entry.file_name().display()))
            .collect();
        assert_eq!(SOURCES.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>(), found);
    }

    #[test]
    fn a_written_manifest_inherits_nothing() {
        let files = files().unwrap();
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
            assert!(!text.contains("workspace"), "{path}: {text}");
        }
        let (_, sdk) = files.iter().find(|(path, _)| path == "paceline/sdk/Cargo.toml").unwrap();
        let sdk: Table = toml::from_str(sdk).unwrap();
        assert_eq!(sdk["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(sdk["dependencies"]["paceline-plugin-macros"]["path"].as_str(), Some("../sdk-macros"));
        assert_eq!(sdk["dependencies"]["wit-bindgen"]["features"][0].as_str(), Some("realloc"));
    }

    #[test]
    fn a_member_adds_features_to_a_dependency() {
        let shared: Value =
            toml::from_str::<Table>("it = { version = \"1\", features = [\"a\"] }").unwrap()["it"].clone();
        let own: Table = toml::from_str("workspace = true\nfeatures = [\"a\", \"b\"]\noptional = true").unwrap();
        let expected: Table = toml::from_str("version = \"1\"\nfeatures = [\"a\", \"b\"]\noptional = true").unwrap();
        assert_eq!(dependency(shared, own), Value::Table(expected));
    }

    #[test]
    fn the_lock_file_has_what_a_plugin_is_built_with_and_no_more() {
        let names = package_names().unwrap();
        for name in ["paceline-plugin", "paceline-plugin-macros", "serde", "postcard", "wit-bindgen", "syn"] {
            assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
        }
        // Neither a host's packages nor a generator of bindings.
        for name in ["wasmtime", "tokio", "wit-bindgen-rust", "wit-parser"] {
            assert!(names.iter().all(|it| it != name), "{name}: {names:?}");
        }
        let lock: Table = toml::from_str(&lock().unwrap()).unwrap();
        assert!(packages(&lock).len() >= names.len());
    }
}
