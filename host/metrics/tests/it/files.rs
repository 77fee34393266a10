//! The files that are made from the lists are what the lists say. `PACELINE_UPDATE=1 cargo test -p paceline-metrics`
//! writes them.

use std::collections::BTreeSet;

use paceline_metrics::{alarms, documents, list};
use paceline_testbed::environment::checkout;
use paceline_testbed::golden::assert_file;

fn read(file: &str) -> String {
    std::fs::read_to_string(checkout().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[track_caller]
fn compare(file: &str, expected: &str) {
    assert_file(file, expected, "paceline-metrics");
}

#[track_caller]
fn compare_sections(file: &str, sections: &[(&str, String)]) {
    let mut expected = read(file);
    for (name, content) in sections {
        let with = documents::with_section(&expected, name, content);
        expected = with.unwrap_or_else(|| panic!("{file} has no section between `begin {name}` and `end {name}`"));
    }
    compare(file, &expected);
}

#[test]
fn the_document_of_the_metrics_has_the_lists() {
    compare_sections(
        "docs/metrics.md",
        &[
            ("prometheus", documents::prometheus_table()),
            ("cloudwatch", documents::cloudwatch_table()),
            ("cost", documents::cost::arithmetic()),
            ("alarms", documents::alarm_table()),
        ],
    );
}

#[test]
fn the_template_has_the_alarms_and_the_dashboard() {
    let file = "examples/alleycat/template.yaml";
    compare_sections(file, &[("alarms", documents::alarms()), ("dashboard", documents::dashboard())]);
}

#[test]
fn the_dashboard_of_grafana_has_the_list() {
    compare("examples/alleycat/grafana.json", &documents::grafana());
    let dashboard: serde_json::Value = serde_json::from_str(&documents::grafana()).unwrap();
    let expressions = dashboard["panels"].to_string();
    assert!(list::prometheus().all(|(name, _)| expressions.contains(name)));
}

/// CloudFormation limits a description to 1,024 characters, and an alarm to ten metrics.
#[test]
fn every_alarm_has_a_remedy_and_a_section_that_explains_it() {
    let page = read(alarms::PAGE);
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    let anchors: BTreeSet<String> = headings.map(|title| title.to_lowercase().replace(' ', "-")).collect();
    let mut ids = BTreeSet::new();
    for alarm in alarms::ALL {
        assert!(ids.insert(alarm.id), "{} is there twice", alarm.id);
        assert!(anchors.contains(alarm.anchor), "{} has no section `{}`", alarms::PAGE, alarm.anchor);
        assert!(alarm.remedy.len() < 900 && alarm.remedy.ends_with('.'), "{}", alarm.id);
        assert!(alarm.minutes.0 <= alarm.minutes.1 && alarm.signal.sources().len() < 10, "{}", alarm.id);
    }
}

/// CloudWatch shows at most 500 metrics of a widget, and takes a body of at most 1 MB with numbers as in JSON.
#[test]
fn the_body_of_the_dashboard_is_json_with_every_metric() {
    let yaml = documents::dashboard();
    let (_, body) = yaml.split_once("DashboardBody: !Sub |\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let charts: BTreeSet<String> =
        body["widgets"].as_array().unwrap().iter().map(|widget| widget.to_string()).collect();
    for (cloudwatch, _) in list::cloudwatch() {
        let name = format!("{}: ", cloudwatch.name);
        assert!(charts.iter().any(|chart| chart.contains(&format!("\"title\":\"{name}"))), "{name}");
    }
}
