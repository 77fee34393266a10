//! The values of one Lambda event, in CloudWatch's embedded metric format: lines of the function's log, from which
//! CloudWatch extracts metrics.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! A line has one set of dimensions. The lines keep the format's limits whatever the names of rulebooks are and however
//! many there are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::metric::{CloudWatch, Metric};

/// The maximum number of metrics of a line. A limit of the format.
pub const MAX_METRICS: usize = 100;
/// The maximum number of values of a metric in a line. A limit of the format.
pub const MAX_VALUES: usize = 100;
/// The maximum number of dimensions of a line, `function` included. A limit of the format.
pub const MAX_DIMENSIONS: usize = 30;
/// The maximum length of a dimension's value. A limit of CloudWatch.
pub const MAX_DIMENSION_BYTES: usize = 1_024;
/// The maximum bytes of a line: those of an event of CloudWatch Logs that the embedded metric format takes.
pub const MAX_LINE_BYTES: usize = 256 * 1_024;

/// The maximum number of values of a line, so that no line exceeds [`MAX_LINE_BYTES`]: 25 bytes each.
const VALUES_OF_A_LINE: usize = 4_000;

/// The dimension that every metric has.
const FUNCTION: &str = "function";

/// What is the same in all lines of a function.
#[derive(Clone, Debug)]
pub struct Writer {
    namespace: String,
    function: String,
}

/// The values of one event.
#[derive(Debug, Default)]
pub struct Event(BTreeMap<Dimensions, BTreeMap<&'static str, Series>>);

/// Names and values of dimensions, without `function`.
type Dimensions = Vec<(&'static str, String)>;

#[derive(Debug)]
struct Series {
    cloudwatch: CloudWatch,
    values: Vec<f64>,
}

impl Event {
    /// Adds to a count. 0 is not written, so that a metric that nothing happened to costs nothing.
    pub fn count(&mut self, metric: &Metric, dimensions: &[&str], count: f64) {
        if count != 0.0 {
            let values = &mut self.series(metric, dimensions).values;
            match values.first_mut() {
                Some(first) => *first += count,
                None => values.push(count),
            }
        }
    }

    /// Adds a value that was measured.
    pub fn record(&mut self, metric: &Metric, dimensions: &[&str], value: f64) {
        self.series(metric, dimensions).values.push(value);
    }

    /// `dimensions` are the values of one of the metric's sets of dimensions: the one with as many.
    fn series(&mut self, metric: &Metric, dimensions: &[&str]) -> &mut Series {
        let cloudwatch = metric.cloudwatch.expect("a metric of an event has a name in CloudWatch");
        let names = cloudwatch.dimensions.iter().find(|names| names.len() == dimensions.len());
        let names = names.unwrap_or_else(|| panic!("{} has no {} dimensions", cloudwatch.name, dimensions.len()));
        let key = names.iter().copied().zip(dimensions.iter().map(|value| dimension(value))).collect();
        let metrics = self.0.entry(key).or_default();
        metrics.entry(cloudwatch.name).or_insert_with(|| Series { cloudwatch, values: Vec::new() })
    }
}

impl Writer {
    /// Writes metrics of this function in this namespace.
    pub fn new(namespace: &str, function: &str) -> Self {
        Self { namespace: namespace.to_owned(), function: dimension(function) }
    }

    /// The lines of an event. `request_id` is in each, so that metrics lead to the log.
    pub fn lines(&self, event: &Event, request_id: &str, at_ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        for (dimensions, metrics) in &event.0 {
            let mut line = Line::default();
            for series in metrics.values() {
                for values in series.values.chunks(MAX_VALUES) {
                    if line.is_full_for(series.cloudwatch.name, values.len()) {
                        lines.push(self.line(dimensions, std::mem::take(&mut line), request_id, at_ms));
                    }
                    line.add(&series.cloudwatch, values);
                }
            }
            if !line.metrics.is_empty() {
                lines.push(self.line(dimensions, line, request_id, at_ms));
            }
        }
        lines
    }

    fn line(&self, dimensions: &Dimensions, line: Line, request_id: &str, at_ms: u64) -> String {
        let names: Vec<&str> = [FUNCTION].into_iter().chain(dimensions.iter().map(|(name, _)| *name)).collect();
        let mut object = line.values;
        let directive = json!({ "Namespace": self.namespace, "Dimensions": [names], "Metrics": line.metrics });
        object.insert("_aws".to_owned(), json!({ "Timestamp": at_ms, "CloudWatchMetrics": [directive] }));
        object.insert(FUNCTION.to_owned(), self.function.clone().into());
        object.insert("requestId".to_owned(), request_id.into());
        object.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())));
        Value::Object(object).to_string()
    }
}

