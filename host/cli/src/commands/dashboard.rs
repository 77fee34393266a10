//! `paceline dashboard`: the dashboard of a deployment that runs elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use paceline_dashboard::{Dashboard, Hosts, Options, serve};
use tokio::net::TcpListener;

use super::doctor::{DeploymentArguments, span};
use crate::dashboard::Live;
use crate::observer::Observer;
use crate::setup::parallel_runtime;
use crate::stop::stop_signal;

/// Pages that are updated at once.
pub(crate) const LISTENERS: usize = 32;
/// How long a leaderboard is shown before it is read again.
pub(crate) const LEADERBOARD: Duration = Duration::from_secs(15);

/// Arguments of `paceline dashboard`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    deployment: DeploymentArguments,
    /// The address and port. Only this machine reaches a loopback address; there is no password. Port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9465")]
    listen: SocketAddr,
    /// How far back charts go, such as 3h. At least a minute, the metrics' period.
    #[arg(long, value_name = "TIME", default_value = "3h", value_parser = span)]
    since: Duration,
    /// How often an open page is updated. CloudWatch is read once a minute at most, and only while a page is open.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    refresh: Duration,
}

/// Serves the dashboard until it is stopped.
pub(crate) fn dashboard(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.deployment.load()?;
    let target = arguments.deployment.target(config.as_deref(), arguments.since)?;
    let runtime = parallel_runtime()?;
    runtime.block_on(async {
        let stop = stop_signal(|| {})?;
        let observer = Observer::open(target, config.clone(), arguments.deployment.file()).await;
        let failed = || format!("--listen {} can't be listened on", arguments.listen);
        let listener = TcpListener::bind(arguments.listen).await.with_context(failed)?;
        let address = listener.local_addr().with_context(failed)?;
        let source = Live::new(observer, config, "CloudWatch, the store and the rules".to_owned());
        let options = Options {
            refresh: arguments.refresh.max(Duration::from_millis(100)),
            leaderboard: LEADERBOARD,
            max_listeners: LISTENERS,
            hosts: Hosts::of(address),
        };
        let dashboard = Arc::new(Dashboard::new(Arc::new(source), options));
        tracing::info!(url = %format_args!("http://{address}/"), "serving the dashboard");
        serve(listener, dashboard, stop).await;
        Ok(())
    })
}
