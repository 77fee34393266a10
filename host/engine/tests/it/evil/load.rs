//! Components that are refused when they are loaded, and the messages.

use std::error::Error;

use paceline_engine::{Fault, LoadError, Role, Settings, limits};

use super::{ENGINE, assert_contains, assert_unharmed, chain, deed, plugin};
use crate::plugins::{require_plugins, wasm};

#[track_caller]
fn refused(wasm: &[u8]) -> LoadError {
    ENGINE.load(wasm).unwrap_err()
}

fn refused_as_scorer(wasm: &[u8]) -> LoadError {
    ENGINE.load(wasm).unwrap().scorer(&Settings::new()).unwrap_err()
}

fn evil_validator(what: &str) -> LoadError {
    plugin(&ENGINE, "evil-validator").validator(&deed(what)).unwrap_err()
}

fn evil_aggregator(what: &str) -> LoadError {
    plugin(&ENGINE, "evil-aggregator").aggregator(&deed(what)).unwrap_err()
}

/// Asserts that `describe` returned something that the contract rules out, and the message.
#[track_caller]
fn assert_invalid_description(error: &LoadError, expected: &str) {
    let LoadError::InvalidDescription(text) = error else { panic!("{error:?}") };
    assert_eq!(text, expected);
    assert_eq!(chain(error), format!("its `describe` returns an invalid description: {expected}"));
}

/// The same component with a name replaced by another of the same length.
fn renamed<const N: usize>(mut wasm: Vec<u8>, name: &[u8; N], other: &[u8; N]) -> Vec<u8> {
    let found: Vec<_> = (0..=wasm.len() - N).filter(|&at| wasm[at..].starts_with(name)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| wasm[at..at + N].copy_from_slice(other));
    wasm
}

#[test]
fn a_file_that_is_not_webassembly_is_refused() {
    for (other, what) in [
        (&b""[..], "the file is empty"),
        (b"\0as", "it is a text"),
        (b"PK\x03\x04", "it is a ZIP archive"),
        (b"\x7fELF\x02", "it is a program or library for this machine: build it for wasm32-unknown-unknown"),
        (b"\xff\xfe", "its first bytes are those of another format"),
        (b" (component)", "it is the text form: convert it with `wasm-tools parse`"),
        (b"package a:b;\n", "it is a WIT package, the contract and not a plugin"),
        (b"/// A comment.\npackage a:b;\nworld c {}\n", "it is a WIT package"),
        (b"#!/bin/sh\n", "it is a text: `paceline plugin build` builds a component"),
    ] {
        let error = refused(other);
        assert!(matches!(error, LoadError::NotWebAssembly(_)), "{error:?}");
        assert_contains(&error, &["this is not WebAssembly: ", what]);
    }
}

