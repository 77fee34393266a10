//! `paceline kcl`: a record processor for Amazon's MultiLangDaemon, which starts one such process for each shard whose
//! lease it holds and speaks with it in JSON lines over standard input and output.
//!
//! The daemon keeps count of what is done in its lease table, and takes aggregates of the Kinesis Producer Library apart.
//! When a process ends with an error, the daemon says what the process said, ends the other shards' processes, and exits
//! with status 1 itself; other workers take its leases over after `failoverTimeMillis`. So whatever runs the daemon must
//! start it again. An end of standard input is the daemon's end, and this process's.
//!
//! # Layout
//!
//! - this file: what the command is told, and the start.
//! - `input`: lines from the daemon, read on a thread of their own.
//! - `protocol`: what the lines say, both ways.
//! - `batches`: the records of a message as batches of bounded size.
//! - `processor`: from message to answer.
//! - `checkpoint`: when the daemon is told how far the shard is done.
//! - `properties`, `keys`: the daemon's own configuration file, made from paceline's.

mod batches;
mod checkpoint;
mod input;
mod keys;
mod processor;
mod properties;
mod protocol;

use std::path::PathBuf;
use std::time::Duration;

use paceline_config::Config;
use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigArgument, runtime};
use crate::Failure;
use crate::watcher::{RulebookWatcher, is_active};
use input::Input;
use processor::Processor;

/// How often the daemon is told how far the shard is done, unless it is said otherwise.
const CHECKPOINT_EVERY_MS: u64 = 1_000;

/// What `kcl` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Let the daemon write a checkpoint at most so often, in milliseconds; each is a write to its table. What is done
    /// after the last one comes again after a crash, and the fences absorb it. 0: after every message of records.
    #[arg(long, value_name = "MS", default_value_t = CHECKPOINT_EVERY_MS)]
    checkpoint_every_ms: u64,
    /// Do not process records: write the daemon's properties file, made from the configuration.
    #[arg(long, value_name = "FILE")]
    write_properties: Option<PathBuf>,
    /// The application's name, which is that of the daemon's lease table; without it, `paceline-` and the stream's name.
    #[arg(long, value_name = "NAME", requires = "write_properties")]
    application: Option<String>,
    /// Another setting of the daemon's, or another value for one that is made from the configuration.
    #[arg(long, value_name = "KEY=VALUE", requires = "write_properties")]
    set: Vec<String>,
}

/// Processes the records of a shard, or writes the daemon's properties.
pub(crate) fn kcl(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let kinesis = config.source.as_ref().and_then(|source| source.kinesis.as_ref());
    let kinesis = kinesis.ok_or("the configuration has no [source.kinesis], which names the stream")?;
    if config.store.dynamodb.is_none() {
        return Err(
            "[store] has to be [store.dynamodb]: every shard has a process of its own, on one machine today and \
                    on another tomorrow"
                .to_owned(),
        );
    }
    if let Some(file) = &arguments.write_properties {
        let every = arguments.checkpoint_every_ms;
        let wanted = properties::Wanted {
            application: arguments.application.as_deref(),
            checkpoint_every_ms: Some(every).filter(|every| *every != CHECKPOINT_EVERY_MS),
            set: &arguments.set,
        };
        return properties::write(file, &arguments.config.config, &config, kinesis, &wanted);
    }
    let stream = config.source.as_ref().and_then(|source| source.name.clone());
    let stream = stream.unwrap_or_else(|| properties::stream_name(&kinesis.stream).to_owned());
    process(&config, stream, Duration::from_millis(arguments.checkpoint_every_ms))
}

/// Speaks with the daemon to the end.
fn process(config: &Config, stream: String, checkpoint_every: Duration) -> Result<(), Failure> {
    let runtime = runtime()?;
    let (pipeline, watch) = runtime.block_on(paceline_config::open(config, cache().as_deref()))?;
    for (race_type, version) in pipeline.rulebooks().catalog().versions() {
        tracing::info!("{}", is_active(&race_type, version));
    }
    let watcher = RulebookWatcher::start(watch, &config.rulebooks, |line| tracing::info!("{line}"))?;
    let done = runtime.block_on(async {
        hold_signals()?;
        let input = Input::start(std::io::stdin())?;
        let processor = Processor::new(pipeline, config, stream, checkpoint_every, input, std::io::stdout());
        processor.run().await
    });
    watcher.end();
    // The reader may still wait for the daemon.
    runtime.shutdown_background();
    done
}

/// The folder for compiled plugins, without which each shard's process would compile them: `PACELINE_CACHE`, or one in
/// this user's own cache folder.
fn cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("PACELINE_CACHE").or_else(|| {
        let folder = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
        Some(folder.join("paceline/compiled"))
    })
}

/// Takes SIGINT and SIGTERM without an end. Who stops a group of processes, as a terminal and systemd do, stops the
/// daemon with it, which wants answers to its last messages and closes the input then.
fn hold_signals() -> Result<(), Failure> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signal = signal(kind).map_err(|error| format!("no signal can be listened for: {error}"))?;
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                tracing::info!("told to stop: the daemon says when; closing standard input ends this process, too");
            }
        });
    }
    Ok(())
}
