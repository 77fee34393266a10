//! A healthy deployment, and series by formula.

use std::collections::BTreeMap;

use paceline_doctor::History;
use paceline_doctor::history::{
    Capacity, DeadLetters, Function, HostState, Index, Mapping, Metric, Namespace, PluginLimits, Point, Queue,
    RaceTypeRules, Rules, Series, Shard, Statistic, Stream, StreamMode, Table, Timestamp,
};

pub(crate) use Namespace::{Dynamodb, Function as OfFunction, Host, Kinesis, Lambda, Sqs};
pub(crate) use Statistic::{Average, Maximum, SampleCount, Sum, Value};

/// 2026-11-26T18:40:00Z.
pub(crate) const START: u64 = 1_795_718_400_000;
/// Minutes of a history.
pub(crate) const MINUTES: u64 = 20;
const MINUTE: u64 = 60_000;

pub(crate) const STREAM: &[(&str, &str)] = &[("StreamName", "alleycat")];
pub(crate) const FUNCTION: &[(&str, &str)] = &[("FunctionName", "alleycat")];
pub(crate) const MAPPING: &[(&str, &str)] = &[("EventSourceMappingUUID", UUID)];
pub(crate) const OWN: &[(&str, &str)] = &[("function", "alleycat")];
pub(crate) const TABLE: &[(&str, &str)] = &[("TableName", "alleycat-races")];
pub(crate) const INDEX: &[(&str, &str)] = &[("GlobalSecondaryIndexName", "GSI_Index"), ("TableName", "alleycat-races")];
pub(crate) const HOST: &[(&str, &str)] = &[("host", "127.0.0.1:9464"), ("shard", "shardId-000000000000")];
pub(crate) const UUID: &str = "5f3c0a9e-7d52-4a31-9a56-0d2c1b4e8f60";

/// Builds a history.
pub(crate) struct Builder {
    pub(crate) history: History,
}

pub(crate) fn minute(index: u64) -> Timestamp {
    Timestamp(START + index * MINUTE)
}

impl Builder {
    /// Nothing observed.
    pub(crate) fn empty() -> Self {
        let mut history = History::new(minute(0), minute(MINUTES));
        history.config = Some("kinesis.toml".to_owned());
        Self { history }
    }

