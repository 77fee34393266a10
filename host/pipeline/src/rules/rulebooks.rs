//! The current catalog, and how it changes while the stream flows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use paceline_engine::{Component, Digest, Engine};

use super::catalog::Catalog;
use super::document::Rulebook;
use super::error::RulebookError;
use super::loaded::{LoadedRulebook, digest_of};
use super::registry::Registry;
use crate::model::Pointer;
use crate::store::Pin;

/// The loaded rulebooks, and which of them new races begin with.
#[derive(Debug)]
pub struct Rulebooks {
    engine: Engine,
    registry: Registry,
    route: Pointer,
    current: RwLock<Arc<Catalog>>,
    /// Locked while the catalog is being replaced.
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    /// Compiled plugins. Rulebooks that name the same plugin share it.
    components: HashMap<Digest, Component>,
    rulebooks: Vec<Arc<LoadedRulebook>>,
    active: HashMap<String, u64>,
}

impl Loaded {
    fn find(&self, race_type: &str, version: u64) -> Option<&Arc<LoadedRulebook>> {
        let same = |rulebook: &&Arc<LoadedRulebook>| {
            rulebook.document.race_type == race_type && rulebook.document.version == version
        };
        self.rulebooks.iter().find(same)
    }
}

impl Rulebooks {
    /// No rulebooks yet. `route` is the field that names a record's race type.
    pub fn new(engine: Engine, registry: Registry, route: Pointer) -> Self {
        let catalog = Catalog::new(&route, &[], HashMap::new());
        Self { engine, registry, route, current: RwLock::new(Arc::new(catalog)), loaded: Mutex::default() }
    }

    /// The registry that rulebooks and plugins are loaded from.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the next batch is evaluated by.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads, checks and registers a rulebook whose plugins are named by digests, and lets new races of its race type
    /// begin with it. A rulebook that is refused changes nothing.
    pub fn activate(&self, document: &Rulebook) -> Result<(), RulebookError> {
        let mut loaded = self.lock();
        let rulebook = self.load(&mut loaded, document)?;
        let (race_type, version) = (&document.race_type, document.version);
        if let Some(before) = loaded.active.get(race_type).and_then(|version| loaded.find(race_type, *version)) {
            before.check_successor(&rulebook)?;
        }
        self.check_groups(&loaded, document)?;
        // It is registered before it evaluates anything, so that a race that is pinned to it finds it again.
        self.registry.add_rulebook(document)?;
        if loaded.find(race_type, version).is_none() {
            loaded.rulebooks.push(rulebook);
        }
        loaded.active.insert(race_type.clone(), version);
        self.publish(&loaded);
        Ok(())
    }

    /// Deactivates a race type: its records become dead letters until it has a rulebook again.
    pub fn retire(&self, race_type: &str) {
        let mut loaded = self.lock();
        loaded.active.remove(race_type);
        self.publish(&loaded);
    }

    /// Loads the rulebook that a race is pinned to from the registry.
    pub(crate) fn load_pinned(&self, race_type: &str, pin: Pin) -> Result<(), RulebookError> {
        let mut loaded = self.lock();
        let version = pin.version;
        if loaded.find(race_type, version).is_none() {
            let document = self.registry.rulebook(race_type, version)?.ok_or_else(|| {
                RulebookError::Incompatible(format!(
                    "it is not in the registry: put {} back",
                    self.registry.rulebook_path(race_type, version).display()
                ))
            })?;
            let rulebook = self.load(&mut loaded, &document)?;
            loaded.rulebooks.push(rulebook);
            self.publish(&loaded);
        }
        match loaded.find(race_type, version) {
            Some(rulebook) if *rulebook.digest.as_bytes() == pin.rulebook => Ok(()),
            _ => Err(RulebookError::Incompatible(format!(
                "the rulebook of that version has another digest than {}",
                Digest::from(pin.rulebook)
            ))),
        }
    }

    /// Whether a rulebook's groups are disjoint from those of other race types: equal keys must contain the race type.
    /// Otherwise two races with the same number would share items, and dedup would drop the records of one of them.
    fn check_groups(&self, loaded: &Loaded, document: &Rulebook) -> Result<(), RulebookError> {
        let others = loaded.active.iter().filter(|(race_type, _)| **race_type != document.race_type);
        for other in others.filter_map(|(race_type, version)| loaded.find(race_type, *version)) {
            for key in document.aggregate.iter().map(|rule| &rule.key) {
                let has_race_type = key.partition.fields().chain(key.sort.fields()).any(|field| *field == self.route);
                if !has_race_type && other.document.aggregate.iter().any(|rule| rule.key == *key) {
                    return Err(RulebookError::Incompatible(format!(
                        "its groups PK = {:?}, SK = {:?} are also those of race type {}: two races with the same \
                         number would share items. Add the race type, {{{}}}, to the key",
                        key.partition, key.sort, other.document.race_type, self.route
                    )));
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, loaded: &mut Loaded, document: &Rulebook) -> Result<Arc<LoadedRulebook>, RulebookError> {
        if let Some(rulebook) = loaded.find(&document.race_type, document.version)
            && rulebook.document == *document
        {
            return Ok(Arc::clone(rulebook));
        }
        let mut missing: Vec<Digest> = Vec::new();
        for plugin in document.plugins() {
            let digest = digest_of(plugin)?;
            if !loaded.components.contains_key(&digest) && !missing.contains(&digest) {
                missing.push(digest);
            }
        }
        // Compiling is most of the work, and the plugins are independent.
        let compiled: Vec<Result<(Digest, Component), RulebookError>> = std::thread::scope(|scope| {
            let compile = |digest: Digest| {
                let bytes = self.registry.plugin(digest)?;
                let refused = |source| RulebookError::Plugin { plugin: format!("plugin {digest}"), source };
                Ok((digest, self.engine.load(&bytes).map_err(refused)?))
            };
            let threads: Vec<_> = missing.iter().map(|&digest| scope.spawn(move || compile(digest))).collect();
            threads.into_iter().map(|thread| thread.join().expect("compiling does not panic")).collect()
        });
        for result in compiled {
            let (digest, component) = result?;
            loaded.components.insert(digest, component);
        }
        let components = &loaded.components;
        LoadedRulebook::new(document.clone(), |digest| components.get(&digest).cloned()).map(Arc::new)
    }

    fn publish(&self, loaded: &Loaded) {
        let catalog = Catalog::new(&self.route, &loaded.rulebooks, loaded.active.clone());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }
}
