//! `paceline plan`: its report, its exit codes and its errors.

use std::process::Output;

use serde_json::Value;

use crate::support::paceline;

/// The sample application: batches of a second, one shard, a function of 15 seconds, a table of 20 and 10 write units.
const ARTICLE: &[&str] = &[
    "plan",
    "--racers",
    "1000",
    "--keys",
    "random",
    "--batch-size",
    "1000",
    "--window",
    "1",
    "--timeout",
    "15",
    "--memory",
    "256",
    "--table",
    "20",
    "--index-units",
    "10",
    "--group-items",
    "0",
    "--wanted-age",
    "5s",
];

fn plan(arguments: &[&str]) -> Output {
    paceline(arguments).output().unwrap()
}

fn error(arguments: &[&str]) -> String {
    let output = plan(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_table_of_the_article_is_full_first_and_the_age_is_not_held() {
    let output = plan(&[ARTICLE, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(3));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wanted = &document["wanted"];
    assert_eq!((&wanted["age-seconds"], &wanted["is-held"]), (&5.0.into(), &false.into()), "{wanted:#}");
    assert!(wanted["cheapest"]["age-seconds"].as_f64().unwrap() <= 5.0, "{wanted:#}");

    let output = plan(ARTICLE);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("full first  write units/s of the table"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn the_defaults_hold_the_load_of_the_article() {
    let output = plan(&["plan", "--racers", "1000", "--wanted-age", "10s"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
}

#[test]
fn packed_groups_cost_a_fraction_of_the_units() {
    let units = |more: &[&str]| {
        let output = plan(&[&["plan", "--racers", "1000", "--window", "1", "--json"], more].concat());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["flow"]["units-per-thousand"].as_f64().unwrap()
    };
    let (packed, alone) = (units(&[]), units(&["--group-items", "0"]));
    assert!(packed < 80.0 && alone > 1_000.0, "{packed} and {alone} for 1,000 messages");
}

#[test]
fn a_rulebook_brings_its_aggregates() {
    let rulebook = paceline_testbed::environment::checkout().join("examples/alleycat/rulebooks/flat.toml");
    let rulebook = rulebook.to_str().unwrap();
    let output = plan(&["plan", "--json", "--rulebook", rulebook]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> =
        document["deployment"]["aggregates"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["last-output", "best-output"], "{document:#}");
}

#[test]
fn what_cannot_be_planned_is_explained() {
    let exclusion = error(&["plan", "--pack-bytes", "51200", "--factor", "2"]);
    assert!(exclusion.contains("a factor of 1, or do not pack"), "{exclusion}");
    let missing = error(&["plan", "--rulebook", "nowhere.toml"]);
    assert!(missing.contains("nowhere.toml"), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.toml");
    std::fs::write(&file, "profit = 1\n").unwrap();
    let prices = error(&["plan", "--prices", file.to_str().unwrap()]);
    assert!(prices.contains("prices.toml") && prices.contains("profit"), "{prices}");
}
