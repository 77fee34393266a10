//! What several checks have to know.

use std::time::Duration;

use crate::finding::Outcome;
use crate::history::{
    ALL_BUT_HOSTS, Course, Function, History, Mapping, Namespace, Point, Shard, Statistic, Stream, Timestamp,
    Unavailable,
};

/// Periods at the end of a history within which something counts as going on.
const RECENT_PERIODS: f64 = 15.0;
/// Seconds that a batch may be under way without being late.
const BATCH_SECONDS: f64 = 10.0;
/// User records in a record of the stream from which on they are packed.
const PACKED: f64 = 2.0;

/// From when on a point is recent.
pub(super) fn recent(history: &History, period_seconds: f64) -> Timestamp {
    before_end(history, period_seconds * RECENT_PERIODS)
}

/// So many seconds before the end.
pub(super) fn before_end(history: &History, seconds: f64) -> Timestamp {
    let span = Duration::try_from_secs_f64(seconds.max(1.0)).unwrap_or(Duration::MAX).as_millis();
    Timestamp(history.until.0.saturating_sub(u64::try_from(span).unwrap_or(u64::MAX)))
}

/// The recent points of a course.
pub(super) fn recent_part(history: &History, course: &Course) -> Course {
    course.from(recent(history, course.period_seconds))
}

/// A series of the whole stream, or the sum of those by shard, if those of all open shards are there.
pub(super) fn of_stream(history: &History, name: &str, statistic: Statistic) -> Course {
    let all = history.select(Namespace::Kinesis, name).statistic(statistic).without("ConsumerName");
    let whole = all.clone().without("ShardId");
    let by_shard = all.by("ShardId");
    let is_there = |shard: &Shard| !shard.open || by_shard.contains_key(shard.id.as_str());
    let has_all = history.stream.as_ref().is_none_or(|stream| stream.shards.iter().all(is_there));
    if whole.is_empty() && has_all { all.sum() } else { whole.sum() }
}

/// What comes into the stream, a second.
pub(super) struct Arrivals {
    pub(super) records: Course,
    pub(super) bytes: Course,
}

/// What comes into the stream; nothing if that was not measured.
pub(super) fn arrivals(history: &History) -> Option<Arrivals> {
    let records = of_stream(history, "IncomingRecords", Statistic::Sum).per_second();
    let bytes = of_stream(history, "IncomingBytes", Statistic::Sum).per_second();
    (!records.points.is_empty()).then_some(Arrivals { records, bytes })
}

impl Arrivals {
    /// Records a second at most, with their time.
    pub(super) fn peak(&self) -> Point {
        self.records.peak().unwrap_or(Point(Timestamp(0), 0.0))
    }

    /// Bytes of an average record; nothing without records.
    pub(super) fn record_bytes(&self) -> Option<f64> {
        let records = self.records.total();
        (records > 0.0 && !self.bytes.points.is_empty()).then(|| self.bytes.total() / records)
    }

    /// Whether any came since a time.
    pub(super) fn any_since(&self, time: Timestamp) -> bool {
        self.records.from(time).total() > 0.0
    }
}

/// User records in a record of the stream, if producers pack them.
pub(super) fn packed(history: &History) -> Option<f64> {
    records_of_a_record(history).filter(|ratio| *ratio >= PACKED)
}

/// User records in a record of the stream; nothing if they were not counted.
pub(super) fn records_of_a_record(history: &History) -> Option<f64> {
    let of_host = |name| history.select(Namespace::Host, name).growth_per_second();
    let hosts = of_host("paceline_records_total").zip(of_host("paceline_stream_records_total"));
    let committed = history.select(Namespace::Function, "Records").statistic(Statistic::Sum).without("rulebook").sum();
    let records = of_stream(history, "IncomingRecords", Statistic::Sum);
    let function = (!committed.points.is_empty()).then(|| (committed.total(), records.total()));
    let (user_records, stream_records) = hosts.or(function)?;
    (stream_records > 0.0).then(|| user_records / stream_records)
}

/// The shards that accept records.
pub(super) fn open_shards(stream: &Stream) -> usize {
    stream.shards.iter().filter(|shard| shard.open).count().max(1)
}

/// The mappings that read.
pub(super) fn mappings(history: &History) -> impl Iterator<Item = (&Function, &Mapping)> {
    let of = |function| mappings_of(function).map(move |mapping| (function, mapping));
    history.function.iter().flat_map(of)
}

fn mappings_of(function: &Function) -> impl Iterator<Item = &Mapping> {
    function.mappings.iter().filter(|mapping| mapping.is_enabled())
}

/// Seconds up to which an age is that of batches under way: records wait for their batch and their window.
pub(super) fn allowance_seconds(history: &History) -> f64 {
    let waits =
        |mapping: &Mapping| f64::from(mapping.batching_window_seconds) + f64::from(mapping.tumbling_window_seconds);
    BATCH_SECONDS + mappings(history).map(|(_, mapping)| waits(mapping)).fold(0.0, f64::max)
}

