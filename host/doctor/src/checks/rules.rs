//! The rules: versions that fail, hosts that do not follow, races without a rulebook, plugins near their limits.

use super::facts::{HOST, events, not_known, recent_part};
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{History, HostState, Namespace, PluginLimits, RaceTypeRules, Rules, Statistic};
use crate::words::{counted, duration, number, percent};

/// The share of a version's records on which a plugin may fail, as the default of a trial.
const FAILED: f64 = 0.005;
/// Records below which a share means nothing.
const ENOUGH_RECORDS: f64 = 100.0;
/// Seconds within which hosts follow a change: they poll each second, note it every ten, and load plugins.
const FOLLOW_SECONDS: f64 = 60.0;
/// The share of a limit that an average call may use: averages hide the largest ones.
const NEARLY_USED: f64 = 0.5;

/// Whether a version's plugins fail on records.
pub(super) fn failing_version(history: &History) -> Outcome {
    let records = history.select(Namespace::Host, "paceline_rulebook_records_total");
    let of_function = history.select(Namespace::Function, "RulebookFailed");
    if history.rules.is_none() && records.is_empty() && !history.observes(Namespace::Function) {
        return Outcome::NotChecked(not_known(
            history,
            &["rules", "host"],
            "neither the rules nor the hosts' metrics are known",
        ));
    }
    let mut findings: Vec<Finding> = history.rules.iter().flat_map(|rules| trials(history, rules)).collect();
    for (race_type, of_type) in records.by("race_type") {
        for (rulebook, of_book) in of_type.by("rulebook") {
            for (version, of_version) in of_book.by("version") {
                let outcome =
                    |name: &str| recent_part(history, &of_version.clone().with("outcome", name).increases()).total();
                let all = recent_part(history, &of_version.increases()).total();
                let name = format!("{rulebook}@{version}");
                findings.extend(failing(history, race_type, &name, (outcome("failed") + outcome("bad-score"), all)));
            }
        }
    }
    let all = history.select(Namespace::Function, "RulebookRecords").statistic(Statistic::Sum);
    for (book, failed) in of_function.statistic(Statistic::Sum).by("rulebook") {
        let failed = recent_part(history, &failed.sum()).total();
        let all = recent_part(history, &all.clone().with("rulebook", book).sum()).total();
        let (race_type, version) = book.split_once(' ').unwrap_or(("", book));
        findings.extend(failing(history, race_type, version, (failed, all.max(failed))));
    }
    Outcome::of(findings, "no version fails on its records")
}

