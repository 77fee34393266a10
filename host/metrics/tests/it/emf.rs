//! Lines in the embedded metric format keep its limits, and lose no value.

use std::collections::BTreeMap;

use paceline_metrics::emf::{
    Event, MAX_DIMENSION_BYTES, MAX_DIMENSIONS, MAX_LINE_BYTES, MAX_METRICS, MAX_VALUES, Writer,
};
use paceline_metrics::{CloudWatch, Metric, list};
use proptest::prelude::*;
use serde_json::Value;

/// Which metric, by which of its sets of dimensions, the names of the dimensions, and the value.
type Recorded = (usize, usize, Vec<String>, u32);

fn recorded() -> impl Strategy<Value = Recorded> {
    let name = prop_oneof![
        4 => (0..200_u32).prop_map(|number| format!("class-{number}@1")),
        1 => any::<String>(),
        1 => "[:\\\\\"\u{0}-\u{1f}ü🏁]{0,8}",
        1 => (0..3_u32).prop_map(|number| number.to_string().repeat(1_500)),
    ];
    (any::<usize>(), any::<usize>(), prop::collection::vec(name, 2), 0..1_000_000_u32)
}

/// The values that a line has of each metric, after a check of the format's limits.
fn values_of(line: &str) -> BTreeMap<String, f64> {
    assert!(line.len() <= MAX_LINE_BYTES, "{} bytes", line.len());
    let line: Value = serde_json::from_str(line).unwrap();
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    let dimensions = directive["Dimensions"][0].as_array().unwrap();
    assert!(!dimensions.is_empty() && dimensions.len() <= MAX_DIMENSIONS);
    for name in dimensions {
        let value = line[name.as_str().unwrap()].as_str().unwrap();
        let is_taken = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        assert!(is_taken && !value.trim().is_empty() && !value.starts_with(':'), "{value:?}");
        assert!(value.len() <= MAX_DIMENSION_BYTES, "{} bytes", value.len());
    }
    let metrics = directive["Metrics"].as_array().unwrap();
    assert!(!metrics.is_empty() && metrics.len() <= MAX_METRICS, "{} metrics", metrics.len());
    let value = |metric: &Value| {
        let name = metric["Name"].as_str().unwrap();
        let values = match &line[name] {
            Value::Array(values) => values.clone(),
            value => vec![value.clone()],
        };
        assert!(!values.is_empty() && values.len() <= MAX_VALUES, "{} values", values.len());
        (name.to_owned(), values.iter().map(|value| value.as_f64().unwrap()).sum())
    };
    metrics.iter().map(value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lines_keep_the_limits_and_lose_nothing(all in prop::collection::vec(recorded(), 0..3_000), counts in any::<bool>()) {
        let metrics: Vec<(CloudWatch, &Metric)> = list::cloudwatch().collect();
        let mut event = Event::default();
        let mut expected: BTreeMap<&str, f64> = BTreeMap::new();
        for (metric, set, names, value) in &all {
            let (cloudwatch, metric) = &metrics[metric % metrics.len()];
            let set = cloudwatch.dimensions[set % cloudwatch.dimensions.len()];
            let names: Vec<&str> = names.iter().map(String::as_str).take(set.len()).collect();
            match counts {
                true => event.count(metric, &names, f64::from(*value)),
                false => event.record(metric, &names, f64::from(*value)),
            }
            *expected.entry(cloudwatch.name).or_default() += f64::from(*value);
        }
        let mut found: BTreeMap<String, f64> = BTreeMap::new();
        for line in Writer::new("paceline", "fünction").lines(&event, "id", 1) {
            for (name, value) in values_of(&line) {
                *found.entry(name).or_default() += value;
            }
        }
        for (name, value) in expected {
            prop_assert_eq!(found.get(name).copied().unwrap_or(0.0), value, "{}", name);
        }
    }
}
