//! The plugins that `make plugins` builds.

use std::path::PathBuf;

use crate::environment;

/// The plugins that a rulebook may name, without the extension `.wasm`.
const NAMES: [&str; 11] = [
    "telemetry",
    "output",
    "last-output",
    "best-output",
    "evil-scorer",
    "evil-validator",
    "evil-aggregator",
    "evil-migration",
    "wrong-scorer",
    "wrong-validator",
    "wrong-aggregator",
];

/// A plugin that the engine refuses to load, which a rulebook can't name.
const REFUSED: &str = "evil-wasi";

/// The folder of the built plugins, whether they are there or not.
pub fn folder() -> PathBuf {
    std::env::var_os(environment::PLUGINS).map_or_else(|| environment::checkout().join("target/plugins"), PathBuf::from)
}

/// The file of one plugin: `output` is `output.wasm`.
///
/// # Panics
///
/// If it is missing.
pub fn file(name: &str) -> PathBuf {
    let file = folder().join(name).with_extension("wasm");
    file.canonicalize().unwrap_or_else(|error| panic!("{}: {error}: run `make plugins`", file.display()))
}

/// The bytes of one plugin.
///
/// # Panics
///
/// If it can't be read.
pub fn bytes(name: &str) -> Vec<u8> {
    let file = file(name);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The name of a plugin that is not built.
pub(crate) fn missing() -> Option<&'static str> {
    let folder = folder();
    NAMES.into_iter().chain([REFUSED]).find(|name| !folder.join(name).with_extension("wasm").is_file())
}
