//! The configuration file, and the pipeline that it describes: for the program `paceline` and for the Lambda function.
//!
//! # Layout
//!
//! - this file: the document. Its paths are relative to its folder; some values have environment variables
//!   ([`ENVIRONMENT`]).
//! - `collector`: where the collector of traces is.
//! - [`error`](ConfigError): why a configuration can't be used, or nothing can be opened by it.
//! - [`leaderboard`]: how leaderboards are read.
//! - `log`: which lines are logged.
//! - [`mod@open`]: engine, rulebooks and store, opened.
//! - [`store`]: the store that the configuration names.
//! - `traces`: what traces show of a batch, and where they are sent.
//! - `without_aws`: what stands for DynamoDB and Kinesis in a program without the feature `aws`.
#![forbid(unsafe_code)]

mod bounds;
mod collector;
mod error;
pub mod leaderboard;
mod log;
pub mod open;
pub mod store;
#[cfg(feature = "aws")]
mod traces;
#[cfg(not(feature = "aws"))]
mod without_aws;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[cfg(feature = "aws")]
use paceline_aws::{dynamodb::DynamoDbConfig, kinesis::KinesisConfig};
use paceline_engine::Limits;
use paceline_pipeline::DEFAULT_TRIAL_INTERVAL;
use paceline_pipeline::RetryPolicy;
use paceline_pipeline::model::{BatchLimits, Pointer};
use paceline_pipeline::pipeline::DEFAULT_HOLD;
use paceline_pipeline::rules::{PublicKey, parse_toml};
use paceline_simulator::Race;
use serde::Deserialize;

pub use collector::NotACollector;
pub use error::{ConfigError, OpenError};
pub use leaderboard::LeaderboardConfig;
pub use log::log_to;
pub use open::{create_registry, open, open_engine, open_registry, open_store, registry_at};
pub use store::AnyStore;
#[cfg(feature = "aws")]
pub use traces::{batch_trace, open_traces};
#[cfg(not(feature = "aws"))]
use without_aws::{DynamoDbConfig, KinesisConfig};

/// Environment variables that override values of the file: what differs between two deployments of one package.
pub const ENVIRONMENT: [(&str, &str); 5] = [
    ("PACELINE_TABLE", "store.dynamodb.table"),
    ("PACELINE_DEAD_LETTERS", "store.dynamodb.dead-letters"),
    ("PACELINE_STREAM", "source.kinesis.stream"),
    ("PACELINE_LISTEN", "serve.listen"),
    ("PACELINE_RULES", "rules.registry"),
];

/// The value of an environment variable. An empty one counts as not set: templates and containers set what they leave out to
/// the empty text.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Days for which the embedded store keeps pins: as long as DynamoDB by default, and longer than any stream keeps records.
pub const PIN_DAYS: u32 = 400;

/// The configuration. Paths in it are relative to its own folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where the records come from. The Lambda function has none: its events contain them.
    pub source: Option<SourceConfig>,
    /// The HTTP server of a running consumer.
    #[serde(default)]
    pub serve: ServeConfig,
    /// Traces of batches.
    #[serde(default)]
    pub traces: TracesConfig,
    /// Which field names a record's race type.
    pub route: RouteConfig,
    /// Where the rules come from.
    pub rules: RulesConfig,
    /// Where the outcome is stored.
    pub store: StoreConfig,
    /// How large a batch may get.
    #[serde(default)]
    pub batch: BatchLimits,
    /// The bounds of plugins.
    #[serde(default)]
    pub limits: Limits,
    /// How long and how often the store is retried.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// How leaderboards are read, by name.
    #[serde(default)]
    pub leaderboard: BTreeMap<String, LeaderboardConfig>,
}

/// Where the records come from: exactly one of `file`, `stdin`, `simulate` and `kinesis`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceConfig {
    /// A file of newline-delimited JSON.
    pub file: Option<PathBuf>,
    /// Newline-delimited JSON on standard input.
    #[serde(default)]
    pub stdin: bool,
    /// The simulator.
    pub simulate: Option<Race>,
    /// A Kinesis stream.
    pub kinesis: Option<KinesisConfig>,
    /// The name of the shard or the stream in checkpoints and dedup state.
    pub name: Option<String>,
}

/// The HTTP server of a running consumer.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServeConfig {
    /// The address and port of `/metrics`, `/healthz` and `/readyz`. Without it there is no server. Port 0 picks a free
    /// port.
    pub listen: Option<SocketAddr>,
    /// How long no shard may be read, though one has to be, before `/healthz` fails, in milliseconds.
    pub unread_ms: u64,
    /// Whether `paceline run` serves the dashboard as well. Without this, it does at a loopback address.
    pub dashboard: Option<bool>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        // Longer than a supervisor needs to see that a restart does not help: Kinesis is out of reach.
        Self { listen: None, unread_ms: 60_000, dashboard: None }
    }
}

/// Traces of batches, for an OpenTelemetry collector.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TracesConfig {
    /// The address of the collector, such as `http://127.0.0.1:4318`. Without it there are no traces.
    pub endpoint: Option<String>,
    /// The name under which traces are found.
    pub service: Option<String>,
    /// The address for traces, by `endpoint` and OpenTelemetry's variables.
    #[serde(skip)]
    pub url: Option<String>,
}

/// Which field names a record's race type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RouteConfig {
    /// The field that names a record's race type.
    pub race_type: Pointer,
}

