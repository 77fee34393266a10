//! The graph of causes.

use std::collections::{BTreeMap, BTreeSet};

use paceline_doctor::{CHECKS, Diagnosis, EDGES, Finding, Severity, arrange};

fn finding(severity: Severity, subject: &str) -> Finding {
    Finding {
        severity,
        subject: subject.to_owned(),
        reason: String::new(),
        ongoing: true,
        evidence: Vec::new(),
        arithmetic: Vec::new(),
        remedies: Vec::new(),
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
fn other_causes_are_named() {
    let found = vec![
        ("function-slow", finding(Severity::Warning, "function alleycat")),
        ("function-errors", finding(Severity::Warning, "function alleycat")),
        ("iterator-age", finding(Severity::Warning, "function alleycat")),
    ];
    let arranged = arrange(found);
    assert_eq!(names(&arranged), ["function-slow(function-errors(iterator-age))"]);
    assert_eq!(arranged[0].consequences[0].consequences[0].also_because, ["function-slow"]);
}