    /// 500 racers on one shard, a function that keeps up, tables with room.
    pub(crate) fn healthy() -> Self {
        let mut it = Self::empty();
        it.history.stream = Some(stream());
        it.history.function = Some(function());
        it.history.tables = vec![table("alleycat-races", 1_000), dead_letter_table()];
        it.history.rules = Some(rules());
        it.history.dead_letters =
            Some(DeadLetters { by_reason: Some(BTreeMap::new()), queue: Some(queue(0)), ..DeadLetters::default() });
        it.load(500.0);
        it.metric((Kinesis, "WriteProvisionedThroughputExceeded"), STREAM, Sum, |_| 0.0)
            .metric((Kinesis, "ReadProvisionedThroughputExceeded"), STREAM, Sum, |_| 0.0)
            .metric((Kinesis, "PutRecords.Success"), STREAM, Average, |_| 1.0)
            .metric((Kinesis, "GetRecords.Success"), STREAM, Average, |_| 1.0)
            .metric((Kinesis, "GetRecords.Success"), STREAM, SampleCount, |_| 60.0)
            .metric((Kinesis, "GetRecords.IteratorAgeMilliseconds"), STREAM, Maximum, |m| 800.0 + 50.0 * (m % 3) as f64)
            .metric((Lambda, "IteratorAge"), FUNCTION, Maximum, |m| 900.0 + 50.0 * (m % 3) as f64)
            .metric((Lambda, "Duration"), FUNCTION, Maximum, |m| 420.0 + 10.0 * (m % 4) as f64)
            .metric((Lambda, "Duration"), FUNCTION, Average, |_| 300.0)
            .metric((Lambda, "Invocations"), FUNCTION, Sum, |_| 60.0)
            .metric((Lambda, "Errors"), FUNCTION, Sum, |_| 0.0)
            .metric((Lambda, "Throttles"), FUNCTION, Sum, |_| 0.0)
            .metric((Lambda, "ConcurrentExecutions"), FUNCTION, Maximum, |_| 1.0)
            .metric((Lambda, "DroppedEventCount"), MAPPING, Sum, |_| 0.0)
            .metric((OfFunction, "Records"), OWN, Sum, |_| 30_000.0)
            .metric((OfFunction, "Groups"), OWN, Sum, |_| 30_000.0)
            .metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 30_000.0)
            .metric((Dynamodb, "ConsumedWriteCapacityUnits"), INDEX, Sum, |_| 600.0);
        it
    }

    /// A host that reads the stream, instead of a function.
    pub(crate) fn hosts() -> Self {
        let mut it = Self::healthy();
        it.history.function = None;
        it.history.series.retain(|series| !matches!(series.metric.namespace, Lambda | OfFunction));
        it.host("paceline_iterator_age_seconds", &[], |_| 0.8)
            .host("paceline_shard_state", &[("state", "reading")], |_| 1.0)
            .host("paceline_shard_state", &[("state", "failing")], |_| 0.0)
            .host("paceline_records_total", &[], |m| 30_000.0 * m as f64)
            .host("paceline_stream_records_total", &[], |m| 30_000.0 * m as f64)
            .host("paceline_stream_throttles_total", &[], |_| 0.0)
            .host("paceline_store_waits_total", &[], |_| 2.0)
            .host("paceline_misrouted_records_total", &[], |_| 0.0)
            .host("paceline_expired_hours", &[], |_| 0.0)
            .host("paceline_subscription_conflicts_total", &[], |_| 0.0)
            .process("paceline_groups_total", &[], |m| 30_000.0 * m as f64)
            .process("paceline_conflicts_total", &[], |_| 0.0)
            .plugin("flat", "1", (1.0, 4.0e6, 0.002));
        it
    }

    /// Records a second, of 170 bytes each.
    pub(crate) fn load(&mut self, records: f64) -> &mut Self {
        self.metric((Kinesis, "IncomingRecords"), STREAM, Sum, move |_| records * 60.0);
        self.metric((Kinesis, "IncomingBytes"), STREAM, Sum, move |_| records * 60.0 * 170.0)
    }

    /// A series by minute. It replaces the one that is there.
    pub(crate) fn metric(
        &mut self,
        (namespace, name): (Namespace, &str),
        dimensions: &[(&str, &str)],
        statistic: Statistic,
        value: impl Fn(u64) -> f64,
    ) -> &mut Self {
        self.points((namespace, name), dimensions, statistic, |m| Some(value(m)))
    }

    /// The same, where minutes may have no point.
    pub(crate) fn points(
        &mut self,
        (namespace, name): (Namespace, &str),
        dimensions: &[(&str, &str)],
        statistic: Statistic,
        value: impl Fn(u64) -> Option<f64>,
    ) -> &mut Self {
        let metric = Metric { namespace, name: name.to_owned() };
        let dimensions: BTreeMap<String, String> =
            dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let points = (0..MINUTES).filter_map(|m| Some(Point(minute(m), value(m)?))).collect();
        let series = Series { metric, dimensions, statistic, period_seconds: 60.0, points };
        let same = |it: &Series| {
            it.metric == series.metric && it.dimensions == series.dimensions && it.statistic == series.statistic
        };
        self.history.series.retain(|it| !same(it));
        self.history.series.push(series);
        self
    }

    /// A series of the host's shard.
    pub(crate) fn host(&mut self, name: &str, labels: &[(&str, &str)], value: impl Fn(u64) -> f64) -> &mut Self {
        let dimensions = [HOST, labels].concat();
        self.metric((Host, name), &dimensions, Value, value)
    }

    /// A series of the host.
    pub(crate) fn process(&mut self, name: &str, labels: &[(&str, &str)], value: impl Fn(u64) -> f64) -> &mut Self {
        let dimensions = [&HOST[..1], labels].concat();
        self.metric((Host, name), &dimensions, Value, value)
    }

    /// The counters of a plugin, with calls a second, fuel and seconds of a call.
    pub(crate) fn plugin(&mut self, book: &str, version: &str, (calls, fuel, seconds): (f64, f64, f64)) -> &mut Self {
        let labels = [("plugin", "262c9aa7d1f0"), ("role", "scorer"), ("rulebook", book), ("version", version)];
        let outcome = [("outcome", "accepted"), ("race_type", "3"), ("rulebook", book), ("version", version)];
        self.process("paceline_plugin_calls_total", &labels, |m| calls * 60.0 * m as f64)
            .process("paceline_plugin_fuel_total", &labels, |m| calls * 60.0 * m as f64 * fuel)
            .process("paceline_plugin_seconds_total", &labels, |m| calls * 60.0 * m as f64 * seconds)
            .process("paceline_rulebook_records_total", &outcome, |m| 30_000.0 * m as f64)
    }

    /// Removes the series of a metric.
    pub(crate) fn without(&mut self, name: &str) -> &mut Self {
        self.history.series.retain(|series| series.metric.name != name);
        self
    }

    pub(crate) fn stream(&mut self) -> &mut Stream {
        self.history.stream.as_mut().unwrap()
    }

    pub(crate) fn function(&mut self) -> &mut Function {
        self.history.function.as_mut().unwrap()
    }

    pub(crate) fn mapping(&mut self) -> &mut Mapping {
        &mut self.function().mappings[0]
    }

    pub(crate) fn table(&mut self) -> &mut Table {
        &mut self.history.tables[0]
    }

    pub(crate) fn rules(&mut self) -> &mut Rules {
        self.history.rules.as_mut().unwrap()
    }

    /// So many shards with equal ranges.
    pub(crate) fn shards(&mut self, count: usize) -> &mut Self {
        let shard = |index| Shard { id: format!("shardId-{index:012}"), open: true, share: 1.0 / count as f64 };
        self.stream().shards = (0..count).map(shard).collect();
        self
    }
}