/// Where the rules come from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RulesConfig {
    /// The registry: a folder, or `s3://bucket/prefix`.
    pub registry: String,
    /// A folder with a registry that is used while the other one has no rules or is out of reach at the start: that of a
    /// package or an image.
    pub seed: Option<PathBuf>,
    /// Whether the compiled code in `seed` came with the program, and is run without a signature.
    #[serde(default)]
    pub trust_seed: bool,
    /// The package: the folder of the configuration.
    #[serde(skip)]
    pub(crate) package: PathBuf,
    /// The keys of operators. With any, hosts accept only changes that one of them has signed.
    #[serde(default)]
    pub trusted_keys: Vec<PublicKey>,
    /// How often the registry is polled, in milliseconds.
    #[serde(default = "poll_interval_ms")]
    pub poll_interval_ms: u64,
    /// How long records wait for a rulebook that can't be had, in seconds. After that they become dead letters.
    #[serde(default = "hold_seconds")]
    pub hold_seconds: u64,
    /// How often a host shares what it has seen of rulebooks on trial, at most, in milliseconds.
    #[serde(default = "trial_interval_ms")]
    pub trial_interval_ms: u64,
}

/// A poll is one read. Of a bucket, 2.6 million reads a month cost about a dollar.
fn poll_interval_ms() -> u64 {
    1_000
}

fn trial_interval_ms() -> u64 {
    DEFAULT_TRIAL_INTERVAL.as_millis() as u64
}

fn hold_seconds() -> u64 {
    DEFAULT_HOLD.as_secs()
}

/// Where the outcome is stored: exactly one of `path`, `dynamodb` and `memory`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoreConfig {
    /// The file of the embedded store.
    pub path: Option<PathBuf>,
    /// Days after which the embedded store deletes the pin of a race, when it is opened; 0 keeps them for ever. Without this,
    /// [`PIN_DAYS`].
    pub pin_days: Option<u32>,
    /// A table in DynamoDB.
    pub dynamodb: Option<DynamoDbConfig>,
    /// The process's memory, for measurements.
    #[serde(default)]
    pub memory: bool,
}

impl Config {
    /// Reads and checks the configuration. Its paths are resolved against its folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        let mut config: Self =
            parse_toml(&text).map_err(|source| ConfigError::Toml { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.rules.package = if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.to_owned();
        let file = config.source.iter_mut().filter_map(|source| source.file.as_mut());
        for path in config.rules.seed.iter_mut().chain(&mut config.store.path).chain(file) {
            *path = folder.join(&*path);
        }
        match variable("PACELINE_RULES") {
            // Relative to the working folder: who sets a variable does not know the file's folder.
            Some(registry) => config.rules.registry = registry,
            None if config.rules.registry.contains("://") => {}
            None => config.rules.registry = folder.join(&config.rules.registry).to_string_lossy().into_owned(),
        }
        if let Some(dynamodb) = &mut config.store.dynamodb {
            if let Some(table) = variable("PACELINE_TABLE") {
                dynamodb.table = table;
            }
            if let Some(table) = variable("PACELINE_DEAD_LETTERS") {
                dynamodb.dead_letters = Some(table);
            }
        }
        if let Some(kinesis) = config.source.as_mut().and_then(|source| source.kinesis.as_mut())
            && let Some(stream) = variable("PACELINE_STREAM")
        {
            kinesis.stream = stream;
        }
        if let Some(listen) = variable("PACELINE_LISTEN") {
            let address = listen.parse();
            config.serve.listen = Some(address.map_err(|source| ConfigError::Listen { value: listen, source })?);
        }
        config.traces.url = collector::traces_url(config.traces.endpoint.as_deref(), |name| std::env::var(name))?;
        if let Some(service) = variable("OTEL_SERVICE_NAME") {
            config.traces.service = Some(service);
        }
        config.check(path)?;
        Ok(config)
    }

    /// The source, for a program that needs one.
    pub fn source(&self) -> Result<&SourceConfig, ConfigError> {
        self.source.as_ref().ok_or(ConfigError::NoSource)
    }

    /// Whether the values, which are those of this file, fit together.
    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let invalid = |what: &str| Err(ConfigError::Invalid { path: path.to_owned(), what: what.to_owned() });
        if let Some(source) = &self.source {
            let sources = [source.file.is_some(), source.stdin, source.simulate.is_some(), source.kinesis.is_some()];
            match sources.into_iter().filter(|set| *set).count() {
                1 => {}
                0 => return invalid("[source] names none of `file`, `stdin = true`, `simulate` and `kinesis`"),
                _ => return invalid("[source] names more than one of `file`, `stdin`, `simulate` and `kinesis`"),
            }
            if let Some(kinesis) = &source.kinesis
                && kinesis.stream.is_empty()
            {
                return invalid("[source.kinesis] names no `stream`, and PACELINE_STREAM is not set");
            }
            if let Some(race) = &source.simulate {
                race.check().or_else(|error| invalid(&format!("[source.simulate] {error}")))?;
            }
        }
        if self.rules.trust_seed && self.rules.seed.is_none() {
            return invalid("[rules] `trust-seed` is set, and there is no `seed`");
        }
        let stores = [self.store.path.is_some(), self.store.dynamodb.is_some(), self.store.memory];
        match stores.into_iter().filter(|set| *set).count() {
            1 => {}
            0 => return invalid("[store] names none of `path`, `dynamodb` and `memory = true`"),
            _ => return invalid("[store] names more than one of `path`, `dynamodb` and `memory`"),
        }
        if self.store.pin_days.is_some() && self.store.path.is_none() {
            return invalid("[store] `pin-days` is for the embedded store; that of DynamoDB is in [store.dynamodb]");
        }
        for (name, board) in &self.leaderboard {
            board.check().or_else(|what| invalid(&format!("[leaderboard.{name}] {what}")))?;
        }
        bounds::check(self).or_else(|what| invalid(&what))
    }
}
