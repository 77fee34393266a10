//! What race types run, which hosts follow, which races there are, and what trials have shown.

use std::collections::{BTreeMap, BTreeSet};

use paceline_config::{AnyStore, Config};
use paceline_dashboard::status::{self as shown_status, Candidate, CandidateMode, Figures, Pinned, RaceKey, RaceType};
use paceline_doctor::Timestamp;
use paceline_doctor::history::{HostState, PluginLimits, RaceTypeRules, Rules, Trial, Unavailable};
use paceline_pipeline::rules::{
    Acknowledgement, Arm, Registry, Routing, Tail, TrialMode, Verdict, acknowledgements, entry_at, verdict,
};
use paceline_pipeline::store::PinStore;
use paceline_pipeline::{ErrorChain, TrialReport, read_trial};

use crate::commands::rules::name::shown;

/// The maximum number of pins that are read for each race type.
const MAX_PINS: usize = 10_000;
/// The newest races of a race type that can be chosen.
const RACES: usize = 20;

/// What the registry and the store know of the rules.
#[derive(Clone)]
pub(crate) struct SeenRules {
    /// What the doctor examines.
    pub(crate) rules: Rules,
    /// What the dashboard shows.
    pub(crate) status: shown_status::Rules,
    /// The races that there are, the newest first, and the classes.
    pub(crate) races: Vec<RaceKey>,
}

/// Reads the log, and from the store what hosts note there.
///
/// Without one of them, the rest is read nevertheless, and what is missing is noted.
pub(super) async fn read(
    config: &Config,
    registry: &Registry,
    store: Option<&AnyStore>,
    unavailable: &mut Vec<Unavailable>,
) -> anyhow::Result<SeenRules> {
    let (tail, _) = Tail::open(registry).await?;
    let (mut examined, mut status, mut races) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (race_type, routing) in &tail.rules.routing {
        let seen = read_race_type((registry, store), &tail, (race_type, routing), unavailable).await;
        races.extend(seen.races);
        examined.insert(race_type.clone(), seen.examined);
        status.insert(race_type.clone(), seen.status);
    }
    races.extend(examined.keys().map(|class| RaceKey { class: class.clone(), race: None }));
    let hosts = match store {
        Some(store) => noted(acknowledgements(store).await, "hosts", unavailable).unwrap_or_default(),
        None => Vec::new(),
    };
    read_times(registry, &hosts, &mut examined).await?;
    let limits = &config.limits;
    let status = shown_status::Rules {
        registry: registry.location().to_owned(),
        revision: tail.revision,
        race_types: status,
        hosts: hosts.iter().map(shown_host).collect(),
    };
    let rules = Rules {
        registry: registry.location().to_owned(),
        revision: tail.revision,
        changed: entry_at(registry, tail.revision).await?.and_then(|entry| entry.at.parse().ok()),
        race_types: examined,
        hosts: hosts.into_iter().map(|host| host_state(&tail, host)).collect(),
        limits: Some(PluginLimits {
            fuel_per_call: limits.fuel_per_call,
            fuel_per_row: limits.fuel_per_row,
            call_ms: limits.call_ms,
        }),
    };
    Ok(SeenRules { rules, status, races })
}

/// Reads when race types were changed for which a host has not the newest rules. Of the others nobody needs to know.
async fn read_times(
    registry: &Registry,
    hosts: &[Acknowledgement],
    race_types: &mut BTreeMap<String, RaceTypeRules>,
) -> anyhow::Result<()> {
    let Some(oldest) = hosts.iter().map(|host| host.revision).min() else { return Ok(()) };
    let mut times: BTreeMap<u64, Option<Timestamp>> = BTreeMap::new();
    for race_type in race_types.values_mut() {
        let Some(since) = race_type.since.filter(|since| *since > oldest) else { continue };
        race_type.changed = match times.get(&since) {
            Some(time) => *time,
            None => {
                // Without it, nothing is ruled out.
                let entry = entry_at(registry, since).await.ok().flatten();
                let time = entry.and_then(|entry| entry.at.parse().ok());
                times.insert(since, time);
                time
            }
        };
    }
    Ok(())
}

/// A race type as the doctor and as the dashboard take it.
struct SeenRaceType {
    examined: RaceTypeRules,
    status: RaceType,
    races: Vec<RaceKey>,
}

/// A part that could not be read is noted.
fn noted<T, E: std::error::Error + 'static>(
    read: Result<T, E>,
    what: &str,
    unavailable: &mut Vec<Unavailable>,
) -> Option<T> {
    let note = |error: E| {
        let reason = ErrorChain(&error).to_string();
        unavailable.push(Unavailable { what: what.to_owned(), permission: None, reason, by_limit: false });
    };
    read.map_err(note).ok()
}

