//! What a verification finds: in each plugin of `plugins/evil/wrong-*`, which is subtly wrong, the law that it violates; in
//! each that misbehaves, that; in the others, nothing.

use std::sync::LazyLock;

use paceline_engine::{Engine, Limits, Settings};
use paceline_kit::events::{Events, Grouping};
use paceline_kit::subject::{Subject, SubjectError};
use paceline_kit::verify::{Finding, Law, Older, Options, Report, Severity, Specimen, verify};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::Pointer;
use paceline_testbed::require;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(Limits::default()).unwrap());
static UNOPTIMISED: LazyLock<Engine> = LazyLock::new(|| Engine::unoptimised(Limits::default(), None).unwrap());

/// Messages of four racers. One has a cadence of 66: the victim of evil plugins.
static EVENTS: LazyLock<Events> = LazyLock::new(|| Events::parse(include_bytes!("fixtures/events.ndjson")));

/// What is found in a plugin, or why it is refused.
fn try_verify(wasm: &[u8], settings: &Settings, options: Options) -> Result<Report, SubjectError> {
    let subject = Subject::new(&ENGINE.load(wasm)?, settings, None)?;
    let unoptimised = Subject::new(&UNOPTIMISED.load(wasm)?, settings, None)?;
    let grouping = Grouping { group: Some(Pointer::parse("/racerId").unwrap()), score: None };
    let input = EVENTS.input(subject.fields(), &grouping).unwrap();
    let specimen = Specimen { subject: &subject, unoptimised: &unoptimised, input: &input, older: None };
    Ok(verify(&specimen, options).unwrap())
}

fn verified(wasm: &[u8], settings: &Settings) -> Report {
    try_verify(wasm, settings, Options::default()).unwrap_or_else(|error| panic!("{}", ErrorChain(&error)))
}

fn setting(name: &str, value: &str) -> Settings {
    [(name.to_owned(), value.to_owned())].into()
}

/// The worst finding about a law.
fn worst(report: &Report, law: Law) -> Option<&Finding> {
    let check = report.checks.iter().find(|check| check.law == law)?;
    check.findings.iter().max_by_key(|finding| finding.severity)
}

#[track_caller]
fn assert_found(report: &Report, law: Law, severity: Severity, words: &str) {
    let lines = report.to_lines().join("\n");
    let found = worst(report, law).unwrap_or_else(|| panic!("nothing about {}:\n{lines}", law.id()));
    assert_eq!(found.severity, severity, "{}:\n{lines}", law.id());
    assert!(found.what.contains(words), "`{words}` is not in `{}`:\n{lines}", found.what);
    assert!(!found.advice.is_empty(), "{lines}");
    let narrow = report.to_lines().iter().all(|line| line.chars().count() <= 80);
    assert!(narrow, "{lines}");
}

/// Verifies a plugin with each way to be wrong, and asserts what is found.
fn assert_each_is_found(plugin: &str, name: &str, wrongs: &[(&str, Law, Severity, &str)]) {
    let wasm = paceline_testbed::plugins::bytes(plugin);
    for &(wrong, law, severity, words) in wrongs {
        let report = verified(&wasm, &setting(name, wrong));
        assert_found(&report, law, severity, words);
    }
}

use Law::{Answers, AnyValue, Bounds, FoldCuts, MergeLaws, RowsAlone, SameBytes, StateFormat, StateGrowth};
use Severity::{Violation, Warning};

#[test]
fn plugins_that_are_right_keep_all_laws() {
    require!(Plugins);
    for plugin in ["telemetry", "last-output", "best-output", "wrong-validator", "wrong-aggregator"] {
        let report = verified(&paceline_testbed::plugins::bytes(plugin), &Settings::new());
        let lines = report.to_lines().join("\n");
        assert_eq!((report.violations(), report.warnings()), (0, 0), "{plugin}:\n{lines}");
    }
    // Their products can be infinite: worth a warning, and a validator before them makes it impossible.
    for plugin in ["output", "wrong-scorer"] {
        let report = verified(&paceline_testbed::plugins::bytes(plugin), &Settings::new());
        assert_eq!((report.violations(), report.warnings()), (0, 1), "{plugin}");
        assert_found(&report, AnyValue, Warning, "the score is not a finite number on cadence 1e308");
    }
}

