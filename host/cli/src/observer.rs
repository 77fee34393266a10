//! A deployment, observed once or again and again.
//!
//! - `letters`: dead letters by reason.
//! - `rules`: what race types run, which hosts follow, which races there are.

mod letters;
mod rules;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paceline_config::{AnyStore, Config};
use paceline_doctor::history::{ALL_BUT_HOSTS, Namespace, Series, Unavailable};
use paceline_doctor::{History, Timestamp};
use paceline_observe::{Target, observe};
use paceline_pipeline::rules::Registry;
use paceline_pipeline::{ErrorChain, Pipeline};
use tokio::time::{Instant, sleep, timeout};

pub(crate) use rules::SeenRules;

/// The readings of a host's metrics, and the pause between them, that one examination takes: two counters make a rate.
const READINGS: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Readings of a host that are kept: as many as a chart has points.
const KEPT: usize = 180;

/// What is read of AWS, the registry and the store costs money, and CloudWatch has new values once a minute.
const SLOW: Duration = Duration::from_secs(60);

/// The time for all of it.
const SLOW_WITHIN: Duration = Duration::from_secs(45);

/// A store: this command's own, or that of the pipeline which processes the stream.
#[derive(Clone)]
pub(crate) enum SharedStore {
    Own(Arc<AnyStore>),
    Pipeline(Arc<Pipeline<AnyStore>>),
}

impl SharedStore {
    pub(crate) fn get(&self) -> &AnyStore {
        match self {
            Self::Own(store) => store,
            Self::Pipeline(pipeline) => pipeline.store(),
        }
    }
}

/// Observes one deployment.
pub(crate) struct Observer {
    target: Target,
    config: Option<Arc<Config>>,
    /// The configuration's file, for commands.
    file: Option<PathBuf>,
    store: Option<SharedStore>,
    registry: Option<Registry>,
    /// What could not be opened.
    closed: Vec<Unavailable>,
    /// What hosts have shown so far.
    seen: Vec<Series>,
    /// What was read last of everything but hosts.
    slow: Option<(Instant, Observed)>,
}

/// What was observed.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) history: History,
    /// The rules with more than the history has, if they could be read.
    pub(crate) rules: Option<SeenRules>,
}

impl Observer {
    /// Opens store and registry, if the configuration names them. What cannot be opened is noted.
    pub(crate) async fn open(target: Target, config: Option<Arc<Config>>, file: Option<&Path>) -> Self {
        let (mut store, mut closed) = (None, Vec::new());
        if let Some(config) = &config
            && crate::setup::store_is_there(config)
        {
            match paceline_config::open_store(config).await {
                Ok(opened) => store = Some(SharedStore::Own(Arc::new(opened))),
                Err(error) => closed.push(unavailable("dead letters, hosts and pinned races", &error.into())),
            }
        }
        let mut observer = Self::with_store(target, config, store).await.of_file(file);
        observer.closed.extend(closed);
        observer
    }

    /// With the store of a running pipeline.
    pub(crate) async fn with_store(target: Target, config: Option<Arc<Config>>, store: Option<SharedStore>) -> Self {
        let (mut registry, mut closed) = (None, Vec::new());
        if let Some(config) = &config {
            match paceline_config::open_registry(config).await {
                Ok(opened) => registry = Some(opened),
                Err(error) => closed.push(unavailable("rules", &error.into())),
            }
        }
        Self { target, config, file: None, store, registry, closed, seen: Vec::new(), slow: None }
    }