async fn read_race_type(
    (registry, store): (&Registry, Option<&AnyStore>),
    tail: &Tail,
    (race_type, routing): (&str, &Routing),
    unavailable: &mut Vec<Unavailable>,
) -> SeenRaceType {
    let name = |digest| shown(&tail.rules, digest);
    let mut examined =
        RaceTypeRules { active: routing.current.map(name), since: Some(routing.since), ..RaceTypeRules::default() };
    let mut status = RaceType {
        current: routing.current.map(name),
        fallback: routing.way_back().map(name),
        since: routing.since,
        ..RaceType::default()
    };
    if let Some(digest) = routing.current {
        let rulebook = noted(registry.rulebook(digest).await, &format!("rulebook {}", name(digest)), unavailable);
        examined.packs = rulebook.as_ref().map(|it| it.aggregate.iter().all(|aggregate| aggregate.pack.is_some()));
        let aggregates = rulebook.into_iter().flat_map(|rulebook| rulebook.aggregate);
        let dedups: BTreeSet<String> = aggregates.map(|aggregate| aggregate.dedup.to_string()).collect();
        examined.dedups = dedups.into_iter().collect();
    }
    let Some(store) = store else { return SeenRaceType { examined, status, races: Vec::new() } };
    let pins = store.list_pins(race_type, MAX_PINS + 1).await;
    let pins = noted(pins, &format!("pinned races of race type {race_type}"), unavailable);
    let mut pinned: Option<BTreeMap<String, u64>> = pins.as_ref().map(|_| BTreeMap::new());
    let mut pins = pins.unwrap_or_default();
    status.more = pins.len() > MAX_PINS;
    pins.truncate(MAX_PINS);
    let (mut missing, mut races) = (BTreeSet::new(), Vec::new());
    for (race, pin) in pins {
        let runs = tail.rules.effective(race_type, &race.value, pin);
        *pinned.get_or_insert_default().entry(name(runs)).or_default() += 1;
        if tail.rules.id(runs).is_none() {
            missing.insert(runs.to_string());
        }
        races.push(race.value);
    }
    examined.missing = missing.into_iter().collect();
    let counts = pinned.iter().flatten();
    status.pinned = counts.map(|(rulebook, races)| Pinned { rulebook: rulebook.clone(), races: *races }).collect();
    examined.pinned = pinned;
    if let Some(trial) = &routing.candidate {
        let registry = tail.registry.as_deref().unwrap_or_default();
        let report = read_trial(store, registry, race_type, trial).await;
        if let Some(report) = noted(report, &format!("the trial of race type {race_type}"), unavailable) {
            examined.trial = Some(examined_trial(name(trial.rulebook), trial, &report));
            status.candidate = Some(candidate(name(trial.rulebook), trial, report));
        }
    }
    // Races are numbered by time.
    races.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| b.cmp(a)));
    races.truncate(RACES);
    let races = races.into_iter().map(|race| RaceKey { class: race_type.to_owned(), race: Some(race) }).collect();
    SeenRaceType { examined, status, races }
}

fn examined_trial(version: String, trial: &paceline_pipeline::rules::Trial, report: &TrialReport) -> Trial {
    let failed = matches!(verdict(&report.tally, &trial.limits), Verdict::Failed(_));
    let rows = report.tally.candidate.rows;
    Trial {
        version,
        kind: match trial.mode {
            TrialMode::Canary { share } => format!("canary with {share} of the new races"),
            TrialMode::Shadow => "shadow".to_owned(),
        },
        records: rows.evaluated,
        failed: rows.failed + rows.bad_scores,
        rejected: rows.rejected,
        rolled_back: report.veto.is_some() || failed,
    }
}

fn candidate(rulebook: String, trial: &paceline_pipeline::rules::Trial, report: TrialReport) -> Candidate {
    let (mode, share) = match trial.mode {
        TrialMode::Canary { share } => (CandidateMode::Canary, Some(share.as_f64() * 100.0)),
        TrialMode::Shadow => (CandidateMode::Shadow, None),
    };
    Candidate {
        rulebook,
        mode,
        share,
        verdict: Some(verdict(&report.tally, &trial.limits).to_string()),
        veto: report.veto,
        figures: Some(figures(&report.tally.candidate)),
        current_figures: Some(figures(&report.tally.current)),
    }
}

fn figures(arm: &Arm) -> Figures {
    let records = arm.rows.evaluated;
    let of_a_record = |total: u64| total.checked_div(records);
    Figures {
        records,
        failed: arm.rows.failed,
        bad_scores: arm.rows.bad_scores,
        rejected: arm.rows.rejected,
        failed_calls: arm.faults,
        fuel: of_a_record(arm.fuel),
        nanoseconds: of_a_record(arm.nanos),
    }
}

fn shown_host(host: &Acknowledgement) -> shown_status::Host {
    let refusals = host.refusals.iter().map(ToString::to_string).chain(host.problem.clone());
    shown_status::Host {
        name: host.host.clone(),
        kind: host.kind.clone(),
        revision: host.revision,
        since: host.since.parse().ok(),
        refusals: refusals.collect(),
    }
}

/// A host of another registry is on none of this one's revisions.
fn host_state(tail: &Tail, host: Acknowledgement) -> HostState {
    let own = host.registry == tail.registry;
    let refusal = host.refusals.first().map(ToString::to_string).or(host.problem);
    let other = || format!("it follows another registry: {}", host.registry.as_deref().unwrap_or("none"));
    HostState {
        name: host.host.clone(),
        revision: if own { host.revision } else { 0 },
        seen: host.since.parse().unwrap_or(Timestamp(0)),
        refusal: refusal.or_else(|| (!own).then(other)),
    }
}