/// Metrics that share a line.
#[derive(Debug, Default)]
struct Line {
    metrics: Vec<Value>,
    values: Map<String, Value>,
    count: usize,
}

impl Line {
    fn is_full_for(&self, name: &str, values: usize) -> bool {
        self.metrics.len() == MAX_METRICS || self.count + values > VALUES_OF_A_LINE || self.values.contains_key(name)
    }

    fn add(&mut self, CloudWatch { name, unit, .. }: &CloudWatch, values: &[f64]) {
        let value = match values {
            [value] => number(*value),
            values => values.iter().map(|value| number(*value)).collect(),
        };
        self.metrics.push(json!({ "Name": name, "Unit": unit.cloudwatch() }));
        self.values.insert((*name).to_owned(), value);
        self.count += values.len();
    }
}

/// A whole number without a fraction: shorter, and what people expect of counts.
fn number(value: f64) -> Value {
    /// The largest integer up to which every one is a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        value if value.fract() == 0.0 && value.abs() <= EXACT => (value as i64).into(),
        // The format has no infinity.
        value if value.is_finite() => value.into(),
        _ => 0.into(),
    }
}

/// A dimension's value as CloudWatch takes it: printable ASCII, not empty, no colon first, 1,024 bytes at most. Others
/// are escaped as in Rust's strings.
fn dimension(text: &str) -> String {
    let mut value = String::new();
    for letter in text.chars() {
        match letter {
            ' '..='~' => value.push(letter),
            _ => value.extend(letter.escape_unicode()),
        }
    }
    value.truncate(MAX_DIMENSION_BYTES - 1);
    if value.starts_with(':') || value.trim().is_empty() {
        value.insert(0, '_');
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list;

    fn parsed(event: &Event) -> Vec<Value> {
        let lines = Writer::new("races", "alleycat").lines(event, "id", 1_700_000_000_000);
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_one_set_of_dimensions_and_all_of_its_metrics() {
        let mut event = Event::default();
        event.count(&list::RECORDS, &[], 2.0);
        event.count(&list::RECORDS, &[], 3.0);
        event.count(&list::GROUPS, &[], 0.0);
        event.count(&list::DEAD_LETTERS, &[], 1.0);
        event.count(&list::DEAD_LETTERS, &["empty"], 1.0);
        event.record(&list::ITERATOR_AGE, &[], 12.5);
        event.record(&list::ITERATOR_AGE, &[], 7.0);
        let lines = parsed(&event);
        assert_eq!(lines.len(), 2);
        let names = [
            json!({ "Name": "DeadLetters", "Unit": "Count" }),
            json!({ "Name": "IteratorAge", "Unit": "Milliseconds" }),
            json!({ "Name": "Records", "Unit": "Count" }),
        ];
        let directive = json!({ "Namespace": "races", "Dimensions": [["function"]], "Metrics": names });
        assert_eq!(
            lines[0],
            json!({
                "_aws": { "Timestamp": 1_700_000_000_000_u64, "CloudWatchMetrics": [directive] },
                "function": "alleycat", "requestId": "id",
                "DeadLetters": 1, "IteratorAge": [12.5, 7], "Records": 5
            })
        );
        assert_eq!(lines[1]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["function", "reason"]]));
        assert_eq!((&lines[1]["reason"], &lines[1]["DeadLetters"]), (&json!("empty"), &json!(1)));
    }

    #[test]
    fn a_dimension_is_what_cloudwatch_takes() {
        assert_eq!(dimension("3 flat@2"), "3 flat@2");
        assert_eq!(dimension("fün"), "f\\u{fc}n");
        assert_eq!([dimension(""), dimension("  "), dimension(":a")], ["_", "_  ", "_:a"]);
        assert_eq!(dimension(&"ü".repeat(9_000)).len(), MAX_DIMENSION_BYTES - 1);
    }
}
