//! The values of a process's metrics, and Prometheus's text format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::list;
use crate::metric::{Kind, Metric};

/// The values of the labels, in the order of the metric's labels.
type Labels = Vec<String>;

/// The values of a process's metrics.
#[derive(Debug, Default)]
pub struct Registry {
    /// Labels of every series, by name and value.
    base: Vec<(&'static str, String)>,
    /// The series of each metric, by its name.
    families: Mutex<BTreeMap<&'static str, BTreeMap<Labels, Value>>>,
}

#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    /// How many values are in each bucket, and above the last one; the sum of all.
    Buckets(Vec<u64>, f64),
}

impl Registry {
    /// Gives every series that has no such label this one. A process that reads one shard sets `shard`, so that the series
    /// of several such processes differ.
    pub fn with_label(mut self, name: &'static str, value: &str) -> Self {
        self.base.push((name, value.to_owned()));
        self
    }

    /// Adds to a counter.
    pub fn add(&self, metric: &Metric, labels: &[&str], by: f64) {
        if let Value::Number(number) = self.series(metric, labels, &mut self.lock()) {
            *number += by;
        }
    }

    /// Sets a gauge, or a counter that is counted elsewhere.
    pub fn set(&self, metric: &Metric, labels: &[&str], value: f64) {
        if let Value::Number(number) = self.series(metric, labels, &mut self.lock()) {
            *number = value;
        }
    }

    /// Counts a value of a histogram.
    pub fn observe(&self, metric: &Metric, labels: &[&str], value: f64) {
        if let (Value::Buckets(counts, sum), Kind::Histogram(bounds)) =
            (self.series(metric, labels, &mut self.lock()), metric.kind)
        {
            counts[bounds.partition_point(|bound| *bound < value)] += 1;
            *sum += value;
        }
    }

    /// Removes the series whose label has a value that is not to be kept. Series without this label stay.
    pub fn retain(&self, label: &str, keep: impl Fn(&str) -> bool) {
        let mut families = self.lock();
        for (name, metric) in list::prometheus() {
            if let Some(at) = metric.labels.iter().position(|name| *name == label)
                && let Some(series) = families.get_mut(name)
            {
                series.retain(|labels, _| keep(&labels[at]));
            }
        }
    }

    /// All metrics with their values, in the order of the list. A metric without values has only its description.
    pub fn render(&self) -> String {
        let families = self.lock();
        let mut text = String::new();
        for (name, metric) in list::prometheus() {
            let Some(series) = families.get(name) else { continue };
            // Writing to a string can't fail.
            let _ = writeln!(text, "# HELP {name} {}", escape_help(&metric.plain_meaning()));
            let _ = writeln!(text, "# TYPE {name} {}", metric.kind.as_str());
            for (labels, value) in series {
                self.render_series(&mut text, (name, metric), labels, value);
            }
        }
        text
    }

