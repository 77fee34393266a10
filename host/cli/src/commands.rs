//! A file for each command.

pub(crate) mod dead_letters;
pub(crate) mod healthcheck;
pub(crate) mod kcl;
pub(crate) mod leaderboard;
pub(crate) mod plugin;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod table;

use std::path::PathBuf;

use paceline_config::{AnyStore, Config};
use tokio::runtime::Runtime;

use crate::Failure;

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

/// As many workers as there are processors: shards are worked on side by side.
pub(crate) fn parallel_runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| format!("the runtime can't start: {error}"))
}

/// Opens the store, for a command that looks at it.
pub(crate) fn open_store(config: &Config, runtime: &Runtime) -> Result<AnyStore, Failure> {
    runtime.block_on(paceline_config::open_store(config))
}
