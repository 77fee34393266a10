//! The tables of `docs/metrics.md`.

use crate::alarms::{self, Alarm, Signal, Source};
use crate::list;
use crate::metric::{CloudWatch, Metric, Unit};

/// The metrics of `/metrics`.
pub fn prometheus_table() -> String {
    let mut table = "| metric | labels | type | meaning | healthy |\n|---|---|---|---|---|\n".to_owned();
    for (name, metric) in list::prometheus() {
        let Metric { kind, meaning, healthy, .. } = metric;
        let labels = codes(metric.labels);
        table.push_str(&format!("| `{name}` | {labels} | {} | {meaning} | {healthy} |\n", kind.as_str()));
    }
    table.replace("|  |", "| |")
}

/// The metrics of a function.
pub fn cloudwatch_table() -> String {
    let mut table =
        "| metric | dimensions beside `function` | unit | look at | meaning | healthy |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for (CloudWatch { name, unit, statistic, dimensions }, metric) in list::cloudwatch() {
        let sets = dimensions.iter().map(|set| if set.is_empty() { "none".to_owned() } else { codes(set) });
        let sets = sets.collect::<Vec<_>>().join("; and ");
        let sets = if sets == "none" { String::new() } else { sets };
        let unit = if unit == Unit::None { "none" } else { unit.as_str() };
        let Metric { meaning, healthy, .. } = metric;
        let statistic = statistic.as_str();
        table.push_str(&format!("| `{name}` | {sets} | {unit} | {statistic} | {meaning} | {healthy} |\n"));
    }
    table.replace("|  |", "| |")
}

/// The alarms of the template.
pub fn alarm_table() -> String {
    let mut table = "| alarm | watches | goes off | see |\n|---|---|---|---|\n".to_owned();
    for Alarm { id, anchor, signal, statistic, above, minutes, .. } in alarms::ALL {
        let sources = signal.sources().into_iter().map(|source| match source {
            Source::Own(metric) => metric.cloudwatch.map_or("", |cloudwatch| cloudwatch.name),
            Source::Aws(aws) => aws.name,
        });
        let mut names: Vec<&str> = sources.collect();
        names.dedup();
        let percent = matches!(signal, Signal::Expression(text, _) if text.starts_with("100 *"));
        let above = match above.strip_prefix("!Ref ") {
            Some(parameter) => format!("`{parameter}`"),
            None if percent => format!("{above} %"),
            None => (*above).to_owned(),
        };
        let (statistic, names) = (statistic.as_str(), codes(&names));
        let when = match minutes {
            (1, 1) => "in a minute".to_owned(),
            (of, all) => format!("in {of} of {all} minutes"),
        };
        table.push_str(&format!(
            "| `{id}Alarm` | {statistic} of {names} | above {above} {when} | \
             [{anchor}](operations/troubleshooting.md#{anchor}) |\n"
        ));
    }
    table
}

fn codes(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