#[test]
fn wrong_aggregators_are_found() {
    require!(Plugins);
    assert_each_is_found(
        "wrong-aggregator",
        "wrong",
        &[
            ("keeps-left", MergeLaws, Violation, "not commutative"),
            ("last-arrival-wins", MergeLaws, Violation, "not commutative"),
            ("mean-of-means", MergeLaws, Violation, "records folded apart and merged give another result"),
            ("float-sum", MergeLaws, Warning, "by rounding"),
            ("rounds-when-merging", MergeLaws, Violation, "not associative"),
            ("empty-not-neutral", MergeLaws, Violation, "an empty state changes the result"),
            ("counter-in-static", SameBytes, Violation, "remembers something between calls"),
            ("grows", StateGrowth, Violation, "it meets the limit `state-bytes` (262,144) after some 8,7"),
            ("grows-slowly", StateGrowth, Warning, "by 2.2 bytes a record"),
            ("hash-map", FoldCuts, Violation, "in one call or in several gives different states"),
            ("skips-first-row", FoldCuts, Violation, "in one call or in several gives different states"),
            ("time-base", FoldCuts, Violation, "in one call or in several gives different states"),
            ("leaks-between-groups", FoldCuts, Violation, "depends on records of other groups"),
            ("trusts-bytes", StateFormat, Violation, "takes a state that the plugin did not write"),
            ("overflow", AnyValue, Violation, "the plugin traps on deviceTimestamp -9223372036854775808"),
        ],
    );
}

#[test]
fn wrong_scorers_are_found() {
    require!(Plugins);
    assert_each_is_found(
        "wrong-scorer",
        "wrong",
        &[
            ("previous-row", RowsAlone, Violation, "depends on the other records of the call"),
            ("first-row", RowsAlone, Violation, "depends on the other records of the call"),
            ("time-base", RowsAlone, Violation, "depends on the other records of the call"),
            ("batch-mean", RowsAlone, Violation, "depends on the other records of the call"),
            ("batch-mean", Bounds, Violation, "10,000 rows fails: the call fails by its fuel"),
            ("counter-in-static", SameBytes, Violation, "remembers something between calls"),
            ("overflow", AnyValue, Violation, "the plugin traps on second -9223372036854775808"),
            ("nan-for-zero", AnyValue, Warning, "the score is not a finite number on cadence 0"),
        ],
    );
}

#[test]
fn wrong_validators_are_found() {
    require!(Plugins);
    assert_each_is_found(
        "wrong-validator",
        "wrong",
        &[
            ("repeated-second", RowsAlone, Violation, "depends on the other records of the call"),
            ("spares-last-row", RowsAlone, Violation, "depends on the other records of the call"),
            ("row-in-reason", RowsAlone, Violation, "depends on the other records of the call"),
            ("counter-in-static", SameBytes, Violation, "remembers something between calls"),
            ("no-reason", AnyValue, Warning, "rejected without a reason"),
            ("overflow", AnyValue, Violation, "the plugin traps on second -9223372036854775808"),
        ],
    );
}

#[test]
fn the_smallest_case_is_shown() {
    require!(Plugins);
    let wasm = paceline_testbed::plugins::bytes("wrong-aggregator");
    let report = verified(&wasm, &setting("wrong", "keeps-left"));
    let example = worst(&report, MergeLaws).unwrap().example.clone().unwrap();
    assert_eq!(example.header, ["part", "second", "deviceTimestamp", "score"]);
    // A record for each side, which differ in one value.
    let [one, two] = example.rows.as_slice() else { panic!("{example:?}") };
    assert_eq!((one[0].as_str(), two[0].as_str()), ("1", "2"));
    assert_eq!(one.iter().zip(two).filter(|(one, two)| one != two).count(), 2, "{example:?}");
    let [(left, kept), (right, other)] = example.results.as_slice() else { panic!("{example:?}") };
    assert_eq!((left.as_str(), right.as_str()), ("merge(1, 2)", "merge(2, 1)"));
    assert_ne!(kept, other);
}

