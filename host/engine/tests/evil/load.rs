//! Components that are refused before any record meets them, and what the refusal says.

use paceline_engine::{LoadError, Role, Settings, limits};

use crate::{ENGINE, assert_says, assert_unharmed, deed, plugin, wasm};

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

/// The same component with another name, as long as the one that it stands for.
fn renamed<const N: usize>(mut wasm: Vec<u8>, name: &[u8; N], other: &[u8; N]) -> Vec<u8> {
    let found: Vec<_> = (0..=wasm.len() - N).filter(|&at| wasm[at..].starts_with(name)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| wasm[at..at + N].copy_from_slice(other));
    wasm
}

#[test]
fn what_is_not_webassembly_is_refused() {
    for other in [&b""[..], b"\0as", b"PK\x03\x04", b"(component)", b"#!/bin/sh\n"] {
        assert_eq!(refused(other), LoadError::NotWebAssembly);
    }
    assert_says(&LoadError::NotWebAssembly, &["this is not WebAssembly"]);
}

#[test]
fn a_core_module_is_refused_and_the_refusal_says_what_to_do() {
    let refusal = refused(b"\0asm\x01\0\0\0");
    assert_eq!(refusal, LoadError::CoreModule);
    assert_says(&refusal, &["core module", "`paceline plugin build`"]);
}

#[test]
fn a_component_that_is_cut_off_or_garbage_is_refused() {
    let whole = wasm("output");
    for length in [4, 7, 9, 100, whole.len() / 2, whole.len() - 1] {
        let refusal = refused(&whole[..length]);
        assert!(matches!(refusal, LoadError::Invalid(_)), "{length} bytes: {refusal:?}");
    }
    let garbage = [&whole[..8], &[0xff; 64]].concat();
    assert!(matches!(refused(&garbage), LoadError::Invalid(_)));
    let another_format = b"\0asm\x63\0\x01\0";
    assert!(matches!(refused(another_format), LoadError::Invalid(_)));
    assert_unharmed(&ENGINE);
}

#[test]
fn a_component_that_imports_wasi_is_refused_by_the_name_of_the_import() {
    let refusal = refused(&wasm("evil-wasi"));
    assert_eq!(refusal, LoadError::Import("wasi:cli/environment@0.2.0".to_owned()));
    assert_says(&refusal, &["it imports `wasi:cli/environment@0.2.0`", "wasm32-unknown-unknown, which has no WASI"]);
}

#[test]
fn a_component_that_exports_nothing_is_refused() {
    let refusal = refused(b"\0asm\x0d\0\x01\0");
    assert_eq!(refusal, LoadError::NoRole("nothing".to_owned()));
    assert_says(&refusal, &["`paceline:plugin/validation`", "it exports: nothing"]);
}

#[test]
fn a_component_for_another_version_of_the_contract_is_refused_by_the_name_of_an_interface() {
    for name in ["output", "evil-validator", "evil-aggregator"] {
        let refusal = refused(&renamed(wasm(name), b"@0.1.0", b"@0.2.0"));
        // The first that the component names; the order is its builder's.
        let LoadError::Version(interface) = &refusal else { panic!("{refusal:?}") };
        assert!(interface.starts_with("paceline:plugin/") && interface.ends_with("@0.2.0"), "{interface}");
        let built_for = format!("it was built for `{interface}`");
        assert_says(&refusal, &[&built_for, "this host speaks version 0.1.0 of `paceline:plugin`"]);
    }
}

#[test]
fn a_component_whose_export_alone_is_of_another_version_is_refused_by_the_name_of_the_export() {
    let refusal = refused(&renamed(wasm("output"), b"/scoring@0.1.0", b"/scoring@0.2.0"));
    assert_eq!(refusal, LoadError::Version("paceline:plugin/scoring@0.2.0".to_owned()));
}

#[test]
fn a_component_that_exports_something_else_is_refused_with_what_it_exports() {
    let refusal = refused(&renamed(wasm("output"), b"/scoring@0.1.0", b"/tooting@0.1.0"));
    assert_eq!(refusal, LoadError::NoRole("`paceline:plugin/tooting@0.1.0`".to_owned()));
}

#[test]
fn a_component_that_lacks_a_function_is_refused_by_its_name() {
    let refusal = refused_as_scorer(&renamed(wasm("output"), b"score", b"scone"));
    assert!(matches!(refusal, LoadError::Type { .. }), "{refusal:?}");
    assert_says(&refusal, &["`paceline:plugin/scoring.score`", "there is no such function"]);
}

