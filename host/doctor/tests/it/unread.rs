//! What could not be read is not healthy, and the verdict says so.

use paceline_doctor::history::{DeadLetters, History, Timestamp, Unavailable};
use paceline_doctor::{CHECKS, Outcome, Report, examine};

use super::builder::*;

fn unavailable(what: &str) -> Unavailable {
    let reason = "connection refused".to_owned();
    Unavailable { what: what.to_owned(), permission: None, reason, by_limit: false }
}

fn outcome(history: &History, check: &str) -> Outcome {
    CHECKS.iter().find(|it| it.id == check).unwrap().run(history)
}

#[track_caller]
fn healthy_line(history: &History, check: &str) -> String {
    match outcome(history, check) {
        Outcome::Healthy(line) => line,
        other => panic!("{check}: {other:?}"),
    }
}

#[track_caller]
fn not_checked(history: &History, check: &str) -> String {
    match outcome(history, check) {
        Outcome::NotChecked(line) => line,
        other => panic!("{check}: {other:?}"),
    }
}

/// A configuration whose registry is a folder, without credentials: pins, counts and hosts are unknown.
#[test]
fn rules_alone_show_neither_pins_nor_versions_to_be_sound() {
    let mut it = Builder::empty();
    it.history.rules = Builder::healthy().history.rules;
    it.rules().race_types.get_mut("3").unwrap().pinned = None;
    it.history.unavailable = vec![unavailable("pinned races of race type 3")];
    assert_eq!(not_checked(&it.history, "missing-rulebook"), "pinned races of race type 3: connection refused");
    let line = not_checked(&it.history, "failing-version");
    assert_eq!(line, "neither a function nor a host has counted the records of versions");

    it.history.unavailable = vec![unavailable("dead letters, hosts and pinned races")];
    it.rules().hosts.clear();
    for check in ["missing-rulebook", "hosts-behind", "dead-letters"] {
        let line = not_checked(&it.history, check);
        assert_eq!(line, "dead letters, hosts and pinned races: connection refused", "{check}");
    }
    it.history.unavailable.clear();
    assert_eq!(not_checked(&it.history, "missing-rulebook"), "there is no store that keeps pins");
}

#[test]
fn under_the_kcl_a_host_does_not_know_what_the_daemon_reads() {
    let mut it = Builder::hosts();
    let is_the_readers =
        |name: &str| ["throttles", "misrouted", "conflicts", "expired"].iter().any(|it| name.contains(it));
    it.history.series.retain(|series| !(series.metric.namespace == Host && is_the_readers(&series.metric.name)));
    for check in ["expired-records", "misrouted", "subscription-conflicts"] {
        let line = not_checked(&it.history, check);
        assert_eq!(line, "no host that was asked measures it; under the KCL, the daemon reads the stream", "{check}");
    }
}

#[test]
fn no_pins_are_no_pinned_versions() {
    let mut it = Builder::healthy();
    it.rules().race_types.get_mut("3").unwrap().pinned = Some([].into());
    assert_eq!(healthy_line(&it.history, "missing-rulebook"), "no race is pinned to a version");
}

#[test]
fn a_queue_without_the_table_shows_no_absence_of_dead_letters() {
    let mut it = Builder::hosts();
    it.history.dead_letters = Some(DeadLetters { queue: Some(queue(0)), ..DeadLetters::default() });
    not_checked(&it.history, "dead-letters");
    assert_eq!(healthy_line(&it.history, "failed-batches"), "no batch was given up");
}

