//! Why a configuration can't be used, or nothing can be opened by it.

use std::io;
use std::net::AddrParseError;
use std::path::PathBuf;

use paceline_engine::EngineError;
use paceline_pipeline::rules::{RegistryError, TomlError};
use paceline_pipeline::store::StoreError;

use crate::collector::NotACollector;

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
    /// There can be no traces.
    #[error("[traces] endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT")]
    Traces(#[from] NotACollector),
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
    #[error(transparent)]
    Registry(RegistryError),
    /// The registry has no rules.
    #[error(
        "the registry {0} has no rules: publish and activate a rulebook, for example with `paceline rules apply FOLDER \
         --config FILE`"
    )]
    NoRules(String),
    /// The registry's location is not one in S3.
    #[cfg(feature = "aws")]
    #[error("[rules] registry")]
    Location(#[from] paceline_aws::s3::S3LocationError),
    /// The bucket can't be used.
    #[cfg(feature = "aws")]
    #[error("[rules] registry")]
    S3(#[from] paceline_aws::s3::S3OpenError),
    /// The program has no access to such a registry.
    #[cfg(not(feature = "aws"))]
    #[error(
        "[rules] registry: {0} is not a folder, and this program was built without S3: build it with the feature `aws`"
    )]
    Location(String),
}
