//! The rules of this host: how it follows the log, and the current catalog.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use paceline_engine::{Digest, Engine};
use tokio::sync::Mutex;

use super::acknowledgement::{HostState, RefusedRulebook};
use super::catalog::{Catalog, Followed, Route};
use super::error::{RegistryError, RulebookError};
use super::event::{RulesEvent, skipped};
use super::head;
use super::loading::{Loaded, MAX_EARLIER, Sources};
use super::log::{Change, Read, Tail};
use super::position::Position;
use super::registry::Registry;
use super::routing::Rules;
use super::successor::check_disjoint;
use crate::error::ErrorChain;
use crate::model::Pointer;
use crate::store::{MemoryStore, NoticeStore};

/// The rules of this host.
#[derive(Debug)]
pub struct Rulebooks {
    engine: Engine,
    sources: Sources,
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
    /// The entry that was last taken over, as the store's head has it.
    taken_over: Option<Position>,
    /// Rulebooks that were published since and are to be loaded ahead.
    ahead: Vec<Digest>,
    /// Those of them that were refused, and why.
    refused_ahead: BTreeMap<Digest, String>,
}

impl Following {
    /// Notes what was published, to be loaded ahead: of many rulebooks the last.
    fn note_published(&mut self, reads: &[Read]) {
        for read in reads {
            let Read::Entry(entry) = read else { continue };
            for change in &entry.changes {
                if let Change::Publish { rulebook } = change
                    && !self.ahead.contains(rulebook)
                {
                    self.ahead.push(*rulebook);
                }
            }
        }
        let surplus = self.ahead.len().saturating_sub(MAX_EARLIER);
        self.ahead.drain(..surplus);
        while self.refused_ahead.len() > MAX_EARLIER {
            self.refused_ahead.pop_first();
        }
    }
}

impl Rulebooks {
    /// No rulebooks before the first [`poll`](Self::poll). `route` is the field that names a record's race type.
    pub fn new(engine: Engine, registry: Registry, route: Pointer) -> Self {
        let catalog = Catalog::new(&route, &[], HashMap::new(), Followed::default());
        let current = RwLock::new(Arc::new(catalog));
        let (batches, following) = (AtomicU64::new(0), Mutex::default());
        Self { engine, sources: Sources { registry, seed: None }, route, current, batches, following }
    }

    /// Uses the rules of another registry until the first one has rules, and its plugins and rulebooks where the first one
    /// lacks them.
    pub fn with_seed(self, seed: Registry) -> Self {
        Self { sources: Sources { seed: Some(seed), ..self.sources }, ..self }
    }

