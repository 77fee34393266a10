//! Whole components: what `make plugins` builds.

use std::fs;
use std::io::Write;

use wasmparser::{Validator, WasmFeatures};

use super::super::rewrite;

#[test]
fn every_plugin_can_be_rewritten_and_is_valid() {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/plugins");
    let folder = std::env::var_os("PACELINE_PLUGINS").unwrap_or_else(|| built.into());
    let entries = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let plugins: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "wasm")).collect();
    if plugins.is_empty() {
        let strict = std::env::var_os("PACELINE_TEST_STRICT").is_some_and(|value| !value.is_empty() && value != "0");
        assert!(!strict, "no plugins in target/plugins; run make plugins");
        // Not `eprintln!`: the test harness would capture it.
        let line = "skipped: paceline-engine every_plugin_can_be_rewritten_and_is_valid: no plugins in target/plugins; run make plugins\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    for path in plugins {
        let wasm = fs::read(&path).unwrap();
        let rewritten = rewrite(&wasm).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        let validated = Validator::new_with_features(WasmFeatures::all()).validate_all(&rewritten).map(drop);
        assert!(validated.is_ok(), "{}: {}", path.display(), validated.unwrap_err());
    }
}
