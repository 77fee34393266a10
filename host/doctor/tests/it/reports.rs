//! Each scenario with its report, as `tests/histories` and `tests/reports` have them. `PACELINE_UPDATE=1` writes both.

use std::collections::BTreeSet;

use paceline_doctor::{CHECKS, Diagnosis, History, Outcome, Remedy, Severity, examine};
use paceline_testbed::environment::checkout;
use paceline_testbed::golden::{UPDATE, difference};

use super::builder::Builder;
use super::scenarios::{Scenario, scenarios};

fn checks_of(findings: &[Diagnosis]) -> BTreeSet<&'static str> {
    findings.iter().flat_map(|it| checks_of(&it.consequences).into_iter().chain([it.check])).collect()
}

fn all(findings: &[Diagnosis]) -> Vec<&Diagnosis> {
    findings.iter().flat_map(|it| std::iter::once(it).chain(all(&it.consequences))).collect()
}

fn scenario(name: &str) -> Builder {
    let scenario = scenarios().find(|it| it.name == name).unwrap();
    (scenario.build)()
}

#[test]
fn every_scenario_has_the_report_that_is_stored() {
    let mut wrong = Vec::new();
    for Scenario { name, finds, build } in scenarios() {
        let history = build().history;
        wrong.extend(difference(&format!("host/doctor/tests/histories/{name}.json"), &history.to_json()));
        assert_eq!(History::from_json(&history.to_json()).unwrap(), history, "{name}");
        let report = examine(&history);
        wrong.extend(difference(&format!("host/doctor/tests/reports/{name}.txt"), &report.text(false)));
        let found = checks_of(&report.findings);
        let missing: Vec<_> = finds.iter().filter(|check| !found.contains(*check)).collect();
        assert!(missing.is_empty(), "{name}: no finding of {missing:?}, but of {found:?}");
        if finds.is_empty() {
            assert!(found.is_empty(), "{name}: {found:?}");
        }
    }
    assert!(wrong.is_empty(), "{}Run the test with {UPDATE}=1 and look at the difference.", wrong.concat());
}

#[test]
fn no_stored_file_is_without_its_scenario() {
    let names: BTreeSet<&str> = scenarios().map(|it| it.name).collect();
    for folder in ["histories", "reports"] {
        for entry in std::fs::read_dir(checkout().join("host/doctor/tests").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(names.contains(name), "{} has no scenario", path.display());
        }
    }
}

#[test]
fn every_check_finds_something_in_some_scenario_and_is_healthy_in_another() {
    let mut found = BTreeSet::new();
    let mut healthy = BTreeSet::new();
    let mut not_checked = BTreeSet::new();
    for scenario in scenarios() {
        let history = (scenario.build)().history;
        for check in &CHECKS {
            match check.run(&history) {
                Outcome::Findings(findings) => {
                    assert!(!findings.is_empty(), "{}", check.id);
                    found.insert(check.id)
                }
                Outcome::Healthy(_) => healthy.insert(check.id),
                Outcome::NotChecked(_) => not_checked.insert(check.id),
            };
        }
    }
    let ids: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(ids.len(), CHECKS.len(), "an id stands twice");
    assert_eq!(found, ids);
    assert_eq!(healthy, ids);
    assert_eq!(not_checked, ids);
}

#[test]
fn every_finding_of_a_warning_has_a_command() {
    for scenario in scenarios() {
        for it in all(&examine(&(scenario.build)().history).findings) {
            let commands: Vec<_> = it.finding.remedies.iter().map(|remedy| remedy.command.as_str()).collect();
            let known = |command: &&str| command.starts_with("aws ") || command.starts_with("paceline ");
            assert!(commands.iter().all(known), "{}: {commands:?}", scenario.name);
            // A reader that catches up, or reads again, is left to it.
            let is_left_alone = it.check == "iterator-age" && it.finding.reason.contains("works them off");
            if it.finding.severity > Severity::Note && !is_left_alone {
                assert!(!commands.is_empty(), "{}: {} of {}", scenario.name, it.check, it.finding.subject);
            }
        }
    }
}

