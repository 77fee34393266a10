//! A history comes from outside: whatever it contains, there is a report.

use paceline_doctor::examine;
use paceline_doctor::history::{Capacity, History, Point, Timestamp};
use proptest::prelude::*;

use super::scenarios::scenarios;

/// Values that a damaged or hostile document may have.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-1.0), Just(f64::MAX), Just(f64::MIN_POSITIVE), Just(1e12), 0.0..1e6]
}

fn integer() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(u32::MAX), 0_u32..10_000]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 1_795_718_000_000_u64..1_795_720_000_000]
}

/// One history of the scenarios, with some numbers replaced.
fn changed() -> impl Strategy<Value = History> {
    let histories: Vec<History> = scenarios().map(|scenario| (scenario.build)().history).collect();
    let changes =
        (any::<prop::sample::Index>(), prop::collection::vec((any::<prop::sample::Index>(), value(), time()), 0..12));
    (prop::sample::select(histories), changes, value(), integer(), time()).prop_map(
        |(mut history, (series, points), period, setting, until)| {
            if !history.series.is_empty() {
                let count = history.series.len();
                let it = &mut history.series[series.index(count)];
                it.period_seconds = period;
                for (place, value, time) in points {
                    if !it.points.is_empty() {
                        let count = it.points.len();
                        it.points[place.index(count)] = Point(Timestamp(time), value);
                    }
                }
            }
            change_settings(&mut history, setting);
            history.until = Timestamp(until);
            history
        },
    )
}

fn change_settings(history: &mut History, setting: u32) {
    if let Some(stream) = &mut history.stream {
        stream.retention_hours = setting;
    }
    if let Some(function) = &mut history.function {
        function.timeout_seconds = setting;
        function.reserved_concurrency = Some(setting);
        function.mappings.iter_mut().for_each(|mapping| {
            mapping.batch_size = setting;
            mapping.batching_window_seconds = setting;
            mapping.tumbling_window_seconds = setting;
            mapping.parallelization_factor = setting;
        });
    }
    for table in &mut history.tables {
        table.item_bytes = Some(u64::from(setting) * u64::from(setting));
        table.capacity = Capacity::Provisioned { read: setting, write: setting };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_history_has_a_report(history in changed()) {
        let report = examine(&history);
        prop_assert!(!report.text(false).is_empty());
        prop_assert!(serde_json::to_string(&report).is_ok());
        prop_assert!(!history.to_json().is_empty());
    }
}
