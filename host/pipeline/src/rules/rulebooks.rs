//! The rules of this host: how it follows the log, and the current catalog.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use paceline_engine::{Component, Digest, Engine};
use tokio::sync::Mutex;

use super::catalog::{Catalog, Followed, Route};
use super::document::Rulebook;
use super::error::{RegistryError, RulebookError};
use super::loaded::LoadedRulebook;
use super::log::{InvalidEntry, Read, Tail};
use super::registry::Registry;
use super::routing::Rules;
use super::successor::check_disjoint;
use crate::error::ErrorChain;
use crate::model::{Pointer, RulebookId};

/// Loaded rulebooks that no race type begins new races with. Their races are still in progress; those that were not used
/// for longest are dropped first, and loaded again when one of their races has another record.
const MAX_EARLIER: usize = 16;

/// The rules of this host.
#[derive(Debug)]
pub struct Rulebooks {
    engine: Engine,
    registry: Registry,
    /// A registry that came with the program. It is used until the other one has rules.
    seed: Option<Registry>,
    route: Pointer,
    current: RwLock<Arc<Catalog>>,
    batches: AtomicU64,
    /// Locked while the log is read or the catalog is being replaced.
    following: Mutex<Following>,
}

#[derive(Debug, Default)]
struct Following {
    /// `None` before a log was read.
    tail: Option<Tail>,
    /// Whether it is the seed's log.
    from_seed: bool,
    loaded: Loaded,
    /// What this host runs for each race type: behind the log where it refuses a rulebook.
    routes: HashMap<String, Route>,
    /// What they are made from.
    followed: Followed,
    refused: HashMap<Digest, Refusal>,
}

/// Why a rulebook is not loaded. It is reported once.
#[derive(Debug)]
enum Refusal {
    /// The registry does not provide it, or not whole. It may at the next poll.
    NotThere,
    /// It or one of its plugins was refused. The same bytes would be refused again.
    Refused(String),
}

#[derive(Debug, Default)]
struct Loaded {
    /// Compiled plugins. Rulebooks that name the same plugin share it.
    components: HashMap<Digest, Component>,
    rulebooks: Vec<Arc<LoadedRulebook>>,
}

/// What following the log brought.
#[derive(Debug)]
pub enum RulesEvent {
    /// New races of a race type begin with this rulebook.
    Activated {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: RulebookId,
        /// The revision.
        revision: u64,
    },
    /// New races of a race type find no rulebook any more.
    Retired {
        /// The race type.
        race_type: String,
    },
    /// A rulebook was refused. What the race type ran before goes on.
    Refused {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: String,
        /// Why.
        reason: RulebookError,
    },
    /// An entry of the log is not used.
    Skipped {
        /// Its revision.
        revision: u64,
        /// Why.
        reason: InvalidEntry,
    },
}

impl RulesEvent {
    /// Logs the event, as a warning if somebody has to do something.
    pub fn log(&self) {
        match self {
            Self::Activated { .. } | Self::Retired { .. } => tracing::info!("{self}"),
            Self::Refused { .. } | Self::Skipped { .. } => tracing::warn!("{self}"),
        }
    }
}

/// A line for a log.
impl fmt::Display for RulesEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Activated { race_type, rulebook, revision } => {
                write!(f, "race type {race_type}: {rulebook} is active (revision {revision})")
            }
            Self::Retired { race_type } => write!(f, "race type {race_type} is retired"),
            Self::Refused { race_type, rulebook, reason } => {
                write!(f, "race type {race_type}: {rulebook} is refused: {}", ErrorChain(reason))
            }
            Self::Skipped { revision, reason } => write!(f, "entry {revision} of the rules' log is skipped: {reason}"),
        }
    }
}

