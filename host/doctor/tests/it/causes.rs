//! The graph of causes.

use std::collections::{BTreeMap, BTreeSet};

use paceline_doctor::history::{DeadLetter, DeadLetters, Timestamp};
use paceline_doctor::{CHECKS, Diagnosis, EDGES, Finding, Scope, Severity, arrange, examine};

use super::builder::{self, Builder, minute};

fn finding(severity: Severity, subject: &str) -> Finding {
    Finding {
        severity,
        subject: subject.to_owned(),
        reason: String::new(),
        ongoing: true,
        evidence: Vec::new(),
        arithmetic: Vec::new(),
        remedies: Vec::new(),
        scope: Scope::default(),
    }
}

fn names(diagnoses: &[Diagnosis]) -> Vec<String> {
    let name = |it: &Diagnosis| match it.consequences.is_empty() {
        true => it.check.to_owned(),
        false => format!("{}({})", it.check, names(&it.consequences).join(" ")),
    };
    diagnoses.iter().map(name).collect()
}

#[test]
fn edges_are_between_checks_and_have_reasons() {
    let ids: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
    for edge in &EDGES {
        assert!(ids.contains(edge.cause) && ids.contains(edge.consequence), "{edge:?}");
        assert!(edge.reason.ends_with('.'), "{edge:?}");
    }
}

#[test]
fn the_graph_has_no_circle() {
    let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in &EDGES {
        below.entry(edge.cause).or_default().insert(edge.consequence);
    }
    let mut left: BTreeSet<&str> = CHECKS.iter().map(|check| check.id).collect();
    while !left.is_empty() {
        let is_last = |id: &&&str| below.get(**id).is_none_or(|all| all.is_disjoint(&left));
        let last: Vec<&str> = left.iter().filter(is_last).copied().collect();
        assert!(!last.is_empty(), "a circle among {left:?}");
        last.iter().for_each(|id| _ = left.remove(id));
    }
}

#[test]
fn a_throttled_table_makes_a_slow_function_makes_a_growing_age() {
    let found = vec![
        ("iterator-age", finding(Severity::Critical, "function alleycat")),
        ("function-slow", finding(Severity::Warning, "function alleycat")),
        ("write-throttles", finding(Severity::Warning, "table alleycat-races")),
    ];
    assert_eq!(names(&arrange(found)), ["write-throttles(function-slow(iterator-age))"]);
}

#[test]
fn what_makes_batches_wait_explains_a_late_reader_though_no_batch_is_near_the_time_out() {
    let late = || {
        vec![
            ("no-parallelism", finding(Severity::Warning, "function alleycat")),
            ("iterator-age", finding(Severity::Warning, "function alleycat")),
        ]
    };
    let causes = [
        ("write-throttles", "table alleycat-races"),
        ("read-throttles", "table alleycat-races"),
        ("write-conflicts", "table alleycat-races"),
        ("uncommitted-batches", "function alleycat"),
    ];
    for (cause, subject) in causes {
        let cause_of = |late| names(&arrange([late, vec![(cause, finding(Severity::Warning, subject))]].concat()));
        assert_eq!(cause_of(late()), [format!("{cause}(no-parallelism(iterator-age))")]);
        for reader in ["function alleycat", "stream alleycat", "host 127.0.0.1:9464, shardId-000000000000"] {
            let age = vec![("iterator-age", finding(Severity::Warning, reader))];
            assert_eq!(cause_of(age), [format!("{cause}(iterator-age)")], "{reader}");
        }
    }
    let throttled = vec![
        ("write-throttles", finding(Severity::Critical, "table alleycat-races")),
        ("uncommitted-batches", finding(Severity::Warning, "function alleycat")),
    ];
    assert_eq!(
        names(&arrange([late(), throttled].concat())),
        ["write-throttles(uncommitted-batches(no-parallelism(iterator-age)))"]
    );
}

#[test]
fn causes_that_have_nothing_to_do_with_each_other_stand_apart_the_worst_first() {
    let found = vec![
        ("shard-full", finding(Severity::Warning, "stream alleycat")),
        ("producer-throttled", finding(Severity::Warning, "stream alleycat")),
        ("write-throttles", finding(Severity::Critical, "table alleycat-races")),
        ("uncommitted-batches", finding(Severity::Warning, "function alleycat")),
        ("failing-version", finding(Severity::Warning, "race type 3, flat@2")),
        ("dead-letters", finding(Severity::Warning, "dead letters, plugin-failed")),
        ("dead-letters", finding(Severity::Warning, "dead letters, rejected")),
    ];
    let expected = [
        "write-throttles(uncommitted-batches)",
        "shard-full(producer-throttled)",
        "failing-version(dead-letters)",
        "dead-letters",
    ];
    assert_eq!(names(&arrange(found)), expected);
}

#[test]
fn what_is_over_is_no_cause_of_what_goes_on() {
    let past = Finding { ongoing: false, ..finding(Severity::Note, "table alleycat-races") };
    let found = vec![("write-throttles", past), ("function-slow", finding(Severity::Warning, "function alleycat"))];
    assert_eq!(names(&arrange(found)), ["function-slow", "write-throttles"]);
}

#[test]
fn a_function_is_no_cause_of_a_hosts_age() {
    let found = vec![
        ("function-slow", finding(Severity::Warning, "function alleycat")),
        ("iterator-age", finding(Severity::Warning, "host 127.0.0.1:9464, shardId-000000000000")),
    ];
    assert_eq!(names(&arrange(found)), ["function-slow", "iterator-age"]);
}

