//! What this host has seen of trials, and what it shares with the other hosts through the store.
//!
//! Hosts can't write the rules' log. A canary that fails is taken back by a veto in the store, which every host reads at
//! its polls. It holds until an operator changes the race type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::error::ErrorChain;
use crate::model::{RulebookId, RulesRevision};
use crate::rules::{Catalog, Routing, Rulebooks, RulesEvent, Tally, Trial, TrialMode, Verdict, Vetoes, verdict};
use crate::store::{Expected, Notice, NoticeStore, StoreError};

/// How often a host writes what it has seen, at most.
pub const DEFAULT_TRIAL_INTERVAL: Duration = Duration::from_secs(10);

/// How long a host's tally stays in the store after its last write: longer than any trial that somebody looks at.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The time that a shadow may take, as a part of the time in the plugins of the current rulebooks.
const SHADOW_TIME: f64 = 1.5;

/// The time that a shadow gets at least once it is its turn. What it takes too much is missing later.
const SHADOW_LEAST: Duration = Duration::from_millis(20);

/// The topic of vetoes.
const VETOES: &str = "vetoes";

/// A trial in the log of one registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TrialKey {
    race_type: String,
    /// The revision since which it runs.
    since: u64,
}

impl TrialKey {
    fn topic(&self, registry: &str) -> String {
        format!("trials/{registry}/{}/{}", self.race_type, self.since)
    }

    fn name(&self) -> String {
        format!("{}/{}", self.race_type, self.since)
    }
}

/// What this host has seen of trials.
#[derive(Debug)]
pub(crate) struct Trials {
    /// The name of this process among the hosts.
    host: String,
    interval: Duration,
    clock: Clock,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    trials: BTreeMap<TrialKey, Observed>,
    /// The time that shadows may take, in nanoseconds. Negative after one that took more.
    shadow_credit: i64,
}

#[derive(Debug, Default)]
struct Observed {
    tally: Tally,
    /// What is in the store, and since when.
    shared: Tally,
    shared_at: Option<tokio::time::Instant>,
}

impl Trials {
    pub(crate) fn new(interval: Duration) -> Self {
        // Unique: the tally of another process is not to be replaced.
        let host = format!("{}-{:x}", std::process::id(), Clock::Machine.since_epoch().as_nanos());
        Self { host, interval, clock: Clock::default(), seen: Mutex::default() }
    }

    pub(crate) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    pub(crate) fn with_host(self, host: String) -> Self {
        Self { host, ..self }
    }

    /// Adds what a batch has shown.
    pub(crate) fn add(&self, race_type: &str, trial: &Trial, tally: &Tally) {
        let key = TrialKey { race_type: race_type.to_owned(), since: trial.since };
        self.lock().trials.entry(key).or_default().tally.add(tally);
    }

    /// Gives shadows time in proportion to what the current rulebooks took, and returns when they have to end.
    pub(crate) fn shadow_until(&self, took: Duration) -> Option<Instant> {
        let mut seen = self.lock();
        seen.shadow_credit += took.mul_f64(SHADOW_TIME).as_nanos() as i64;
        let credit = u64::try_from(seen.shadow_credit).ok().filter(|credit| *credit > 0)?;
        Some(Instant::now() + Duration::from_nanos(credit).max(SHADOW_LEAST))
    }

    /// Takes the time of a shadow.
    pub(crate) fn shadow_took(&self, time: Duration) {
        self.lock().shadow_credit -= time.as_nanos() as i64;
    }

    /// Reads the vetoes, and shares what was seen. Nothing is read or written while nothing is tried.
    pub(crate) async fn share<S: NoticeStore>(
        &self,
        store: &S,
        rulebooks: &Rulebooks,
        also_recent: bool,
    ) -> Result<Vec<RulesEvent>, StoreError> {
        let catalog = rulebooks.catalog();
        let trials = self.current(&catalog);
        if trials.is_empty() {
            return Ok(Vec::new());
        }
        let registry = &catalog.at().registry;
        let has_canary = trials.iter().any(|(_, trial)| trial.is_canary());
        let mut vetoes = if has_canary { read_vetoes(store, registry).await? } else { Vetoes::new() };
        for (key, trial) in &trials {
            if vetoes.contains(&(key.race_type.clone(), key.since)) {
                continue;
            }
            let Some(tally) = self.due(key, also_recent) else { continue };
            let all = self.share_tally(store, &key.topic(registry), &tally).await?;
            if let (TrialMode::Canary { .. }, Verdict::Failed(why)) = (trial.mode, verdict(&all, &trial.limits)) {
                let id = catalog.rules().id(trial.rulebook);
                let id = id.map_or_else(|| trial.rulebook.to_string(), |id: RulebookId| id.to_string());
                tracing::error!(race_type = key.race_type, "{id} is taken back: {why}");
                self.put_veto(store, registry, key, &why.to_string()).await?;
                vetoes.insert((key.race_type.clone(), key.since));
            }
            // Only now: a veto that could not be stored is tried again, also if no record comes any more.
            self.shared(key, tally);
        }
        Ok(rulebooks.veto(vetoes).await)
    }

