//! What plugins use of what they may.

use super::events::events;
use super::facts::{HOST, growth_of_hosts, not_known, recent_part};
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{History, Namespace, PluginLimits, Selection};
use crate::words::{duration, number, percent};

/// The share of a limit that an average call may use: averages hide the largest ones.
const NEARLY_USED: f64 = 0.5;

/// Whether plugins use nearly what they may.
pub(super) fn plugin_budgets(history: &History) -> Outcome {
    let calls = history.select(Namespace::Host, "paceline_plugin_calls_total");
    let Some(limits) = history.rules.as_ref().and_then(|rules| rules.limits).filter(|_| !calls.is_empty()) else {
        return Outcome::NotChecked(not_known(history, HOST, "no running host was asked for its metrics"));
    };
    if let Err(outcome) = growth_of_hosts(history, "paceline_plugin_calls_total") {
        return outcome;
    }
    let mut findings = Vec::new();
    for (book, of_book) in calls.by("rulebook") {
        for (version, of_version) in of_book.by("version") {
            for plugin in of_version.by("plugin").into_keys() {
                let it = Plugin { book, version, plugin };
                findings.extend(it.faults(history).into_iter().chain(it.budget(history, &limits)));
            }
        }
    }
    Outcome::of(findings, "plugins stay far below their limits")
}

/// A plugin of a version.
struct Plugin<'a> {
    book: &'a str,
    version: &'a str,
    plugin: &'a str,
}

impl Plugin<'_> {
    fn subject(&self) -> String {
        format!("{}@{}, plugin {}", self.book, self.version, self.plugin)
    }

    fn selection<'a>(&self, history: &'a History, name: &str) -> Selection<'a> {
        let of_book = history.select(Namespace::Host, name).with("rulebook", self.book).with("version", self.version);
        of_book.with("plugin", self.plugin)
    }

    fn recent(&self, history: &History, name: &str) -> f64 {
        recent_part(history, &self.selection(history, name).increases()).total()
    }

    /// Calls that were ended because of a limit.
    fn faults(&self, history: &History) -> Vec<Finding> {
        let by_fault = self.selection(history, "paceline_plugin_faults_total").by("fault");
        let of_limits = by_fault
            .into_iter()
            .filter(|(fault, _)| ["fuel", "time", "memory", "stack", "too-many-bytes"].contains(fault));
        let finding = |(fault, series): (&str, Selection<'_>)| {
            let seen = events(history, &series.increases())?;
            let reason = format!(
                "Calls of the plugin reach a limit: {fault}. They are repeated for halves of their rows; what fails \
                 alone becomes a dead letter."
            );
            Some(
                Finding::new(Severity::Warning, self.subject(), reason)
                    .of_version(&format!("{}@{}", self.book, self.version))
                    .evidence(
                        Evidence::point("paceline_plugin_faults_total", seen.peak, format!("calls, {fault}"))
                            .threshold(0.0),
                    )
                    .remedy(show_limits(history, self))
                    .ongoing(seen.ongoing)
                    .during(seen.span),
            )
        };
        of_limits.filter_map(finding).collect()
    }

    /// An average call beside its limits.
    fn budget(&self, history: &History, limits: &PluginLimits) -> Option<Finding> {
        let calls = self.recent(history, "paceline_plugin_calls_total");
        let (fuel, seconds) =
            (self.recent(history, "paceline_plugin_fuel_total"), self.recent(history, "paceline_plugin_seconds_total"));
        let records = history
            .select(Namespace::Host, "paceline_rulebook_records_total")
            .with("rulebook", self.book)
            .with("version", self.version);
        let rows = recent_part(history, &records.increases()).total();
        if calls <= 0.0 || rows <= 0.0 {
            return None;
        }
        let budget = limits.fuel_per_call as f64 + limits.fuel_per_row as f64 * rows / calls;
        let (of_fuel, of_time) = (fuel / calls / budget, seconds * 1_000.0 / calls / limits.call_ms as f64);
        if of_fuel.max(of_time) < NEARLY_USED {
            return None;
        }
        let reason = format!(
            "An average call uses {} of its {}. Averages hide the largest calls, which come first.",
            percent(of_fuel.max(of_time)),
            if of_fuel >= of_time { "fuel" } else { "time" }
        );
        Some(
            Finding::new(Severity::Warning, self.subject(), reason)
                .of_version(&format!("{}@{}", self.book, self.version))
                .evidence(Evidence::new("fuel of a call", fuel / calls, "").threshold(budget))
                .evidence(
                    Evidence::new("time of a call", seconds * 1_000.0 / calls, "ms").threshold(limits.call_ms as f64),
                )
                .arithmetic(format!(
                    "{} + {} × {} rows a call: {} fuel",
                    number(limits.fuel_per_call as f64),
                    number(limits.fuel_per_row as f64),
                    number(rows / calls),
                    number(budget)
                ))
                .arithmetic(format!(
                    "{} of {} a call",
                    duration(seconds / calls),
                    duration(limits.call_ms as f64 / 1_000.0)
                ))
                .remedy(show_limits(history, self)),
        )
    }
}

fn show_limits(history: &History, plugin: &Plugin<'_>) -> Remedy {
    let command = Command::paceline(history, "rules show").argument(&format!("{}@{}", plugin.book, plugin.version));
    Remedy::new(
        command.build(),
        "Shows the rulebook. Its [limits] may be raised up to the host's ceilings, in a new version; or make the \
         plugin do less.",
        "processor time",
    )
    .breaks("A higher limit lets one record hold its shard for longer.")
}
