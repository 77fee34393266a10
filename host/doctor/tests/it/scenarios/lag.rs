//! Readers that are behind.

use super::changes::*;
use super::{Scenario, of};
use crate::builder::*;

pub(super) const SCENARIOS: &[Scenario] = &[
    of("lag-slow", &["iterator-age"], || {
        but(|it| {
            lag(it, ages(3, 18.0));
            it.metric((Lambda, "ConcurrentExecutions"), FUNCTION, Maximum, |_| 1.0);
        })
    }),
    of("lag-steady", &["iterator-age"], || but(|it| lag(it, |_| 95_000.0))),
    of("lag-stuck", &["iterator-age", "function-errors", "no-parallelism"], || {
        but(|it| {
            lag(it, ages(2, 60.0));
            it.without("Records").without("Groups");
            it.metric((Lambda, "Invocations"), FUNCTION, Sum, |_| 8.0);
            it.metric((Lambda, "Errors"), FUNCTION, Sum, |m| if m >= 2 { 8.0 } else { 0.0 });
            it.mapping().bisect = false;
        })
    }),
    of("lag-dead", &["iterator-age", "mapping-state"], || {
        but(|it| {
            it.mapping().state = "Disabled".to_owned();
            it.points((Lambda, "IteratorAge"), FUNCTION, Maximum, |m| (m < 6).then_some(900.0));
            it.points((Kinesis, "GetRecords.IteratorAgeMilliseconds"), STREAM, Maximum, |m| (m < 6).then_some(850.0));
        })
    }),
    of("lag-no-reader", &["iterator-age"], || {
        but(|it| {
            it.history.function = None;
            it.history.series.retain(|series| !matches!(series.metric.namespace, Lambda | OfFunction));
            it.without("GetRecords.IteratorAgeMilliseconds").without("GetRecords.Success");
        })
    }),
    of("lag-re-reading", &["iterator-age", "data-loss"], || {
        but(|it| lag(it, |m| if m < 8 { 900.0 } else { 86_000_000.0 - (m - 8) as f64 * 900_000.0 }))
    }),
    of("lag-catching-up", &["iterator-age"], || but(|it| lag(it, |m| 1_800_000.0 - m as f64 * 80_000.0))),
    of("lag-one-value", &["iterator-age"], || {
        host_but(|it| {
            let age = |m| (m == 19).then_some(640.0);
            it.points((Host, "paceline_iterator_age_seconds"), HOST, Value, age);
        })
    }),
    of("lag-by-shard", &["iterator-age"], || {
        host_but(|it| {
            it.shards(2);
            let second = [HOST[0], ("shard", "shardId-000000000001")];
            it.metric((Host, "paceline_iterator_age_seconds"), &second, Value, |m| {
                1.0 + 60.0 * m.saturating_sub(4) as f64
            });
            it.metric((Host, "paceline_records_total"), &second, Value, |m| 9_000.0 * m.min(4) as f64);
            it.host("paceline_iterator_age_seconds", &[], |m| 1.0 + 20.0 * m.saturating_sub(9) as f64);
        })
    }),
    of("data-loss", &["data-loss", "iterator-age"], || {
        but(|it| {
            lag(it, |m| 70_000_000.0 + m as f64 * 60_000.0);
            it.without("Records").without("Groups");
        })
    }),
    of("data-lost", &["data-loss"], || but(|it| lag(it, |_| 86_390_000.0))),
    of("expired-records", &["expired-records"], || {
        host_but(|it| _ = it.host("paceline_expired_hours", &[], from(11, 2.5)))
    }),
];
