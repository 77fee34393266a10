//! Why a configuration can't be used, or nothing can be opened by it.

use std::io;
use std::net::AddrParseError;
use std::path::PathBuf;

use paceline_engine::EngineError;
use paceline_pipeline::rules::{RulebookError, TomlError};
use paceline_pipeline::store::StoreError;

/// The configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not TOML, or has unknown keys or values.
    #[error("{}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong.
        source: TomlError,
    },
    /// A value is not allowed.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key, and what is wrong.
        what: String,
    },
    /// The environment variable is not an address.
    #[error("PACELINE_LISTEN is `{value}`, which is not an address such as 0.0.0.0:9464")]
    Listen {
        /// The value of the variable.
        value: String,
        /// The cause.
        source: AddrParseError,
    },
    /// The program needs a source.
    #[error(
        "the configuration has no [source]: name `file`, `stdin = true`, `simulate` or `kinesis` there, or give --input \
         FILE"
    )]
    NoSource,
}

/// Store, rulebooks or sandbox can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sandbox.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The registry.
    #[error("the registry {}", path.display())]
    Registry {
        /// Its folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A rulebook is refused. At the start there are no earlier rulebooks to continue with.
    #[error("the rulebook {}", file.display())]
    Rulebook {
        /// Its file.
        file: PathBuf,
        /// The cause.
        source: RulebookError,
    },
    /// The folder of rulebooks can't be read.
    #[error("the folder of rulebooks")]
    Rulebooks(#[from] RulebookError),
    /// There is no rulebook.
    #[error("there is no rulebook (*.toml) in {}", .0.display())]
    NoRulebook(PathBuf),
}