#[test]
fn lines_have_80_columns_unless_a_word_is_longer() {
    for scenario in scenarios() {
        for line in examine(&(scenario.build)().history).text(false).lines() {
            let columns = line.chars().count();
            let longest = line.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
            let is_option = line.trim_start().starts_with("--") || line.trim_start().starts_with("do ");
            assert!(columns <= 80 || longest > 40 || is_option, "{}: {columns}: {line}", scenario.name);
        }
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let report = examine(&scenario("article").history);
    let mut plain = report.text(true);
    for code in ["\u{1b}[1;31m", "\u{1b}[1;33m", "\u{1b}[1;36m", "\u{1b}[0m"] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, report.text(false));
}

#[test]
fn the_exit_code_shows_the_worst_finding() {
    let code = |name| examine(&scenario(name).history).exit_code();
    assert_eq!(code("healthy"), 0);
    assert_eq!(code("batch-size"), 0, "a note");
    assert_eq!(code("shard-full-by-count"), 3, "a warning");
    assert_eq!(code("article"), 4, "something critical");
    assert_eq!(code("nothing-observed"), 5, "nothing could be checked");
}

#[test]
fn the_json_has_ids_numbers_and_times() {
    let report = serde_json::to_value(examine(&scenario("table-throttled").history)).unwrap();
    let first = &report["findings"][0];
    assert_eq!(first["check"], "write-throttles");
    assert_eq!(first["severity"], "critical");
    assert_eq!(first["evidence"][0]["value"], 5_000.0);
    assert_eq!(first["evidence"][0]["at"], "2026-11-26T18:44:00.000Z");
    assert_eq!(report["lag"][0]["state"], "slow");
    assert!(report["healthy"].as_array().unwrap().len() > 20);
}

#[test]
fn what_is_missing_is_named_with_its_permission() {
    let report = examine(&scenario("missing-permissions").history);
    let line = |check: &str| report.not_checked.iter().find(|it| it.check == check).unwrap().line.clone();
    assert_eq!(line("producer-throttled"), "metrics of CloudWatch: no permission for cloudwatch:GetMetricData");
    assert_eq!(line("index-capacity"), "table alleycat-races: no permission for dynamodb:DescribeTable");
    assert_eq!(
        report.verdict,
        "unknown: metrics of host 127.0.0.1:9464 and 4 other sources could not be read; no finding in 3 checks, and 43 \
         checks could not be done"
    );
    assert!(report.healthy.iter().any(|it| it.check == "hosts-behind"), "{:?}", report.healthy);
}

#[test]
fn without_the_functions_own_metrics_each_check_that_needs_them_says_so() {
    let report = examine(&scenario("missing-own-metrics").history);
    for check in ["uncommitted-batches", "tumbling-window", "failing-version", "write-conflicts", "dead-letters"] {
        let line = &report.not_checked.iter().find(|it| it.check == check).unwrap_or_else(|| panic!("{check}")).line;
        assert_eq!(line, "the function's own metrics: no permission for cloudwatch:ListMetrics", "{check}");
    }
}

#[test]
fn the_articles_cause_is_the_table() {
    let report = examine(&scenario("article").history);
    let first = &report.findings[0];
    assert_eq!(first.check, "write-throttles", "{}", report.verdict);
    let below = checks_of(&first.consequences);
    for check in ["function-slow", "function-errors", "no-parallelism", "iterator-age"] {
        assert!(below.contains(check), "{check} is not below the table: {below:?}");
    }
    let shard = all(&report.findings).into_iter().find(|it| it.check == "shard-full").unwrap();
    assert_eq!(shard.finding.arithmetic[0], "1,000 records/s on 1 shard of 1,000: 100 % by count, 16 % by bytes");
}

