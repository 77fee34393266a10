//! The measures of a phase as the document that `paceline doctor --from` reads.
//!
//! Its metrics have the names of CloudWatch's, and its settings those of the services. A period is shorter than
//! CloudWatch's minute, so that a phase has several.

use std::collections::BTreeMap;

use paceline_doctor::History;
use paceline_doctor::history::{
    Capacity, Consumer, Function, Index, Mapping, Metric, Namespace, Point, Series, Shard, Statistic, Stream,
    StreamMode, Table, Timestamp,
};

use crate::measures::{Measures, Period, Writes};
use crate::setting::Setting;

const STREAM: &str = "alleycat";
const FUNCTION: &str = "alleycat";
const TABLE: &str = "alleycat-races";
const INDEX: &str = "GSI_Index";
const CONSUMER: &str = "paceline";
const UUID: &str = "5f3c0a9e-7d52-4a31-9a56-0d2c1b4e8f60";
const REGION: &str = "eu-west-1";
const ACCOUNT: &str = "111122223333";

/// Read units of the table and of its index. Reads are not limited here.
const READ_UNITS: (u32, u32) = (20, 10);

/// The document of a phase.
pub fn history(setting: &Setting, measures: &Measures) -> History {
    let seconds = measures.periods.last().map_or(0, |period| period.until_seconds);
    let since = Timestamp(measures.start_ms.unsigned_abs());
    let mut history = History::new(since, Timestamp(since.0 + u64::from(seconds) * 1_000));
    history.region = Some(REGION.to_owned());
    history.stream = Some(stream(setting));
    history.function = Some(function(setting));
    history.tables = vec![table(setting)];
    let mut all = AllSeries { setting, measures, series: Vec::new() };
    all.stream();
    all.function();
    all.table();
    all.counts();
    history.series = all.series;
    history
}

fn stream(setting: &Setting) -> Stream {
    let share = 1.0 / setting.shards as f64;
    let shard = |number: usize| Shard { id: format!("shardId-{number:012}"), open: true, share };
    let consumer = || Consumer { name: CONSUMER.to_owned(), status: "ACTIVE".to_owned(), created: None };
    Stream {
        name: STREAM.to_owned(),
        arn: Some(format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{STREAM}")),
        mode: StreamMode::Provisioned,
        status: "ACTIVE".to_owned(),
        retention_hours: 24,
        shards: (0..setting.shards).map(shard).collect(),
        consumers: if setting.fan_out { vec![consumer()] } else { Vec::new() },
        shard_metrics: Vec::new(),
    }
}

fn function(setting: &Setting) -> Function {
    let mapping = Mapping {
        id: UUID.to_owned(),
        state: "Enabled".to_owned(),
        last_result: Some("OK".to_owned()),
        starting_position: Some("TRIM_HORIZON".to_owned()),
        batch_size: setting.batch_size as u32,
        batching_window_seconds: setting.batching_window_seconds,
        parallelization_factor: setting.factor as u32,
        tumbling_window_seconds: setting.tumbling_seconds,
        retries: None,
        max_age_seconds: None,
        bisect: setting.guarded,
        reports_failures: true,
        on_failure: setting.guarded.then(|| format!("arn:aws:sqs:{REGION}:{ACCOUNT}:alleycat-failed-batches")),
        counts_events: setting.guarded,
        consumer: setting.fan_out.then(|| CONSUMER.to_owned()),
    };
    Function {
        name: FUNCTION.to_owned(),
        memory_mb: 256,
        timeout_seconds: setting.timeout_seconds,
        reserved_concurrency: None,
        mappings: vec![mapping],
    }
}

fn table(setting: &Setting) -> Table {
    let index = Capacity::Provisioned { read: READ_UNITS.1, write: setting.index_units };
    Table {
        name: TABLE.to_owned(),
        status: "ACTIVE".to_owned(),
        capacity: Capacity::Provisioned { read: READ_UNITS.0, write: setting.table_units },
        indexes: vec![Index { name: INDEX.to_owned(), capacity: index }],
        local_indexes: false,
        item_bytes: None,
    }
}

/// The series of a phase.
struct AllSeries<'a> {
    setting: &'a Setting,
    measures: &'a Measures,
    series: Vec<Series>,
}

