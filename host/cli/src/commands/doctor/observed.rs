//! A deployment, observed once or again and again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use paceline_config::{AnyStore, Config};
use paceline_doctor::History;
use paceline_doctor::history::{Namespace, Series, Unavailable};
use paceline_observe::{Target, observe};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::Registry;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::{letters, rules};
use crate::setup::open_store_if_there;

/// The readings of a host's metrics, and the pause between them, that one examination takes: two counters make a rate.
const READINGS: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Readings of a host that are kept: an hour of them, at one in ten seconds.
const KEPT: usize = 360;

/// Observes one deployment.
pub(crate) struct Observer {
    target: Target,
    config: Option<Config>,
    /// The file, for commands.
    file: Option<PathBuf>,
    store: Option<AnyStore>,
    registry: Option<Registry>,
    /// What could not be opened.
    closed: Vec<Unavailable>,
    /// What hosts have shown so far.
    seen: Vec<Series>,
}

impl Observer {
    /// Opens store and registry, if the configuration names them. What cannot be opened is noted.
    pub(crate) fn open(target: Target, config: Option<Config>, file: Option<&Path>, runtime: &Runtime) -> Self {
        let (mut store, mut registry, mut closed) = (None, None, Vec::new());
        if let Some(config) = &config {
            store = open_store_if_there(config, runtime).unwrap_or_else(|error| {
                closed.push(unavailable("dead letters, hosts and pinned races", &error));
                None
            });
            registry = match runtime.block_on(paceline_config::open_registry(config)) {
                Ok(registry) => Some(registry),
                Err(error) => {
                    closed.push(unavailable("rules", &error.into()));
                    None
                }
            };
        }
        Self { target, config, file: file.map(Path::to_owned), store, registry, closed, seen: Vec::new() }
    }

    /// Observes it often enough for rates, where hosts are observed.
    pub(crate) async fn observe_course(&mut self) -> anyhow::Result<History> {
        if !self.target.hosts.is_empty() {
            let hosts_only =
                Target { stream: None, function: None, tables: Vec::new(), queue: None, ..self.target.clone() };
            for _ in 1..READINGS {
                let history = observe(&hosts_only).await?;
                self.remember(&history);
                sleep(PAUSE).await;
            }
        }
        self.observe().await
    }

    /// Observes it once more.
    pub(crate) async fn observe(&mut self) -> anyhow::Result<History> {
        let mut history = observe(&self.target).await?;
        history.config = self.file.as_ref().map(|path| path.display().to_string());
        self.remember(&history);
        history.series.retain(|series| series.metric.namespace != Namespace::Host);
        history.series.extend(self.seen.iter().cloned());
        history.unavailable.extend(self.closed.iter().cloned());
        if let (Some(config), Some(registry)) = (&self.config, &self.registry) {
            match rules::read(config, registry, self.store.as_ref()).await {
                Ok(rules) => history.rules = Some(rules),
                Err(error) => history.unavailable.push(unavailable("rules", &error)),
            }
        }
        if let Some(store) = &self.store {
            match letters::read(store).await {
                Ok(mut letters) => {
                    letters.queue = history.dead_letters.take().and_then(|letters| letters.queue);
                    history.dead_letters = Some(letters);
                }
                Err(error) => history.unavailable.push(unavailable("dead letters", &error)),
            }
        }
        Ok(history)
    }

    /// Adds what hosts have shown to what they have shown before.
    fn remember(&mut self, history: &History) {
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
    }
}

/// Something that could not be read.
fn unavailable(what: &str, error: &anyhow::Error) -> Unavailable {
    Unavailable { what: what.to_owned(), permission: None, reason: ErrorChain(error.as_ref()).to_string() }
}