#[test]
fn the_same_seed_gives_the_same_report() {
    require!(Plugins);
    let wasm = paceline_testbed::plugins::bytes("wrong-scorer");
    let report = |seed| try_verify(&wasm, &setting("wrong", "previous-row"), Options { cases: 50, seed }).unwrap();
    // Time is not the plugin's doing.
    let told = |report: &Report| report.checks.iter().map(|check| check.findings.clone()).collect::<Vec<_>>();
    assert_eq!(told(&report(7)), told(&report(7)));
    for seed in 0..20 {
        assert_found(&report(seed), RowsAlone, Violation, "depends on the other records of the call");
    }
}

#[test]
fn plugins_that_misbehave_are_found() {
    require!(Plugins);
    assert_each_is_found(
        "evil-scorer",
        "deed",
        &[
            ("spin", Answers, Violation, "fails on each sample event: the plugin used up its fuel"),
            ("eat-memory", Answers, Violation, "fails on each sample event"),
            ("too-long", Answers, Violation, "2 scores for 1 rows"),
            ("too-long-at-first", Answers, Violation, "2 scores for 1 rows"),
            ("too-short", Answers, Violation, "0 scores for 1 rows"),
            ("far-too-long", Answers, Violation, "fails on each sample event"),
            ("nan-on-row", Answers, Warning, "1 of 32 sample events is not a finite number: line 5"),
            ("nan-on-row", RowsAlone, Violation, "depends on the other records of the call"),
            ("trap-on-row", Answers, Violation, "fails on 1 of 32 sample events: the plugin trapped"),
            ("log", Answers, Violation, "the plugin used up its fuel"),
            ("chatter", Bounds, Warning, "a log line is longer than 1024 bytes"),
            ("huge-log", Answers, Violation, "fails on each sample event"),
            ("huge-setting", Answers, Violation, "the plugin used up its fuel"),
            ("recurse", Answers, Violation, "recursed too deeply"),
            ("remember", SameBytes, Violation, "remembers something between calls"),
        ],
    );
    assert_each_is_found(
        "evil-validator",
        "deed",
        &[
            ("huge-reason", Answers, Violation, "fails on 1 of 32 sample events"),
            ("huge-reasons", Answers, Violation, "a reason of 65536 bytes"),
            ("no-such-row", Answers, Violation, "a rejection of row 1 in a batch of 1 rows"),
            ("one-row-twice", Answers, Violation, "two rejections of row 0"),
            ("huge-error", Answers, Violation, "fails on each sample event"),
            ("long-error", Answers, Violation, "the plugin returned an error"),
        ],
    );
}

#[test]
fn aggregators_that_misbehave_are_found() {
    require!(Plugins);
    let trusts = "takes a state that the plugin did not write: one of its own with another first byte";
    assert_each_is_found(
        "evil-aggregator",
        "deed",
        &[
            ("keep-state", StateFormat, Violation, "an empty state for a group with records"),
            ("read-state", Answers, Violation, "`fold` fails on each sample event: the plugin trapped"),
            ("trap-on-row", Answers, Violation, "`fold` fails on 1 of 32 sample events: the plugin trapped"),
            ("list-and-trap-on-row", Answers, Violation, "`fold` fails on 1 of 32 sample events"),
            ("state-missing", Answers, Violation, "states with 0 values, not 1"),
            ("huge-state", Answers, Violation, "`fold` fails on 1 of 32 sample events"),
            ("ends-decrease", Answers, Violation, "states with 0 values, not 1"),
            ("ends-beyond", Answers, Violation, "states with ends up to 4294967295"),
            ("merge-missing", Answers, Violation, "`merge` fails"),
            ("merge-trap", Answers, Violation, "`merge` fails"),
            ("merge-trap-on-pair", StateFormat, Violation, trusts),
            ("merge-huge-state", StateFormat, Violation, trusts),
            ("finish-too-long", Answers, Violation, "the column of the output `count` has 2 values, not 1"),
            ("finish-another-kind", Answers, Violation, "the column of the output `count` has kind number"),
            ("finish-nothing", Answers, Violation, "0 columns for 1 outputs"),
            ("migrate-trap-on-state", StateFormat, Violation, trusts),
            ("migrate-huge-state", StateFormat, Violation, trusts),
        ],
    );
    let wasm = paceline_testbed::plugins::bytes("evil-aggregator");
    for deed in ["migrate-missing", "migrate-ends-beyond", "migrate-trap"] {
        let report = verified(&wasm, &setting("deed", deed));
        let findings = &report.checks.iter().find(|check| check.law == StateFormat).unwrap().findings;
        let what = "`migrate` from `evil-aggregator/1` fails on an empty state";
        assert!(findings.iter().any(|finding| finding.what.contains(what)), "{deed}: {findings:#?}");
    }
}

