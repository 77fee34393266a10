//! From a configuration to a pipeline.

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "aws")]
use paceline_aws::DynamoDbStore;
use paceline_engine::Engine;
use paceline_pipeline::rules::{Registry, RulebookEvent, RulebookFolder};
use paceline_pipeline::store::{EmbeddedStore, MemoryStore};
use paceline_pipeline::{Pipeline, Rulebooks};

use crate::{AnyStore, Config, OpenError};

/// Opens the store that the configuration names.
pub async fn open_store(config: &Config) -> Result<AnyStore, OpenError> {
    #[cfg(feature = "aws")]
    if let Some(dynamodb) = &config.store.dynamodb {
        return Ok(AnyStore::DynamoDb(DynamoDbStore::connect(dynamodb).await?));
    }
    Ok(match &config.store.path {
        Some(path) => AnyStore::Embedded(EmbeddedStore::open(path)?),
        None => AnyStore::Memory(MemoryStore::default()),
    })
}

/// Loads the plugins and rulebooks. A rulebook that is refused is an error: at the start there are no earlier ones to
/// continue with. `cache` is a folder for compiled plugins.
pub fn open_rulebooks(config: &Config, cache: Option<&Path>) -> Result<(Arc<Rulebooks>, RulebookFolder), OpenError> {
    let limits = config.limits.clone();
    let engine = match cache {
        Some(folder) => Engine::with_cache(limits, folder)?,
        None => Engine::new(limits)?,
    };
    let registry = Registry::open(&config.rulebooks.registry)
        .map_err(|source| OpenError::Registry { path: config.rulebooks.registry.clone(), source })?;
    let rulebooks = Arc::new(Rulebooks::new(engine, registry, config.route.race_type.clone()));
    let mut folder =
        RulebookFolder::new(config.rulebooks.folder.clone(), config.plugins.clone(), Arc::clone(&rulebooks));
    for event in folder.poll()? {
        if let RulebookEvent::Refused { file, reason } = event {
            return Err(OpenError::Rulebook { file, source: reason });
        }
    }
    if rulebooks.catalog().versions().is_empty() {
        return Err(OpenError::NoRulebook(config.rulebooks.folder.clone()));
    }
    Ok((rulebooks, folder))
}

/// Loads the plugins and rulebooks, and opens the store.
pub async fn open(config: &Config, cache: Option<&Path>) -> Result<(Pipeline<AnyStore>, RulebookFolder), OpenError> {
    let (rulebooks, folder) = open_rulebooks(config, cache)?;
    let store = open_store(config).await?;
    Ok((Pipeline::new(store, rulebooks, config.batch.clone(), config.retry.clone()), folder))
}