impl Rulebooks {
    /// No rulebooks before the first [`poll`](Self::poll). `route` is the field that names a record's race type.
    pub fn new(engine: Engine, registry: Registry, route: Pointer) -> Self {
        let catalog = Catalog::new(&route, &[], HashMap::new(), Followed::default());
        let current = RwLock::new(Arc::new(catalog));
        let (batches, following) = (AtomicU64::new(0), Mutex::default());
        Self { engine, registry, seed: None, route, current, batches, following }
    }

    /// Uses the rules of another registry until the first one has rules, and its plugins and rulebooks where the first one
    /// lacks them.
    pub fn with_seed(self, seed: Registry) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// The registry that it follows.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the next batch is evaluated by.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of loaded rulebooks.
    pub fn loaded(&self) -> usize {
        self.catalog().loaded()
    }

    /// Counts the batches of the process.
    pub(crate) fn next_batch(&self) -> u64 {
        self.batches.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Reads the log on, loads what is new and lets the next batch be evaluated by it. What can't be loaded changes
    /// nothing. An error means that the log can't be read: the rules stay as they are.
    pub async fn poll(&self) -> Result<Vec<RulesEvent>, RegistryError> {
        // Boxed, because the compiler limits how deep futures nest in one type.
        Box::pin(self.poll_log()).await
    }

    async fn poll_log(&self) -> Result<Vec<RulesEvent>, RegistryError> {
        let mut following = self.following.lock().await;
        let reads = self.read_on(&mut following).await?;
        let mut events: Vec<RulesEvent> = reads.into_iter().filter_map(skipped).collect();
        let tail = following.tail.clone().unwrap_or_default();
        let unchanged = (&tail.registry, tail.revision) == (&following.followed.registry, following.followed.revision);
        if unchanged && !is_behind(&following, &tail.rules) {
            return Ok(events);
        }
        self.follow(&mut following, &tail, &mut events).await;
        Ok(events)
    }

    async fn read_on(&self, following: &mut Following) -> Result<Vec<Read>, RegistryError> {
        if let (Some(tail), false) = (&mut following.tail, following.from_seed) {
            return tail.read_on(&self.registry).await;
        }
        let opened = Tail::open(&self.registry).await;
        let Some(seed) = &self.seed else {
            let (tail, reads) = opened?;
            following.tail = Some(tail);
            return Ok(reads);
        };
        let why = match opened {
            Ok((tail, reads)) if !tail.rules.routing.is_empty() => {
                (following.tail, following.from_seed) = (Some(tail), false);
                return Ok(reads);
            }
            Ok(_) => "it has no rules".to_owned(),
            Err(error) => ErrorChain(&error).to_string(),
        };
        if following.from_seed {
            return Ok(Vec::new());
        }
        tracing::warn!(
            "the rules come from the seed {}, not from {}: {why}",
            seed.location(),
            self.registry.location()
        );
        let (tail, reads) = Tail::open(seed).await?;
        (following.tail, following.from_seed) = (Some(tail), true);
        Ok(reads)
    }

    /// Takes over what the rules say of each race type.
    async fn follow(&self, following: &mut Following, tail: &Tail, events: &mut Vec<RulesEvent>) {
        let mut routes = HashMap::new();
        for (race_type, routing) in &tail.rules.routing {
            let before = following.routes.get(race_type).copied();
            let Some(reference) = routing.reference() else { continue };
            let loaded = match self.load(following, reference).await {
                Ok(()) => self.check_disjoint(&following.loaded, &routes, race_type, reference),
                Err(reason) => Err(reason),
            };
            let Some(reason) = loaded.err() else {
                following.refused.remove(&reference);
                let route = Route { current: routing.current, reference };
                routes.insert(race_type.clone(), route);
                match routing.current {
                    _ if before == Some(route) => {}
                    None => events.push(RulesEvent::Retired { race_type: race_type.clone() }),
                    Some(_) => events.push(RulesEvent::Activated {
                        race_type: race_type.clone(),
                        rulebook: following.loaded.id(reference).expect("it was loaded"),
                        revision: routing.since,
                    }),
                }
                continue;
            };
            // What the race type ran goes on. A race type that ran nothing yet has records that wait: to call them
            // records without a rulebook would be wrong.
            routes.insert(race_type.clone(), before.unwrap_or(Route { current: routing.current, reference }));
            if reason.is_transient() {
                tracing::warn!(race_type, "the rules are not followed yet: {}", ErrorChain(&reason));
            } else if following.refuse(reference, &reason) {
                let rulebook = tail.rules.id(reference).map_or_else(|| reference.to_string(), |id| id.to_string());
                events.push(RulesEvent::Refused { race_type: race_type.clone(), rulebook, reason });
            }
        }
        let gone = following.routes.keys().filter(|race_type| !routes.contains_key(*race_type));
        events.extend(gone.map(|race_type| RulesEvent::Retired { race_type: race_type.clone() }));
        following.routes = routes;
        following.followed =
            Followed { registry: tail.registry.clone(), revision: tail.revision, rules: Arc::new(tail.rules.clone()) };
        following.loaded.drop_unused(&following.routes);
        self.publish(following);
    }

    /// Loads the rulebook that a race is pinned to.
    pub(crate) async fn load_pinned(&self, digest: Digest) -> Result<(), RulebookError> {
        let is_listed = || self.catalog().rules().rulebooks.contains_key(&digest);
        if !is_listed() {
            // The race began on a host that has read on. Only what the log names is ever loaded.
            self.poll().await?.iter().for_each(RulesEvent::log);
            if !is_listed() {
                return Err(RulebookError::Unlisted(digest));
            }
        }
        let mut following = self.following.lock().await;
        if self.catalog().rulebook(digest).is_some() {
            return Ok(());
        }
        if let Some(Refusal::Refused(why)) = following.refused.get(&digest) {
            return Err(RulebookError::Refused(why.clone()));
        }
        if let Err(error) = Box::pin(self.load(&mut following, digest)).await {
            following.refuse(digest, &error);
            return Err(error);
        }
        self.publish(&following);
        Ok(())
    }

    /// The groups of a race type and of those before it are disjoint.
    fn check_disjoint(
        &self,
        loaded: &Loaded,
        routes: &HashMap<String, Route>,
        race_type: &str,
        rulebook: Digest,
    ) -> Result<(), RulebookError> {
        let document = |digest| loaded.find(digest).map(|rulebook| &rulebook.document);
        let Some(ours) = document(rulebook) else { return Ok(()) };
        for (other, route) in routes {
            if let Some(theirs) = document(route.reference) {
                check_disjoint(&self.route, (race_type, ours), (other, theirs))?;
            }
        }
        Ok(())
    }

    /// Fetches, verifies and compiles a rulebook and its plugins, unless it is loaded.
    async fn load(&self, following: &mut Following, digest: Digest) -> Result<(), RulebookError> {
        let loaded = &mut following.loaded;
        if loaded.find(digest).is_some() {
            return Ok(());
        }
        let document = self.rulebook(digest).await?;
        let mut missing: Vec<(Digest, Vec<u8>)> = Vec::new();
        for plugin in document.digests()? {
            if !loaded.components.contains_key(&plugin) && missing.iter().all(|(other, _)| *other != plugin) {
                missing.push((plugin, self.plugin(plugin).await?));
            }
        }
        for (digest, component) in compile(&self.engine, missing).await? {
            loaded.components.insert(digest, component);
        }
        let components = &loaded.components;
        let rulebook = LoadedRulebook::new(document, |digest| components.get(&digest).cloned())?;
        rulebook.last_used.store(self.batches.load(Ordering::Relaxed), Ordering::Relaxed);
        loaded.rulebooks.push(Arc::new(rulebook));
        Ok(())
    }

    async fn rulebook(&self, digest: Digest) -> Result<Rulebook, RegistryError> {
        match (self.registry.rulebook(digest).await, &self.seed) {
            (Err(error), Some(seed)) => seed.rulebook(digest).await.map_err(|_| error),
            (found, _) => found,
        }
    }

    async fn plugin(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        match (self.registry.plugin(digest).await, &self.seed) {
            (Err(error), Some(seed)) => seed.plugin(digest).await.map_err(|_| error),
            (found, _) => found,
        }
    }

    fn publish(&self, following: &Following) {
        let (loaded, routes) = (&following.loaded.rulebooks, following.routes.clone());
        let catalog = Catalog::new(&self.route, loaded, routes, following.followed.clone());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }
}

impl Following {
    /// Remembers why a rulebook is not loaded. Returns whether that is new.
    fn refuse(&mut self, digest: Digest, why: &RulebookError) -> bool {
        let refusal = match why {
            RulebookError::Registry(_) => Refusal::NotThere,
            _ => Refusal::Refused(ErrorChain(why).to_string()),
        };
        self.refused.insert(digest, refusal).is_none()
    }
}

impl Loaded {
    fn find(&self, digest: Digest) -> Option<&Arc<LoadedRulebook>> {
        self.rulebooks.iter().find(|rulebook| rulebook.id.digest == digest)
    }

