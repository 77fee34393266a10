//! The one configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use paceline_engine::Limits;
use paceline_pipeline::Retry;
use paceline_pipeline::batch::BatchLimits;
use paceline_pipeline::pointer::Pointer;
use paceline_pipeline::toml_error;
use serde::Deserialize;

use crate::Failure;
use crate::simulator::Race;

/// The configuration. Paths in it are relative to its own folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    pub(crate) source: SourceConfig,
    pub(crate) route: RouteConfig,
    pub(crate) rulebooks: RulebooksConfig,
    /// The files that plugin names in rulebooks stand for.
    #[serde(default)]
    pub(crate) plugins: BTreeMap<String, PathBuf>,
    pub(crate) store: StoreConfig,
    #[serde(default)]
    pub(crate) batch: BatchLimits,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) retry: Retry,
    #[serde(default)]
    pub(crate) leaderboard: BTreeMap<String, LeaderboardConfig>,
}

/// Where the records come from: exactly one of `file`, `stdin` and `simulate`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SourceConfig {
    /// A file of newline-delimited JSON.
    pub(crate) file: Option<PathBuf>,
    /// Newline-delimited JSON on standard input.
    #[serde(default)]
    pub(crate) stdin: bool,
    /// The simulator.
    pub(crate) simulate: Option<Race>,
    /// The name of the shard, by which checkpoints and fences know it.
    pub(crate) name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RouteConfig {
    /// The field that names a record's race type.
    pub(crate) race_type: Pointer,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RulebooksConfig {
    /// The folder of rulebooks that people edit.
    pub(crate) folder: PathBuf,
    /// Where rulebooks and plugins that were in use are kept.
    #[serde(default = "registry")]
    pub(crate) registry: PathBuf,
    /// How often the folder is looked at, in milliseconds.
    #[serde(default = "look_every_ms")]
    pub(crate) look_every_ms: u64,
}

fn registry() -> PathBuf {
    "registry".into()
}

fn look_every_ms() -> u64 {
    200
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StoreConfig {
    /// The file of the embedded store.
    pub(crate) path: PathBuf,
}

/// How a leaderboard is read: which items, in which order, and what of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LeaderboardConfig {
    /// The items' partition key; `{}` stands for the race or class.
    pub(crate) partition: String,
    /// The attribute by which they are ordered, greatest first.
    pub(crate) order_by: String,
    /// The attribute by which equal ones are ordered, least first.
    pub(crate) tie: String,
    /// The attributes that are shown.
    pub(crate) show: Vec<String>,
}

impl Config {
    /// Reads the configuration and makes its paths absolute or relative to where the program runs.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut config: Self = toml_error::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = [&mut config.rulebooks.folder, &mut config.rulebooks.registry, &mut config.store.path];
        for path in paths.into_iter().chain(&mut config.source.file).chain(config.plugins.values_mut()) {
            *path = folder.join(&*path);
        }
        config.check().map_err(|wrong| format!("{}: {wrong}", path.display()))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let source = &self.source;
        let sources = [source.file.is_some(), source.stdin, source.simulate.is_some()];
        match sources.into_iter().filter(|set| *set).count() {
            1 => {}
            0 => return Err("[source] names none of `file`, `stdin = true` and `simulate`".to_owned()),
            _ => return Err("[source] names more than one of `file`, `stdin` and `simulate`".to_owned()),
        }
        if let Some(race) = &source.simulate {
            race.check().map_err(|wrong| format!("[source.simulate] {wrong}"))?;
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