#[test]
fn other_causes_are_named_beside_those_above() {
    let found = vec![
        ("function-slow", finding(Severity::Warning, "function alleycat")),
        ("function-errors", finding(Severity::Warning, "function alleycat")),
        ("function-throttled", finding(Severity::Warning, "function alleycat")),
        ("iterator-age", finding(Severity::Warning, "function alleycat")),
    ];
    let arranged = arrange(found);
    assert_eq!(names(&arranged), ["function-slow(function-errors(iterator-age))", "function-throttled"]);
    assert_eq!(arranged[0].consequences[0].consequences[0].also_because, ["function-throttled"]);
}

/// The names of a history's findings, in their places.
fn examined(it: &Builder) -> Vec<String> {
    names(&examine(&it.history).findings)
}

/// A healthy deployment with one host that follows an older revision, and a dead letter of a race type.
fn behind(letter_of: &str, arrived: Timestamp) -> Builder {
    let mut it = Builder::healthy();
    it.rules().changed = Some(minute(10));
    let race_type = it.rules().race_types.get_mut("3").unwrap();
    (race_type.since, race_type.changed) = (Some(17), Some(minute(10)));
    let mut host = builder::host_state("worker-1/7", 16);
    host.seen = minute(15);
    it.rules().hosts = vec![host];
    let letter = DeadLetter {
        id: "shardId-000000000000:1".to_owned(),
        reason: "no-rulebook".to_owned(),
        message: format!("there is no rulebook for race type `{letter_of}` (field `/classId`)"),
        rulebook: None,
        at: Some(arrived),
    };
    let by_reason = Some([("no-rulebook".to_owned(), 1)].into());
    it.history.dead_letters = Some(DeadLetters { by_reason, newest: vec![letter], ..DeadLetters::default() });
    it
}

#[test]
fn a_host_that_is_behind_explains_letters_of_the_race_types_that_it_lacks() {
    assert_eq!(examined(&behind("3", minute(12))), ["hosts-behind(dead-letters)"]);
    assert_eq!(examined(&behind("99", minute(12))), ["hosts-behind", "dead-letters"], "nobody has rules for 99");
    let mut it = behind("3", minute(12));
    it.rules().race_types.get_mut("3").unwrap().since = Some(16);
    assert_eq!(examined(&it), ["hosts-behind", "dead-letters"], "the host has the newest rules of 3");
}

#[test]
fn letters_of_before_the_change_do_not_follow_from_it() {
    assert_eq!(examined(&behind("3", minute(8))), ["hosts-behind", "dead-letters"]);
    // A reader that is late processes a record long after it arrived.
    let mut late = behind("3", minute(8));
    late.metric((builder::Lambda, "IteratorAge"), builder::FUNCTION, builder::Maximum, |m| 60_000.0 * m as f64);
    let report = examine(&late.history);
    let hosts = report.findings.iter().find(|it| it.check == "hosts-behind").unwrap();
    assert_eq!(names(&hosts.consequences), ["dead-letters"]);
}

#[test]
fn a_refused_rulebook_explains_letters_of_its_race_type() {
    for (of, expected) in [("3", vec!["hosts-behind(dead-letters)"]), ("99", vec!["hosts-behind", "dead-letters"])] {
        let mut it = behind(of, minute(12));
        it.rules().hosts[0].revision = 17;
        it.rules().hosts[0].refusal = Some("race type 3: flat@2 is refused: it has no scorer".to_owned());
        assert_eq!(examined(&it), expected, "{of}");
    }
}

#[test]
fn throttles_explain_no_errors_of_before_them() {
    let of = |throttled: fn(u64) -> bool, failed: fn(u64) -> bool| {
        let mut it = Builder::healthy();
        let table = ((builder::Dynamodb, "WriteThrottleEvents"), builder::TABLE);
        it.points(table.0, table.1, builder::Sum, |m| throttled(m).then_some(700.0));
        let errors = ((builder::Lambda, "Errors"), builder::FUNCTION);
        it.metric(errors.0, errors.1, builder::Sum, |m| if failed(m) { 9.0 } else { 0.0 });
        examined(&it)
    };
    assert_eq!(of(|m| m >= 3, |m| m == 4), ["write-throttles(function-errors)"]);
    // CloudWatch has no point of a minute without throttled writes.
    assert_eq!(of(|m| m >= 12, |m| m == 4), ["write-throttles", "function-errors"]);
    assert_eq!(of(|_| true, |m| m == 1), ["write-throttles(function-errors)"], "nobody knows when they began");
}

#[test]
fn a_version_that_fails_explains_letters_of_its_own_records() {
    let of = |version: &str| {
        let mut it = Builder::healthy();
        let book = [builder::OWN[0], ("rulebook", "3 flat@2")];
        it.metric((builder::OfFunction, "RulebookFailed"), &book, builder::Sum, |_| 1_200.0);
        it.metric((builder::OfFunction, "RulebookRecords"), &book, builder::Sum, |_| 30_000.0);
        let mut behind = behind("3", minute(18));
        let letters = behind.history.dead_letters.as_mut().unwrap();
        letters.by_reason = Some([("plugin-failed".to_owned(), 1)].into());
        letters.newest[0].reason = "plugin-failed".to_owned();
        letters.newest[0].rulebook = Some(version.to_owned());
        it.history.dead_letters = behind.history.dead_letters;
        examined(&it)
    };
    assert_eq!(of("flat@2"), ["failing-version(dead-letters)"]);
    assert_eq!(of("flat@1"), ["failing-version", "dead-letters"]);
}