#[test]
fn one_reading_of_a_counter_is_no_health() {
    let report = examine(&scenario("host-read-once").history);
    for check in ["subscription-conflicts", "misrouted", "uncommitted-batches", "plugin-budgets", "failing-version"] {
        let line = &report.not_checked.iter().find(|it| it.check == check).unwrap().line;
        assert_eq!(line, "one reading of a host shows no growth: observe for longer", "{check}");
    }
}

#[test]
fn shards_without_a_series_make_no_other_shard_hot_and_hide_no_age() {
    let healthy = examine(&scenario("even-shards").history);
    let line = &healthy.healthy.iter().find(|it| it.check == "hot-shard").unwrap().line;
    assert!(line.ends_with("metrics of 100 of 200 were not read"), "{line}");
    let report = examine(&scenario("hot-and-late-of-200-shards").history);
    let found = all(&report.findings);
    let hot: Vec<_> = found.iter().filter(|it| it.check == "hot-shard").collect();
    assert_eq!(hot.len(), 1, "{}", report.verdict);
    assert_eq!(hot[0].finding.subject, "stream alleycat, shardId-000000000007");
    let late: Vec<_> = found.iter().filter(|it| it.check == "iterator-age").collect();
    assert_eq!(late.len(), 1, "{}", report.verdict);
    assert_eq!(late[0].finding.subject, "polling readers", "the shard's own age was not read");
    let text = report.text(false);
    assert!(text.contains("  polling readers: 100 shards caught up, 0.9 s behind at most\n"), "{text}");
    assert!(text.contains("  polling readers: slow, 7 min 31 s behind"), "{text}");
}

/// The remedies of a finding of a scenario.
fn remedies(name: &str, check: &str) -> Vec<Remedy> {
    let report = examine(&scenario(name).history);
    let found = all(&report.findings).into_iter().find(|it| it.check == check);
    found.unwrap_or_else(|| panic!("{name}: no {check}")).finding.remedies.clone()
}

#[test]
fn packed_groups_are_a_remedy_unless_the_rules_pack() {
    let packs = |remedy: &&Remedy| remedy.effect.contains("`pack`");
    for check in ["write-throttles", "hot-partition"] {
        let unpacked = remedies("hot-partition", check);
        let remedy = unpacked.iter().find(packs).unwrap_or_else(|| panic!("{check}: {unpacked:#?}"));
        assert!(remedy.effect.contains("instead of 1,010"), "{remedy:?}");
        let packed = remedies("packed-hot-partition", check);
        assert_eq!(packed.iter().find(packs), None, "{check}");
        assert!(packed.iter().all(|remedy| !remedy.effect.contains("1,010")), "{check}: {packed:#?}");
        assert!(packed.iter().any(|remedy| remedy.effect.contains("1,000 records needed 101 units")), "{packed:#?}");
    }
    let unknown = remedies("recorded-article", "write-throttles");
    let remedy = unknown.iter().find(packs).unwrap_or_else(|| panic!("{unknown:#?}"));
    assert!(remedy.effect.starts_with("If the rulebook does not pack"), "{remedy:?}");
    assert!(!remedy.effect.contains("1,010"), "what is not known is not stated: {remedy:?}");
    let host = examine(&scenario("packed-hot-partition").history);
    let partition = all(&host.findings).into_iter().find(|it| it.check == "hot-partition").unwrap();
    assert!(partition.finding.arithmetic[0].starts_with("packed groups, 101 units"), "{:?}", partition.finding);
}

#[test]
fn dropped_events_are_read_again_from_where_their_positions_are() {
    let first = |name: &str| remedies(name, "dropped-events").remove(0).command;
    let queue = "https://sqs.eu-west-1.amazonaws.com/111122223333/alleycat-failed";
    let reprocess = "paceline dead-letters reprocess --config kinesis.toml";
    assert_eq!(first("dropped-events"), format!("{reprocess} --queue {queue}"));
    assert_eq!(first("dropped-events-to-a-bucket"), format!("{reprocess} --from object.json"));
    assert!(first("dropped-events-without-trace").starts_with("aws lambda update-event-source-mapping"));
}