/// Each source of a deployment that is healthy otherwise.
#[test]
fn of_a_source_that_was_not_read_no_check_is_healthy() {
    for (what, checks) in [
        ("table alleycat-dead-letters", &["status", "write-throttles", "write-capacity", "read-throttles"][..]),
        ("metrics of CloudWatch", &["producer-throttled", "function-errors", "dropped-events", "iterator-age"]),
        ("shards of stream alleycat", &["shard-full", "hot-shard", "bursts", "concurrency"]),
        ("fan-out consumers of stream alleycat", &["fan-out"]),
        ("event source mappings of function alleycat", &["mapping-state", "two-mappings", "tumbling-window"]),
        ("reserved concurrency of function alleycat", &["concurrency"]),
        ("metrics of host 10.0.0.8:9464", &["iterator-age", "uncommitted-batches", "failing-version"]),
        ("the trial of race type 3", &["failing-version"]),
        ("rulebook flat@1", &["sequence-dedup"]),
        ("pinned races of race type 3", &["missing-rulebook"]),
        ("hosts", &["hosts-behind"]),
        ("queue of batches that were given up", &["failed-batches"]),
    ] {
        let mut it = Builder::healthy();
        for check in checks {
            healthy_line(&it.history, check);
        }
        it.history.unavailable = vec![unavailable(what)];
        for check in checks {
            assert_eq!(not_checked(&it.history, check), format!("{what}: connection refused"), "{check}");
        }
        let report = examine(&it.history);
        assert!(report.verdict.starts_with(&format!("unknown: {what} could not be read; ")), "{}", report.verdict);
        assert_eq!(report.exit_code(), 5, "{what}");
    }
}

#[test]
fn whether_producers_pack_is_not_known_without_counts() {
    let mut it = Builder::healthy();
    it.mapping().parallelization_factor = 2;
    assert_eq!(healthy_line(&it.history, "packing-and-parallelization"), "producers do not pack records");
    it.history.series.retain(|series| series.metric.namespace != OfFunction);
    not_checked(&it.history, "packing-and-parallelization");
}

#[test]
fn the_verdict_names_the_host_first_and_counts_what_was_not_checked() {
    let mut it = Builder::healthy();
    it.mapping().batch_size = 10_000;
    let notes = |it: &Builder| examine(&it.history);
    assert_eq!(notes(&it).verdict, "healthy, with 1 note; 5 checks could not be done");
    assert_eq!((notes(&it).exit_code(), notes(&it).complete), (0, true));
    it.history.unavailable = vec![unavailable("queue of batches"), unavailable("metrics of host 10.0.0.8:9464")];
    let Report { verdict, complete, .. } = notes(&it);
    let expected = "unknown: metrics of host 10.0.0.8:9464 and 1 other source could not be read; 1 note, and ";
    assert!(verdict.starts_with(expected) && verdict.ends_with(" could not be done"), "{verdict}");
    assert_eq!((notes(&it).exit_code(), complete), (5, false));

    it.history.unavailable.iter_mut().for_each(|it| it.by_limit = true);
    assert_eq!(notes(&it).exit_code(), 0, "what the doctor left out itself has not failed");
}

#[test]
fn a_warning_stays_one_and_the_verdict_says_what_is_missing() {
    let mut it = Builder::healthy();
    it.load(900.0);
    it.history.unavailable = vec![unavailable("metrics of host 10.0.0.8:9464")];
    let report = examine(&it.history);
    let (warning, rest) = report.verdict.split_once("; ").unwrap();
    assert_eq!(warning, "warning: shard-full, stream alleycat");
    assert!(rest.starts_with("metrics of host 10.0.0.8:9464 could not be read, and "), "{rest}");
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn hosts_that_may_still_follow_are_not_at_the_newest_revision() {
    let mut it = Builder::healthy();
    it.rules().hosts = vec![host_state("worker-1/7", 17), host_state("worker-2/7", 16), host_state("worker-3/7", 15)];
    it.rules().changed = Some(Timestamp(it.history.until.0 - 20_000));
    assert_eq!(
        healthy_line(&it.history, "hosts-behind"),
        "1 of 3 hosts at revision 17, 2 at an older one: it was written 20 s ago, at 2026-11-26T18:59:40.000Z, and \
         hosts have 1 min to follow"
    );
}