#[test]
fn plugins_that_a_host_refuses_are_refused() {
    require!(Plugins);
    let refused = |plugin: &str, deed: &str| {
        let wasm = paceline_testbed::plugins::bytes(plugin);
        let error = try_verify(&wasm, &setting("deed", deed), Options::default()).expect_err(deed);
        ErrorChain(&error).to_string()
    };
    for (deed, words) in [
        ("fail-describe", "I would rather not"),
        ("spin-describe", "used up its fuel"),
        ("too-many-fields", "65 fields"),
        ("bad-path", "neither a JSON Pointer"),
        ("long-path", "neither a JSON Pointer"),
        ("blob-field", "only `@payload` can be one"),
        ("payload-as-text", "it is a blob"),
        ("huge-default", "the default of the field"),
        ("wrong-default", "its default is of kind text"),
    ] {
        let error = refused("evil-validator", deed);
        assert!(error.contains(words), "{deed}: {error}");
    }
    for (deed, words) in [
        ("too-many-outputs", "65 outputs"),
        ("outputs-twice", "two outputs named `count`"),
        ("nameless-output", "an output whose name has 0 bytes"),
        ("format-without-name", "a state format with 0 bytes"),
        ("format-too-long", "a state format with 65 bytes"),
        ("format-with-space", "a state format with the character"),
        ("too-many-formats", "65 state formats"),
        ("migrates-twice-from-one", "twice"),
        ("migrates-from-own", "the plugin's own"),
        ("migrates-from-nameless", "a state format with 0 bytes"),
        ("fail-describe-migration", "I would rather not"),
    ] {
        let error = refused("evil-aggregator", deed);
        assert!(error.contains(words), "{deed}: {error}");
    }
    let error = refused("evil-wasi", "");
    assert!(error.contains("it imports `wasi:cli/environment@0.2.0`"), "{error}");
}

/// What a verification finds in `evil-migration`, which takes over the states of `best-output`.
fn migrated(victim: &str) -> Report {
    let load = |engine: &Engine, name: &str| {
        let settings = setting("victim", victim);
        let component = engine.load(&paceline_testbed::plugins::bytes(name)).unwrap();
        Subject::new(&component, &settings, None).unwrap()
    };
    let (subject, unoptimised) = (load(&ENGINE, "evil-migration"), load(&UNOPTIMISED, "evil-migration"));
    let older = load(&ENGINE, "best-output");
    let input = |subject: &Subject| EVENTS.input(subject.fields(), &Grouping::default()).unwrap();
    let (new, old) = (input(&subject), input(&older));
    let older = Some(Older { subject: &older, input: &old });
    let specimen = Specimen { subject: &subject, unoptimised: &unoptimised, input: &new, older };
    verify(&specimen, Options::default()).unwrap()
}

#[test]
fn states_of_an_older_plugin_are_migrated() {
    require!(Plugins);
    let report = migrated("-1");
    assert_eq!(report.violations(), 0, "{}", report.to_lines().join("\n"));
    let report = migrated("131");
    assert_found(
        &report,
        StateFormat,
        Violation,
        "`migrate` fails on a state that the older plugin, of `best-output/1`",
    );
    let example = worst(&report, StateFormat).unwrap().example.clone().unwrap();
    let result = ("migrate".to_owned(), "the plugin returned an error: race 131 is the victim".to_owned());
    assert_eq!((example.rows.len(), example.results), (1, vec![result]));
}
