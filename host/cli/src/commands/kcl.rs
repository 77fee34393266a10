//! `paceline kcl`: a record processor for Amazon's MultiLangDaemon. The daemon starts one such process for each shard
//! whose lease it holds, and exchanges JSON lines with it over standard input and output.
//!
//! The daemon keeps checkpoints in its lease table, and unpacks aggregates of the Kinesis Producer Library. When a process
//! ends with an error, the daemon logs the process's output, ends the other shards' processes, and exits with status 1;
//! other workers take over its leases after `failoverTimeMillis`. A supervisor must restart the daemon. The process ends
//! when the daemon closes standard input.
//!
//! # Layout
//!
//! - this file: the arguments, and the start. The processor itself is `paceline_aws::kcl`'s.
//! - `observed`: what the HTTP server and the collector of traces get of a shard.
//! - `properties`, `keys`: the daemon's properties file, generated from the configuration.

mod keys;
mod observed;
mod properties;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use paceline_aws::kcl::{Checkpoints, Connection, Host, Input, Processor};
use paceline_config::Config;
use paceline_pipeline::rules::RulesEvent;
use tokio::signal::unix::{SignalKind, signal};

use crate::follower::{Follower, Notes, work_as_host};
use crate::serve::{ShardView, ShardWork, Together};
use crate::setup::{ConfigArgument, cache, identity, poll_interval, runtime};
use crate::stop::CALLS_AFTER_STOP;
use observed::Observed;
use properties::Overrides;

/// How long the end of the process waits for the last traces.
const LAST_TRACES: Duration = Duration::from_secs(2);

/// The default interval between checkpoints, in milliseconds.
const CHECKPOINT_EVERY_MS: u64 = 1_000;

/// Arguments of `paceline kcl`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The least time between two checkpoints, in milliseconds. Each is a write to the daemon's lease table. Records after
    /// the last checkpoint are delivered again after a crash, and deduplicated. 0: after every message of records.
    #[arg(long, value_name = "MS", default_value_t = CHECKPOINT_EVERY_MS)]
    checkpoint_every_ms: u64,
    /// Write the daemon's properties file, generated from the configuration, instead of processing records.
    #[arg(long, value_name = "FILE")]
    write_properties: Option<PathBuf>,
    /// The name of the application and of the daemon's lease table [default: `paceline-` and the stream's name]
    #[arg(long, value_name = "NAME", requires = "write_properties", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    application: Option<String>,
    /// A setting of the daemon: an additional one, or another value of a generated one.
    #[arg(long, value_name = "KEY=VALUE", requires = "write_properties")]
    set: Vec<String>,
}

/// Processes the records of a shard, or writes the daemon's properties.
pub(crate) fn kcl(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let kinesis = config.source.as_ref().and_then(|source| source.kinesis.as_ref());
    let kinesis = kinesis.context("the configuration has no [source.kinesis], which names the stream")?;
    if config.store.dynamodb.is_none() {
        bail!("[store] must be [store.dynamodb]: each shard has its own process, and processes may change machines");
    }
    if let Some(file) = &arguments.write_properties {
        let every = arguments.checkpoint_every_ms;
        let overrides = Overrides {
            application: arguments.application.as_deref(),
            checkpoint_every_ms: Some(every).filter(|every| *every != CHECKPOINT_EVERY_MS),
            set: &arguments.set,
        };
        return Ok(properties::write(file, &arguments.config.config, &config, kinesis, &overrides)?);
    }
    let stream = config.source.as_ref().and_then(|source| source.name.clone());
    let stream = stream.unwrap_or_else(|| properties::stream_name(&kinesis.stream).to_owned());
    process(&config, stream, Duration::from_millis(arguments.checkpoint_every_ms))
}

/// Answers the daemon until it closes the input.
fn process(config: &Config, stream: String, checkpoint_every: Duration) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let opened = runtime.block_on(paceline_config::open(config, cache().as_deref(), Some(identity("kcl"))));
    let (pipeline, events) = opened?;
    let pipeline = Arc::new(pipeline);
    events.iter().for_each(RulesEvent::log);
    let outcome = runtime.block_on(work_as_host(&pipeline, async {
        let follower = Follower::start(Arc::clone(&pipeline), poll_interval(config), Notes::Log);
        ignore_signals()?;
        let calls = pipeline.rulebooks().call_deadline().clone();
        // Nobody waits for the answer to a message that is being processed then.
        let ended = move || calls.set(Some(Instant::now() + CALLS_AFTER_STOP));
        let daemon = Connection::new(Input::start(std::io::stdin(), ended)?, std::io::stdout());
        let work = Arc::new(ShardWork::default());
        let server = config.serve.listen.map(|address| {
            let view = ShardView::new(Arc::clone(&work), Arc::clone(&pipeline), stream.clone());
            Together::start(address, view)
        });
        let server = server.transpose()?;
        let checkpoints = Checkpoints::new(checkpoint_every);
        let traces = paceline_config::open_traces(config)?;
        let (limits, calls_after_end) = (config.batch.clone(), CALLS_AFTER_STOP);
        let observer = Observed { work, traces: traces.clone() };
        let host = Host { pipeline: Arc::clone(&pipeline), limits, stream, calls_after_end, observer };
        let ended = Processor::new(host, checkpoints, daemon).run().await;
        if let Some(traces) = traces {
            traces.flush(LAST_TRACES).await;
        }
        drop(server);
        follower.end().await;
        Ok(ended?)
    }));
    // The thread that reads standard input may still wait.
    runtime.shutdown_background();
    outcome
}

/// Ignores SIGINT and SIGTERM. A terminal or systemd signals the whole process group: the daemon needs answers to its last
/// messages, and closes the input then.
fn ignore_signals() -> anyhow::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signal = signal(kind).context("no signal handler can be installed")?;
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                tracing::info!("signal ignored: the process ends when the daemon closes standard input");
            }
        });
    }
    Ok(())
}
