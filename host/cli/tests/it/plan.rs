//! `paceline plan`: its report, its exit codes and its errors.

use std::process::Output;

use paceline_testbed::environment::checkout;
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

/// The message of arguments that are invalid.
fn refused(arguments: &str) -> String {
    let output = plan(&words(arguments));
    assert_eq!(output.status.code(), Some(2), "{arguments}");
    assert!(output.stdout.is_empty(), "{arguments}");
    String::from_utf8(output.stderr).unwrap()
}

/// The report of a plan that can be made.
fn report(arguments: &str) -> String {
    let output = plan(&words(arguments));
    assert_eq!(output.status.code(), Some(0), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    unwrapped(&String::from_utf8(output.stdout).unwrap())
}

fn json(arguments: &str) -> Value {
    let output = plan(&[words(arguments), vec!["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments}: {error}"))
}

fn words(arguments: &str) -> Vec<&str> {
    std::iter::once("plan").chain(arguments.split_whitespace()).collect()
}

/// A text on one line: it is wrapped at any word.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
    let rulebook = checkout().join("examples/alleycat/rulebooks/flat.toml");
    let rulebook = rulebook.to_str().unwrap();
    let output = plan(&["plan", "--json", "--rulebook", rulebook]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> =
        document["deployment"]["aggregates"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["last-output", "best-output"], "{document:#}");
}

#[test]
fn what_cannot_be_planned_is_explained() {
    let exclusion = refused("--pack-bytes 51200 --factor 2");
    assert!(exclusion.contains("a factor of 1, or do not pack"), "{exclusion}");
    let missing = error(&["plan", "--rulebook", "nowhere.toml"]);
    assert!(missing.contains("nowhere.toml"), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.toml");
    std::fs::write(&file, "profit = 1\n").unwrap();
    let prices = error(&["plan", "--prices", file.to_str().unwrap()]);
    assert!(prices.contains("prices.toml") && prices.contains("profit"), "{prices}");
}

#[test]
fn a_setting_out_of_its_range_is_refused_by_option_value_and_range() {
    for (arguments, option, expected) in [
        ("--concurrency 0 --wanted-age 10s", "--concurrency", "is 0, and 1 to 1000000000 are allowed"),
        ("--rate 1e308", "--rate", "is 1e308, and 1e-6 to 1000000 are allowed"),
        ("--rate nan", "--rate", "is NaN"),
        ("--rate 0", "--rate", "is 0,"),
        ("--racers 0", "--racers", "is 0,"),
        ("--message-bytes 100000000", "--message-bytes", "is 100000000, and 1 to 10485752 are allowed"),
        ("--pack-bytes 100000000", "--pack-bytes", "is 100000000, and 1 to 10485760 are allowed"),
        ("--pack-messages 0", "--pack-messages", "is 0,"),
        (
            "--pack-messages 100000 --consumer run",
            "--pack-messages",
            "a record of 17600022 bytes, partition key included, is too large",
        ),
        ("--message-bytes 5000000", "--message-bytes", "an event has at most 6291456"),
        ("--retention 0", "--retention", "is 0, and 24 to 8760 are allowed"),
        ("--retention 8761", "--retention", "is 8761, and 24 to 8760 are allowed"),
        ("--hours-a-day 25", "--hours-a-day", "is 25, and 0 to 24 are allowed"),
        ("--hours-a-day nan", "--hours-a-day", "is NaN"),
        ("--races 0", "--races", "is 0,"),
        ("--race-seconds 0", "--race-seconds", "is 0,"),
        ("--table 10 --index-units 0", "--index-units", "is 0,"),
        ("--table 0.5", "--table", "a whole number of write units above 0"),
        ("--group-items 1001", "--group-items", "is 1001, and 0 to 1000 are allowed"),
        ("--consumer run --processors 0", "--processors", "is 0, and 0.001 to 100000 are allowed"),
        ("--consumer run --processors inf", "--processors", "is inf,"),
        ("--consumer kcl --batch-size 0", "--batch-size", "is 0,"),
        ("--other-pollers 4294967295", "--other-pollers", "is 4294967295, and 0 to 1000 are allowed"),
        ("--wanted-age 0s", "--wanted-age", "is 0,"),
        ("--simulate 0s", "--simulate", "is 0, and 1 to 86400 are allowed"),
        ("--outage 1500ms", "--outage", "not a whole number of seconds"),
        ("--outage 200years", "--outage", "it is longer than 4294967295 s"),
    ] {
        let message = refused(arguments);
        assert!(message.contains(option) && message.contains(expected), "{arguments}: {message}");
    }
}

#[test]
fn an_option_that_would_be_ignored_is_refused() {
    for (arguments, expected) in [
        ("--index-units 5", "`--index-units` is 5"),
        ("--table on-demand --index-units 5", "`--index-units` is 5"),
        ("--consumer run --factor 1", "`--factor` is a function's"),
        ("--consumer kcl --tumbling 5", "`--tumbling` is a function's"),
        ("--consumer run --memory 512", "`--memory` is a function's"),
        ("--consumer run --timeout 60", "`--timeout` is a function's"),
        ("--consumer run --concurrency 10", "`--concurrency` is a function's"),
        ("--consumer run --arm", "`--arm` is a function's"),
        ("--processors 2", "`--processors` is for `--consumer run` and `kcl`"),
        ("--fan-out", "a mapping that reads by fan-out is not modelled"),
        ("--state-bytes 200", "`--state-bytes` is 200"),
    ] {
        let message = refused(arguments);
        assert!(message.contains(expected), "{arguments}: {message}");
    }
}

/// Prices or a calibration with one value replaced.
fn with_value(option: &str, all: &str, key: &str, value: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.toml");
    let replace =
        |line: &str| if line.starts_with(&format!("{key} =")) { format!("{key} = {value}") } else { line.to_owned() };
    std::fs::write(&file, all.lines().map(replace).collect::<Vec<_>>().join("\n")).unwrap();
    error(&["plan", option, file.to_str().unwrap()])
}

#[test]
fn a_price_or_time_that_is_none_is_refused_by_file_key_and_value() {
    let prices = std::fs::read_to_string(checkout().join("host/capacity/prices/us-east-1.toml")).unwrap();
    for (value, shown) in [("-1", "-1"), ("nan", "NaN"), ("inf", "inf"), ("1e300", "1000000000")] {
        let message = with_value("--prices", &prices, "shard-hour", value);
        assert!(message.contains("values.toml: the prices can't be used: `kinesis.shard-hour` is "), "{message}");
        assert!(message.contains(shown) && message.contains("0 to 1000000 are allowed"), "{message}");
    }
    for (key, value) in [
        ("request-ms", "-8"),
        ("message-ns", "nan"),
        ("batch-ms", "1e12"),
        ("group-us", "inf"),
        ("log-bytes", "-1.0"),
        ("groups-per-request", "0"),
        ("requests-in-flight", "0"),
        ("window-message-bytes", "0"),
    ] {
        let message = with_value("--calibration", &format!("{key} = 1"), key, value);
        assert!(message.contains(&format!("values.toml: the calibration can't be used: `{key}` is ")), "{message}");
        assert!(message.contains("are allowed"), "{message}");
    }
}

#[test]
fn an_outage_longer_than_the_retention_says_what_is_lost() {
    let plan = json("--outage 30h --retention 24");
    let (outage, day) = (&plan["outage"], &json("--outage 24h --retention 24")["outage"]);
    assert_eq!((&outage["lost-seconds"], &outage["lost-messages"]), (&21_600.into(), &21_600_000.0.into()), "{outage}");
    assert_eq!((&day["lost-seconds"], &day["lost-messages"]), (&0.into(), &0.0.into()), "{day}");
    // Only what the stream still has is to be caught up with.
    for figure in ["catch-up-seconds", "simulated-seconds"] {
        assert!(outage[figure].is_f64() && outage[figure] == day[figure], "{outage} {day}");
    }
    assert!(plan["warnings"].as_array().unwrap().iter().any(|warning| warning["kind"] == "outage"), "{plan:#}");
    let text = report("--outage 30h --retention 24");
    assert!(
        text.contains("after one of 30 h the messages of its first 6 h are lost (21,600,000), and it catches"),
        "{text}"
    );
    assert!(text.contains("Raise the retention to 31 h"), "{text}");
    let text = report("--outage 100000h");
    assert!(text.contains("first 99,976 h are lost") && text.contains("longer than 8,760 h"), "{text}");
    let text = report("--outage 24h");
    assert!(!text.contains("are lost"), "{text}");
}

#[test]
fn an_outage_that_is_none_and_a_load_without_messages_are_caught_up_with() {
    let text = report("--outage 0s");
    assert!(text.contains("outage none cost"), "{text}");
    let text = report("--racers 1 --rate 0.000001 --wanted-age 10s");
    assert!(text.contains("by the formula, in 0 ms simulated"), "{text}");
    assert!(text.contains("no message is committed in the 24 h that are simulated"), "{text}");
    assert!(text.contains("1 racers × 0.000001 messages/s"), "{text}");
    // The catch-up takes longer than is simulated.
    let text = report("--outage 24h --other-pollers 10");
    assert!(text.contains("by the formula, and not within the 4 h that are simulated"), "{text}");
}

#[test]
fn an_age_that_is_held_by_a_full_setting_only_says_so() {
    // No setting changes how many others poll a shard: five requests a second are all that it allows.
    let text = report("--racers 100 --other-pollers 4 --wanted-age 10s");
    assert!(
        text.contains("10 s is held; no setting was found that holds it with a fifth of each limit to spare"),
        "{text}"
    );
}

#[test]
fn more_pollers_than_a_shard_allows_are_a_warning() {
    let text = report("--other-pollers 10");
    assert!(
        text.contains("The consumers of a shard, 10 others included, poll 11 `GetRecords` requests a second"),
        "{text}"
    );
    assert!(!report("--other-pollers 2").contains("`GetRecords`"));
}

#[test]
fn what_is_larger_than_a_stream_or_host_takes_by_default_is_a_warning() {
    let text = report("--message-bytes 2000000 --shards 4");
    assert!(text.contains("raise it to 1954") && text.contains("`batch.max-payload-bytes`"), "{text}");
}

/// The lines of the code blocks of a page, by the language of the block.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n"))).map(str::to_owned).collect()
}

#[test]
fn the_page_shows_what_its_commands_print() {
    let page = std::fs::read_to_string(checkout().join("docs/operations/capacity.md")).unwrap();
    let commands = blocks(&page, "sh").remove(0);
    let run = |command: &str| {
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let output = paceline(&arguments).current_dir(checkout()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let outputs: Vec<_> = commands.lines().map(run).collect();
    assert_eq!(outputs.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [Some(3), Some(0), Some(0)]);
    let printed: Vec<String> = outputs[0].1.lines().map(unwrapped).collect();
    let shown = blocks(&page, "text");
    assert_eq!(shown.len(), 2, "the report and the cheapest setting");
    for line in shown.iter().flat_map(|block| block.lines()).map(unwrapped).filter(|line| !line.is_empty()) {
        assert!(printed.contains(&line), "`{line}` is not printed: {}", outputs[0].1);
    }
}
