//! The article on troubleshooting, shortened: the doctor names what the article names, and finds nothing wrong with what
//! helps.

use std::collections::BTreeSet;
use std::path::Path;

use paceline_doctor::{Diagnosis, Report, examine};
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::require;
use paceline_troubleshooting::{Measures, Parts, Setting, article, history, remedies, run, sound};

fn parts() -> Parts {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    Parts { bootstrap: env!("CARGO_BIN_EXE_bootstrap").into(), cache, dynamodb: endpoint() }
}

fn measured(setting: &Setting) -> (Measures, Report) {
    let measures = run(&parts(), setting, &mut |_| ());
    let report = examine(&history(setting, &measures));
    (measures, report)
}

/// A remedy, shortened to three periods.
fn remedy(name: &str) -> Setting {
    let remedy = remedies().into_iter().find(|setting| setting.name == name).unwrap();
    Setting { seconds: 45, ..remedy }
}

fn checks(findings: &[Diagnosis]) -> BTreeSet<&'static str> {
    findings.iter().flat_map(|it| checks(&it.consequences).into_iter().chain([it.check])).collect()
}

#[test]
fn the_doctor_names_the_articles_table() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let setting = Setting { seconds: 75, credit: 0.25, ..article() };
    let (measures, report) = measured(&setting);
    let first = &report.findings[0];
    assert_eq!(first.check, "write-throttles", "{}", report.text(false));
    assert!(first.finding.subject.contains("alleycat-races"), "{}", first.finding.subject);
    let below = checks(&first.consequences);
    for check in ["uncommitted-batches", "iterator-age", "no-parallelism"] {
        assert!(below.contains(check), "{check} is not below the table: {}", report.text(false));
    }
    assert!(checks(&report.findings).contains("shard-full"), "{}", report.text(false));
    // The credit is used up after 10 s, even on a machine that writes a sixth of what comes. From then on a second of
    // the race takes nearly a minute.
    assert!(measures.age_seconds() > 40.0 && measures.growth() > 0.5, "{measures:?}");
}

#[test]
fn with_a_higher_factor_the_doctor_still_names_the_table() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let (measures, report) = measured(&remedy("factor"));
    assert!(checks(&report.findings).contains("write-throttles"), "{}\n{measures:?}", report.text(false));
}

#[test]
fn with_packed_groups_the_doctor_finds_no_write_throttled() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let (measures, report) = measured(&remedy("packed-groups"));
    let is_healthy = |check: &str| report.healthy.iter().any(|it| it.check == check);
    assert!(is_healthy("write-throttles") && is_healthy("iterator-age"), "{}\n{measures:?}", report.text(false));
}

#[test]
fn the_doctor_finds_nothing_wrong_with_packed_messages_in_tumbling_windows() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let setting = Setting { seconds: 60, speed: 3.0, ..sound() };
    let (measures, report) = measured(&setting);
    assert_eq!(report.exit_code(), 0, "{}\n{measures:?}", report.text(false));
    for check in ["write-throttles", "function-slow", "iterator-age", "shard-full", "uncommitted-batches"] {
        assert!(report.healthy.iter().any(|it| it.check == check), "{check}: {}", report.text(false));
    }
}
