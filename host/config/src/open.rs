//! From a configuration to a pipeline.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "aws")]
use paceline_aws::{DynamoDbStore, s3};
use paceline_engine::Engine;
use paceline_pipeline::rules::{HostIdentity, Registry, RegistryError, RulesEvent};
use paceline_pipeline::store::{EmbeddedStore, MemoryStore, RemoteStore, StoreServer};
use paceline_pipeline::{Pipeline, Rulebooks};

use crate::{AnyStore, Config, OpenError, PIN_DAYS};

/// How long a file may be in use by a process that neither serves it nor keeps it: a host that starts serves it at once, and
/// a command ends.
const IN_USE_AT_MOST: Duration = Duration::from_secs(2);

/// Opens the store that the configuration names, for a command. A file that a host has open is used by way of the host.
pub async fn open_store(config: &Config) -> Result<AnyStore, OpenError> {
    let Some(path) = &config.store.path else { return open_own_store(config, false).await };
    let give_up = Instant::now() + IN_USE_AT_MOST;
    loop {
        if let Some(remote) = RemoteStore::connect(path)? {
            return Ok(AnyStore::Remote(remote));
        }
        if let Some(store) = open_if_free(path, give_up).await? {
            delete_old_pins(config, &store)?;
            return Ok(AnyStore::Embedded(Arc::new(store), None));
        }
    }
}

/// Opens a file. `None`, after a moment, if it is in use; an error if that is so for too long.
async fn open_if_free(path: &Path, give_up: Instant) -> Result<Option<EmbeddedStore>, OpenError> {
    if Instant::now() >= give_up {
        return Ok(Some(EmbeddedStore::open(path)?));
    }
    let opened = EmbeddedStore::open_unless_in_use(path)?;
    if opened.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(opened)
}

/// Deletes the pins of an embedded store that no race needs any more.
fn delete_old_pins(config: &Config, store: &EmbeddedStore) -> Result<(), OpenError> {
    match config.store.pin_days.unwrap_or(PIN_DAYS) {
        0 => Ok(()),
        days => Ok(store.delete_pins_after(days)?),
    }
}

/// Opens the store that the configuration names, and serves a file to commands if that is wanted.
async fn open_own_store(config: &Config, serve: bool) -> Result<AnyStore, OpenError> {
    #[cfg(feature = "aws")]
    if let Some(dynamodb) = &config.store.dynamodb {
        return Ok(AnyStore::DynamoDb(DynamoDbStore::connect(dynamodb).await?));
    }
    Ok(match &config.store.path {
        Some(path) => {
            let give_up = Instant::now() + IN_USE_AT_MOST;
            let store = loop {
                if let Some(store) = open_if_free(path, give_up).await? {
                    break Arc::new(store);
                }
            };
            delete_old_pins(config, &store)?;
            let server = serve.then(|| StoreServer::start(Arc::clone(&store), path)).flatten();
            AnyStore::Embedded(store, server)
        }
        None => AnyStore::Memory(MemoryStore::default()),
    })
}

/// Opens the registry that the configuration names.
pub async fn open_registry(config: &Config) -> Result<Registry, OpenError> {
    Ok(registry_at(&config.rules.registry).await?.trusting(&config.rules.trusted_keys))
}

/// Opens the registry that the configuration names. A folder is created if it does not exist.
pub async fn create_registry(config: &Config) -> Result<Registry, OpenError> {
    match Location::of(&config.rules.registry) {
        Location::Folder(path) => Ok(Registry::create_folder(path)?.trusting(&config.rules.trusted_keys)),
        Location::Url(_) => open_registry(config).await,
    }
}

/// Opens the registry at a location: a folder, or `s3://bucket/prefix`.
pub async fn registry_at(location: &str) -> Result<Registry, OpenError> {
    match Location::of(location) {
        Location::Folder(path) if path.is_dir() => Ok(Registry::folder(path)?),
        Location::Folder(_) => Err(OpenError::NoRules(location.to_owned())),
        #[cfg(feature = "aws")]
        Location::Url(url) => Ok(Registry::new(s3::open(&url.parse()?, None, None).await?, url)),
        #[cfg(not(feature = "aws"))]
        Location::Url(url) => Err(OpenError::Location(url.to_owned())),
    }
}

/// Where a registry is.
enum Location<'a> {
    Folder(&'a Path),
    Url(&'a str),
}

impl<'a> Location<'a> {
    fn of(location: &'a str) -> Self {
        match location.contains("://") {
            true => Self::Url(location),
            false => Self::Folder(Path::new(location)),
        }
    }
}

/// The sandbox of a command. `cache` is a folder for compiled plugins.
pub fn open_engine(config: &Config, cache: Option<&Path>) -> Result<Engine, OpenError> {
    Ok(Engine::with_code(config.limits.clone(), cache, None)?)
}

/// The sandbox of a host, which may run the compiled code of its package.
fn open_host_engine(config: &Config, cache: Option<&Path>) -> Result<Engine, OpenError> {
    let rules = &config.rules;
    let seed = rules.seed.as_ref().filter(|_| rules.trust_seed);
    let packaged = seed.and_then(|seed| Registry::packaged_code(&rules.package, seed));
    Ok(Engine::with_code(config.limits.clone(), cache, packaged)?)
}

/// Opens the registry. Its rules are not read yet.
async fn open_rulebooks(config: &Config, cache: Option<&Path>) -> Result<Rulebooks, OpenError> {
    let engine = open_host_engine(config, cache)?;
    let rulebooks = Rulebooks::new(engine, open_registry(config).await?, config.route.race_type.clone());
    Ok(match &config.rules.seed {
        Some(seed) => rulebooks.with_seed(Registry::folder(seed)?.trusting(&config.rules.trusted_keys)),
        None => rulebooks,
    })
}

/// Opens registry and store, and loads the rules that hold now. Events say what is active and what is refused. A registry
/// without any rules is an error: nothing could be processed. `identity` is what a host calls itself in the store.
pub async fn open(
    config: &Config,
    cache: Option<&Path>,
    identity: Option<HostIdentity>,
) -> Result<(Pipeline<AnyStore>, Vec<RulesEvent>), OpenError> {
    let rulebooks = Arc::new(open_rulebooks(config, cache).await?);
    // The store comes second: a start without rules leaves none behind.
    if !rulebooks.has_rules().await? {
        return Err(OpenError::NoRules(config.rules.registry.clone()));
    }
    let store = match identity {
        Some(_) => open_own_store(config, true).await?,
        None => open_store(config).await?,
    };
    let mut pipeline = Pipeline::new(store, rulebooks, config.batch.clone(), config.retry.clone())
        .with_timeline(config.traces.url.is_some())
        .with_hold(Duration::from_secs(config.rules.hold_seconds))
        .with_trial_interval(Duration::from_millis(config.rules.trial_interval_ms));
    if let Some(identity) = identity {
        pipeline = pipeline.with_identity(identity);
    }
    let events = pipeline.start_following().await?;
    Ok((pipeline, events))
}

impl From<RegistryError> for OpenError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}
