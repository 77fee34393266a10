//! An event's counts and times, in CloudWatch's embedded metric format: lines of JSON on standard output, from which
//! CloudWatch extracts metrics.
//!
//! Every metric has the dimension `function`. Some have a second one. Values of 0 are not written.
//!
//! | metric | second dimension | unit | meaning |
//! |---|---|---|---|
//! | `Records` | | count | committed records, dead letters included |
//! | `UncommittedBatches` | | count | batches that are not committed as a whole: Lambda sends the rest again |
//! | `DeadLetters` | none, and `reason` | count | records that could not be processed |
//! | `IteratorAge` | | milliseconds | from a record's arrival in the stream to now: minimum, maximum, and between |
//! | `StageTime` | `stage` | milliseconds | time by stage |
//! | `Groups` | | count | groups written |
//! | `Duplicates` | | count | rows that their groups held already |
//! | `Conflicts` | | count | writes that met a conflict with another writer |
//! | `Requests`, `Throttles`, `CacheHits` | | count | requests to DynamoDB, throttled ones, groups not read |
//! | `WriteUnits`, `ReadUnits` | | count | consumed capacity |
//! | `Fuel` | `plugin` | count | fuel by plugin; the dimension is the beginning of its digest |
//! | `PluginCalls`, `PluginFaults` | `plugin` | count | calls, and those of them that failed |
//! | `PluginTime` | `plugin` | milliseconds | time in a plugin |
//! | `RulebookRecords`, `RulebookRejected`, `RulebookFailed` | `rulebook` | count | committed records by race type and rulebook; those that were rejected, and those on which plugins failed or gave bad scores |
//! | `RulebookVersion` | `rulebook` | none | the latest version by which records were evaluated |
//! | `WindowsCommittedEarly` | | count | tumbling windows whose state grew too large to be carried |

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_cloudwatch_embedded::{Builder, Collector};
use paceline_aws::dynamodb::Usage;
use paceline_pipeline::Clock;
use paceline_pipeline::model::Batch;
use paceline_pipeline::summary::{EvaluatedBy, Stage, Summary};

/// The recorder of the process's metrics, if it has one.
pub struct Metrics(Option<&'static Collector>);

/// The recorder can't be installed.
#[derive(Debug, thiserror::Error)]
#[error("no metrics can be recorded")]
pub struct MetricsError(#[source] Box<dyn Error + Send + Sync>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Installs the recorder. A process can do that once.
    pub fn new(namespace: String, function: String) -> Result<Self, MetricsError> {
        let collector = Builder::new().cloudwatch_namespace(namespace).with_dimension("function", function).init();
        let collector = collector.map_err(MetricsError)?;
        describe_histogram!("IteratorAge", Unit::Milliseconds, "");
        describe_histogram!("StageTime", Unit::Milliseconds, "");
        describe_histogram!("PluginTime", Unit::Milliseconds, "");
        describe_gauge!("RulebookVersion", Unit::Count, "");
        for name in [
            "Records",
            "UncommittedBatches",
            "DeadLetters",
            "Groups",
            "Duplicates",
            "Conflicts",
            "Requests",
            "Throttles",
            "CacheHits",
            "WriteUnits",
            "ReadUnits",
            "Fuel",
            "PluginCalls",
            "PluginFaults",
            "RulebookRecords",
            "RulebookRejected",
            "RulebookFailed",
            "WindowsCommittedEarly",
        ] {
            describe_counter!(name, Unit::Count, "");
        }
        Ok(Self(Some(collector)))
    }

    /// Nothing is recorded.
    pub fn none() -> Self {
        Self(None)
    }

    /// Records how long a batch's records have been in the stream.
    pub(crate) fn record_age(&self, batch: &Batch, clock: Clock) {
        let now = clock.since_epoch().as_millis() as i64;
        // A batch is in order, so the first and the last record have the extremes.
        let arrivals = || batch.records.iter().filter_map(|record| record.arrival_ms);
        for arrival in [arrivals().next(), arrivals().next_back()].into_iter().flatten() {
            histogram!("IteratorAge").record(now.saturating_sub(arrival).max(0) as f64);
        }
    }

    /// Records that a batch is not committed as a whole.
    pub(crate) fn record_uncommitted(&self) {
        counter!("UncommittedBatches").increment(1);
    }

    /// Records that a window was committed before its end.
    pub(crate) fn record_early_commit(&self) {
        counter!("WindowsCommittedEarly").increment(1);
    }

    /// Records an event's summary, and its use of DynamoDB.
    pub(crate) fn record_summary(&self, summary: &Summary, usage: Usage) {
        if self.0.is_none() {
            return;
        }
        counter!("Records").increment(summary.records);
        counter!("DeadLetters").increment(summary.dead_letter_count());
        for (cause, count) in &summary.dead_letters {
            counter!("DeadLetters", "reason" => cause.as_str()).increment(*count);
        }
        counter!("Groups").increment(summary.groups);
        counter!("Duplicates").increment(summary.duplicates);
        counter!("Conflicts").increment(summary.conflicts);
        counter!("Requests").increment(usage.requests);
        counter!("Throttles").increment(usage.throttles);
        counter!("CacheHits").increment(usage.cache_hits);
        // The format's counters are integers. Units are, too, except for eventually consistent reads, which are not
        // used.
        counter!("WriteUnits").increment(usage.write_units.ceil() as u64);
        counter!("ReadUnits").increment(usage.read_units.ceil() as u64);
        for (stage, time) in Stage::ALL.iter().zip(&summary.time) {
            if !time.is_zero() {
                histogram!("StageTime", "stage" => stage.as_str()).record(time.as_secs_f64() * 1e3);
            }
        }
        for (plugin, usage) in &summary.calls {
            let plugin = || plugin.plugin.hex()[..12].to_owned();
            counter!("Fuel", "plugin" => plugin()).increment(usage.fuel);
            counter!("PluginCalls", "plugin" => plugin()).increment(usage.calls);
            counter!("PluginFaults", "plugin" => plugin()).increment(usage.faults.values().sum());
            histogram!("PluginTime", "plugin" => plugin()).record(usage.time.as_secs_f64() * 1e3);
        }
        for (by, rows) in &summary.rows {
            let rulebook = || format!("{} {}", by.race_type, by.rulebook);
            counter!("RulebookRecords", "rulebook" => rulebook()).increment(rows.evaluated);
            counter!("RulebookRejected", "rulebook" => rulebook()).increment(rows.rejected);
            counter!("RulebookFailed", "rulebook" => rulebook()).increment(rows.failed + rows.bad_scores);
        }
        let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
        for EvaluatedBy { rulebook, .. } in summary.rows.keys() {
            let latest = latest.entry(&rulebook.name).or_default();
            *latest = rulebook.version.max(*latest);
        }
        for (name, version) in latest {
            gauge!("RulebookVersion", "rulebook" => name.to_owned()).set(version as f64);
        }
    }

    /// Writes what was recorded since the last flush.
    pub(crate) fn flush(&self, request_id: &str) {
        let Some(collector) = self.0 else { return };
        collector.set_property("requestId", request_id.to_owned());
        let mut out = std::io::stdout().lock();
        if let Err(error) = collector.flush(&mut out).and_then(|()| out.flush()) {
            tracing::warn!("metrics are lost: {error}");
        }
    }
}
