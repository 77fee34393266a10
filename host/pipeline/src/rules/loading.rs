//! Fetches, verifies and compiles rulebooks: what is loaded, and what was refused.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paceline_engine::{Component, Digest, Engine, SignedCode};

use super::document::Rulebook;
use super::error::{RegistryError, RulebookError};
use super::loaded::LoadedRulebook;
use super::registry::{Registry, RulebookBytes};
use crate::error::ErrorChain;
use crate::model::RulebookId;

/// Loaded rulebooks that no race type begins new races with. Their races are still in progress; those that were not used
/// for longest are dropped first, and loaded again when one of their races has another record.
pub(super) const MAX_EARLIER: usize = 16;

/// Where rulebooks and plugins come from.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) registry: Registry,
    /// A registry that came with the program. It is used until the other one has rules, and for what the other one lacks.
    pub(super) seed: Option<Registry>,
    /// What other hosts of this process have loaded.
    pub(super) shared: Option<SharedRulebooks>,
}

/// Loaded rulebooks that several hosts in one process share, as those of a simulation do. Each host fetches and verifies a
/// rulebook all the same.
#[derive(Clone, Debug, Default)]
pub struct SharedRulebooks(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    components: HashMap<Digest, Component>,
    rulebooks: HashMap<Digest, Arc<LoadedRulebook>>,
}

impl SharedRulebooks {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is loaded, and what was refused.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Compiled plugins. Rulebooks that name the same plugin share it.
    components: HashMap<Digest, Component>,
    pub(super) rulebooks: Vec<Arc<LoadedRulebook>>,
    refused: HashMap<Digest, Refusal>,
}

/// Why a rulebook is not loaded. It is reported once.
#[derive(Debug)]
enum Refusal {
    /// The registry does not provide it, or not whole, or the sandbox has no room to check its plugins. Both may change by the
    /// next poll.
    NotThere(String),
    /// It or one of its plugins was refused. The same bytes would be refused again.
    Refused(String),
}

impl Sources {
    async fn rulebook(&self, digest: Digest) -> Result<RulebookBytes, RegistryError> {
        match (self.registry.rulebook_bytes(digest).await, &self.seed) {
            (Err(error), Some(seed)) => seed.rulebook_bytes(digest).await.map_err(|_| error),
            (found, _) => found,
        }
    }

    fn shared_rulebook(&self, digest: Digest) -> Option<Arc<LoadedRulebook>> {
        self.shared.as_ref()?.lock().rulebooks.get(&digest).cloned()
    }

    fn shared_component(&self, digest: Digest) -> Option<Component> {
        self.shared.as_ref()?.lock().components.get(&digest).cloned()
    }

    async fn plugin(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        match (self.registry.plugin(digest).await, &self.seed) {
            (Err(error), Some(seed)) => seed.plugin(digest).await.map_err(|_| error),
            (found, _) => found,
        }
    }

    /// A plugin's bytes, and compiled code of it that spares this host compiling.
    async fn code(&self, engine: &Engine, digest: Digest) -> Result<PluginCode, RegistryError> {
        let wasm = self.plugin(digest).await?;
        // A seed has the keys of the registry.
        let is_wanted = !self.registry.trusted().is_empty() && !engine.has_code(digest);
        let signed = match is_wanted.then(|| engine.precompiled_name()).flatten() {
            Some(name) => self.compiled(digest, name).await,
            None => None,
        };
        Ok(PluginCode { digest, wasm, signed })
    }

    /// Compiled code is worth time and nothing else: a registry that does not provide it is no error.
    async fn compiled(&self, digest: Digest, name: &str) -> Option<SignedCode> {
        for registry in std::iter::once(&self.registry).chain(&self.seed) {
            match registry.compiled(digest, name).await {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(error) => tracing::warn!("plugin {digest} is compiled: {}", ErrorChain(&error)),
            }
        }
        tracing::info!("plugin {digest} is compiled: the registry has no code of it for this host, {name}");
        None
    }
}

impl Loaded {
    pub(super) fn find(&self, digest: Digest) -> Option<&Arc<LoadedRulebook>> {
        self.rulebooks.iter().find(|rulebook| rulebook.id.digest == digest)
    }

    pub(super) fn id(&self, digest: Digest) -> Option<RulebookId> {
        self.find(digest).map(|rulebook| rulebook.id.clone())
    }

