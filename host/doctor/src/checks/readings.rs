//! The ages of all readers that were measured, by shard where that is known.

use super::facts::{allowance_seconds, arrivals, before_end, retention_seconds};
use crate::history::{Course, History, Namespace, Selection, Statistic, Stream};
use crate::lag::{Lag, LagContext, PROGRESS_PERIODS, evaluate};

/// The retention that is assumed if the stream's settings are not known: the shortest that a stream can have.
const SHORTEST_RETENTION_SECONDS: f64 = 86_400.0;
/// Two ages within this factor are one reader's, as two sources measured it.
const SAME_AGE: f64 = 0.8;

/// The readers that poll, by what the stream measures of all of them.
const POLLING: &str = "polling readers";

/// How a reader lags on a shard, or on the whole stream.
pub(crate) struct Reading {
    /// Such as `function alleycat`.
    pub(crate) reader: String,
    /// The shard, if the age is one shard's.
    pub(crate) shard: Option<String>,
    /// The metric that shows it.
    pub(crate) metric: &'static str,
    /// Seconds up to which an age is that of batches under way.
    pub(crate) allowance_seconds: f64,
    /// How it lags.
    pub(crate) lag: Lag,
}

impl Reading {
    /// Whether it can be the function: its own age, or that of all that poll.
    pub(crate) fn is_of_function(&self) -> bool {
        self.reader.starts_with("function ") || self.reader == POLLING
    }

    /// Whether it is a fan-out consumer.
    pub(crate) fn is_consumer(&self) -> bool {
        self.reader.starts_with("fan-out consumer ")
    }

    /// Reader and shard.
    pub(crate) fn subject(&self) -> String {
        match &self.shard {
            Some(shard) => format!("{}, {shard}", self.reader),
            None => self.reader.clone(),
        }
    }
}

/// All readers. What the stream measures of all that poll is left out if it is what a named one shows.
pub(crate) fn readings(history: &History) -> Vec<Reading> {
    let mut readings = hosts(history);
    readings.extend(function(history));
    readings.extend(consumers(history));
    let oldest = readings.iter().map(|it| it.lag.age_seconds).fold(0.0, f64::max);
    let is_known =
        |all: &Reading| !readings.is_empty() && all.lag.age_seconds * SAME_AGE <= oldest + all.allowance_seconds;
    let others: Vec<Reading> = polling(history).into_iter().filter(|it| !is_known(it)).collect();
    readings.extend(others);
    readings
}

fn hosts(history: &History) -> Vec<Reading> {
    let mut readings = Vec::new();
    let metric = "paceline_iterator_age_seconds";
    for (host, of_host) in history.select(Namespace::Host, metric).by("host") {
        for (shard, ages) in of_host.by("shard") {
            let committed =
                history.select(Namespace::Host, "paceline_records_total").with("host", host).with("shard", shard);
            let progress = (!committed.is_empty())
                .then(|| last_part(history, &committed.increases()))
                .filter(|course| !course.points.is_empty())
                .map(|course| course.total() > 0.0);
            let reader = Reader { name: format!("host {host}"), shard: Some(shard.to_owned()), metric };
            readings.extend(read(history, reader, &ages.highest(), progress));
        }
    }
    readings
}

fn function(history: &History) -> Option<Reading> {
    let name = history.function.as_ref().map_or("", |function| function.name.as_str());
    let ages = history.select(Namespace::Lambda, "IteratorAge").statistic(Statistic::Maximum).highest();
    let reader = Reader { name: format!("function {name}"), shard: None, metric: "IteratorAge" };
    read(history, reader, &ages.map(|ms| ms / 1_000.0), progress_of_function(history))
}

/// The part of a course in which a reader that goes on has to show progress.
fn last_part(history: &History, course: &Course) -> Course {
    course.from(before_end(history, course.period_seconds * PROGRESS_PERIODS))
}

/// Whether an invocation succeeded lately, and committed anything if it counts that.
fn progress_of_function(history: &History) -> Option<bool> {
    let recent = |selection: Selection<'_>| last_part(history, &selection.statistic(Statistic::Sum).sum());
    let committed = recent(history.select(Namespace::Function, "Records").without("rulebook"));
    if history.observes(Namespace::Function) {
        return Some(committed.total() > 0.0);
    }
    let invocations = recent(history.select(Namespace::Lambda, "Invocations"));
    let errors = recent(history.select(Namespace::Lambda, "Errors"));
    (!invocations.points.is_empty()).then(|| invocations.total() > errors.total())
}

fn consumers(history: &History) -> Vec<Reading> {
    let metric = "SubscribeToShardEvent.MillisBehindLatest";
    let late = history.select(Namespace::Kinesis, metric).statistic(Statistic::Maximum);
    let by_consumer = late.by("ConsumerName").into_iter();
    let reading = |(name, ages): (&str, Selection<'_>)| {
        let reader = Reader { name: format!("fan-out consumer {name}"), shard: None, metric };
        read(history, reader, &ages.highest().map(|ms| ms / 1_000.0), None)
    };
    by_consumer.filter_map(reading).collect()
}

fn polling(history: &History) -> Vec<Reading> {
    let name = POLLING;
    let by_shard =
        history.select(Namespace::Kinesis, "IteratorAgeMilliseconds").statistic(Statistic::Maximum).by("ShardId");
    let mut readings = Vec::new();
    for (shard, ages) in &by_shard {
        let shard = Some((*shard).to_owned());
        let reader = Reader { name: name.to_owned(), shard, metric: "IteratorAgeMilliseconds" };
        readings.extend(read(history, reader, &ages.highest().map(|ms| ms / 1_000.0), None));
    }
    let has_all = |stream: &Stream| stream.shards.iter().all(|shard| by_shard.contains_key(shard.id.as_str()));
    if readings.is_empty() || !history.stream.as_ref().is_some_and(has_all) {
        let metric = "GetRecords.IteratorAgeMilliseconds";
        let all = history.select(Namespace::Kinesis, metric).statistic(Statistic::Maximum).without("ShardId");
        let reader = Reader { name: name.to_owned(), shard: None, metric };
        let all = read(history, reader, &all.highest().map(|ms| ms / 1_000.0), None);
        // The age of the stream is that of a shard whose own was not read, if no other shard's is so old.
        let oldest = readings.iter().map(|it| it.lag.age_seconds).fold(0.0, f64::max);
        let is_another = |all: &Reading| readings.is_empty() || all.lag.age_seconds * SAME_AGE > oldest;
        readings.extend(all.filter(is_another));
    }
    readings
}

/// Whose ages they are.
struct Reader {
    name: String,
    shard: Option<String>,
    metric: &'static str,
}

fn read(history: &History, reader: Reader, ages: &Course, progress: Option<bool>) -> Option<Reading> {
    let last = ages.last()?;
    let allowance_seconds = allowance_seconds(history);
    let context = LagContext {
        until: history.until,
        allowance_seconds,
        retention_seconds: retention_seconds(history).unwrap_or(SHORTEST_RETENTION_SECONDS),
        progress,
        arrivals: arrivals(history).map(|it| it.any_since(crate::history::Timestamp(last.0.0.saturating_add(1)))),
    };
    let lag = evaluate(ages, &context)?;
    let Reader { name, shard, metric } = reader;
    Some(Reading { reader: name, shard, metric, allowance_seconds, lag })
}
