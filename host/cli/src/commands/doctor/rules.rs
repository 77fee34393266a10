//! What race types run, which hosts follow, and what trials have shown.

use std::collections::{BTreeMap, BTreeSet};

use paceline_config::{AnyStore, Config};
use paceline_doctor::history::{HostState, PluginLimits, RaceTypeRules, Rules, Trial};
use paceline_pipeline::rules::{
    Acknowledgement, Registry, Routing, Tail, TrialMode, Verdict, acknowledgements, entry_at, verdict,
};
use paceline_pipeline::store::PinStore;
use paceline_pipeline::{TrialReport, read_trial};

use crate::commands::rules::name::shown;

/// The maximum number of pins that are read for each race type.
const MAX_PINS: usize = 10_000;

/// Reads the log, and from the store what hosts note there.
pub(super) async fn read(config: &Config, registry: &Registry, store: Option<&AnyStore>) -> anyhow::Result<Rules> {
    let (tail, _) = Tail::open(registry).await?;
    let mut race_types = BTreeMap::new();
    for (race_type, routing) in &tail.rules.routing {
        race_types.insert(race_type.clone(), race_type_rules(registry, store, &tail, (race_type, routing)).await?);
    }
    let hosts = match store {
        Some(store) => acknowledgements(store).await?,
        None => Vec::new(),
    };
    let limits = &config.limits;
    Ok(Rules {
        registry: registry.location().to_owned(),
        revision: tail.revision,
        changed: entry_at(registry, tail.revision).await?.and_then(|entry| entry.at.parse().ok()),
        race_types,
        hosts: hosts.into_iter().map(|host| host_state(&tail, host)).collect(),
        limits: Some(PluginLimits {
            fuel_per_call: limits.fuel_per_call,
            fuel_per_row: limits.fuel_per_row,
            call_ms: limits.call_ms,
        }),
    })
}

async fn race_type_rules(
    registry: &Registry,
    store: Option<&AnyStore>,
    tail: &Tail,
    (race_type, routing): (&str, &Routing),
) -> anyhow::Result<RaceTypeRules> {
    let mut read =
        RaceTypeRules { active: routing.current.map(|digest| shown(&tail.rules, digest)), ..RaceTypeRules::default() };
    if let Some(digest) = routing.current {
        let rulebook = registry.rulebook(digest).await?;
        let dedups: BTreeSet<String> = rulebook.aggregate.iter().map(|aggregate| aggregate.dedup.to_string()).collect();
        read.dedups = dedups.into_iter().collect();
    }
    let Some(store) = store else { return Ok(read) };
    let mut missing = BTreeSet::new();
    for (race, pin) in store.list_pins(race_type, MAX_PINS).await? {
        let runs = tail.rules.effective(race_type, &race.value, pin);
        *read.pinned.entry(shown(&tail.rules, runs)).or_default() += 1;
        if tail.rules.id(runs).is_none() {
            missing.insert(runs.to_string());
        }
    }
    read.missing = missing.into_iter().collect();
    if let Some(trial) = &routing.candidate {
        let registry = tail.registry.as_deref().unwrap_or_default();
        let TrialReport { tally, veto, .. } = read_trial(store, registry, race_type, trial).await?;
        let failed = matches!(verdict(&tally, &trial.limits), Verdict::Failed(_));
        let rows = tally.candidate.rows;
        read.trial = Some(Trial {
            version: shown(&tail.rules, trial.rulebook),
            kind: match trial.mode {
                TrialMode::Canary { share } => format!("canary with {share} of the new races"),
                TrialMode::Shadow => "shadow".to_owned(),
            },
            records: rows.evaluated,
            failed: rows.failed + rows.bad_scores,
            rejected: rows.rejected,
            rolled_back: veto.is_some() || failed,
        });
    }
    Ok(read)
}

/// A host of another registry is on none of this one's revisions.
fn host_state(tail: &Tail, host: Acknowledgement) -> HostState {
    let own = host.registry == tail.registry;
    let refusal = host.refusals.first().map(ToString::to_string).or(host.problem);
    let other = || format!("it follows another registry: {}", host.registry.as_deref().unwrap_or("none"));
    HostState {
        name: host.host.clone(),
        revision: if own { host.revision } else { 0 },
        seen: host.since.parse().unwrap_or(paceline_doctor::Timestamp(0)),
        refusal: refusal.or_else(|| (!own).then(other)),
    }
}
