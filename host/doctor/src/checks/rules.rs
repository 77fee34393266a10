//! The rules: versions that fail, hosts that do not follow, races without a rulebook.

use std::collections::BTreeMap;

use super::facts::{COUNTS, ONE_READING, if_counted, not_known, recent_part};
use crate::command::Command;
use crate::finding::{Evidence, Finding, Outcome, Remedy, Severity};
use crate::history::{History, HostState, Namespace, RaceTypeRules, Rules, Statistic, Trial};
use crate::scope::Scope;
use crate::words::{counted, duration, number, percent};

/// The share of a version's records on which a plugin may fail, as the default of a trial.
const FAILED: f64 = 0.005;
/// Records below which a share means nothing.
const ENOUGH_RECORDS: f64 = 100.0;
/// Why nothing is known of pins: there is no store that outlives its process.
const PINS_NOT_READ: &str = "there is no store that keeps pins";
/// Seconds within which hosts follow a change: they poll each second, note it every ten, and load plugins.
const FOLLOW_SECONDS: f64 = 60.0;

/// Whether a version's plugins fail on records.
pub(super) fn failing_version(history: &History) -> Outcome {
    let records = history.select(Namespace::Host, "paceline_rulebook_records_total");
    let of_function = history.select(Namespace::Function, "RulebookFailed");
    if history.rules.is_none() && records.is_empty() && !history.observes(Namespace::Function) {
        return Outcome::NotChecked(not_known(
            history,
            &["rules", "metrics of host"],
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
    // Trials alone show nothing of the versions that are active.
    if findings.is_empty() && !history.observes(Namespace::Function) && records.increases().points.is_empty() {
        let missing = match records.is_empty() {
            true => "neither a function nor a host has counted the records of versions",
            false => ONE_READING,
        };
        return Outcome::NotChecked(not_known(history, COUNTS, missing));
    }
    if_counted(history, Outcome::of(findings, "no version fails on its records"))
}

/// Trials that failed.
fn trials(history: &History, rules: &Rules) -> Vec<Finding> {
    let trials = rules.race_types.iter().filter_map(|(name, of)| Some((name, of.trial.as_ref()?)));
    let failed = trials.filter(|(_, trial)| trial.rolled_back || share(trial.failed, trial.records) > FAILED);
    let finding = |(name, trial): (&String, &Trial)| {
        let what = if trial.rolled_back { "Hosts went back to the active version" } else { "It still runs" };
        let reason =
            format!("The trial of {} ({}) fails: its plugins fail on records. {what}.", trial.version, trial.kind);
        let rejected = Evidence::new(
            "records that it rejected",
            trial.rejected as f64,
            format!("of {}", number(trial.records as f64)),
        );
        Finding::new(Severity::Warning, format!("race type {name}, {}", trial.version), reason)
            .of_version(&trial.version)
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
        "Plugins of {version} fail on {} of its records. These records become dead letters, plugin-failed or \
         bad-score.",
        percent(failed / all)
    );
    Some(
        Finding::new(severity, format!("race type {race_type}, {version}"), reason)
            .of_version(version)
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
        let missing = "no host has noted which rules it follows";
        return Outcome::NotChecked(not_known(history, &["hosts", "dead letters, hosts"], missing));
    }
    let since_change = rules.changed.map_or(f64::INFINITY, |changed| history.until.since(changed).as_secs_f64());
    let is_behind =
        |host: &&HostState| host.revision < rules.revision && since_change > FOLLOW_SECONDS || host.refusal.is_some();
    let findings: Vec<Finding> =
        rules.hosts.iter().filter(is_behind).map(|host| behind(history, rules, host)).collect();
    Outcome::of(findings, following(rules, since_change))
}

/// How many hosts follow the newest revision, and how long the others have to.
fn following(rules: &Rules, since_change: f64) -> String {
    let (all, revision) = (rules.hosts.len(), rules.revision);
    let older = rules.hosts.iter().filter(|host| host.revision < revision).count();
    if older == 0 {
        return format!("{} at revision {revision}", counted(all, "host"));
    }
    let at = rules.changed.map(|changed| format!(", at {changed}")).unwrap_or_default();
    format!(
        "{} of {} at revision {revision}, {older} at an older one: it was written {} ago{at}, and hosts have {} to \
         follow",
        all - older,
        counted(all, "host"),
        duration(since_change),
        duration(FOLLOW_SECONDS)
    )
}

fn behind(history: &History, rules: &Rules, host: &HostState) -> Finding {
    let noted_since = rules.changed.is_none_or(|changed| host.seen.since(changed).as_secs_f64() > FOLLOW_SECONDS);
    let reason = match &host.refusal {
        Some(refusal) => format!("The host does not follow the newest rules: {refusal}"),
        None if noted_since => "The host follows an older revision of the rules, and has noted that after the newest \
                                one was written: it has lost its registry."
            .to_owned(),
        None => "The host has noted nothing since the newest revision was written. A function without records \
                 neither polls nor notes; a host that was killed leaves its note for forty minutes."
            .to_owned(),
    };
    let severity = if noted_since || host.refusal.is_some() { Severity::Warning } else { Severity::Note };
    let finding =
        Finding { scope: lacks(rules, host), ..Finding::new(severity, format!("host {}", host.name), reason) };
    finding
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

/// The race types for which a host has not the rules that hold, and since when.
fn lacks(rules: &Rules, host: &HostState) -> Scope {
    let next = host.revision.saturating_add(1);
    let is_next = |it: &&RaceTypeRules| it.since == Some(next);
    let changed = if rules.revision == next { rules.changed } else { None };
    let changed = changed.or_else(|| rules.race_types.values().find(is_next)?.changed);
    let changed_since = |(name, it): (&String, &RaceTypeRules)| {
        let is_newer = it.since? > host.revision;
        Some((is_newer && it.active.is_some()).then(|| (name.clone(), it.changed)))
    };
    let race_types: Option<Vec<_>> = rules.race_types.iter().map(changed_since).collect();
    let mut race_types: Option<BTreeMap<_, _>> = race_types.map(|it| it.into_iter().flatten().collect());
    if let Some(refusal) = &host.refusal {
        // Since when a host refuses a rulebook is not noted.
        let refused = refusal.strip_prefix("race type ").and_then(|rest| rest.split_once(": "));
        match (refused, &mut race_types) {
            (Some((name, _)), Some(race_types)) => drop(race_types.insert(name.to_owned(), None)),
            _ => race_types = None,
        }
    }
    Scope { began: changed.filter(|_| host.refusal.is_none()), race_types, ..Scope::default() }
}

/// Whether races are pinned to rulebooks that the registry lacks.
pub(super) fn missing_rulebook(history: &History) -> Outcome {
    let Some(rules) = &history.rules else {
        return Outcome::NotChecked(not_known(history, &["rules"], "the rules are not known"));
    };
    let mut findings = Vec::new();
    for (name, race_type) in rules.race_types.iter().filter(|(_, it)| !it.missing.is_empty()) {
        let pinned = race_type
            .missing
            .iter()
            .filter_map(|version| race_type.pinned.as_ref()?.get(version))
            .fold(0, |sum: u64, races| sum.saturating_add(*races));
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
                    "Names the objects that are missing or altered. Put them back from a version of the bucket or a \
                     package's registry.",
                    "nothing",
                ))
                .remedy(
                    Remedy::new(repin.build(), "One race goes on with another rulebook; RACE is its id.", "nothing")
                        .breaks("The race is marked as re-ruled: two rulebooks evaluated it."),
                ),
        );
    }
    let pinned: Option<Vec<usize>> =
        rules.race_types.values().map(|it| it.pinned.as_ref().map(BTreeMap::len)).collect();
    let Some(pinned) = pinned else {
        return match findings.is_empty() {
            true => Outcome::NotChecked(not_known(history, &["pinned races", "dead letters, hosts"], PINS_NOT_READ)),
            false => Outcome::Findings(findings),
        };
    };
    Outcome::of(
        findings,
        match pinned.iter().sum() {
            0 => "no race is pinned to a version".to_owned(),
            versions => format!("the registry has {}", counted(versions, "pinned version")),
        },
    )
}