/// The highest concurrency that the mappings can have: shards × parallelization factor.
pub(super) fn mapping_concurrency(history: &History) -> Option<u32> {
    let shards = u32::try_from(open_shards(history.stream.as_ref()?)).unwrap_or(u32::MAX);
    let factors = mappings(history).map(|(_, mapping)| mapping.parallelization_factor).fold(0, u32::saturating_add);
    (factors > 0).then(|| shards.saturating_mul(factors))
}

/// Seconds for which the stream keeps records.
pub(super) fn retention_seconds(history: &History) -> Option<f64> {
    history.stream.as_ref().map(|stream| f64::from(stream.retention_hours) * 3_600.0)
}

/// Why something is not known: what could not be read, or that there are no data.
pub(super) fn not_known(history: &History, sources: &[&str], missing: &str) -> String {
    unread(history, sources).unwrap_or_else(|| missing.to_owned())
}

/// The first of some sources that could not be read, and why.
pub(super) fn unread(history: &History, sources: &[&str]) -> Option<String> {
    let is_of = |it: &&Unavailable, source: &str| {
        let is_it = it.what.starts_with(source) || it.what == ALL_BUT_HOSTS && !HOST.contains(&source);
        is_it && !it.by_limit
    };
    let of = |source: &&str| history.unavailable.iter().find(|it| is_of(it, source));
    let unavailable = sources.iter().find_map(of)?;
    Some(match &unavailable.permission {
        Some(action) => format!("{}: no permission for {action}", unavailable.what),
        None => format!("{}: {}", unavailable.what, unavailable.reason),
    })
}

/// The outcome, unless it is health that the function's own metrics had to show and could not.
pub(super) fn if_counted(history: &History, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Healthy(_) if lacks_counts(history) => {
            Outcome::NotChecked(not_known(history, COUNTS, "the function has no metrics of its own"))
        }
        outcome => outcome,
    }
}

/// The sources of a check: CloudWatch.
pub(super) const METRICS: &[&str] = &["metrics of CloudWatch"];
/// CloudWatch and the stream.
pub(super) const STREAM: &[&str] = &["stream", "metrics of CloudWatch"];
/// CloudWatch and the function.
pub(super) const FUNCTION: &[&str] = &["function", MAPPINGS, "metrics of CloudWatch"];
/// The mappings, which are read apart from their function.
pub(super) const MAPPINGS: &str = "event source mappings of function";
/// CloudWatch and the tables.
pub(super) const TABLE: &[&str] = &["table", "metrics of CloudWatch"];
/// `/metrics` of hosts.
pub(super) const HOST: &[&str] = &["metrics of host"];
/// What the function or a host counts.
pub(super) const COUNTS: &[&str] = &["the function's own metrics", "metrics of CloudWatch", "metrics of host"];

/// A metric of the function.
pub(super) fn of_function(history: &History, name: &str, statistic: Statistic) -> Course {
    let all = history
        .select(Namespace::Lambda, name)
        .statistic(statistic)
        .without("EventSourceMappingUUID")
        .without("Resource");
    if statistic == Statistic::Sum { all.sum() } else { all.highest() }
}

/// Why nothing is known of the function.
pub(super) fn unknown_function(history: &History, metric: &str) -> Outcome {
    let missing = match history.function {
        Some(_) => format!("no data of {metric}: the function was not invoked"),
        None => "no function reads the stream".to_owned(),
    };
    Outcome::NotChecked(not_known(history, FUNCTION, &missing))
}

/// What a counter of hosts grew by; otherwise why that is not known.
pub(super) fn growth_of_hosts(history: &History, name: &str) -> Result<Course, Outcome> {
    let counter = history.select(Namespace::Host, name);
    let growth = counter.increases();
    if !growth.points.is_empty() {
        return Ok(growth);
    }
    let missing = match counter.is_empty() {
        true if history.observes(Namespace::Host) => NO_SERIES,
        true => NO_HOST,
        false => ONE_READING,
    };
    Err(Outcome::NotChecked(not_known(history, HOST, missing)))
}

/// Why a counter that was read once shows nothing.
pub(super) const ONE_READING: &str = "one reading of a host shows no growth: observe for longer";

/// Whether the function has metrics of its own that could not be read.
pub(super) fn lacks_counts(history: &History) -> bool {
    let is_own = |what: &str| COUNTS[..2].iter().any(|source| what.starts_with(source));
    history.function.is_some()
        && !history.observes(Namespace::Function)
        && history.unavailable.iter().any(|it| is_own(&it.what))
}

/// Why hosts that were asked show nothing.
pub(super) const NO_SERIES: &str = "no host that was asked measures it; under the KCL, the daemon reads the stream";

/// Why nothing is known of hosts.
pub(super) const NO_HOST: &str = "no running host was asked for its metrics";
