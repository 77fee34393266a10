//! Start: the configuration, and what of it can't be right.

use std::path::PathBuf;

use paceline_config::Config;
use paceline_pipeline::Rulebooks;

use crate::handler::Handler;
use crate::metrics::Metrics;

/// What a function can't start for: a message for a person.
pub(crate) type Failure = String;

/// Reads the configuration, loads the plugins and makes ready to work.
///
/// - `PACELINE_CONFIG`: the configuration file, in the function's package; `paceline.toml` by default.
/// - `PACELINE_CACHE`: the folder for compiled plugins; `/tmp/paceline/compiled` by default.
/// - `PACELINE_METRICS_NAMESPACE`: the metrics' namespace; `paceline` by default.
/// - `PACELINE_PARALLELIZATION_FACTOR`, `PACELINE_TUMBLING_WINDOW`: what the event source mapping is set to, so that a
///   setting that does not go with the rulebooks' fences is told at the start.
/// - `PACELINE_TABLE`, `PACELINE_DEAD_LETTERS`: tables, in place of the file's.
pub(crate) async fn start() -> Result<Handler, Failure> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let package = PathBuf::from(variable("LAMBDA_TASK_ROOT", ""));
    let file = package.join(variable("PACELINE_CONFIG", "paceline.toml"));
    if !file.exists() {
        return Err(format!(
            "there is no configuration {}: put it into the package, or name the file that is there in PACELINE_CONFIG",
            file.display()
        ));
    }
    let config = Config::load(&file)?;
    let cache = PathBuf::from(variable("PACELINE_CACHE", "/tmp/paceline/compiled"));
    let (pipeline, _) = paceline_config::open(&config, Some(&cache)).await?;
    let metrics = Metrics::new(
        variable("PACELINE_METRICS_NAMESPACE", "paceline"),
        variable("AWS_LAMBDA_FUNCTION_NAME", "paceline"),
    )?;
    for (race_type, version) in pipeline.rulebooks().catalog().versions() {
        tracing::info!(race_type, version, "rulebook is active");
    }
    let number = |name: &str| match std::env::var(name) {
        Ok(text) => text.trim().parse().map_err(|_| format!("{name} is `{text}`, which is no number")),
        Err(_) => Ok(0_u32),
    };
    let (factor, window) = (number("PACELINE_PARALLELIZATION_FACTOR")?, number("PACELINE_TUMBLING_WINDOW")?);
    for warning in warnings(pipeline.rulebooks(), factor, window) {
        tracing::warn!("{warning}");
    }
    Ok(Handler::new(pipeline, metrics))
}

/// What of the event source mapping's settings does not go with the rulebooks.
fn warnings(rulebooks: &Rulebooks, factor: u32, window: u32) -> Vec<String> {
    let mut warnings = Vec::new();
    if factor > 1 {
        for (race_type, version, key) in rulebooks.catalog().sequence_dedups() {
            warnings.push(format!(
                "the parallelization factor is {factor}, and race type {race_type}, version {version} fences its groups \
                 {key} by sequence: that is right only if all records of a group have one partition key; with other keys \
                 (those of the Alleycat producers are random) records would be taken for ones that were folded before: \
                 fence by an ordinal, or set the factor to 1"
            ));
        }
        if window > 0 {
            warnings.push(format!(
                "the parallelization factor is {factor} and there is a tumbling window of {window} s: each part of a \
                 shard would write its own windows; set the factor to 1"
            ));
        }
    }
    warnings
}
