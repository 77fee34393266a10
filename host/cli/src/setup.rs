//! What the commands start with: configuration, runtime, store.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use paceline_config::{AnyStore, Config};
use paceline_pipeline::rules::HostIdentity;
use tokio::runtime::Runtime;

/// The arguments are invalid in a way that their parser does not see. The process ends as for those that it sees.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// The argument that names the configuration.
#[derive(clap::Args)]
pub(crate) struct ConfigArgument {
    /// The configuration file.
    #[arg(long)]
    pub(crate) config: PathBuf,
}

impl ConfigArgument {
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config)?)
    }
}

/// The argument that names the configuration, for commands with subcommands: it stands before or after their names.
#[derive(clap::Args)]
pub(crate) struct GlobalConfigArgument {
    /// The configuration file.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
}

impl GlobalConfigArgument {
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        // clap can't require a global argument.
        let file = self.config.as_deref().ok_or_else(|| UsageError("--config FILE is missing".to_owned()))?;
        Ok(Config::load(file)?)
    }
}

/// One worker beside the main thread: it receives signals while the main thread works.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context(RUNTIME_FAILED)
}

/// One worker for each processor: shards are processed concurrently.
#[cfg(feature = "aws")]
pub(crate) fn parallel_runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context(RUNTIME_FAILED)
}

const RUNTIME_FAILED: &str = "the asynchronous runtime can't be started";

/// Opens the store, for a command that only reads it. One that does not exist is an error: an empty answer would be taken for
/// what was committed.
pub(crate) fn open_store_to_read(config: &Config, runtime: &Runtime) -> anyhow::Result<AnyStore> {
    if config.store.memory {
        bail!(
            "the store is in the memory of each process (`store.memory = true`): there is nothing to show. Keep what a run \
             commits in a file, `store.path`, or in a table, [store.dynamodb]"
        );
    }
    if let Some(path) = config.store.path.as_ref().filter(|path| !path.exists()) {
        bail!("there is no store {}: nothing is committed yet, or `store.path` names another file", path.display());
    }
    open_store(config, runtime)
}

/// Opens the store, for a command that writes it. A file that does not exist is created.
pub(crate) fn open_store(config: &Config, runtime: &Runtime) -> anyhow::Result<AnyStore> {
    Ok(runtime.block_on(paceline_config::open_store(config))?)
}

/// Opens the store, for a command that can do without it. One that does not exist yet is not created.
pub(crate) fn open_store_if_there(config: &Config, runtime: &Runtime) -> anyhow::Result<Option<AnyStore>> {
    store_is_there(config).then(|| open_store(config, runtime)).transpose()
}

/// Whether the store that the configuration names exists and outlives its process.
pub(crate) fn store_is_there(config: &Config) -> bool {
    !config.store.memory && config.store.path.as_ref().is_none_or(|path| path.exists())
}

/// What this process calls itself in the store: the machine's or container's name, and the process id.
pub(crate) fn identity(kind: &'static str) -> HostIdentity {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).map(|name| name.trim().to_owned());
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned());
    HostIdentity { id: format!("{name}/{}", std::process::id()), kind }
}

/// How often the rules' log is polled.
pub(crate) fn poll_interval(config: &Config) -> Duration {
    Duration::from_millis(config.rules.poll_interval_ms)
}

/// The folder for compiled plugins, so that not each process compiles them: `PACELINE_CACHE`, or a folder in this user's
/// cache folder. They are code that runs unchecked, so the folder must be writable for nobody else.
pub(crate) fn cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("PACELINE_CACHE").or_else(|| {
        let folder = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
        Some(folder.join("paceline/compiled"))
    })
}
