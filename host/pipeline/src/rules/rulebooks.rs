//! The rules of this host: how it follows the log, and the current catalog.
//!
//! - `following`: what it has read and loaded.
//! - `take_over`: how it takes over what the rules say of each race type.

mod following;
mod take_over;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use paceline_engine::{CallDeadline, Digest, Engine};
use tokio::sync::Mutex;

use self::following::Following;
use super::acknowledgement::{HostState, RefusedRulebook};
use super::catalog::{Catalog, Followed};
use super::error::{RegistryError, RulebookError};
use super::event::{RulesEvent, skipped};
use super::head;
use super::loading::{Loaded, SharedRulebooks, Sources};
use super::log::{Read, Tail};
use super::registry::Registry;
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

impl Rulebooks {
    /// No rulebooks before the first [`poll`](Self::poll). `route` is the field that names a record's race type.
    pub fn new(engine: Engine, registry: Registry, route: Pointer) -> Self {
        let catalog = Catalog::new(&route, &[], HashMap::new(), Followed::default());
        let current = RwLock::new(Arc::new(catalog));
        let (batches, following) = (AtomicU64::new(0), Mutex::default());
        Self { engine, sources: Sources { registry, seed: None, shared: None }, route, current, batches, following }
    }

    /// Uses the rules of another registry until the first one has rules, and its plugins and rulebooks where the first one
    /// lacks them.
    pub fn with_seed(self, seed: Registry) -> Self {
        Self { sources: Sources { seed: Some(seed), ..self.sources }, ..self }
    }

    /// When all calls of plugins have to end: a batch that is not done by then fails, and can be processed again.
    pub fn call_deadline(&self) -> &CallDeadline {
        self.engine.call_deadline()
    }

    /// Shares loaded rulebooks with other hosts of this process, which have the same engine.
    pub fn with_shared_rulebooks(self, shared: SharedRulebooks) -> Self {
        Self { sources: Sources { shared: Some(shared), ..self.sources }, ..self }
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

    /// Reads the log, and returns whether it has rules. Nothing is taken over yet.
    pub async fn has_rules(&self) -> Result<bool, RegistryError> {
        let mut following = self.following.lock().await;
        let reads = self.read_on(&mut following).await?;
        reads.into_iter().filter_map(skipped).for_each(|event| event.log());
        Ok(following.tail.as_ref().is_some_and(|tail| !tail.rules.routing.is_empty()))
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
        // Nobody can begin to use one of them.
        following.replaced.retain(|catalog| Arc::strong_count(catalog) > 1);
        let reads = self.read_on(&mut following).await?;
        following.note_published(&reads);
        let mut events: Vec<RulesEvent> = reads.into_iter().filter_map(skipped).collect();
        let none = Tail::default();
        let tail = following.tail.as_ref().unwrap_or(&none);
        let unchanged = (&tail.registry, tail.revision) == (&following.followed.registry, following.followed.revision)
            && tail.newest() == following.newest;
        if unchanged && !following.is_behind(&tail.rules) {
            return Ok(events);
        }
        // Not before: it holds all rulebooks that were ever published.
        let mut tail = tail.clone();
        // What was compared once needs no comparison again.
        if let Some(store) = store.filter(|_| !unchanged) {
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
            following.loaded.drop_unused(|digest| routes.values().any(|route| route.runs(digest)));
        }
    }

    /// What this host follows, and what it refuses.
    pub(crate) async fn state(&self) -> HostState {
        let following = self.following.lock().await;
        let Followed { registry, revision, rules, .. } = &following.followed;
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

    /// Whether a race type runs something else than the rules say, for a reason that may pass.
    pub(crate) async fn is_unsettled(&self) -> bool {
        let following = self.following.lock().await;
        following.is_behind(&following.followed.rules)
    }

    async fn read_on(&self, following: &mut Following) -> Result<Vec<Read>, RegistryError> {
        if let (Some(tail), false) = (&mut following.tail, following.from_seed) {
            return tail.read_on(&self.sources.registry).await;
        }
        let opened = Tail::open(&self.sources.registry).await;
        // Nothing is known of the chain between this log and the one before.
        following.taken_over = None;
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
        self.publish(&mut following);
        Ok(())
    }

    async fn load(&self, loaded: &mut Loaded, digest: Digest) -> Result<(), RulebookError> {
        loaded.load(&self.engine, &self.sources, digest, self.batches.load(Ordering::Relaxed)).await
    }

    fn publish(&self, following: &mut Following) {
        let (loaded, routes) = (&following.loaded.rulebooks, following.routes.clone());
        let catalog = Arc::new(Catalog::new(&self.route, loaded, routes, following.followed.clone()));
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = std::mem::replace(&mut *current, catalog);
        drop(current);
        following.replaced.push(replaced);
    }
}
