//! `paceline run`: a source's records into the store.

mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use paceline_config::{Config, SourceConfig};
use paceline_pipeline::receive::{NdjsonSource, Source};
use paceline_pipeline::run::run as run_source;
use paceline_simulator::Simulation;

use super::{ConfigArgument, runtime};
use crate::Failure;
use crate::progress::Progress;
use crate::report;
use crate::stop::stop_signal;
use crate::watcher::{RulebookWatcher, is_active};

/// What `run` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Read this file of newline-delimited JSON (`-` for standard input), whatever the configuration's [source] says.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Takes the source's records into the store.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut config = arguments.config.load()?;
    if let Some(input) = arguments.input {
        let stdin = input.as_os_str() == "-";
        let name = config.source.take().and_then(|source| source.name);
        config.source = Some(SourceConfig { file: (!stdin).then_some(input), stdin, name, ..SourceConfig::default() });
    }
    // Looked at first: what is missing there takes no time to tell.
    if let Some(kinesis) = &config.source()?.kinesis {
        return stream::run(&config, kinesis, arguments.json);
    }
    let runtime = runtime()?;
    let (pipeline, watch) = runtime.block_on(paceline_config::open(&config, None))?;
    let source = source(&config)?;

    let progress = Arc::new(Progress::new(source.len_hint()));
    for (race_type, version) in pipeline.rulebooks().catalog().versions() {
        progress.note(&is_active(&race_type, version));
    }
    let noting = Arc::clone(&progress);
    let watcher = RulebookWatcher::start(watch, &config.rulebooks, move |line| noting.note(line))?;
    let started = Instant::now();
    let limits = config.batch.clone();
    let summary = runtime.block_on(async {
        let noting = Arc::clone(&progress);
        let stop = stop_signal(move || noting.note("stopping after the batch in hand"))?;
        let done = |batch: &_, summary: &_| progress.advance(batch, summary);
        run_source(source, &pipeline, limits, stop, done).await.map_err(|error| error.to_string())
    });
    watcher.end();
    progress.finish();
    let summary = summary?;
    // A reader of standard input may still wait for a line that never comes.
    runtime.shutdown_background();
    report::print(&summary, started.elapsed(), arguments.json)
}

fn source(config: &Config) -> Result<Box<dyn Source>, Failure> {
    let source = config.source()?;
    let name = source.name.as_deref();
    if let Some(race) = &source.simulate {
        return Ok(Box::new(Simulation::new(race, name)));
    }
    let lines = match &source.file {
        Some(path) => NdjsonSource::file(path, name),
        None => NdjsonSource::reader(std::io::stdin(), name.unwrap_or("stdin")),
    };
    Ok(Box::new(lines.map_err(|error| error.to_string())?))
}