/// A component with a core module that exports the memory of this file, as tools do that link modules, and with this import.
fn component_of(module: &str, import: &str) -> Vec<u8> {
    let text = format!(
        "(component (import \"{import}\" (instance (export \"f\" (func)))) (core module (global (export \"{module}:memory_base\") i32 \
         (i32.const 0))))"
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn advice_against_wasi_is_that_of_the_language() {
    for (module, words) in [
        ("plugin", &["`cargo component build --release --target wasm32-unknown-unknown`"][..]),
        (
            "componentize_qjs_runtime.wasm",
            &["`--backend qjs --backend-qjs-stub-wasi --backend-qjs-disable-async`", "-d stdio"],
        ),
        ("libcomponentize_py_runtime.so", &["`componentize-py componentize` and `--stub-wasi`"]),
    ] {
        let error = refused(&component_of(module, "wasi:cli/environment@0.2.0"));
        assert!(matches!(error, LoadError::Import { .. }), "{error:?}");
        assert_contains(&error, words);
        assert_contains(&error, &["it imports `wasi:cli/environment@0.2.0`", "`paceline plugin build`"]);
    }
    let named = "(component (import \"wasi:a/b\" (instance (export \"f\" (func)))) (core module $starling.wasm))";
    assert_contains(&refused(&wat::parse_str(named).unwrap()), &["-d stdio random clocks http fetch-event"]);
    let error = refused(&component_of("plugin", "other:package/interface"));
    assert!(!error.to_string().contains("build"), "{error}");
}

#[test]
fn a_component_with_asynchronous_functions_is_refused_with_the_options_that_leave_them_out() {
    let error = refused(&wat::parse_str("(component (core func (canon task.cancel)))").unwrap());
    assert!(matches!(error, LoadError::Async(_)), "{error:?}");
    assert_contains(&error, &["--backend-qjs-disable-async", "`paceline plugin build`"]);
}

#[test]
fn a_core_module_is_refused_with_the_remedy() {
    let error = refused(b"\0asm\x01\0\0\0");
    assert!(matches!(error, LoadError::CoreModule), "{error:?}");
    assert_contains(&error, &["core module", "`paceline plugin build`"]);
}

#[test]
fn a_component_that_is_cut_off_or_garbage_is_refused() {
    require_plugins!();
    let whole = wasm("output");
    let garbage = [&whole[..8], &[0xff; 64]].concat();
    let another_format = b"\0asm\x63\0\x01\0";
    let cut_off = [4, 7, 9, 100, whole.len() / 2, whole.len() - 1].map(|length| &whole[..length]);
    for wasm in cut_off.into_iter().chain([&garbage[..], another_format]) {
        let error = refused(wasm);
        assert!(matches!(error, LoadError::Invalid(_)), "{} bytes: {error:?}", wasm.len());
        assert!(error.source().is_some());
        assert_contains(&chain(&error), &["this is not a valid component: "]);
    }
    assert_unharmed(&ENGINE);
}

#[test]
fn a_component_that_imports_wasi_is_refused_by_the_name_of_the_import() {
    require_plugins!();
    let error = refused(&wasm("evil-wasi"));
    assert!(matches!(&error, LoadError::Import { import, .. } if import == "wasi:cli/environment@0.2.0"), "{error:?}");
    assert_contains(&error, &["it imports `wasi:cli/environment@0.2.0`", "wasm32-unknown-unknown"]);
}

#[test]
fn a_component_that_exports_nothing_is_refused() {
    let error = refused(&wat::parse_str("(component (core module))").unwrap());
    assert!(matches!(&error, LoadError::NoRole(exports) if exports == "nothing"), "{error:?}");
    assert_contains(&error, &["`paceline:plugin/validation`", "it exports: nothing"]);
}

#[test]
fn a_component_without_code_is_refused() {
    let error = refused(b"\0asm\x0d\0\x01\0");
    assert!(matches!(&error, LoadError::NoCode), "{error:?}");
    assert_contains(&error, &["a WIT package in its binary form"]);
}

#[test]
fn a_component_for_another_version_of_the_contract_is_refused_by_the_name_of_an_interface() {
    require_plugins!();
    for name in ["output", "evil-validator", "evil-aggregator"] {
        let error = refused(&renamed(wasm(name), b"@0.2.0", b"@0.1.0"));
        // The first interface that the component names; their order is its builder's.
        let LoadError::Version(interface) = &error else { panic!("{error:?}") };
        assert!(interface.starts_with("paceline:plugin/") && interface.ends_with("@0.1.0"), "{interface}");
        let built_for = format!("it was built for `{interface}`: build it for version 0.2.0 of `paceline:plugin`");
        assert_contains(&error, &[&built_for]);
    }
}

#[test]
fn a_component_whose_export_alone_is_of_another_version_is_refused_by_the_name_of_the_export() {
    require_plugins!();
    let error = refused(&renamed(wasm("output"), b"/scoring@0.2.0", b"/scoring@0.1.0"));
    assert!(matches!(&error, LoadError::Version(name) if name == "paceline:plugin/scoring@0.1.0"), "{error:?}");
}

#[test]
fn a_component_that_exports_something_else_is_refused_with_its_exports() {
    require_plugins!();
    let error = refused(&renamed(wasm("output"), b"/scoring@0.2.0", b"/tooting@0.2.0"));
    assert!(matches!(&error, LoadError::NoRole(exports) if exports == "`paceline:plugin/tooting@0.2.0`"), "{error:?}");
    assert_contains(&error, &["`paceline plugin new NAME --kind KIND`"]);
}

#[test]
fn a_component_that_lacks_a_function_is_refused_by_its_name() {
    require_plugins!();
    let error = refused_as_scorer(&renamed(wasm("output"), b"score", b"scone"));
    assert!(matches!(&error, LoadError::MissingExport(name) if name == "paceline:plugin/scoring.score"), "{error:?}");
    assert_contains(
        &chain(&error),
        &["it does not export `paceline:plugin/scoring.score`: `paceline plugin new NAME --kind KIND`"],
    );
}

#[test]
fn a_component_that_imports_an_unknown_function_of_the_contract_is_refused() {
    require_plugins!();
    let error = refused(&renamed(wasm("evil-scorer"), b"write", b"wrote"));
    assert!(matches!(error, LoadError::ImportType(_)), "{error:?}");
    assert_contains(
        &chain(&error),
        &["an import has another type than in the contract (`paceline plugin new NAME --kind KIND`", "wrote"],
    );
}

#[test]
fn a_plugin_for_another_role_is_refused_by_the_interface_that_it_lacks() {
    require_plugins!();
    let (output, settings) = (plugin(&ENGINE, "output"), Settings::new());
    assert_eq!(output.roles(), [Role::Scorer]);
    let error = output.validator(&settings).unwrap_err();
    assert!(matches!(error, LoadError::WrongRole(Role::Validator)), "{error:?}");
    assert_eq!(chain(&error), "it is not a validator: it does not export `paceline:plugin/validation@0.2.0`");
    let error = output.aggregator(&settings).unwrap_err();
    assert!(matches!(error, LoadError::WrongRole(Role::Aggregator)), "{error:?}");
    assert_eq!(chain(&error), "it is not an aggregator: it does not export `paceline:plugin/aggregation@0.2.0`");
    let error = plugin(&ENGINE, "telemetry").scorer(&settings).unwrap_err();
    assert!(matches!(error, LoadError::WrongRole(Role::Scorer)), "{error:?}");
}

#[test]
fn a_missing_or_wrong_setting_is_refused_by_its_name() {
    require_plugins!();
    let scorer = plugin(&ENGINE, "evil-scorer");
    let error = scorer.scorer(&Settings::new()).unwrap_err();
    assert!(matches!(&error, LoadError::Describe(text) if text == "setting `deed` is missing"), "{error:?}");
    let error = scorer.scorer(&deed("be-nice")).unwrap_err();
    let expected = "setting `deed` is `be-nice`: no such deed";
    assert!(matches!(&error, LoadError::Describe(text) if text == expected), "{error:?}");
    let mut settings = deed("trap-on-row");
    settings.insert("victim".to_owned(), "number nine".to_owned());
    let error = scorer.scorer(&settings).unwrap_err();
    assert_contains(&error, &["`describe` fails: setting `victim` is `number nine`: "]);
}

#[test]
fn a_describe_that_returns_an_error_refuses_the_plugin_with_its_text() {
    require_plugins!();
    let error = evil_validator("fail-describe");
    assert!(matches!(&error, LoadError::Describe(text) if text == "I would rather not"), "{error:?}");
    assert_eq!(chain(&error), "its `describe` fails: I would rather not");
}

#[test]
fn a_describe_that_never_returns_is_ended_by_fuel() {
    require_plugins!();
    let error = evil_validator("spin-describe");
    assert!(matches!(error, LoadError::DescribeFault(Fault::Fuel(limits::FUEL_PER_CALL))), "{error:?}");
    let used_up = format!("its `describe` fails: the plugin used up its fuel of {} ", limits::FUEL_PER_CALL);
    assert_contains(&chain(&error), &[&used_up, "`fuel-per-call`"]);
    assert_unharmed(&ENGINE);
}

#[test]
fn fields_limit_violated_names_the_number() {
    require_plugins!();
    assert_invalid_description(&evil_validator("too-many-fields"), "65 fields; 64 are allowed");
}

#[test]
fn an_invalid_field_is_refused_by_its_path() {
    require_plugins!();
    for (what, words) in [
        ("bad-path", &["the path `cadence` of a field is neither a JSON Pointer"][..]),
        ("blob-field", &["the field `/cadence` is declared as blob; only `@payload` can be one"]),
        ("payload-as-text", &["the field `@payload` is declared as text; it is a blob"]),
        ("huge-default", &["the default of the field `/name` has 1025 bytes; 1024 are allowed"]),
        ("wrong-default", &["the field `/cadence` is declared as number; its default is of kind text"]),
    ] {
        let error = evil_validator(what);
        assert!(matches!(error, LoadError::InvalidDescription(_)), "{error:?}");
        assert_contains(&error, words);
    }
}

#[test]
fn path_bytes_limit_violated_names_it_and_does_not_repeat_the_whole_path() {
    require_plugins!();
    let error = evil_validator("long-path");
    let LoadError::InvalidDescription(text) = &error else { panic!("{error:?}") };
    assert_contains(text, &["the path `/xxx", "is neither a JSON Pointer", "at most 1024 bytes"]);
    assert!(text.len() < 300, "{text}");
}

#[test]
fn outputs_limit_violated_names_the_number() {
    require_plugins!();
    assert_invalid_description(&evil_aggregator("too-many-outputs"), "65 outputs; 64 are allowed");
}

#[test]
fn outputs_with_one_name_or_none_are_refused() {
    require_plugins!();
    assert_invalid_description(&evil_aggregator("outputs-twice"), "two outputs named `count`");
    let expected = "an output whose name has 0 bytes; a name has 1 to 255";
    assert_invalid_description(&evil_aggregator("nameless-output"), expected);
}

#[test]
fn state_format_bytes_limit_violated_names_it() {
    require_plugins!();
    let allowed = "it has 1 to 64 ASCII letters, digits, `.`, `_`, `-` and `/`";
    for (what, wrong) in [("format-without-name", "0 bytes"), ("format-too-long", "65 bytes")] {
        assert_invalid_description(&evil_aggregator(what), &format!("a state format with {wrong}; {allowed}"));
    }
}

#[test]
fn a_state_format_with_another_character_is_refused_by_the_character() {
    require_plugins!();
    let expected = "a state format with the character ' '; it has 1 to 64 ASCII letters, digits, `.`, `_`, `-` and `/`";
    assert_invalid_description(&evil_aggregator("format-with-space"), expected);
}

/// Asserts that `describe` of `migration` returned something that the contract rules out, and the message.
#[track_caller]
fn assert_invalid_migration(what: &str, expected: &str) {
    let error = evil_aggregator(what);
    assert_contains(&chain(&error), &["its `paceline:plugin/migration` is refused: its `describe` returns"]);
    let LoadError::Migration(error) = error else { panic!("{error:?}") };
    assert_invalid_description(&error, expected);
}

#[test]
fn migrated_formats_limit_violated_names_the_number() {
    require_plugins!();
    assert_invalid_migration("too-many-formats", "65 state formats; 64 are allowed");
}

#[test]
fn a_migration_from_an_invalid_format_is_refused() {
    require_plugins!();
    let expected = "a state format with 0 bytes; it has 1 to 64 ASCII letters, digits, `.`, `_`, `-` and `/`";
    assert_invalid_migration("migrates-from-nameless", expected);
}

#[test]
fn a_migration_from_one_format_twice_or_from_the_own_is_refused() {
    require_plugins!();
    assert_invalid_migration("migrates-twice-from-one", "the state format `evil-aggregator/1` twice");
    let expected = "the state format `evil-aggregator/2`, which is the plugin's own: give the plugin's states another name, \
                    or take this one out of the migration";
    assert_invalid_migration("migrates-from-own", expected);
}

#[test]
fn a_describe_of_a_migration_that_returns_an_error_refuses_the_plugin_with_its_text() {
    require_plugins!();
    let expected = "its `paceline:plugin/migration` is refused: its `describe` fails: I would rather not";
    assert_eq!(chain(&evil_aggregator("fail-describe-migration")), expected);
}

#[test]
fn a_migration_that_lacks_its_function_is_refused_by_the_function() {
    require_plugins!();
    let cut = renamed(wasm("evil-aggregator"), b"migrate", b"mugrate");
    let error = ENGINE.load(&cut).unwrap().aggregator(&Settings::new()).unwrap_err();
    let expected =
        "its `paceline:plugin/migration` is refused: it does not export `paceline:plugin/migration.migrate`: ";
    assert_contains(&chain(&error), &[expected]);
}

/// Asserts that an instance has too many parts of one kind, and the message.
#[track_caller]
fn assert_too_many_parts(text: &str, expected: &str) {
    let error = refused(&wat::parse_str(text).unwrap());
    assert!(matches!(error, LoadError::TooManyParts { .. }), "{error:?}");
    assert_eq!(error.to_string(), expected);
}

/// A component that instantiates a module so often.
fn instances_of(module: &str, count: usize) -> String {
    format!("(component (core module $m {module}) {})", "(core instance (instantiate $m))".repeat(count))
}

#[test]
fn core_instances_limit_violated_names_the_number() {
    let allowed = "core instances, those of nested components included; 64 are allowed";
    assert_too_many_parts(&instances_of("", 300), &format!("an instance of it has 300 {allowed}"));
    assert_too_many_parts(&instances_of("", 65), &format!("an instance of it has 65 {allowed}"));
    let error = refused(&wat::parse_str(instances_of("", 64)).unwrap());
    assert!(matches!(error, LoadError::NoRole(_)), "{error:?}");
}

#[test]
fn memories_and_tables_limits_violated_name_the_number() {
    let expected = "an instance of it has 60 memories, those of nested components included; 4 are allowed";
    assert_too_many_parts(&instances_of("(memory 0)", 60), expected);
    let expected = "an instance of it has 9 tables, those of nested components included; 8 are allowed";
    assert_too_many_parts(&instances_of("(table 0 funcref)", 9), expected);
    let error = refused(&wat::parse_str(instances_of("(memory 0) (table 0 funcref)", 4)).unwrap());
    assert!(matches!(error, LoadError::NoRole(_)), "{error:?}");
}

/// A component whose instance has 2 to the power of `levels` instances of the innermost one, which has these items.
fn nested(levels: usize, items: &str) -> String {
    let mut text = format!("(component $root (component $c0 {items})");
    for level in 1..=levels {
        let inner = level - 1;
        let twice = "(instance (instantiate $c))".repeat(2);
        text += &format!("(component $c{level} (alias outer $root $c{inner} (component $c)) {twice})");
    }
    text + &format!("(instance (instantiate $c{levels})))")
}

#[test]
fn a_small_component_with_a_million_nested_instances_is_refused_before_it_is_compiled() {
    let expected = "an instance of it has 1048576 core instances, those of nested components included; 64 are allowed";
    assert_too_many_parts(&nested(20, "(core module $m) (core instance (instantiate $m))"), expected);
    let expected = "an instance of it has 2097152 instances of components, those of nested components included; 64 are \
                    allowed";
    assert_too_many_parts(&nested(20, ""), expected);
}
