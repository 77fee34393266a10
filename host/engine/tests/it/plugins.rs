//! The components that tests load.
//!
//! A copy of what `paceline-testbed` offers to other crates: that crate brings the AWS SDK, which the engine's tests
//! should not wait for.

use std::io::Write;
use std::path::PathBuf;

/// What `make plugins` builds and these tests use.
const PLUGINS: [&str; 8] = [
    "output",
    "telemetry",
    "best-output",
    "evil-scorer",
    "evil-validator",
    "evil-aggregator",
    "evil-migration",
    "evil-wasi",
];

/// Ends a test whose plugins are not built. See [`are_built`].
macro_rules! require_plugins {
    () => {{
        fn here() {}
        if !$crate::plugins::are_built(std::any::type_name_of_val(&here)) {
            return;
        }
    }};
}
pub(crate) use require_plugins;

/// Whether the plugins are built. Where they are not, the test is skipped with a line on standard error; with
/// `PACELINE_TEST_STRICT=1` it fails. `here` is the path of a function inside the test.
#[track_caller]
pub(crate) fn are_built(here: &str) -> bool {
    if PLUGINS.into_iter().all(|name| path(name).is_file()) {
        return true;
    }
    let test = here.strip_prefix("it::").and_then(|path| path.strip_suffix("::here")).unwrap_or(here);
    let strict = std::env::var_os("PACELINE_TEST_STRICT").is_some_and(|value| !value.is_empty() && value != "0");
    assert!(!strict, "no plugins in target/plugins; run make plugins");
    // Not `eprintln!`: the test harness would capture it.
    let line = format!("skipped: paceline-engine {test}: no plugins in target/plugins; run make plugins\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error can be written");
    false
}

/// The bytes of a plugin.
pub(crate) fn wasm(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run make plugins", path.display()))
}

fn path(name: &str) -> PathBuf {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/plugins");
    let folder = std::env::var_os("PACELINE_PLUGINS").map_or_else(|| built.into(), PathBuf::from);
    folder.join(name).with_extension("wasm")
}