    fn id(&self, digest: Digest) -> Option<RulebookId> {
        self.find(digest).map(|rulebook| rulebook.id.clone())
    }

    /// Drops rulebooks that were replaced and are not used any more, and plugins that no rulebook names.
    fn drop_unused(&mut self, routes: &HashMap<String, Route>) {
        let is_routed = |rulebook: &LoadedRulebook| routes.values().any(|route| route.reference == rulebook.id.digest);
        let mut used: Vec<u64> = self.rulebooks.iter().filter(|rulebook| !is_routed(rulebook)).map(last_used).collect();
        used.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(&limit) = used.get(MAX_EARLIER) {
            self.rulebooks.retain(|rulebook| is_routed(rulebook) || last_used(rulebook) > limit);
        }
        let named: HashSet<Digest> =
            self.rulebooks.iter().flat_map(|rulebook| rulebook.document.digests().unwrap_or_default()).collect();
        self.components.retain(|digest, _| named.contains(digest));
    }
}

fn last_used(rulebook: &Arc<LoadedRulebook>) -> u64 {
    rulebook.last_used.load(Ordering::Relaxed)
}

/// Compiles plugins beside the stream. Compiling is most of the work, and the plugins are independent.
pub(super) async fn compile(
    engine: &Engine,
    plugins: Vec<(Digest, Vec<u8>)>,
) -> Result<Vec<(Digest, Component)>, RulebookError> {
    let compile = |(digest, bytes): (Digest, Vec<u8>)| {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || {
            let refused = |source| RulebookError::Plugin { plugin: format!("plugin {digest}"), source };
            Ok::<_, RulebookError>((digest, engine.load(&bytes).map_err(refused)?))
        })
    };
    let tasks: Vec<_> = plugins.into_iter().map(compile).collect();
    let mut compiled = Vec::new();
    for task in tasks {
        compiled.push(task.await.expect("compiling does not panic")?);
    }
    Ok(compiled)
}

/// Whether a race type runs something else than the rules say, for a reason that may have passed.
fn is_behind(following: &Following, rules: &Rules) -> bool {
    rules.routing.iter().any(|(race_type, routing)| {
        let ours = following.routes.get(race_type).and_then(|route| route.current);
        let refused = || {
            routing.current.is_some_and(|current| matches!(following.refused.get(&current), Some(Refusal::Refused(_))))
        };
        ours != routing.current && !refused()
    })
}

fn skipped(read: Read) -> Option<RulesEvent> {
    match read {
        Read::Entry(_) => None,
        Read::Skipped { revision, why } => Some(RulesEvent::Skipped { revision, reason: why }),
    }
}