    /// Fetches, verifies and compiles a rulebook and its plugins, unless it is loaded. It counts as used by the nth batch.
    pub(super) async fn load(
        &mut self,
        engine: &Engine,
        sources: &Sources,
        digest: Digest,
        nth: u64,
    ) -> Result<(), RulebookError> {
        if self.find(digest).is_some() {
            return Ok(());
        }
        let bytes = sources.rulebook(digest).await?;
        let rulebook = match sources.shared_rulebook(digest) {
            Some(shared) => shared,
            None => self.load_plugins(engine, sources, bytes.parse()?).await?,
        };
        rulebook.last_used.store(nth, Ordering::Relaxed);
        self.rulebooks.push(rulebook);
        self.refused.remove(&digest);
        Ok(())
    }

    async fn load_plugins(
        &mut self,
        engine: &Engine,
        sources: &Sources,
        document: Rulebook,
    ) -> Result<Arc<LoadedRulebook>, RulebookError> {
        let mut missing: Vec<PluginCode> = Vec::new();
        for plugin in document.digests()? {
            if self.components.contains_key(&plugin) || missing.iter().any(|other| other.digest == plugin) {
                continue;
            }
            match sources.shared_component(plugin) {
                Some(component) => drop(self.components.insert(plugin, component)),
                None => missing.push(sources.code(engine, plugin).await?),
            }
        }
        let compiled = compile(engine, missing).await?;
        self.components.extend(compiled.iter().cloned());
        let components = &self.components;
        let rulebook = Arc::new(LoadedRulebook::new(document, |digest| components.get(&digest).cloned())?);
        if let Some(shared) = &sources.shared {
            let mut shared = shared.lock();
            shared.components.extend(compiled);
            shared.rulebooks.insert(rulebook.id.digest, Arc::clone(&rulebook));
        }
        Ok(rulebook)
    }

    /// Remembers why a rulebook is not loaded. Returns whether that is new.
    pub(super) fn refuse(&mut self, digest: Digest, why: &RulebookError) -> bool {
        let text = ErrorChain(why).to_string();
        let refusal = match why {
            RulebookError::Registry(_) => Refusal::NotThere(text),
            why if why.is_transient() => Refusal::NotThere(text),
            _ => Refusal::Refused(text),
        };
        self.refused.insert(digest, refusal).is_none()
    }

    /// Why a rulebook would be refused again, if it was.
    pub(super) fn refusal(&self, digest: Digest) -> Option<&str> {
        match self.refused.get(&digest)? {
            Refusal::NotThere(_) => None,
            Refusal::Refused(why) => Some(why),
        }
    }

    /// Why a rulebook is not loaded, if it was tried.
    pub(super) fn why_refused(&self, digest: Digest) -> Option<&str> {
        let (Refusal::NotThere(why) | Refusal::Refused(why)) = self.refused.get(&digest)?;
        Some(why)
    }

    /// Drops rulebooks that were replaced and are not used any more, and plugins that no rulebook names.
    pub(super) fn drop_unused(&mut self, is_routed: impl Fn(Digest) -> bool) {
        let is_routed = |rulebook: &LoadedRulebook| is_routed(rulebook.id.digest);
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

/// What a plugin is loaded from.
#[derive(Debug)]
pub(super) struct PluginCode {
    pub(super) digest: Digest,
    pub(super) wasm: Vec<u8>,
    pub(super) signed: Option<SignedCode>,
}

/// Compiles plugins beside the stream. Compiling is most of the work, and the plugins are independent.
pub(super) async fn compile(
    engine: &Engine,
    plugins: Vec<PluginCode>,
) -> Result<Vec<(Digest, Component)>, RulebookError> {
    let compile = |PluginCode { digest, wasm, signed }| {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || {
            let refused = |source| RulebookError::Plugin { plugin: format!("plugin {digest}"), source };
            Ok::<_, RulebookError>((digest, engine.load_signed(&wasm, signed.as_ref()).map_err(refused)?))
        })
    };
    let tasks: Vec<_> = plugins.into_iter().map(compile).collect();
    let mut compiled = Vec::new();
    for task in tasks {
        compiled.push(task.await.expect("compiling does not panic")?);
    }
    Ok(compiled)
}

#[cfg(test)]
mod tests {
    use paceline_engine::{EngineError, LoadError};

    use super::*;

    #[test]
    fn a_rulebook_is_not_refused_for_want_of_room_in_the_sandbox() {
        let refused = |source| {
            let (mut loaded, digest) = (Loaded::default(), Digest::of(b"a rulebook"));
            loaded.refuse(digest, &RulebookError::Plugin { plugin: "scorer output".to_owned(), source });
            assert!(loaded.why_refused(digest).is_some());
            loaded.refusal(digest).is_some()
        };
        assert!(!refused(LoadError::Engine(EngineError::Run("the pool is full".into()))));
        assert!(refused(LoadError::NoCode));
    }
}