/// Trials that failed.
fn trials(history: &History, rules: &Rules) -> Vec<Finding> {
    let trials = rules.race_types.iter().filter_map(|(name, of)| Some((name, of.trial.as_ref()?)));
    let failed = trials.filter(|(_, trial)| trial.rolled_back || share(trial.failed, trial.records) > FAILED);
    let finding = |(name, trial): (&String, &crate::history::Trial)| {
        let what = if trial.rolled_back { "Hosts went back to the active version" } else { "It still runs" };
        let reason =
            format!("The trial of {} ({}) fails: its plugins fail on records. {what}.", trial.version, trial.kind);
        let rejected = Evidence::new(
            "records that it rejected",
            trial.rejected as f64,
            format!("of {}", number(trial.records as f64)),
        );
        Finding::new(Severity::Warning, format!("race type {name}, {}", trial.version), reason)
            .evidence(
                Evidence::new(
                    "records on which it failed",
                    trial.failed as f64,
                    format!("of {}", number(trial.records as f64)),
                )
                .threshold(FAILED * trial.records as f64),
            )
            .evidence(rejected)
            .remedy(roll_back(history, name, "Ends the trial; its races go on with the active version."))
    };
    failed.map(finding).collect()
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// A version that fails on more records than a trial may.
fn failing(history: &History, race_type: &str, version: &str, (failed, all): (f64, f64)) -> Option<Finding> {
    if all < ENOUGH_RECORDS || failed <= FAILED * all {
        return None;
    }
    let severity = if failed >= 0.5 * all { Severity::Critical } else { Severity::Warning };
    let reason = format!(
        "Plugins of {version} fail on {} of its records. These records become dead letters, plugin-failed or bad-score.",
        percent(failed / all)
    );
    Some(
        Finding::new(severity, format!("race type {race_type}, {version}"), reason)
            .evidence(
                Evidence::new("records on which it failed", failed, format!("of {}", number(all)))
                    .threshold(FAILED * all),
            )
            .remedy(roll_back(
                history,
                race_type,
                "Returns the race type to the rulebook before, with the races that began since.",
            ))
            .remedy(Remedy::new(
                Command::paceline(history, "dead-letters redrive").word("--reason plugin-failed").build(),
                "Afterwards: processes those records again.",
                "the writes of these records",
            )),
    )
}

fn roll_back(history: &History, race_type: &str, effect: &str) -> Remedy {
    let command = Command::paceline(history, "rules rollback").argument(race_type);
    Remedy::new(command.build(), effect, "nothing")
        .breaks("What the version has folded stays in the items. Races of both versions are marked as re-ruled.")
}

/// Whether hosts follow the log.
pub(super) fn hosts_behind(history: &History) -> Outcome {
    let Some(rules) = &history.rules else {
        return Outcome::NotChecked(not_known(history, &["rules"], "the rules are not known"));
    };
    if rules.hosts.is_empty() {
        return Outcome::NotChecked("no host has noted which rules it follows".to_owned());
    }
    let since_change = rules.changed.map_or(f64::INFINITY, |changed| history.until.since(changed).as_secs_f64());
    let is_behind =
        |host: &&HostState| host.revision < rules.revision && since_change > FOLLOW_SECONDS || host.refusal.is_some();
    let findings: Vec<Finding> =
        rules.hosts.iter().filter(is_behind).map(|host| behind(history, rules, host)).collect();
    Outcome::of(findings, format!("{} at revision {}", counted(rules.hosts.len(), "host"), rules.revision))
}

fn behind(history: &History, rules: &Rules, host: &HostState) -> Finding {
    let reason = match &host.refusal {
        Some(refusal) => format!("The host does not follow the newest rules: {refusal}"),
        None => "The host follows an older revision of the rules. A function without records neither polls nor notes; a host \
                 that runs has lost its registry.".to_owned(),
    };
    Finding::new(Severity::Warning, format!("host {}", host.name), reason)
        .evidence(
            Evidence { at: Some(host.seen), ..Evidence::new("revision", host.revision as f64, "") }
                .threshold(rules.revision as f64),
        )
        .evidences(rules.changed.map(|changed| Evidence {
            at: Some(changed),
            ..Evidence::new("newest revision", rules.revision as f64, "")
        }))
        .remedy(Remedy::new(
            Command::paceline(history, "rules status").build(),
            "Shows which host follows which revision, and what it refuses. The host's log has the reason.",
            "nothing",
        ))
}

/// Whether races are pinned to rulebooks that the registry lacks.
pub(super) fn missing_rulebook(history: &History) -> Outcome {
    let Some(rules) = &history.rules else {
        return Outcome::NotChecked(not_known(history, &["rules"], "the rules are not known"));
    };
    let mut findings = Vec::new();
    for (name, race_type) in rules.race_types.iter().filter(|(_, it)| !it.missing.is_empty()) {
        let pinned: u64 = race_type.missing.iter().filter_map(|version| race_type.pinned.get(version)).sum();
        let active = race_type.active.as_deref().unwrap_or("NAME@VERSION");
        let reason = format!(
            "Races are pinned to {}, which the registry does not have. Their records wait, and become dead letters \
             after rules.hold-seconds.",
            race_type.missing.join(", ")
        );
        let repin =
            Command::paceline(history, "rules repin").argument("RACE").argument(active).option("--race-type", name);
        findings.push(
            Finding::new(Severity::Critical, format!("race type {name}"), reason)
                .evidence(Evidence::new("pinned races", pinned as f64, "races").threshold(0.0))
                .remedy(Remedy::new(
                    Command::paceline(history, "rules verify").build(),
                    "Names the objects that are missing or altered. Put them back from a version of the bucket or a package's registry.",
                    "nothing",
                ))
                .remedy(
                    Remedy::new(repin.build(), "One race goes on with another rulebook; RACE is its id.", "nothing")
                        .breaks("The race is marked as re-ruled: two rulebooks evaluated it."),
                ),
        );
    }
    let pinned = |race_type: &RaceTypeRules| race_type.pinned.len();
    let versions: usize = rules.race_types.values().map(pinned).sum();
    Outcome::of(findings, format!("the registry has {}", counted(versions, "pinned version")))
}

/// Whether plugins use nearly what they may.
pub(super) fn plugin_budgets(history: &History) -> Outcome {
    let calls = history.select(Namespace::Host, "paceline_plugin_calls_total");
    let Some(limits) = history.rules.as_ref().and_then(|rules| rules.limits).filter(|_| !calls.is_empty()) else {
        return Outcome::NotChecked(not_known(history, HOST, "no running host was asked for its metrics"));
    };
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

    fn selection<'a>(&self, history: &'a History, name: &str) -> crate::history::Selection<'a> {
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
        let finding = |(fault, series): (&str, crate::history::Selection<'_>)| {
            let seen = events(history, &series.increases())?;
            let reason = format!(
                "Calls of the plugin reach a limit: {fault}. They are repeated for halves of their rows; what fails alone becomes a dead letter."
            );
            Some(
                Finding::new(Severity::Warning, self.subject(), reason)
                    .evidence(
                        Evidence::point("paceline_plugin_faults_total", seen.peak, format!("calls, {fault}"))
                            .threshold(0.0),
                    )
                    .remedy(show_limits(history, self))
                    .ongoing(seen.ongoing),
            )
        };
        of_limits.filter_map(finding).collect()
    }

    /// An average call beside its limits.
    fn budget(&self, history: &History, limits: &PluginLimits) -> Option<Finding> {
        let calls = self.recent(history, "paceline_plugin_calls_total");
        let (fuel, seconds) =
            (self.recent(history, "paceline_plugin_fuel_total"), self.recent(history, "paceline_plugin_seconds"));
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
        "Shows the rulebook. Its [limits] may be raised up to the host's ceilings, in a new version; or make the plugin do less.",
        "processor time",
    )
    .breaks("A higher limit lets one record hold its shard for longer.")
}