#[test]
fn a_component_that_imports_a_function_of_the_contract_that_is_not_there_is_refused() {
    let refusal = refused(&renamed(wasm("evil-scorer"), b"write", b"wrote"));
    assert!(matches!(refusal, LoadError::Invalid(_)), "{refusal:?}");
    assert_says(&refusal, &["an import has another type than the contract", "wrote"]);
}

#[test]
fn a_plugin_for_another_role_is_refused_by_the_interface_that_it_lacks() {
    let (output, settings) = (plugin(&ENGINE, "output"), Settings::new());
    assert_eq!(output.roles(), [Role::Scorer]);
    let refusal = output.validator(&settings).unwrap_err();
    assert_eq!(refusal, LoadError::WrongRole { wanted: Role::Validator });
    assert_says(&refusal, &["it is no validator", "`paceline:plugin/validation@0.1.0`"]);
    let refusal = output.aggregator(&settings).unwrap_err();
    assert_eq!(refusal, LoadError::WrongRole { wanted: Role::Aggregator });
    let refusal = plugin(&ENGINE, "telemetry").scorer(&settings).unwrap_err();
    assert_eq!(refusal, LoadError::WrongRole { wanted: Role::Scorer });
}

#[test]
fn a_missing_or_wrong_setting_is_refused_by_its_name() {
    let scorer = plugin(&ENGINE, "evil-scorer");
    let refusal = scorer.scorer(&Settings::new()).unwrap_err();
    assert_eq!(refusal, LoadError::Describe("setting `deed` is missing".to_owned()));
    let refusal = scorer.scorer(&deed("be-nice")).unwrap_err();
    assert_eq!(refusal, LoadError::Describe("setting `deed` is `be-nice`: no such deed".to_owned()));
    let mut settings = deed("trap-on-row");
    settings.insert("victim".to_owned(), "number nine".to_owned());
    assert_says(&scorer.scorer(&settings).unwrap_err(), &["`describe` fails: setting `victim` is `number nine`: "]);
}

#[test]
fn a_describe_that_fails_refuses_the_plugin_in_its_own_words() {
    let refusal = evil_validator("fail-describe");
    assert_eq!(refusal, LoadError::Describe("I would rather not".to_owned()));
    assert_says(&refusal, &["its `describe` fails: I would rather not"]);
}

#[test]
fn a_describe_that_never_comes_back_is_ended_by_fuel() {
    let refusal = evil_validator("spin-describe");
    assert!(matches!(refusal, LoadError::Describe(_)), "{refusal:?}");
    assert_says(&refusal, &[&format!("used up its fuel ({}:", limits::FUEL_PER_CALL), "`fuel-per-call`"]);
    assert_unharmed(&ENGINE);
}

#[test]
fn fields_bound_violated_names_the_number() {
    assert_eq!(evil_validator("too-many-fields"), LoadError::BadDescription("65 fields, 64 are allowed".to_owned()));
}

#[test]
fn a_field_that_can_not_be_is_refused_by_its_path() {
    for (what, words) in [
        ("bad-path", &["a field `cadence`: a path is a JSON Pointer"][..]),
        ("blob-field", &["the field `/cadence` as blob: only `@payload` is one"]),
        ("payload-as-text", &["the field `@payload` as text: it is a blob"]),
        ("wrong-default", &["the field `/cadence` as number with a default that is of kind text"]),
    ] {
        let refusal = evil_validator(what);
        assert!(matches!(refusal, LoadError::BadDescription(_)), "{refusal:?}");
        assert_says(&refusal, words);
    }
}

#[test]
fn a_path_too_long_is_refused_and_not_repeated_whole() {
    let refusal = evil_validator("long-path");
    let LoadError::BadDescription(wrong) = &refusal else { panic!("{refusal:?}") };
    assert_says(wrong, &["a field `/xxx", "a path is a JSON Pointer"]);
    assert!(wrong.len() < 300, "{wrong}");
}

#[test]
fn outputs_bound_violated_names_the_number() {
    assert_eq!(evil_aggregator("too-many-outputs"), LoadError::BadDescription("65 outputs, 64 are allowed".to_owned()));
}

#[test]
fn outputs_that_can_not_be_told_apart_are_refused() {
    let refusal = evil_aggregator("outputs-twice");
    assert_eq!(refusal, LoadError::BadDescription("two outputs named `count`".to_owned()));
    let refusal = evil_aggregator("nameless-output");
    let expected = "an output whose name has 0 bytes: a name has 1 to 255";
    assert_eq!(refusal, LoadError::BadDescription(expected.to_owned()));
}
