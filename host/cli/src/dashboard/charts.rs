//! Quantities over time: those of hosts as often as they were read, or else CloudWatch's, by the minute.

use std::collections::{BTreeMap, BTreeSet};

use paceline_capacity::kinesis::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use paceline_dashboard::status::{Graph, History as Charts, Part, Series};
use paceline_doctor::history::{Capacity, Course, Namespace, Point, Selection, Statistic};
use paceline_doctor::{History, Timestamp};

/// Points of a chart.
const POINTS: usize = 180;
/// Shards that have a line of their own: the oldest.
const SHARDS: usize = 5;

/// The charts, on one axis of time.
pub(super) fn charts(history: &History) -> Part<Charts> {
    let axis = Axis::of(history);
    if axis.times.is_empty() {
        return Part::unknown("neither a host nor CloudWatch has shown any quantity yet");
    }
    let chart = |lines: Vec<Line>| axis.graph(lines);
    let hosts = axis.of_hosts;
    Charts {
        age: chart(ages(history, hosts)),
        records_per_second: chart(arrivals(
            history,
            hosts,
            ("paceline_stream_records_total", "IncomingRecords", SHARD_RECORDS_PER_SECOND),
        )),
        bytes_per_second: chart(arrivals(
            history,
            hosts,
            ("paceline_stream_bytes_total", "IncomingBytes", SHARD_BYTES_PER_SECOND),
        )),
        batch_time: chart(stages(history, hosts)),
        duration: chart(of_function(history, "Duration", 0.001)),
        concurrency: chart(of_function(history, "ConcurrentExecutions", 1.0)),
        write_units: chart(write_units(history, hosts)),
        units_per_1000_records: chart(unit_price(history, hosts)),
        throttles: chart(throttles(history, hosts)),
        dead_letters: chart(dead_letters(history, hosts)),
        times: axis.times.iter().map(|time| time.0 / 1_000).collect(),
    }
    .into()
}

/// A course with its name and its limit.
struct Line {
    name: String,
    limit: Option<f64>,
    course: Course,
}

impl Line {
    fn new(name: impl Into<String>, course: Course) -> Self {
        Self { name: name.into(), limit: None, course }
    }

    fn limit(self, limit: Option<f64>) -> Self {
        Self { limit, ..self }
    }
}

/// The times at which there are values.
struct Axis {
    times: Vec<Timestamp>,
    /// Whether the values are those of hosts.
    of_hosts: bool,
}

impl Axis {
    fn of(history: &History) -> Self {
        let of_hosts = history.observes(Namespace::Host);
        let is_wanted = |namespace| (namespace == Namespace::Host) == of_hosts;
        let series = history.series.iter().filter(|series| is_wanted(series.metric.namespace));
        let (mut times, mut before): (BTreeSet<Timestamp>, &[Point]) = (BTreeSet::new(), &[]);
        for series in series {
            // Nearly all series of a source have the same times.
            let is_new = !series.points.iter().map(|point| point.0).eq(before.iter().map(|point| point.0));
            if is_new {
                times.extend(series.points.iter().map(|point| point.0));
            }
            before = &series.points;
        }
        let mut times: Vec<Timestamp> = times.into_iter().collect();
        match of_hosts {
            true => drop(times.drain(..times.len().saturating_sub(POINTS))),
            // Every so many minutes, so that the whole span is shown. The newest one stays.
            false => {
                let (step, last) = (times.len().div_ceil(POINTS).max(1), times.len().saturating_sub(1));
                let mut at = 0..;
                times.retain(|_| at.next().is_some_and(|at: usize| (last - at).is_multiple_of(step)));
            }
        }
        Self { times, of_hosts }
    }

    fn graph(&self, lines: Vec<Line>) -> Part<Graph> {
        let series: Vec<Series> = lines
            .into_iter()
            .filter_map(|line| {
                let by_time: BTreeMap<Timestamp, f64> =
                    line.course.points.iter().map(|Point(at, value)| (*at, *value)).collect();
                let values: Vec<Option<f64>> = self.times.iter().map(|time| by_time.get(time).copied()).collect();
                let is_known = values.iter().any(Option::is_some);
                is_known.then_some(Series { name: line.name, limit: line.limit, values })
            })
            .collect();
        match series.is_empty() {
            true => Part::unknown("nothing has shown this quantity yet"),
            false => Graph { series }.into(),
        }
    }
}

