//! From a configuration to a pipeline that is ready to work.

use std::path::Path;
use std::sync::Arc;

use paceline_aws::DynamoDbStore;
use paceline_engine::Engine;
use paceline_pipeline::rules::{Registry, RulebookEvent, RulebookFolder};
use paceline_pipeline::store::{EmbeddedStore, MemoryStore};
use paceline_pipeline::{Pipeline, Rulebooks};

use crate::{AnyStore, Config, Failure};

/// Opens the store that the configuration names.
pub async fn open_store(config: &Config) -> Result<AnyStore, Failure> {
    let opened = match (&config.store.path, &config.store.dynamodb) {
        (_, Some(dynamodb)) => DynamoDbStore::connect(dynamodb).await.map(AnyStore::DynamoDb),
        (Some(path), None) => EmbeddedStore::open(path).map(AnyStore::Embedded),
        (None, None) => Ok(AnyStore::Memory(MemoryStore::default())),
    };
    opened.map_err(|error| error.to_string())
}

/// Loads the plugins and rulebooks. A rulebook that is refused at the start stops it: there is no old one that could go
/// on. `cache` is a folder for compiled plugins.
pub fn open_rulebooks(config: &Config, cache: Option<&Path>) -> Result<(Arc<Rulebooks>, Watch), Failure> {
    let limits = config.limits.clone();
    let engine = match cache {
        Some(folder) => Engine::with_cache(limits, folder),
        None => Engine::new(limits),
    };
    let engine = engine.map_err(|error| error.to_string())?;
    let registry = Registry::open(&config.rulebooks.registry)
        .map_err(|error| format!("the registry {}: {error}", config.rulebooks.registry.display()))?;
    let rulebooks = Arc::new(Rulebooks::new(engine, registry, config.route.race_type.clone()));
    let mut watch = Watch::new(config.rulebooks.folder.clone(), config.plugins.clone(), Arc::clone(&rulebooks));
    for event in watch.poll()? {
        if let Event::Refused { file, reason } = event {
            return Err(format!("the rulebook {}: {reason}", file.display()));
        }
    }
    if rulebooks.catalog().versions().is_empty() {
        return Err(format!("there is no rulebook (*.toml) in {}", config.rulebooks.folder.display()));
    }
    Ok((rulebooks, watch))
}

/// Loads the plugins and rulebooks, and opens the store.
pub async fn open(config: &Config, cache: Option<&Path>) -> Result<(Pipeline<AnyStore>, Watch), Failure> {
    let (rulebooks, watch) = open_rulebooks(config, cache)?;
    let store = open_store(config).await?;
    Ok((Pipeline::new(store, rulebooks, config.batch.clone(), config.retry.clone()), watch))
}
