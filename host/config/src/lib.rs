//! The one configuration file, and the pipeline that it describes: for the program `paceline` and for the function that
//! Lambda starts alike.
//!
//! # Layout
//!
//! - this file: what the file says. Paths in it are relative to its own folder; some values can be set by environment
//!   variables ([`ENVIRONMENT`]).
//! - [`leaderboard`]: how leaderboards are read.
//! - [`mod@open`]: engine, rulebooks and store, ready to work.
//! - [`store`]: the store that the configuration names.
#![forbid(unsafe_code)]

pub mod leaderboard;
pub mod open;
pub mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use paceline_engine::Limits;
use paceline_pipeline::RetryPolicy;
use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::model::Pointer;
use paceline_pipeline::rules::parse_toml;
use serde::Deserialize;

use paceline_aws::dynamodb::DynamoDbConfig;
use paceline_aws::kinesis::KinesisConfig;
use paceline_simulator::Race;

pub use leaderboard::LeaderboardConfig;
pub use open::{open, open_store};
pub use store::AnyStore;

/// What reading a configuration fails with: a message for a person, naming what happened, where, and what to do.
pub type Failure = String;

/// Environment variables that take the place of values in the file: what differs between two deployments of one package.
pub const ENVIRONMENT: [(&str, &str); 4] = [
    ("PACELINE_TABLE", "store.dynamodb.table"),
    ("PACELINE_DEAD_LETTERS", "store.dynamodb.dead-letters"),
    ("PACELINE_STREAM", "source.kinesis.stream"),
    ("PACELINE_LISTEN", "serve.listen"),
];

/// The configuration. Paths in it are relative to its own folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where the records come from. The function that Lambda starts has none: its events bring them.
    pub source: Option<SourceConfig>,
    /// What a running consumer tells others.
    #[serde(default)]
    pub serve: ServeConfig,
    /// How a record's race type is told.
    pub route: RouteConfig,
    /// The rulebooks.
    pub rulebooks: RulebooksConfig,
    /// The files that plugin names in rulebooks stand for.
    #[serde(default)]
    pub plugins: BTreeMap<String, PathBuf>,
    /// Where the outcome stands.
    pub store: StoreConfig,
    /// How large a batch may get.
    #[serde(default)]
    pub batch: BatchLimits,
    /// What a plugin may use.
    #[serde(default)]
    pub limits: Limits,
    /// How long and how often the store is tried.
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
    /// A stream of Kinesis.
    pub kinesis: Option<KinesisConfig>,
    /// The name of the shard or the stream, by which checkpoints and fences know it.
    pub name: Option<String>,
}

/// What a running consumer tells others.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServeConfig {
    /// The address and port of `/metrics`, `/healthz` and `/readyz`; without it there are none. Port 0 is one that is
    /// free.
    pub listen: Option<SocketAddr>,
}

/// How a record's race type is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RouteConfig {
    /// The field that names a record's race type.
    pub race_type: Pointer,
}

/// Where the rulebooks are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RulebooksConfig {
    /// The folder of rulebooks that people edit.
    pub folder: PathBuf,
    /// Where rulebooks and plugins that were in use are kept.
    #[serde(default = "registry")]
    pub registry: PathBuf,
    /// How often the folder is looked at, in milliseconds.
    #[serde(default = "look_every_ms")]
    pub poll_interval_ms: u64,
}

fn registry() -> PathBuf {
    "registry".into()
}

fn poll_interval_ms() -> u64 {
    200
}

/// Where the outcome stands: exactly one of `path`, `dynamodb` and `memory`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoreConfig {
    /// The file of the embedded store.
    pub path: Option<PathBuf>,
    /// A table in DynamoDB.
    pub dynamodb: Option<DynamoDbConfig>,
    /// In memory, for measurements: nothing outlives the process.
    #[serde(default)]
    pub memory: bool,
}

impl Config {
    /// Reads the configuration and makes its paths absolute or relative to where the program runs.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut config: Self = parse_toml(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = [&mut config.rulebooks.folder, &mut config.rulebooks.registry].into_iter();
        let file = config.source.iter_mut().filter_map(|source| source.file.as_mut());
        for path in paths.chain(&mut config.store.path).chain(file).chain(config.plugins.values_mut()) {
            *path = folder.join(&*path);
        }
        if let Some(dynamodb) = &mut config.store.dynamodb {
            if let Ok(table) = std::env::var("PACELINE_TABLE") {
                dynamodb.table = table;
            }
            if let Ok(table) = std::env::var("PACELINE_DEAD_LETTERS") {
                dynamodb.dead_letters = Some(table);
            }
        }
        if let Some(kinesis) = config.source.as_mut().and_then(|source| source.kinesis.as_mut())
            && let Ok(stream) = std::env::var("PACELINE_STREAM")
        {
            kinesis.stream = stream;
        }
        if let Ok(listen) = std::env::var("PACELINE_LISTEN") {
            let wrong = |_| format!("PACELINE_LISTEN is `{listen}`, which is no address such as 0.0.0.0:9464");
            config.serve.listen = Some(listen.parse().map_err(wrong)?);
        }
        config.check().map_err(|wrong| format!("{}: {wrong}", path.display()))?;
        Ok(config)
    }

    /// The source, for a program that reads one by itself.
    pub fn source(&self) -> Result<&SourceConfig, Failure> {
        self.source.as_ref().ok_or_else(|| {
            "the configuration has no [source]: name `file`, `stdin = true`, `simulate` or `kinesis` there, or give \
             --input FILE"
                .to_owned()
        })
    }

    fn check(&self) -> Result<(), String> {
        if let Some(source) = &self.source {
            let sources = [source.file.is_some(), source.stdin, source.simulate.is_some(), source.kinesis.is_some()];
            match sources.into_iter().filter(|set| *set).count() {
                1 => {}
                0 => return Err("[source] names none of `file`, `stdin = true`, `simulate` and `kinesis`".to_owned()),
                _ => return Err("[source] names more than one of `file`, `stdin`, `simulate` and `kinesis`".to_owned()),
            }
            if let Some(kinesis) = &source.kinesis
                && kinesis.stream.is_empty()
            {
                return Err("[source.kinesis] names no `stream`, and PACELINE_STREAM is not set".to_owned());
            }
            if let Some(race) = &source.simulate {
                race.check().map_err(|wrong| format!("[source.simulate] {wrong}"))?;
            }
        }
        let stores = [self.store.path.is_some(), self.store.dynamodb.is_some(), self.store.memory];
        match stores.into_iter().filter(|set| *set).count() {
            1 => {}
            0 => return Err("[store] names none of `path`, `dynamodb` and `memory = true`".to_owned()),
            _ => return Err("[store] names more than one of `path`, `dynamodb` and `memory`".to_owned()),
        }
        let positive = [
            ("[batch] max-records", self.batch.max_records),
            ("[batch] max-bytes", self.batch.max_bytes),
            ("[batch] max-payload-bytes", self.batch.max_payload_bytes),
            ("[limits] memory-bytes", self.limits.memory_bytes),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(format!("{name} is 0"));
            }
        }
        for (name, value, most) in [
            ("[batch] max-records", self.batch.max_records, 1_000_000),
            ("[batch] max-bytes", self.batch.max_bytes, 256 << 20),
            ("[batch] max-payload-bytes", self.batch.max_payload_bytes, 10 << 20),
        ] {
            if value > most {
                return Err(format!("{name} is {value}, at most {most} is allowed"));
            }
        }
        Ok(())
    }
}
