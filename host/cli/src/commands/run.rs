//! `paceline run`: a source's records into the store.

#[cfg(feature = "aws")]
mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use paceline_config::{Config, SourceConfig};
use paceline_pipeline::receive::{NdjsonSource, Source};
use paceline_pipeline::run::run as run_source;
use paceline_simulator::Simulation;

use crate::follower::{Follower, Notes, work_as_host};
use crate::progress::Progress;
use crate::report;
use crate::setup::{ConfigArgument, cache, identity, poll_interval, runtime};
use crate::stop::{CALLS_AFTER_STOP, stop_signal};

/// Arguments of `paceline run`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Read this file of newline-delimited JSON, or standard input for `-`, instead of the configuration's [source].
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Processes the source's records.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = arguments.config.load()?;
    if let Some(input) = arguments.input {
        let stdin = input.as_os_str() == "-";
        let name = config.source.take().and_then(|source| source.name);
        config.source = Some(SourceConfig { file: (!stdin).then_some(input), stdin, name, ..SourceConfig::default() });
    }
    // The source comes first: checking it takes no time, compiling plugins does.
    #[cfg(feature = "aws")]
    if let Some(kinesis) = &config.source()?.kinesis {
        let kinesis = kinesis.clone();
        return stream::run((&Arc::new(config), &arguments.config.config), &kinesis, arguments.json);
    }
    let runtime = runtime()?;
    let opened = runtime.block_on(paceline_config::open(&config, cache().as_deref(), Some(identity("run"))));
    let (pipeline, events) = opened?;
    let pipeline = Arc::new(pipeline);
    // Standard input is not read before signals are handled.
    let source = source(&config).inspect_err(|_| runtime.block_on(pipeline.sign_off()))?;

    let progress = Arc::new(Progress::new(source.len_hint()));
    events.iter().for_each(|event| progress.note(&event.to_string()));
    let notes = Arc::clone(&progress);
    let started = Instant::now();
    let limits = config.batch.clone();
    let summary = runtime.block_on(work_as_host(&pipeline, async {
        let follower = Follower::start(Arc::clone(&pipeline), poll_interval(&config), Notes::Progress(notes));
        let stop_progress = Arc::clone(&progress);
        let calls = pipeline.rulebooks().call_deadline().clone();
        let stop = stop_signal(move || {
            calls.set(Some(Instant::now() + CALLS_AFTER_STOP));
            stop_progress.note("stopping after the current batch");
        })?;
        let committed = |batch: &_, summary: &_| progress.advance(batch, summary);
        let summary = run_source(source, &pipeline, limits, stop, committed).await;
        follower.end().await;
        Ok(summary?)
    }));
    progress.finish();
    let summary = summary?;
    // A reader of standard input may still wait for a line.
    runtime.shutdown_background();
    report::print(&summary, started.elapsed(), arguments.json)
}

fn source(config: &Config) -> anyhow::Result<Box<dyn Source>> {
    let source = config.source()?;
    let name = source.name.as_deref();
    if let Some(race) = &source.simulate {
        return Ok(Box::new(Simulation::new(race, name)));
    }
    let lines = match &source.file {
        Some(path) => NdjsonSource::file(path, name),
        None => NdjsonSource::reader(std::io::stdin(), name.unwrap_or("stdin")),
    };
    Ok(Box::new(lines?))
}