/// What a counter grew by a second, between each two readings.
fn rate(selection: &Selection<'_>) -> Course {
    let mut increases = selection.increases();
    let times: Vec<Timestamp> = selection.sum().points.iter().map(|point| point.0).collect();
    for point in &mut increases.points {
        let before = times.iter().rev().find(|time| **time < point.0);
        let seconds = before.map_or(0.0, |before| point.0.since(*before).as_secs_f64());
        point.1 = if seconds > 0.0 { point.1 / seconds } else { 0.0 };
    }
    increases
}

fn ages(history: &History, hosts: bool) -> Vec<Line> {
    if !hosts {
        let stream = history.select(Namespace::Kinesis, "GetRecords.IteratorAgeMilliseconds");
        let function = history.select(Namespace::Lambda, "IteratorAge");
        return vec![
            Line::new("stream", stream.statistic(Statistic::Maximum).highest().map(|ms| ms / 1_000.0)),
            Line::new("function", function.statistic(Statistic::Maximum).highest().map(|ms| ms / 1_000.0)),
        ];
    }
    let ages = history.select(Namespace::Host, "paceline_iterator_age_seconds");
    let mut lines: Vec<Line> =
        ages.by("shard").into_iter().map(|(shard, ages)| Line::new(shard, ages.highest())).collect();
    if lines.len() > SHARDS {
        let last = |line: &Line| line.course.last().map_or(0.0, |point| point.1);
        lines.sort_by(|a, b| last(b).total_cmp(&last(a)));
        lines.truncate(SHARDS);
        lines.insert(0, Line::new("oldest of all", ages.highest()));
    }
    lines
}

fn arrivals(history: &History, hosts: bool, (counter, metric, of_a_shard): (&str, &str, f64)) -> Vec<Line> {
    let shards = history.stream.as_ref().map(|stream| stream.shards.iter().filter(|shard| shard.open).count());
    let limit = shards.map(|shards| shards as f64 * of_a_shard);
    let course = match hosts {
        true => rate(&history.select(Namespace::Host, counter)),
        false => {
            let metric = history.select(Namespace::Kinesis, metric).statistic(Statistic::Sum);
            metric.without("ShardId").sum().per_second()
        }
    };
    vec![Line::new("all shards", course).limit(limit)]
}

fn stages(history: &History, hosts: bool) -> Vec<Line> {
    let stages = match hosts {
        true => history.select(Namespace::Host, "paceline_stage_seconds_total").by("stage"),
        false => history.select(Namespace::Function, "StageTime").statistic(Statistic::Sum).by("stage"),
    };
    let batches = match hosts {
        true => history.select(Namespace::Host, "paceline_batches_total").increases(),
        false => history.select(Namespace::Lambda, "Invocations").statistic(Statistic::Sum).sum(),
    };
    let of_a_batch = |course: Course, unit: f64| {
        let batches: BTreeMap<Timestamp, f64> = batches.points.iter().map(|Point(at, value)| (*at, *value)).collect();
        let points = course.points.iter().filter_map(|Point(at, value)| {
            let batches = batches.get(at).filter(|batches| **batches > 0.0)?;
            Some(Point(*at, value * unit / batches))
        });
        Course { points: points.collect(), ..course }
    };
    let lines = stages.into_iter().map(|(stage, selection)| match hosts {
        true => Line::new(stage, of_a_batch(selection.increases(), 1.0)),
        false => Line::new(stage, of_a_batch(selection.sum(), 0.001)),
    });
    lines.collect()
}

fn of_function(history: &History, metric: &str, unit: f64) -> Vec<Line> {
    let Some(function) = &history.function else { return Vec::new() };
    let limit = match metric {
        "Duration" => Some(f64::from(function.timeout_seconds)),
        _ => function.reserved_concurrency.map(f64::from),
    };
    let course = history.select(Namespace::Lambda, metric).statistic(Statistic::Maximum).highest();
    vec![Line::new("highest", course.map(|value| value * unit)).limit(limit)]
}

fn provisioned(capacity: Capacity) -> Option<f64> {
    match capacity {
        Capacity::Provisioned { write, .. } => Some(f64::from(write)),
        Capacity::OnDemand { max_write } => max_write.map(f64::from),
    }
}

