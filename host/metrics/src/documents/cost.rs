//! What CloudWatch bills for the metrics of a function, by the prices of us-east-1.

use std::fmt::Write;

use crate::alarms::{self, Signal};
use crate::emf::{Event, Writer};
use crate::list;
use crate::metric::CloudWatch;

/// Dollars for a metric and month, up to 10,000 of them.
const METRIC: f64 = 0.30;
/// Dollars for a GB of log.
const LOG_GB: f64 = 0.50;
/// Dollars for a metric that an alarm watches, and month.
const ALARM: f64 = 0.10;
/// Seconds of a month.
const MONTH: f64 = 30.0 * 86_400.0;

/// The stages of a function.
const STAGES: [&str; 9] = ["project", "route", "columns", "validate", "score", "load", "fold", "commit", "acknowledge"];

/// What a function processes.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Race types, each with a rulebook of its own.
    pub rulebooks: usize,
    /// Plugins of a rulebook.
    pub plugins: usize,
    /// Seconds from event to event.
    pub every: f64,
}

/// The event of a race without trouble: six classes, each with a rulebook of four plugins.
pub const ALLEYCAT: Load = Load { rulebooks: 6, plugins: 4, every: 5.0 };

/// An event in which all of them occur.
pub fn event(load: &Load) -> Event {
    let mut event = Event::default();
    for (CloudWatch { name, dimensions, .. }, metric) in list::cloudwatch() {
        if is_trouble(name) {
            continue;
        }
        for set in dimensions {
            match *set {
                [] => event.record(metric, &[], 1_000.0),
                ["stage"] => STAGES.iter().for_each(|stage| event.record(metric, &[stage], 1.234_567)),
                ["rulebook"] => {
                    for rulebook in 1..=load.rulebooks {
                        event.record(metric, &[&format!("{rulebook} class-{rulebook}@1")], 166.0);
                    }
                }
                ["rulebook", "plugin"] => {
                    for rulebook in 1..=load.rulebooks {
                        for plugin in 0..load.plugins {
                            let names = [format!("class-{rulebook}@1"), format!("{plugin:012x}")];
                            event.record(metric, &[&names[0], &names[1]], 123_456.0);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    event
}

/// Whether a metric is written only if something is wrong.
fn is_trouble(name: &str) -> bool {
    let names = [
        "UncommittedBatches",
        "DeadLetters",
        "Duplicates",
        "Conflicts",
        "Throttles",
        "PluginFaults",
        "RulebookRejected",
        "RulebookFailed",
        "WindowsCommittedEarly",
    ];
    names.contains(&name)
}

/// How many metrics an event has, and the bytes of its lines.
pub fn size(event: &Event) -> (usize, usize) {
    let lines = Writer::new("paceline", "alleycat-Function-0123456789AB").lines(
        event,
        "01234567-89ab-cdef-0123-456789abcdef",
        1_700_000_000_000,
    );
    let bytes = lines.iter().map(|line| line.len() + 1).sum();
    (lines.iter().map(|line| line.matches("\"Name\":").count()).sum(), bytes)
}

/// How many metrics the alarms watch.
pub fn watched() -> usize {
    let of = |alarm: &alarms::Alarm| match alarm.signal {
        Signal::Of(_) => 1,
        Signal::Expression(_, sources) => sources.len(),
    };
    alarms::ALL.iter().map(of).sum()
}

/// The arithmetic for a deployment of the Alleycat races, as a paragraph and a list.
pub fn arithmetic() -> String {
    let (rulebooks, plugins) = (ALLEYCAT.rulebooks, ALLEYCAT.plugins);
    let (metrics, bytes) = size(&event(&ALLEYCAT));
    let own = |wanted: &[&str]| {
        let with =
            |(cloudwatch, _): &(CloudWatch, _)| !is_trouble(cloudwatch.name) && cloudwatch.dimensions.contains(&wanted);
        list::cloudwatch().filter(with).count()
    };
    let (alone, by_rulebook, by_plugin) = (own(&[]), own(&["rulebook"]), own(&["rulebook", "plugin"]));
    let events = MONTH / ALLEYCAT.every;
    let gigabytes = events * bytes as f64 / 1e9;
    let watched = watched();
    let (stages, every) = (STAGES.len(), ALLEYCAT.every);
    let (for_metrics, for_log) = (metrics as f64 * METRIC, gigabytes * LOG_GB);
    let for_alarms = watched as f64 * ALARM;
    let total = for_metrics + for_log + for_alarms;
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = write!(
        text,
        "A function that processes {rulebooks} race types, each with its own rulebook of {plugins} plugins, an event every \
         {every} seconds all month:\n\n\
         - metrics: {alone} + {stages} stages + {by_rulebook} × {rulebooks} rulebooks + {by_plugin} × {rulebooks} × \
         {plugins} plugins = {metrics}; at ${METRIC:.2} a metric and month: **${for_metrics:.2}**;\n\
         - log: {events:.0} events × {:.1} KB = {gigabytes:.1} GB; at ${LOG_GB:.2} a GB: **${for_log:.2}**;\n\
         - alarms: {watched} watched metrics at ${ALARM:.2}: **${for_alarms:.2}**.\n\n\
         Together ${total:.2} a month.\n",
        bytes as f64 / 1e3
    );
    text
}