    /// The trials that run. What was seen of others is forgotten.
    fn current(&self, catalog: &Catalog) -> Vec<(TrialKey, Trial)> {
        let routing = catalog.rules().routing.iter();
        let trial = |(race_type, routing): (&String, &Routing)| {
            let trial = routing.candidate?;
            Some((TrialKey { race_type: race_type.clone(), since: trial.since }, trial))
        };
        let trials: Vec<(TrialKey, Trial)> = routing.filter_map(trial).collect();
        let keys: BTreeSet<&TrialKey> = trials.iter().map(|(key, _)| key).collect();
        self.lock().trials.retain(|key, _| keys.contains(key));
        trials
    }

    /// What this host has seen of a trial, if it is time to share it.
    fn due(&self, key: &TrialKey, also_recent: bool) -> Option<Tally> {
        let seen = self.lock();
        let observed = seen.trials.get(key)?;
        let is_recent = observed.shared_at.is_some_and(|at| at.elapsed() < self.interval);
        (observed.tally != observed.shared && (also_recent || !is_recent)).then_some(observed.tally)
    }

    fn shared(&self, key: &TrialKey, tally: Tally) {
        if let Some(observed) = self.lock().trials.get_mut(key) {
            (observed.shared, observed.shared_at) = (tally, Some(tokio::time::Instant::now()));
        }
    }

    /// Writes this host's tally, and returns that of all hosts.
    async fn share_tally<S: NoticeStore>(&self, store: &S, topic: &str, tally: &Tally) -> Result<Tally, StoreError> {
        let body = serde_json::to_string(tally).expect("a tally has only types that JSON has");
        let expires = (self.clock.since_epoch() + KEPT).as_secs();
        let notice = Notice { name: self.host.clone(), body, version: 1, expires: Some(expires) };
        store.put_notice(topic, &notice, Expected::Anything).await?;
        Ok(sum(&store.list_notices(topic).await?))
    }

    async fn put_veto<S: NoticeStore>(
        &self,
        store: &S,
        registry: &str,
        key: &TrialKey,
        why: &str,
    ) -> Result<(), StoreError> {
        let at = humantime::format_rfc3339_seconds(self.clock.now()).to_string();
        let body = serde_json::json!({ "why": why, "by": self.host, "at": at }).to_string();
        let notice = Notice { name: key.name(), body, version: 1, expires: None };
        // Another host may have been first.
        store.put_notice(&format!("{VETOES}/{registry}"), &notice, Expected::Nothing).await.map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a trial has shown on all hosts, and whether it was taken back.
#[derive(Clone, Debug)]
pub struct TrialReport {
    /// What all hosts have seen.
    pub tally: Tally,
    /// The hosts that have seen something.
    pub hosts: usize,
    /// Why it was taken back, if it was.
    pub veto: Option<String>,
}

/// Reads what the hosts have seen of a trial.
pub async fn read_trial<S: NoticeStore>(
    store: &S,
    registry: &str,
    race_type: &str,
    trial: &Trial,
) -> Result<TrialReport, StoreError> {
    let registry = &RulesRevision::new(registry, 0).registry;
    let key = TrialKey { race_type: race_type.to_owned(), since: trial.since };
    let tallies = store.list_notices(&key.topic(registry)).await?;
    let vetoes = store.list_notices(&format!("{VETOES}/{registry}")).await?;
    let veto = vetoes.into_iter().find(|notice| notice.name == key.name());
    let why = |notice: Notice| {
        let body: serde_json::Value = serde_json::from_str(&notice.body).unwrap_or_default();
        body["why"].as_str().unwrap_or("no reason is given").to_owned()
    };
    Ok(TrialReport { tally: sum(&tallies), hosts: tallies.len(), veto: veto.map(why) })
}

async fn read_vetoes<S: NoticeStore>(store: &S, registry: &str) -> Result<Vetoes, StoreError> {
    let notices = store.list_notices(&format!("{VETOES}/{registry}")).await?;
    let veto = |notice: &Notice| {
        let (race_type, since) = notice.name.rsplit_once('/')?;
        Some((race_type.to_owned(), since.parse().ok()?))
    };
    Ok(notices.iter().filter_map(veto).collect())
}

fn sum(notices: &[Notice]) -> Tally {
    let mut all = Tally::default();
    for notice in notices {
        match serde_json::from_str::<Tally>(&notice.body) {
            Ok(tally) => all.add(&tally),
            Err(error) => tracing::warn!("the tally of host {} can't be read: {}", notice.name, ErrorChain(&error)),
        }
    }
    all
}