fn write_units(history: &History, hosts: bool) -> Vec<Line> {
    if hosts {
        let course = rate(&history.select(Namespace::Host, "paceline_store_write_units_total"));
        let limit = history.tables.first().and_then(|table| provisioned(table.capacity));
        return vec![Line::new("these hosts", course).limit(limit)];
    }
    let consumed = history.select(Namespace::Dynamodb, "ConsumedWriteCapacityUnits").statistic(Statistic::Sum);
    let mut lines = Vec::new();
    for table in &history.tables {
        let of_table = consumed.clone().with("TableName", &table.name);
        let own = of_table.clone().without("GlobalSecondaryIndexName").sum().per_second();
        lines.push(Line::new(table.name.as_str(), own).limit(provisioned(table.capacity)));
        for index in &table.indexes {
            let own = of_table.clone().with("GlobalSecondaryIndexName", &index.name).sum().per_second();
            let name = format!("{}, index {}", table.name, index.name);
            lines.push(Line::new(name, own).limit(provisioned(index.capacity)));
        }
    }
    lines
}

fn unit_price(history: &History, hosts: bool) -> Vec<Line> {
    let (units, records) = match hosts {
        true => (
            history.select(Namespace::Host, "paceline_store_write_units_total").increases(),
            history.select(Namespace::Host, "paceline_records_total").increases(),
        ),
        false => (
            history.select(Namespace::Function, "WriteUnits").statistic(Statistic::Sum).sum(),
            history.select(Namespace::Function, "Records").statistic(Statistic::Sum).sum(),
        ),
    };
    let records: BTreeMap<Timestamp, f64> = records.points.iter().map(|Point(at, value)| (*at, *value)).collect();
    let points = units.points.iter().filter_map(|Point(at, units)| {
        let records = records.get(at).filter(|records| **records > 0.0)?;
        Some(Point(*at, units / records * 1_000.0))
    });
    let course = Course { points: points.collect(), ..units };
    vec![Line::new("units", course)]
}

fn throttles(history: &History, hosts: bool) -> Vec<Line> {
    if hosts {
        let stream = history.select(Namespace::Host, "paceline_stream_throttles_total");
        let store = history.select(Namespace::Host, "paceline_store_throttles_total");
        let mut lines = vec![Line::new("stream", rate(&stream))];
        let causes = store.by("cause");
        match causes.is_empty() {
            true => lines.push(Line::new("store", rate(&store))),
            false => lines.extend(causes.into_iter().map(|(cause, selection)| Line::new(cause, rate(&selection)))),
        }
        return lines;
    }
    let sum = |namespace, name| {
        history.select(namespace, name).statistic(Statistic::Sum).without("ShardId").sum().per_second()
    };
    let causes = [
        (Namespace::Kinesis, "WriteProvisionedThroughputExceeded", "stream, writes"),
        (Namespace::Kinesis, "ReadProvisionedThroughputExceeded", "stream, reads"),
        (Namespace::Dynamodb, "WriteProvisionedThroughputThrottleEvents", "table, provisioned units"),
        (Namespace::Dynamodb, "WriteKeyRangeThroughputThrottleEvents", "table, one partition key"),
        (Namespace::Dynamodb, "WriteAccountLimitThrottleEvents", "table, the account's limit"),
        (Namespace::Dynamodb, "WriteMaxOnDemandThroughputThrottleEvents", "table, its maximum"),
        (Namespace::Lambda, "Throttles", "function"),
    ];
    causes.into_iter().map(|(namespace, metric, name)| Line::new(name, sum(namespace, metric))).collect()
}

fn dead_letters(history: &History, hosts: bool) -> Vec<Line> {
    let letters = match hosts {
        true => history.select(Namespace::Host, "paceline_dead_letters_total"),
        false => history.select(Namespace::Function, "DeadLetters").statistic(Statistic::Sum),
    };
    let by_reason = letters.by("reason").into_iter().map(|(reason, selection)| match hosts {
        true => Line::new(reason, rate(&selection).map(|of_a_second| of_a_second * 60.0)),
        false => Line::new(reason, selection.sum().per_second().map(|of_a_second| of_a_second * 60.0)),
    });
    by_reason.collect()
}
