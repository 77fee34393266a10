//! Start-up: from the configuration to a handler.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use paceline_config::{AnyStore, Config, ConfigError, OpenError};
use paceline_lambda::{Handler, Metrics};
use paceline_pipeline::Rulebooks;
use paceline_pipeline::rules::{HostIdentity, RulesEvent};
use paceline_traces::ExporterError;

/// Why the function can't start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The package has no configuration file.
    #[error(
        "the package has no configuration {}: add it, or set PACELINE_CONFIG to the name of the file", path.display()
    )]
    NoConfiguration { path: PathBuf },
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// The rulebooks can't be loaded, or the store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A variable is not a number.
    #[error("{variable} is `{value}`, which is not a number: set it to the event source mapping's setting")]
    NotANumber { variable: &'static str, value: String },
    #[error(transparent)]
    Traces(#[from] ExporterError),
}

/// Reads the configuration, loads the rulebooks and plugins, and opens the store.
///
/// Environment variables:
/// - `PACELINE_CONFIG`: the configuration file in the function's package; default `paceline.toml`.
/// - `PACELINE_CACHE`: the folder for compiled plugins; default `/tmp/paceline/compiled`.
/// - `PACELINE_METRICS_NAMESPACE`: the namespace of the metrics; default `paceline`.
/// - `PACELINE_PARALLELIZATION_FACTOR`, `PACELINE_TUMBLING_WINDOW`: the settings of the event source mapping, for the
///   warnings at start-up; default 0.
/// - `PACELINE_TABLE`, `PACELINE_DEAD_LETTERS`, `PACELINE_RULES`: the tables and the registry; they override the file's.
pub(crate) async fn start() -> Result<Handler<AnyStore>, StartError> {
    let variable = |name: &str, default: &str| paceline_config::variable(name).unwrap_or_else(|| default.to_owned());
    let package = PathBuf::from(variable("LAMBDA_TASK_ROOT", ""));
    let path = package.join(variable("PACELINE_CONFIG", "paceline.toml"));
    if !path.exists() {
        return Err(StartError::NoConfiguration { path });
    }
    let config = Config::load(&path)?;
    let cache = PathBuf::from(variable("PACELINE_CACHE", "/tmp/paceline/compiled"));
    // An execution environment has a log stream of its own.
    let id = variable("AWS_LAMBDA_LOG_STREAM_NAME", "");
    let identity = Some(HostIdentity { id, kind: "lambda" }).filter(|identity| !identity.id.is_empty());
    let (pipeline, events) = paceline_config::open(&config, Some(&cache), identity).await?;
    let (factor, window) = (number("PACELINE_PARALLELIZATION_FACTOR")?, number("PACELINE_TUMBLING_WINDOW")?);
    let metrics = Metrics::new(
        &variable("PACELINE_METRICS_NAMESPACE", "paceline"),
        &variable("AWS_LAMBDA_FUNCTION_NAME", "paceline"),
    );
    events.iter().for_each(RulesEvent::log);
    for warning in warnings(pipeline.rulebooks(), factor, window) {
        tracing::warn!("{warning}");
    }
    let poll_every = Duration::from_millis(config.rules.poll_interval_ms);
    Ok(Handler::new(Arc::new(pipeline), metrics, poll_every).with_traces(paceline_config::open_traces(&config)?))
}

/// The number in a variable; 0 if it is not set.
fn number(variable: &'static str) -> Result<u32, StartError> {
    let Some(value) = paceline_config::variable(variable) else { return Ok(0) };
    value.trim().parse().map_err(|_| StartError::NotANumber { variable, value })
}

/// The settings of the event source mapping that are incompatible with the rulebooks. `window` is in seconds.
fn warnings(rulebooks: &Rulebooks, factor: u32, window: u32) -> Vec<String> {
    let mut warnings = Vec::new();
    if factor > 1 {
        for (rulebook, key) in rulebooks.catalog().sequence_dedups() {
            warnings.push(format!(
                "the parallelization factor is {factor}, and the rulebook {rulebook} has \
                 `dedup = \"sequence\"` for its groups {key}: that is correct only if all records of a group have one \
                 partition key; with others (those of the Alleycat producers are random), new records are dropped as \
                 duplicates: set `dedup = {{ ordinal = … }}`, or set the factor to 1"
            ));
        }
        if window > 0 {
            warnings.push(format!(
                "the parallelization factor is {factor} and the tumbling window has {window} s: each part of a shard \
                 has its own windows; set the factor to 1"
            ));
        }
    }
    warnings
}
