//! The history's format.

use std::error::Error;

use paceline_doctor::history::{Point, Series};
use paceline_doctor::{History, ReadError, Timestamp};
use proptest::prelude::*;

use super::builder::{Builder, Host, Kinesis, STREAM, Sum, Value, minute};

fn error(text: &str) -> (ReadError, String) {
    let error = History::from_json(text).unwrap_err();
    let chain = format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default());
    (error, chain)
}

#[test]
fn a_history_comes_back_as_it_was() {
    let history = Builder::healthy().history;
    assert_eq!(History::from_json(&history.to_json()).unwrap(), history);
    let empty = Builder::empty().history;
    assert_eq!(History::from_json(&empty.to_json()).unwrap(), empty);
}

#[test]
fn what_is_no_history_is_named() {
    let (error_, text) = error("{\"format\": 1,\n  oops}");
    assert!(matches!(error_, ReadError::NotJson { line: 2, .. }), "{text}");
    let (error_, text) = error("{\"findings\": []}");
    assert!(matches!(error_, ReadError::NoFormat { .. }), "{text}");
    let (error_, text) = error("{\"format\": 2, \"what\": {}}");
    assert!(matches!(error_, ReadError::OtherFormat { found: 2 }), "{text}");
    let times = "\"format\": 1, \"since\": \"2026-11-26T18:40:00Z\", \"until\": \"2026-11-26T19:00:00Z\"";
    let (error_, text) = error(&format!("{{{times}, \"tables-of\": []}}"));
    assert!(matches!(error_, ReadError::UnknownField { .. }) && text.contains("`tables-of`"), "{text}");
    let (error_, text) = error("{\"format\": 1, \"since\": \"yesterday\"}");
    assert!(matches!(error_, ReadError::Invalid { .. }) && text.contains("`yesterday`"), "{text}");
    let (error_, text) = error("{\"format\": 1");
    assert!(matches!(error_, ReadError::NotJson { .. }), "{text}");
}

#[test]
fn series_are_summed_over_their_dimensions() {
    let mut it = Builder::empty();
    for (shard, value) in [("a", 60.0), ("b", 120.0)] {
        let dimensions = [STREAM, &[("ShardId", shard)]].concat();
        it.metric((Kinesis, "IncomingRecords"), &dimensions, Sum, |_| value);
    }
    let records = it.history.select(Kinesis, "IncomingRecords").statistic(Sum);
    assert_eq!(records.sum().per_second().last(), Some(Point(minute(19), 3.0)));
    assert_eq!(records.highest().peak().map(|point| point.1), Some(120.0));
    assert_eq!(records.by("ShardId").keys().copied().collect::<Vec<_>>(), ["a", "b"]);
    assert!(records.without("ShardId").is_empty());
}

/// Milliseconds between points, often equal ones.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![Just(60_000_u64), 1_u64..200_000], 0..30)
}

/// What is counted between two points, and whether the counter is reset before.
fn counts() -> impl Strategy<Value = Vec<(u32, bool)>> {
    prop::collection::vec((0_u32..1_000, any::<bool>()), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn points_come_back_whatever_their_distances(gaps in gaps()) {
        let mut at = 0;
        let points: Vec<Point> = gaps.iter().map(|gap| { at += gap; Point(Timestamp(at), at as f64 / 7.0) }).collect();
        let mut it = Builder::empty();
        it.metric((Host, "gauge"), &[], Value, |_| 0.0);
        it.history.series[0].points = points;
        prop_assert_eq!(History::from_json(&it.history.to_json()).unwrap(), it.history);
    }

    #[test]
    fn a_counter_grows_by_what_was_counted_whenever_it_is_reset(steps in counts()) {
        let (mut value, mut counted) = (5.0, 0.0);
        let mut points = vec![Point(Timestamp(0), value)];
        for (index, (step, reset)) in steps.iter().enumerate() {
            // After a reset, what was counted is seen only if the value is below the one before.
            let reset = *reset && f64::from(*step) < value;
            value = f64::from(*step) + if reset { 0.0 } else { value };
            counted += f64::from(*step);
            points.push(Point(Timestamp((index as u64 + 1) * 1_000), value));
        }
        let mut it = Builder::empty();
        it.metric((Host, "counter"), &[], Value, |_| 0.0);
        let series: &mut Series = &mut it.history.series[0];
        series.points = points;
        let increases = it.history.select(Host, "counter").increases();
        prop_assert!((increases.total() - counted).abs() < 1e-6);
    }
}
