//! A Kinesis stream as the source, read until the process is stopped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use paceline_aws::kinesis::{Consumer, Finished, KinesisConfig};
use paceline_config::{AnyStore, Config, batch_trace};
use paceline_dashboard::{Dashboard, Hosts, Options};
use paceline_engine::CallDeadline;
use paceline_observe::Target;
use paceline_pipeline::Pipeline;
use paceline_pipeline::rules::RulesEvent;
use paceline_pipeline::summary::Summary;

use crate::commands::dashboard::{LEADERBOARD, LISTENERS};
use crate::commands::doctor::add_config;
use crate::commands::healthcheck::reachable;
use crate::dashboard::Live;
use crate::follower::{Follower, Notes, work_as_host};
use crate::observer::{Observer, SharedStore};
use crate::report;
use crate::serve::{Listening, Metrics, StreamView};
use crate::setup::{identity, parallel_runtime, poll_interval};
use crate::stop::{CALLS_AFTER_STOP, stop_signal};

/// How far back charts of CloudWatch's metrics go.
const CHARTS: Duration = Duration::from_secs(3 * 3600);
/// How often an open page is updated.
const REFRESH: Duration = Duration::from_secs(2);

/// How long the end of the process waits for the last traces.
const LAST_TRACES: Duration = Duration::from_secs(2);

/// Processes the stream's records by a configuration and its file. Progress is logged; the summary is printed at the end.
pub(super) fn run((config, file): (&Arc<Config>, &Path), kinesis: &KinesisConfig, json: bool) -> anyhow::Result<()> {
    let runtime = parallel_runtime()?;
    let started = Instant::now();
    let total = Arc::new(Mutex::new(Summary::default()));
    let ended = runtime.block_on(async {
        // Signals are handled from the start: compiling the plugins may take a while.
        let calls = Arc::new(OnceLock::<CallDeadline>::new());
        let (stopping, grace) = (Arc::clone(&calls), CALLS_AFTER_STOP.min(Duration::from_millis(kinesis.stop_ms)));
        let stop = stop_signal(move || {
            // Without plugins nothing is called: the signal came during the start.
            if let Some(calls) = stopping.get() {
                calls.set(Some(Instant::now() + grace));
            }
            tracing::info!("stopping after the current batches");
        })?;
        let metrics = Metrics::default();
        // Compiled plugins make the start quick. They are code that runs unchecked, so the folder must be chosen by the
        // operator and writable for nobody else.
        let cache = std::env::var_os("PACELINE_CACHE").map(PathBuf::from);
        let name = config.source()?.name.as_deref();
        let consumer = Consumer::connect(kinesis, name, config.batch.clone()).await?;
        let (pipeline, events) = paceline_config::open(config, cache.as_deref(), Some(identity("run"))).await?;
        let pipeline = Arc::new(pipeline);
        calls.get_or_init(|| pipeline.rulebooks().call_deadline().clone());
        events.iter().for_each(RulesEvent::log);
        work_as_host(&pipeline, async {
            let follower = Follower::start(Arc::clone(&pipeline), poll_interval(config), Notes::Log);
            let server = match config.serve.listen {
                Some(address) => {
                    let unread = Duration::from_millis(config.serve.unread_ms);
                    let view = StreamView::new(&consumer, Arc::clone(&pipeline), metrics.clone(), unread);
                    let listening = Listening::at(address).await?;
                    let dashboard = match config.serve.dashboard.unwrap_or(address.ip().is_loopback()) {
                        true => Some(dashboard((config, file), Arc::clone(&pipeline), listening.address()).await),
                        false => None,
                    };
                    Some(listening.serve(view, dashboard))
                }
                None => None,
            };
            let (sum, traces) = (Arc::clone(&total), paceline_config::open_traces(config)?);
            let sent = traces.clone();
            let finished = move |finished: &Finished<'_>| {
                if let Some(traces) = &sent {
                    let began = Instant::now().checked_sub(finished.took).unwrap_or_else(Instant::now);
                    traces.send(&batch_trace(finished.batch, finished.summary, began, None));
                }
                metrics.finished(finished.shard, finished.summary, finished.took);
                sum.lock().unwrap_or_else(PoisonError::into_inner).add(finished.summary);
            };
            let ended = consumer.run(Arc::clone(&pipeline), stop, finished).await;
            drop(server);
            follower.end().await;
            if let Some(traces) = traces {
                traces.flush(LAST_TRACES).await;
            }
            Ok(ended?)
        })
        .await
    });
    // Pending requests have no receiver any more.
    runtime.shutdown_background();
    ended?;
    report::print(&total.lock().unwrap_or_else(PoisonError::into_inner), started.elapsed(), json)
}

/// The dashboard of this process: its own metrics as often as a page is updated, everything else once a minute, and
/// nothing while no page is open.
async fn dashboard(
    (config, file): (&Arc<Config>, &Path),
    pipeline: Arc<Pipeline<AnyStore>>,
    address: SocketAddr,
) -> Arc<Dashboard> {
    let mut target = Target { hosts: vec![reachable(address).to_string()], ..Target::nothing(CHARTS) };
    add_config(config, None, &mut target);
    let store = Some(SharedStore::Pipeline(pipeline));
    let observer = Observer::with_store(target, Some(Arc::clone(config)), store).await.of_file(Some(file));
    let source = Live::new(observer, Some(Arc::clone(config)), "paceline run".to_owned());
    let hosts = Hosts::of(address);
    let options = Options { refresh: REFRESH, leaderboard: LEADERBOARD, max_listeners: LISTENERS, hosts };
    Arc::new(Dashboard::new(Arc::new(source), options))
}
