//! All of a deployment.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use paceline_aws::sdk::{NoRegion, load};
use paceline_doctor::history::{DeadLetters, Unavailable};
use paceline_doctor::{History, Timestamp};

use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::metrics::Span;
use crate::queue::Place;
use crate::{Endpoint, Target, function, host, metric_list, metrics, queue, stream, table};

/// How long connecting to a service may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an operation may take, with its retries.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads what there is, with about ten requests.
///
/// # Errors
///
/// No region is configured. What a service does not answer is noted in the history.
pub async fn observe(target: &Target) -> Result<History, NoRegion> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let until = Timestamp(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let since = Timestamp(until.0.saturating_sub(u64::try_from(target.span.as_millis()).unwrap_or(u64::MAX)));
    let mut history = History::new(since, until);
    let mut names = Names::new(target);
    if target.needs_aws() {
        let others = sdk(&target.others).await?;
        history.region = others.region().map(ToString::to_string);
        if let Some(name) = &target.function {
            read_function(&others, name, &mut names, &mut history).await;
        }
        read_stream(target, &names, &mut history).await?;
        read_tables(target, &names, &mut history).await?;
        read_queue(&others, target, &mut history).await;
        read_metrics(&others, &names, &mut history).await;
    }
    // One that does not answer must not hold the others up.
    let mut reads = JoinSet::new();
    for (at, address) in target.hosts.iter().cloned().enumerate() {
        reads.spawn(async move { (at, host::read(&address, until).await) });
    }
    let mut reads = reads.join_all().await;
    reads.sort_unstable_by_key(|(at, _)| *at);
    for (_, read) in reads {
        match read {
            Ok(series) => history.series.extend(series),
            Err(unavailable) => history.unavailable.push(unavailable),
        }
    }
    Ok(history)
}

impl Target {
    /// Whether anything of it is in AWS.
    fn needs_aws(&self) -> bool {
        self.stream.is_some() || self.function.is_some() || !self.tables.is_empty() || self.queue.is_some()
    }
}

/// The names that are known so far.
struct Names {
    stream: Option<String>,
    tables: Vec<String>,
    namespace: String,
}

impl Names {
    fn new(target: &Target) -> Self {
        let namespace = target.namespace.clone().unwrap_or_else(|| "paceline".to_owned());
        Self { stream: target.stream.clone(), tables: target.tables.clone(), namespace }
    }
}

async fn sdk(endpoint: &Endpoint) -> Result<SdkConfig, NoRegion> {
    let config = load(endpoint.region.as_deref(), endpoint.url.as_deref(), "`--region`").await?;
    // A service that is out of reach must not hide the others for long.
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(TIMEOUT).build();
    Ok(config.into_builder().timeout_config(timeouts).build())
}

/// Notes what could not be read.
fn noted<T>(read: Result<T, Failure>, what: String, unavailable: &mut Vec<Unavailable>) -> Option<T> {
    read.map_err(|failure| unavailable.push(failure.note(what))).ok()
}

async fn read_function(config: &SdkConfig, name: &str, names: &mut Names, history: &mut History) {
    let client = aws_sdk_lambda::Client::new(config);
    let read = function::read(&client, name, names.stream.as_deref(), &mut history.unavailable).await;
    let Some(found) = noted(read, format!("function {name}"), &mut history.unavailable) else { return };
    names.stream = names.stream.take().or(found.stream);
    if let Some(namespace) = found.environment.get("PACELINE_METRICS_NAMESPACE") {
        names.namespace.clone_from(namespace);
    }
    for variable in ["PACELINE_TABLE", "PACELINE_DEAD_LETTERS"] {
        if let Some(table) = found.environment.get(variable)
            && !names.tables.contains(table)
        {
            names.tables.push(table.clone());
        }
    }
    history.function = Some(found.function);
}

async fn read_stream(target: &Target, names: &Names, history: &mut History) -> Result<(), NoRegion> {
    let Some(name) = &names.stream else { return Ok(()) };
    let client = aws_sdk_kinesis::Client::new(&sdk(&target.kinesis).await?);
    let read = stream::read(&client, name, &mut history.unavailable).await;
    history.stream = noted(read, format!("stream {name}"), &mut history.unavailable);
    Ok(())
}

async fn read_tables(target: &Target, names: &Names, history: &mut History) -> Result<(), NoRegion> {
    if names.tables.is_empty() {
        return Ok(());
    }
    let client = aws_sdk_dynamodb::Client::new(&sdk(&target.dynamodb).await?);
    for name in &names.tables {
        let read = table::read(&client, name).await;
        history.tables.extend(noted(read, format!("table {name}"), &mut history.unavailable));
    }
    Ok(())
}

async fn read_queue(config: &SdkConfig, target: &Target, history: &mut History) {
    let mappings = history.function.as_ref().map(|function| function.mappings.as_slice()).unwrap_or_default();
    let arn = mappings.iter().find_map(|mapping| mapping.on_failure.clone());
    let place = match (&target.queue, &arn) {
        (Some(url), _) => Place::Url(url),
        (None, Some(arn)) => Place::Arn(arn),
        (None, None) => return,
    };
    let read = queue::read(&aws_sdk_sqs::Client::new(config), place).await;
    let read = noted(read, "queue of batches that were given up".to_owned(), &mut history.unavailable);
    if let Some(queue) = read.flatten() {
        history.dead_letters.get_or_insert_with(DeadLetters::default).queue = Some(queue);
    }
}

async fn read_metrics(config: &SdkConfig, names: &Names, history: &mut History) {
    let client = aws_sdk_cloudwatch::Client::new(config);
    let mut wanted = metric_list::wanted(history);
    history.unavailable.extend(metric_list::unread(history));
    if let Some(function) = &history.function {
        let own = metrics::own(&client, &function.name, &names.namespace).await;
        let what = "the function's own metrics".to_owned();
        if let Some((own, more)) = noted(own, what.clone(), &mut history.unavailable) {
            wanted.extend(own);
            if more {
                let reason =
                    "there are more than are read: metrics of versions that ran within two weeks count".to_owned();
                let what = format!("some of {what}");
                history.unavailable.push(Unavailable { what, permission: None, reason, by_limit: true });
            }
        }
    }
    let span = Span { since: history.since, until: history.until, namespace: Some(&names.namespace) };
    let read = metrics::read(&client, &wanted, &span).await;
    let read = noted(read, "metrics of CloudWatch".to_owned(), &mut history.unavailable);
    history.series.extend(read.unwrap_or_default());
}
