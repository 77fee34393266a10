//! Whole deployments: healthy ones, the article's, several troubles at once, missing permissions.

use paceline_doctor::history::{Capacity, Unavailable};

use super::changes::*;
use super::{Scenario, of};
use crate::builder::*;

pub(super) const SCENARIOS: &[Scenario] = &[
    of("healthy", &[], Builder::healthy),
    of("healthy-hosts", &[], Builder::hosts),
    of("host-read-once", &[], host_read_once),
    of("nothing-observed", &[], Builder::empty),
    of("article", ARTICLE, article),
    of("several-causes", &["write-throttles", "hot-shard", "failing-version", "data-loss"], several_causes),
    of("missing-permissions", &[], missing_permissions),
    of("missing-own-metrics", &[], missing_own_metrics),
];

const ARTICLE: &[&str] = &[
    "shard-full",
    "read-latency",
    "iterator-age",
    "function-slow",
    "function-errors",
    "no-parallelism",
    "write-throttles",
    "index-capacity",
    "partial-batch-responses",
    "unlimited-retries",
    "failure-destination",
    "event-count",
];

/// 1,000 racers, one shard, a function of 15 s at factor 1, a table of 20 and an index of 10 units with burst credit.
fn article() -> Builder {
    but(|it| {
        without_guards(it);
        it.load(1_000.0);
        it.history.rules = None;
        it.history.dead_letters = None;
        it.history.tables.truncate(1);
        it.history.series.retain(|series| series.metric.namespace != OfFunction);
        it.function().timeout_seconds = 15;
        it.function().memory_mb = 256;
        it.mapping().batching_window_seconds = 0;
        *it.table() = table("alleycat-races", 20);
        it.table().indexes[0].capacity = Capacity::Provisioned { read: 10, write: 10 };
        it.table().local_indexes = true;
        it.table().item_bytes = Some(14_700);
        it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |m| if m < 10 { 1_800.0 } else { 1_200.0 });
        it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), INDEX, Sum, |m| if m < 10 { 900.0 } else { 600.0 });
        it.metric((Dynamodb, "ConsumedReadCapacityUnits"), TABLE, Sum, |_| 120.0);
        it.metric((Dynamodb, "WriteThrottleEvents"), TABLE, Sum, from(10, 240.0));
        it.metric((Dynamodb, "WriteThrottleEvents"), INDEX, Sum, from(10, 120.0));
        it.metric((Kinesis, "GetRecords.Success"), STREAM, SampleCount, |_| 240.0);
        it.metric((Lambda, "Duration"), FUNCTION, Maximum, |m| if m < 10 { 850.0 } else { 15_000.0 });
        it.metric((Lambda, "Duration"), FUNCTION, Average, |m| if m < 10 { 600.0 } else { 14_100.0 });
        it.metric((Lambda, "Invocations"), FUNCTION, Sum, |m| if m < 10 { 60.0 } else { 4.0 });
        it.metric((Lambda, "Errors"), FUNCTION, Sum, from(10, 3.0));
        lag(it, ages(10, 55.0));
    })
}

/// Three troubles that have nothing to do with each other.
fn several_causes() -> Builder {
    but(|it| {
        it.history.region = Some("eu-west-1".to_owned());
        hot_shard(it);
        table_throttled(it);
        it.metric((Lambda, "Errors"), FUNCTION, Sum, from(6, 9.0));
        it.points((OfFunction, "UncommittedBatches"), OWN, Sum, |m| (m > 5).then_some(12.0));
        lag(it, |m| 44_000_000.0 + m as f64 * 50_000.0);
        it.rules().race_types.get_mut("3").unwrap().trial = Some(trial());
        it.history.dead_letters = Some(letters(&[("plugin-failed", 90), ("rejected", 31)]));
    })
}

fn denied(what: &str, permission: &str) -> Unavailable {
    Unavailable {
        what: what.to_owned(),
        permission: Some(permission.to_owned()),
        reason: "AccessDeniedException: the role paceline-reader may not do this".to_owned(),
        by_limit: false,
    }
}

fn missing_permissions() -> Builder {
    let mut it = Builder::empty();
    it.history.unavailable = vec![
        denied("metrics of CloudWatch", "cloudwatch:GetMetricData"),
        denied("stream alleycat", "kinesis:DescribeStreamSummary"),
        denied("function alleycat", "lambda:GetFunctionConfiguration"),
        denied("table alleycat-races", "dynamodb:DescribeTable"),
        Unavailable {
            what: "metrics of host 127.0.0.1:9464".to_owned(),
            permission: None,
            reason: "connection refused: start `paceline run` with [serve]".to_owned(),
            by_limit: false,
        },
    ];
    it.history.rules = Builder::healthy().history.rules;
    it
}

/// A function with windows whose own metrics can't be listed, and whose dead letters can't be read.
fn missing_own_metrics() -> Builder {
    but(|it| {
        it.mapping().tumbling_window_seconds = 15;
        it.history.dead_letters = None;
        it.history.series.retain(|series| series.metric.namespace != OfFunction);
        it.history.unavailable = vec![denied("the function's own metrics", "cloudwatch:ListMetrics")];
    })
}

/// As one call of the program sees a host: a single reading.
fn host_read_once() -> Builder {
    host_but(|it| {
        for series in it.history.series.iter_mut().filter(|series| series.metric.namespace == Host) {
            series.period_seconds = 0.0;
            series.points.drain(..series.points.len() - 1);
        }
    })
}