    /// With the configuration's file.
    pub(crate) fn of_file(self, file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), ..self }
    }

    /// The store, if there is one.
    pub(crate) fn store(&self) -> Option<SharedStore> {
        self.store.clone()
    }

    /// Observes it often enough for rates, where hosts are observed.
    pub(crate) async fn observe_course(&mut self) -> anyhow::Result<Observed> {
        if !self.target.hosts.is_empty() {
            for _ in 1..READINGS {
                self.read_hosts().await?;
                sleep(PAUSE).await;
            }
        }
        self.observe().await
    }

    /// Observes it once more: hosts each time, everything else once a minute.
    pub(crate) async fn observe(&mut self) -> anyhow::Result<Observed> {
        let fresh = self.slow.as_ref().filter(|(taken, _)| taken.elapsed() < SLOW);
        let mut observed = match fresh {
            Some((_, observed)) => observed.clone(),
            None => {
                let observed = self.observe_within_limit().await?;
                self.slow = Some((Instant::now(), observed.clone()));
                observed
            }
        };
        let missing = self.read_hosts().await?;
        let history = &mut observed.history;
        history.unavailable.extend(missing);
        history.series.extend(self.seen.iter().cloned());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        history.until = Timestamp(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        Ok(observed)
    }

    /// Everything but hosts, or what was observed before if that takes too long: whoever waits for the page sees hosts.
    async fn observe_within_limit(&self) -> anyhow::Result<Observed> {
        if let Ok(observed) = timeout(SLOW_WITHIN, self.observe_slowly()).await {
            return observed;
        }
        let mut observed = match &self.slow {
            Some((_, observed)) => observed.clone(),
            None => {
                let history = observe(&Target::nothing(self.target.span)).await?;
                Observed { history, rules: None }
            }
        };
        let reason = format!("they did not answer within {} s; older figures are shown, if any", SLOW_WITHIN.as_secs());
        let what = ALL_BUT_HOSTS.to_owned();
        observed.history.unavailable.push(Unavailable { what, permission: None, reason, by_limit: false });
        Ok(observed)
    }

    /// Everything but hosts.
    async fn observe_slowly(&self) -> anyhow::Result<Observed> {
        let mut history = observe(&Target { hosts: Vec::new(), ..self.target.clone() }).await?;
        history.config = self.file.as_ref().map(|path| path.display().to_string());
        history.unavailable.extend(self.closed.iter().cloned());
        let store = self.store.as_ref().map(SharedStore::get);
        let mut rules = None;
        if let (Some(config), Some(registry)) = (&self.config, &self.registry) {
            match rules::read(config, registry, store, &mut history.unavailable).await {
                Ok(seen) => {
                    history.rules = Some(seen.rules.clone());
                    rules = Some(seen);
                }
                Err(error) => history.unavailable.push(unavailable("rules", &error)),
            }
        }
        if let Some(store) = store {
            match letters::read(store).await {
                Ok(mut letters) => {
                    letters.queue = history.dead_letters.take().and_then(|letters| letters.queue);
                    history.dead_letters = Some(letters);
                }
                Err(error) => history.unavailable.push(unavailable("dead letters", &error)),
            }
        }
        Ok(Observed { history, rules })
    }

    /// Reads hosts' metrics once more. Returns those that could not be read.
    async fn read_hosts(&mut self) -> anyhow::Result<Vec<Unavailable>> {
        if self.target.hosts.is_empty() {
            return Ok(Vec::new());
        }
        let hosts = self.target.hosts.clone();
        let history = observe(&Target { hosts, ..Target::nothing(self.target.span) }).await?;
        let mut known: HashMap<_, usize> = HashMap::new();
        for (index, series) in self.seen.iter().enumerate() {
            known.insert((series.metric.clone(), series.dimensions.clone()), index);
        }
        for series in history.series.iter().filter(|series| series.metric.namespace == Namespace::Host) {
            match known.get(&(series.metric.clone(), series.dimensions.clone())) {
                None => self.seen.push(series.clone()),
                Some(index) => {
                    let points = &mut self.seen[*index].points;
                    points.extend_from_slice(&series.points);
                    let old = points.len().saturating_sub(KEPT);
                    points.drain(..old);
                }
            }
        }
        // A host that answered has shown all that it has: what it does not show any more has ended, such as the age of a
        // shard that another host reads. Counters stay for the charts.
        let host = |series: &Series| series.dimensions.get("host").cloned().unwrap_or_default();
        let answered: HashSet<String> = history.series.iter().map(host).collect();
        self.seen.retain(|series| {
            series.metric.name.ends_with("_total")
                || series.points.last().is_some_and(|point| point.0 >= history.until)
                || !answered.contains(&host(series))
        });
        // A counter that ended is forgotten once all of the others are younger than its last point.
        let begin =
            self.seen.iter().filter(|series| series.points.len() == KEPT).map(|series| series.points[0].0).max();
        if let Some(begin) = begin {
            self.seen.retain(|series| series.points.last().is_some_and(|point| point.0 >= begin));
        }
        Ok(history.unavailable)
    }
}

/// Something that could not be read.
fn unavailable(what: &str, error: &anyhow::Error) -> Unavailable {
    let reason = ErrorChain(error.as_ref()).to_string();
    Unavailable { what: what.to_owned(), permission: None, reason, by_limit: false }
}