impl AllSeries<'_> {
    /// A series with a point for each period that has one.
    fn add(
        &mut self,
        (namespace, name): (Namespace, &str),
        dimensions: &[(&str, &str)],
        statistic: Statistic,
        value: impl Fn(&Period) -> Option<f64>,
    ) {
        let period = self.setting.period_seconds;
        // A point has the beginning of its period.
        let at = |until: u32| Timestamp((self.measures.start_ms + i64::from(until - period) * 1_000).unsigned_abs());
        let point = |it: &Period| Some(Point(at(it.until_seconds), rounded(value(it)?)));
        let points: Vec<Point> = self.measures.periods.iter().filter_map(point).collect();
        if points.is_empty() {
            return;
        }
        let dimensions: BTreeMap<String, String> =
            dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let metric = Metric { namespace, name: name.to_owned() };
        self.series.push(Series { metric, dimensions, statistic, period_seconds: f64::from(period), points });
    }

    fn stream(&mut self) {
        use Namespace::Kinesis;
        let of = &[("StreamName", STREAM)];
        self.add((Kinesis, "IncomingRecords"), of, Statistic::Sum, |it| Some(it.puts.records));
        self.add((Kinesis, "IncomingBytes"), of, Statistic::Sum, |it| Some(it.puts.bytes));
        self.add((Kinesis, "WriteProvisionedThroughputExceeded"), of, Statistic::Sum, |it| Some(it.puts.rejected));
    }

    fn function(&mut self) {
        use Namespace::Lambda;
        let of = &[("FunctionName", FUNCTION)];
        let with = |value: fn(&Period) -> f64| move |it: &Period| (it.invocations.ended > 0).then(|| value(it));
        self.add((Lambda, "Duration"), of, Statistic::Maximum, with(|it| it.invocations.longest_seconds * 1e3));
        let average = with(|it| it.invocations.seconds * 1e3 / it.invocations.ended as f64);
        self.add((Lambda, "Duration"), of, Statistic::Average, average);
        self.add((Lambda, "Invocations"), of, Statistic::Sum, with(|it| it.invocations.ended as f64));
        self.add((Lambda, "Errors"), of, Statistic::Sum, with(|it| it.invocations.failed as f64));
        self.add((Lambda, "Throttles"), of, Statistic::Sum, with(|_| 0.0));
        self.add((Lambda, "ConcurrentExecutions"), of, Statistic::Maximum, |it| {
            Some(it.invocations.concurrency as f64).filter(|batches| *batches > 0.0)
        });
        self.add((Lambda, "IteratorAge"), of, Statistic::Maximum, |it| {
            it.invocations.iterator_age_seconds.map(|age| age * 1e3)
        });
        if self.setting.guarded {
            let of = &[("EventSourceMappingUUID", UUID)];
            self.add((Lambda, "DroppedEventCount"), of, Statistic::Sum, |_| Some(0.0));
        }
    }

    fn table(&mut self) {
        let index = [("GlobalSecondaryIndexName", INDEX), ("TableName", TABLE)];
        self.writes(&index[1..], |it| it.table);
        self.writes(&index, |it| it.index);
    }

    fn writes(&mut self, of: &[(&str, &str)], writes: fn(&Period) -> Writes) {
        use Namespace::Dynamodb;
        let mut add = |name: &str, value: fn(Writes) -> f64| {
            self.add((Dynamodb, name), of, Statistic::Sum, |it| Some(value(writes(it))));
        };
        add("ConsumedWriteCapacityUnits", |it| it.units);
        add("WriteThrottleEvents", |it| it.throttled);
        add("WriteProvisionedThroughputThrottleEvents", |it| it.throttled - it.throttled_by_key);
        add("WriteKeyRangeThroughputThrottleEvents", |it| it.throttled_by_key);
    }

    /// What the function wrote into its log.
    fn counts(&mut self) {
        let measures = self.measures;
        let period = self.setting.period_seconds;
        for (name, by_period) in &measures.counts {
            self.add((Namespace::Function, name), &[("function", FUNCTION)], Statistic::Sum, |it| {
                by_period.get(&u64::from(it.until_seconds / period - 1)).copied()
            });
        }
    }
}

/// Thousandths are enough, and readable.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
