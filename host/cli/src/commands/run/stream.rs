//! A stream of Kinesis as the source: reads it until the process is told to stop.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use paceline_aws::kinesis::{Consumer, Finished, KinesisConfig};
use paceline_config::Config;
use paceline_pipeline::summary::Summary;

use crate::Failure;
use crate::commands::parallel_runtime;
use crate::report;
use crate::serve::{Metrics, Server};
use crate::stop::stop_signal;
use crate::watcher::{RulebookWatcher, is_active};

/// Reads the stream into the store. What a person should know is logged; the summary comes at the end.
pub(super) fn run(config: &Config, kinesis: &KinesisConfig, json: bool) -> Result<(), Failure> {
    let runtime = parallel_runtime()?;
    let started = Instant::now();
    let total = Arc::new(Mutex::new(Summary::default()));
    let ended = runtime.block_on(async {
        // Listened for from the beginning: compiling the plugins may take a while.
        let stop = stop_signal(|| tracing::info!("stopping after the batches in hand"))?;
        let metrics = Metrics::new()?;
        // Compiled plugins, for a start that is quick. There is none unless somebody names a folder of this user's own.
        let cache = std::env::var_os("PACELINE_CACHE").map(PathBuf::from);
        let name = config.source()?.name.as_deref();
        let consumer = Consumer::connect(kinesis, name, config.batch.clone()).await;
        let consumer = consumer.map_err(|error| error.to_string())?;
        let (pipeline, watch) = paceline_config::open(config, cache.as_deref()).await?;
        let pipeline = Arc::new(pipeline);
        for (race_type, version) in pipeline.rulebooks().catalog().versions() {
            tracing::info!("{}", is_active(&race_type, version));
        }
        let watcher = RulebookWatcher::start(watch, &config.rulebooks, |line| tracing::info!("{line}"))?;
        let server = match config.serve.listen {
            Some(address) => Some(Server::start(address, &consumer, Arc::clone(&pipeline), metrics.clone()).await?),
            None => None,
        };
        let counted = Arc::clone(&total);
        let finished = move |finished: &Finished<'_>| {
            metrics.finished(finished);
            counted.lock().unwrap_or_else(PoisonError::into_inner).add(finished.summary);
        };
        let ended = consumer.run(pipeline, stop, finished).await.map_err(|error| error.to_string());
        watcher.end();
        drop(server);
        ended
    });
    // Requests that nobody waits for any more need not end.
    runtime.shutdown_background();
    ended?;
    report::print(&total.lock().unwrap_or_else(PoisonError::into_inner), started.elapsed(), json)
}
