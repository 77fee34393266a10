//! Lines and tables for a terminal.

use std::io::Write;

use paceline_doctor::examine;

use crate::comparison::Compared;
use crate::history::history;
use crate::measures::{Measures, Period};
use crate::setting::Setting;

/// What a line of a phase shows.
pub enum Line<'a> {
    /// The setting.
    Heading(&'a Setting),
    /// A period.
    Period(&'a Setting, &'a Period),
}

/// Prints a line. Nobody may read them any more, which is no reason to fail.
pub fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The text of a line.
pub fn line(line: &Line<'_>) -> String {
    match line {
        Line::Heading(setting) => format!(
            "\n{}: {}; {} racers, {} s, {} times as fast as the clock on the wall\n{:>6} {:>10} {:>9} {:>10} {:>6} {:>9} {:>9} {:>10}",
            setting.name,
            setting.change,
            setting.racers,
            setting.seconds,
            setting.speed,
            "time",
            "records/s",
            "age",
            "batch",
            "at once",
            "units/s",
            "index",
            "throttled"
        ),
        Line::Period(setting, period) => {
            let seconds = f64::from(setting.period_seconds);
            let invocations = &period.invocations;
            let age = invocations.iterator_age_seconds.map_or("-".to_owned(), |age| format!("{age:.1} s"));
            format!(
                "{:>6} {:>10.0} {age:>9} {:>8.1} s {:>7} {:>9.1} {:>9.1} {:>10.0}",
                format!("{}:{:02}", period.until_seconds / 60, period.until_seconds % 60),
                period.puts.records / seconds,
                invocations.longest_seconds,
                invocations.concurrency,
                period.table.units / seconds,
                period.index.units / seconds,
                period.table.throttled + period.index.throttled
            )
        }
    }
}

/// The table of what each phase came to.
pub fn effects(phases: &[(Setting, Measures)]) -> String {
    let mut text = format!(
        "{:<16} {:>9} {:>9} {:>7} {:>8} {:>9} {:>8}  {}\n",
        "phase", "records/s", "age", "growth", "batch", "units/s", "thrott'd", "the doctor's first cause"
    );
    for (setting, measures) in phases {
        let seconds = f64::from(setting.seconds);
        let report = examine(&history(setting, measures));
        let first = report.findings.first().map_or("none", |it| it.check);
        text.push_str(&format!(
            "{:<16} {:>9.0} {:>7.1} s {:>7.2} {:>6.1} s {:>9.1} {:>8.0}  {first}\n",
            setting.name,
            measures.total(|it| it.puts.records) / seconds,
            measures.age_seconds(),
            measures.growth(),
            measures.highest(|it| it.invocations.longest_seconds),
            measures.total(|it| it.table.units) / seconds,
            measures.total(|it| it.table.throttled + it.index.throttled),
        ));
    }
    text
}

/// The table of what was predicted and measured.
pub fn comparison_table(compared: &[Compared]) -> String {
    let mut text = format!(
        "{:<38} {:>19} {:>6} {:>19} {:>6} {:>19} {:>6}\n",
        "setting", "units/1,000", "", "batch, ms", "", "mean age, s", ""
    );
    for it in compared {
        text.push_str(&format!("{:<38}", it.name));
        for (pair, factor, digits) in [(it.units, 1.0, 0), (it.duration, 1e3, 0), (it.age, 1.0, 2)] {
            let (predicted, measured) = (pair.predicted * factor, pair.measured * factor);
            let both = format!("{predicted:.digits$} / {measured:.digits$}");
            text.push_str(&format!(" {both:>19} {:>+5.0}%", pair.deviation() * 100.0));
        }
        text.push('\n');
    }
    text
}
