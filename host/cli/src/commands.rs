//! A file for each command.

pub(crate) mod dead_letters;
pub(crate) mod leaderboard;
pub(crate) mod plugin;
pub(crate) mod run;
pub(crate) mod simulate;

use std::path::PathBuf;
use std::sync::Arc;

use paceline_engine::Engine;
use paceline_pipeline::registry::{Event, Registry, Watch};
use paceline_pipeline::store::EmbeddedStore;
use paceline_pipeline::{Pipeline, Rulebooks};
use tokio::runtime::Runtime;

use crate::Failure;
use crate::config::Config;

/// Which configuration.
#[derive(clap::Args)]
pub(crate) struct ConfigArgument {
    /// The configuration file.
    #[arg(long)]
    pub(crate) config: PathBuf,
}

impl ConfigArgument {
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config)
    }
}

/// One worker beside the main thread: it listens for signals while the main thread works.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(|error| format!("the runtime can't start: {error}"))
}

pub(crate) fn open_store(config: &Config) -> Result<EmbeddedStore, Failure> {
    EmbeddedStore::open(&config.store.path).map_err(|error| error.to_string())
}

/// Loads the plugins and rulebooks, and opens the store. A rulebook that is refused at the start stops it: there is no
/// old one that could go on.
pub(crate) fn pipeline(config: &Config) -> Result<(Pipeline<EmbeddedStore>, Watch), Failure> {
    let engine = Engine::new(config.limits.clone()).map_err(|error| error.to_string())?;
    let registry = Registry::open(&config.rulebooks.registry)
        .map_err(|error| format!("the registry {}: {error}", config.rulebooks.registry.display()))?;
    let rulebooks = Arc::new(Rulebooks::new(engine, registry, config.route.race_type.clone()));
    let mut watch = Watch::new(config.rulebooks.folder.clone(), config.plugins.clone(), Arc::clone(&rulebooks));
    for event in watch.look()? {
        if let Event::Refused { file, reason } = event {
            return Err(format!("the rulebook {}: {reason}", file.display()));
        }
    }
    if rulebooks.catalog().versions().is_empty() {
        return Err(format!("there is no rulebook (*.toml) in {}", config.rulebooks.folder.display()));
    }
    let store = open_store(config)?;
    Ok((Pipeline::new(store, rulebooks, config.batch.clone(), config.retry.clone()), watch))
}