fn stream() -> Stream {
    Stream {
        name: "alleycat".to_owned(),
        arn: Some("arn:aws:kinesis:eu-west-1:111122223333:stream/alleycat".to_owned()),
        mode: StreamMode::Provisioned,
        status: "ACTIVE".to_owned(),
        retention_hours: 24,
        shards: vec![Shard { id: "shardId-000000000000".to_owned(), open: true, share: 1.0 }],
        consumers: Vec::new(),
        shard_metrics: Vec::new(),
    }
}

fn function() -> Function {
    Function {
        name: "alleycat".to_owned(),
        memory_mb: 1_024,
        timeout_seconds: 60,
        reserved_concurrency: None,
        mappings: vec![mapping(UUID)],
    }
}

pub(crate) fn queue(messages: u64) -> Queue {
    Queue { url: "https://sqs.eu-west-1.amazonaws.com/111122223333/alleycat-failed".to_owned(), messages }
}

pub(crate) fn mapping(id: &str) -> Mapping {
    Mapping {
        id: id.to_owned(),
        state: "Enabled".to_owned(),
        last_result: Some("OK".to_owned()),
        starting_position: Some("TRIM_HORIZON".to_owned()),
        batch_size: 1_000,
        batching_window_seconds: 1,
        parallelization_factor: 1,
        tumbling_window_seconds: 0,
        retries: Some(100),
        max_age_seconds: None,
        bisect: true,
        reports_failures: true,
        on_failure: Some("arn:aws:sqs:eu-west-1:111122223333:alleycat-failed".to_owned()),
        counts_events: true,
        consumer: None,
    }
}

pub(crate) fn table(name: &str, units: u32) -> Table {
    let capacity = Capacity::Provisioned { read: units, write: units };
    Table {
        name: name.to_owned(),
        status: "ACTIVE".to_owned(),
        capacity,
        indexes: vec![Index { name: "GSI_Index".to_owned(), capacity }],
        local_indexes: false,
        item_bytes: None,
    }
}

fn dead_letter_table() -> Table {
    let capacity = Capacity::OnDemand { max_write: None };
    Table { capacity, indexes: Vec::new(), ..table("alleycat-dead-letters", 0) }
}

fn rules() -> Rules {
    let flat = RaceTypeRules {
        active: Some("flat@1".to_owned()),
        dedups: vec!["ordinal /second".to_owned()],
        packs: Some(false),
        pinned: Some([("flat@1".to_owned(), 12)].into()),
        ..RaceTypeRules::default()
    };
    Rules {
        registry: "s3://alleycat-rules/production".to_owned(),
        revision: 17,
        changed: Some(minute(2)),
        race_types: [("3".to_owned(), flat)].into(),
        hosts: vec![host_state("alleycat/1", 17)],
        limits: Some(PluginLimits { fuel_per_call: 2_000_000, fuel_per_row: 20_000, call_ms: 2_000 }),
    }
}

pub(crate) fn host_state(name: &str, revision: u64) -> HostState {
    HostState { name: name.to_owned(), revision, seen: minute(3), refusal: None }
}