    fn render_series(&self, text: &mut String, (name, metric): (&str, &Metric), labels: &Labels, value: &Value) {
        let own = metric.labels.iter().copied().zip(labels.iter().map(String::as_str));
        let base = self.base.iter().map(|(name, value)| (*name, value.as_str()));
        let base = base.filter(|(name, _)| !metric.labels.contains(name));
        let labels: Vec<(&str, &str)> = own.chain(base).collect();
        match (value, metric.kind) {
            (Value::Buckets(counts, sum), Kind::Histogram(bounds)) => {
                let mut total = 0;
                let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(counts) {
                    total += count;
                    let with_bound: Vec<(&str, &str)> = labels.iter().copied().chain([("le", &*bound)]).collect();
                    line(text, &format!("{name}_bucket"), &with_bound, total as f64);
                }
                line(text, &format!("{name}_sum"), &labels, *sum);
                line(text, &format!("{name}_count"), &labels, total as f64);
            }
            (Value::Number(number), _) => line(text, name, &labels, *number),
            (Value::Buckets(..), _) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, BTreeMap<Labels, Value>>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn series<'a>(
        &self,
        metric: &Metric,
        labels: &[&str],
        families: &'a mut MutexGuard<'_, BTreeMap<&'static str, BTreeMap<Labels, Value>>>,
    ) -> &'a mut Value {
        let name = metric.prometheus.expect("a metric of a registry has a name in Prometheus");
        assert_eq!(metric.labels.len(), labels.len(), "{name} has the labels {:?}", metric.labels);
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        families.entry(name).or_default().entry(labels).or_insert_with(|| match metric.kind {
            Kind::Histogram(bounds) => Value::Buckets(vec![0; bounds.len() + 1], 0.0),
            Kind::Counter | Kind::Gauge => Value::Number(0.0),
        })
    }
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    text.push_str(name);
    for (at, (name, value)) in labels.iter().enumerate() {
        let before = if at == 0 { '{' } else { ',' };
        let _ = write!(text, "{before}{name}=\"{}\"", escape_label(value));
    }
    if !labels.is_empty() {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

fn escape_help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn escape_label(text: &str) -> String {
    escape_help(text).replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_types_labels_and_cumulative_buckets() {
        let registry = Registry::default();
        registry.add(&list::STAGE_SECONDS, &["commit"], 0.25);
        registry.add(&list::STAGE_SECONDS, &["commit"], 0.5);
        registry.set(&list::SHARD_STATE, &["shardId-1", "reading"], 1.0);
        for seconds in [0.01, 0.02, 70.0] {
            registry.observe(&list::BATCH_SECONDS_HISTOGRAM, &["a \"b\"\\\n"], seconds);
        }
        let text = registry.render();
        for line in [
            "# TYPE paceline_stage_seconds_total counter\npaceline_stage_seconds_total{stage=\"commit\"} 0.75\n",
            "# TYPE paceline_shard_state gauge\npaceline_shard_state{shard=\"shardId-1\",state=\"reading\"} 1\n",
            "# TYPE paceline_batch_seconds histogram\n",
            "paceline_batch_seconds_bucket{shard=\"a \\\"b\\\"\\\\\\n\",le=\"0.01\"} 1\n",
            "le=\"0.025\"} 2\n",
            "le=\"60\"} 2\n",
            "le=\"+Inf\"} 3\n",
            "paceline_batch_seconds_sum{shard=\"a \\\"b\\\"\\\\\\n\"} 70.03\n",
            "paceline_batch_seconds_count{shard=\"a \\\"b\\\"\\\\\\n\"} 3\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.find("paceline_shard_state") < text.find("paceline_stage_seconds_total"), "the list's order");
    }

    #[test]
    fn series_of_shards_that_have_ended_go() {
        let registry = Registry::default();
        registry.add(&list::RECORDS, &["shardId-0"], 2.0);
        registry.add(&list::RECORDS, &["shardId-1"], 3.0);
        registry.observe(&list::BATCH_SECONDS_HISTOGRAM, &["shardId-0"], 1.0);
        registry.add(&list::GROUPS, &[], 9.0);
        registry.retain("shard", |shard| shard == "shardId-1");
        let text = registry.render();
        assert!(!text.contains("shardId-0"), "{text}");
        assert!(text.contains("paceline_records_total{shard=\"shardId-1\"} 3\n"), "{text}");
        assert!(text.contains("paceline_groups_total 9\n"), "{text}");
    }

    #[test]
    fn a_label_of_the_process_is_added_where_it_is_missing() {
        let registry = Registry::default().with_label("shard", "shardId-7");
        registry.add(&list::GROUPS, &[], 1.0);
        registry.add(&list::RECORDS, &["shardId-7"], 1.0);
        registry.add(&list::DEAD_LETTERS, &["empty"], 1.0);
        let text = registry.render();
        assert!(text.contains("paceline_groups_total{shard=\"shardId-7\"} 1\n"), "{text}");
        assert!(text.contains("paceline_records_total{shard=\"shardId-7\"} 1\n"), "{text}");
        assert!(text.contains("paceline_dead_letters_total{reason=\"empty\",shard=\"shardId-7\"} 1\n"), "{text}");
    }
}