    /// The registry that it follows.
    pub fn registry(&self) -> &Registry {
        &self.sources.registry
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
    ///
    /// Nothing is compared with a store: a host polls with [`Pipeline::follow`](crate::Pipeline::follow).
    pub async fn poll(&self) -> Result<Vec<RulesEvent>, RegistryError> {
        // Boxed, because the compiler limits how deep futures nest in one type.
        Box::pin(self.poll_log(None::<&MemoryStore>)).await
    }

    /// The same for a host with this store: a log that does not agree with the store's head item is not taken over.
    pub(crate) async fn poll_with<S: NoticeStore>(&self, store: &S) -> Result<Vec<RulesEvent>, RegistryError> {
        Box::pin(self.poll_log(Some(store))).await
    }

    async fn poll_log<S: NoticeStore>(&self, store: Option<&S>) -> Result<Vec<RulesEvent>, RegistryError> {
        let mut following = self.following.lock().await;
        let reads = self.read_on(&mut following).await?;
        following.note_published(&reads);
        let mut events: Vec<RulesEvent> = reads.into_iter().filter_map(skipped).collect();
        let mut tail = following.tail.clone().unwrap_or_default();
        let unchanged = (&tail.registry, tail.revision) == (&following.followed.registry, following.followed.revision);
        // What was compared once needs no comparison again. Two logs may differ at one revision.
        let is_compared = store.is_none() || tail.newest() == following.taken_over;
        if unchanged && is_compared && !is_behind(&following, &tail.rules) {
            return Ok(events);
        }
        if let Some(store) = store.filter(|_| !is_compared) {
            match self.advance_head(&mut following, store, &mut tail).await {
                Ok(reads) => events.extend(reads.into_iter().filter_map(skipped)),
                Err(error) => {
                    events.iter().for_each(RulesEvent::log);
                    return Err(error);
                }
            }
        }
        self.follow(&mut following, &tail, &mut events).await;
        Ok(events)
    }

    /// Compares what was read with the store's head item. A log that does not agree with it is forgotten: the next poll
    /// begins anew, because the registry may be put right.
    async fn advance_head<S: NoticeStore>(
        &self,
        following: &mut Following,
        store: &S,
        tail: &mut Tail,
    ) -> Result<Vec<Read>, RegistryError> {
        let registry = match (&self.sources.seed, following.from_seed) {
            (Some(seed), true) => seed,
            _ => &self.sources.registry,
        };
        match head::advance(store, registry, tail, following.taken_over).await {
            Ok(reads) => {
                following.note_published(&reads);
                following.taken_over = tail.newest();
                following.tail = Some(tail.clone());
                Ok(reads)
            }
            Err(error) => {
                if !error.is_transient() {
                    (following.tail, following.from_seed) = (None, false);
                    following.ahead.clear();
                }
                Err(error)
            }
        }
    }

    /// Loads what was published and is not active yet, so that activating it takes no time. It is left to the next call
    /// where this one is broken off.
    pub(crate) async fn load_ahead(&self) -> Vec<RulesEvent> {
        let mut events = Vec::new();
        loop {
            // Between two rulebooks, a batch may load one that it needs.
            let mut following = self.following.lock().await;
            let Some(&digest) = following.ahead.first() else { return events };
            let following = &mut *following;
            let is_tried = following.loaded.why_refused(digest).is_some();
            if !is_tried
                && let Err(reason) = Box::pin(self.load(&mut following.loaded, digest)).await
                && !reason.is_transient()
            {
                let id = following.followed.rules.id(digest);
                let rulebook = id.map_or_else(|| digest.to_string(), |id| id.to_string());
                following.refused_ahead.insert(digest, ErrorChain(&reason).to_string());
                events.push(RulesEvent::RefusedAhead { rulebook, reason });
            }
            following.ahead.remove(0);
            let routes = &following.routes;
            following.loaded.drop_unused(|digest| routes.values().any(|route| route.reference == digest));
        }
    }

    /// What this host follows, and what it refuses.
    pub(crate) async fn state(&self) -> HostState {
        let following = self.following.lock().await;
        let Followed { registry, revision, rules } = &following.followed;
        let refused = |race_type: Option<&String>, rulebook: Digest, reason: &str| RefusedRulebook {
            race_type: race_type.cloned(),
            name: rules.id(rulebook).map_or_else(|| rulebook.to_string(), |id| id.to_string()),
            rulebook,
            reason: reason.to_owned(),
        };
        let routed = rules.routing.iter().filter_map(|(race_type, routing)| {
            let rulebook = routing.current?;
            Some(refused(Some(race_type), rulebook, following.loaded.why_refused(rulebook)?))
        });
        let is_routed = |digest: &Digest| rules.routing.values().any(|routing| routing.current == Some(*digest));
        let ahead = following.refused_ahead.iter().filter(|(digest, _)| !is_routed(digest));
        let ahead = ahead.map(|(digest, reason)| refused(None, *digest, reason));
        let refusals = routed.chain(ahead).collect();
        HostState { registry: registry.clone(), revision: *revision, refusals, problem: None }
    }

    async fn read_on(&self, following: &mut Following) -> Result<Vec<Read>, RegistryError> {
        if let (Some(tail), false) = (&mut following.tail, following.from_seed) {
            return tail.read_on(&self.sources.registry).await;
        }
        let opened = Tail::open(&self.sources.registry).await;
        let Some(seed) = &self.sources.seed else {
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
            self.sources.registry.location()
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
            let loaded = match self.load(&mut following.loaded, reference).await {
                Ok(()) => self.check_disjoint(&following.loaded, &routes, race_type, reference),
                Err(reason) => Err(reason),
            };
            let Some(reason) = loaded.err() else {
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
            // What the race type ran goes on. Of a race type that ran nothing yet on this host, new races wait: to call their
            // records records without a rulebook would be wrong. Races in progress go on: the fallback says which field
            // identifies them.
            let route = match (before, routing.fallback) {
                (Some(before), _) => before,
                (None, Some(fallback)) if self.load(&mut following.loaded, fallback).await.is_ok() => {
                    Route { current: routing.current, reference: fallback }
                }
                (None, _) => Route { current: routing.current, reference },
            };
            routes.insert(race_type.clone(), route);
            if reason.is_transient() {
                tracing::warn!(race_type, "the rules are not followed yet: {}", ErrorChain(&reason));
            } else if following.loaded.refuse(reference, &reason) {
                let rulebook = tail.rules.id(reference).map_or_else(|| reference.to_string(), |id| id.to_string());
                events.push(RulesEvent::Refused { race_type: race_type.clone(), rulebook, reason });
            }
        }
        let gone = following.routes.keys().filter(|race_type| !routes.contains_key(*race_type));
        events.extend(gone.map(|race_type| RulesEvent::Retired { race_type: race_type.clone() }));
        following.routes = routes;
        following.followed =
            Followed { registry: tail.registry.clone(), revision: tail.revision, rules: Arc::new(tail.rules.clone()) };
        let routes = &following.routes;
        following.loaded.drop_unused(|digest| routes.values().any(|route| route.reference == digest));
        self.publish(following);
    }

    /// Loads the rulebook that a race is pinned to.
    pub(crate) async fn load_pinned<S: NoticeStore>(&self, digest: Digest, store: &S) -> Result<(), RulebookError> {
        let is_listed = || self.catalog().rules().rulebooks.contains_key(&digest);
        if !is_listed() {
            // The race began on a host that has read on. Only what the log names is ever loaded.
            self.poll_with(store).await?.iter().for_each(RulesEvent::log);
            if !is_listed() {
                return Err(RulebookError::Unlisted(digest));
            }
        }
        let mut following = self.following.lock().await;
        if self.catalog().rulebook(digest).is_some() {
            return Ok(());
        }
        if let Some(why) = following.loaded.refusal(digest) {
            return Err(RulebookError::Refused(why.to_owned()));
        }
        if let Err(error) = Box::pin(self.load(&mut following.loaded, digest)).await {
            following.loaded.refuse(digest, &error);
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

    async fn load(&self, loaded: &mut Loaded, digest: Digest) -> Result<(), RulebookError> {
        loaded.load(&self.engine, &self.sources, digest, self.batches.load(Ordering::Relaxed)).await
    }

    fn publish(&self, following: &Following) {
        let (loaded, routes) = (&following.loaded.rulebooks, following.routes.clone());
        let catalog = Catalog::new(&self.route, loaded, routes, following.followed.clone());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }
}

/// Whether a race type runs something else than the rules say, for a reason that may have passed.
fn is_behind(following: &Following, rules: &Rules) -> bool {
    rules.routing.iter().any(|(race_type, routing)| {
        let ours = following.routes.get(race_type).and_then(|route| route.current);
        let refused = || routing.current.is_some_and(|current| following.loaded.refusal(current).is_some());
        ours != routing.current && !refused()
    })
}
