//! `paceline doctor`: what is wrong with a deployment, why, and what to do.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use paceline_config::Config;
use paceline_doctor::{History, examine};
use paceline_observe::{Endpoint, Target};

use crate::observer::Observer;
use crate::report;
use crate::setup::{UsageError, parallel_runtime};

/// Metrics are billed.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// The shortest period of CloudWatch's metrics. In less time none ends.
const LEAST_SPAN: Duration = Duration::from_secs(60);

const NOTHING_NAMED: &str = "nothing is named: use --config FILE, --function NAME, --stream NAME, --table NAME, --queue \
                             URL or --host ADDRESS";

/// A span of metrics.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if span < LEAST_SPAN {
        return Err("it is shorter than the metrics' period: give 1m or more".to_owned());
    }
    Ok(span)
}

/// Arguments of `paceline doctor`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    deployment: DeploymentArguments,
    /// How far back metrics are read, such as 3h. At least a minute, their period.
    #[arg(long, value_name = "TIME", default_value = "3h", value_parser = span)]
    since: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Examine again and again, with this pause, until interrupted.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "10s",
          value_parser = humantime::parse_duration, conflicts_with = "from")]
    watch: Option<Duration>,
    /// Examine a recorded history instead of a deployment.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "stream", "function", "table", "queue", "host"])]
    from: Option<PathBuf>,
    /// Write what was observed to a file, for --from. It has no payloads, but the names and messages of the deployment.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// The deployment that is observed.
#[derive(Clone, clap::Args)]
pub(crate) struct DeploymentArguments {
    /// The configuration file. It names stream, table and registry.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// The Lambda function. Its stream and its tables are found from it.
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// A table; may be given more than once.
    #[arg(long, value_name = "NAME")]
    table: Vec<String>,
    /// The queue of batches that Lambda gave up, unless it is the mapping's on-failure destination.
    #[arg(long, value_name = "URL")]
    queue: Option<String>,
    /// The address of a running host's /metrics, such as 10.0.0.7:9464; may be given more than once. Without it, the one
    /// under `[serve]` in the configuration, if its port is fixed.
    #[arg(long, value_name = "ADDRESS")]
    host: Vec<String>,
    /// The AWS region.
    #[arg(long)]
    region: Option<String>,
}

impl DeploymentArguments {
    /// The configuration, if one is named.
    pub(crate) fn load(&self) -> anyhow::Result<Option<Arc<Config>>> {
        Ok(self.config.as_deref().map(Config::load).transpose()?.map(Arc::new))
    }

    /// The configuration's file.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// What is observed in AWS and of hosts.
    pub(crate) fn target(&self, config: Option<&Config>, span: Duration) -> anyhow::Result<Target> {
        let others = Endpoint { region: self.region.clone(), url: None };
        let mut target = Target {
            stream: self.stream.clone(),
            kinesis: others.clone(),
            function: self.function.clone(),
            tables: self.table.clone(),
            dynamodb: others.clone(),
            queue: self.queue.clone(),
            others,
            namespace: std::env::var("PACELINE_METRICS_NAMESPACE").ok(),
            hosts: self.host.clone(),
            ..Target::nothing(span)
        };
        if let Some(config) = config {
            add_config(config, self.region.as_deref(), &mut target);
        }
        if target.stream.is_none()
            && target.function.is_none()
            && target.tables.is_empty()
            && target.queue.is_none()
            && target.hosts.is_empty()
            && config.is_none()
        {
            return Err(UsageError(NOTHING_NAMED.to_owned()).into());
        }
        Ok(target)
    }
}

/// Adds what the configuration names and the target does not.
pub(crate) fn add_config(config: &Config, region: Option<&str>, target: &mut Target) {
    let region = |own: &Option<String>| region.map(str::to_owned).or_else(|| own.clone());
    if let Some(kinesis) = config.source.as_ref().and_then(|source| source.kinesis.as_ref()) {
        target.kinesis = Endpoint { region: region(&kinesis.region), url: kinesis.endpoint.clone() };
        target.others.region = region(&kinesis.region);
        // The KCL's configuration may name the stream by its ARN.
        let name = kinesis.stream.rsplit('/').next().unwrap_or(&kinesis.stream).to_owned();
        target.stream.get_or_insert(name);
    }
    if let Some(dynamodb) = &config.store.dynamodb {
        target.dynamodb = Endpoint { region: region(&dynamodb.region), url: dynamodb.endpoint.clone() };
        target.others.region = target.others.region.take().or_else(|| region(&dynamodb.region));
        if target.tables.is_empty() {
            target.tables = vec![dynamodb.table.clone(), dynamodb.dead_letter_table()];
        }
    }
    if target.hosts.is_empty()
        && let Some(listen) = config.serve.listen.filter(|listen| listen.port() != 0)
    {
        target.hosts.push(super::healthcheck::reachable(listen).to_string());
    }
}

/// Examines a deployment, or a recorded history.
pub(crate) fn doctor(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(path) = &arguments.from {
        return show(arguments, &read(path)?);
    }
    let config = arguments.deployment.load()?;
    let target = arguments.deployment.target(config.as_deref(), arguments.since)?;
    let runtime = parallel_runtime()?;
    let mut observer = runtime.block_on(Observer::open(target, config, arguments.deployment.file()));
    let Some(pause) = arguments.watch else {
        let observed = runtime.block_on(observer.observe_course())?;
        return show(arguments, &observed.history);
    };
    runtime.block_on(watch(arguments, &mut observer, pause.max(LEAST_PAUSE)))
}

/// Examines again and again, until it is interrupted or nobody reads the output any more.
async fn watch(arguments: &Arguments, observer: &mut Observer, pause: Duration) -> anyhow::Result<ExitCode> {
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut code = ExitCode::SUCCESS;
    loop {
        let observed = tokio::select! {
            observed = observer.observe() => observed?,
            interrupt = &mut interrupted => {
                interrupt.context("interrupts can't be received")?;
                return Ok(code);
            }
        };
        if std::io::stdout().is_terminal() && !arguments.json {
            // Clear the screen and begin at its top.
            report::print_line("\x1b[2J\x1b[H")?;
        }
        code = show(arguments, &observed.history)?;
        if report::is_closed() {
            return Ok(code);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            interrupt = &mut interrupted => {
                interrupt.context("interrupts can't be received")?;
                return Ok(code);
            }
        }
    }
}

fn read(path: &Path) -> anyhow::Result<History> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    History::from_json(&text).with_context(|| path.display().to_string())
}

fn show(arguments: &Arguments, history: &History) -> anyhow::Result<ExitCode> {
    if let Some(path) = &arguments.record {
        let written = std::fs::write(path, history.to_json());
        written.with_context(|| format!("{} can't be written", path.display()))?;
    }
    let examined = examine(history);
    match arguments.json {
        true => report::print_json(&serde_json::to_value(&examined)?)?,
        false => report::print_lines(&[examined.text(std::io::stdout().is_terminal())])?,
    }
    Ok(ExitCode::from(examined.exit_code()))
}
