//! What an event came to, in CloudWatch's embedded metric format: a line of JSON on standard output, which CloudWatch
//! makes metrics of.
//!
//! Every metric has the dimension `function`. Some have a second one. What is 0 is not written.
//!
//! | metric | second dimension | unit | what it counts |
//! |---|---|---|---|
//! | `Records` | | count | records that are done, dead letters included |
//! | `DeadLetters` | none, and `reason` | count | records that could not go on |
//! | `IteratorAge` | | milliseconds | from a record's arrival in the stream to now: least, greatest, and between |
//! | `StageTime` | `stage` | milliseconds | where an event's time went |
//! | `Groups`, `Duplicates`, `Conflicts` | | count | writes of groups; records that were folded before; writes that others were ahead of |
//! | `Requests`, `Throttles`, `CacheHits` | | count | of the table |
//! | `WriteUnits`, `ReadUnits` | | count | consumed capacity |
//! | `Fuel` | `plugin` | count | fuel that a plugin used, by the first digits of its digest |
//! | `RulebookVersion` | `raceType` | none | the greatest version that records were judged by |
//! | `WindowsCommittedEarly` | | count | tumbling windows whose state grew too large to be carried |

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_cloudwatch_embedded::{Builder, Collector};
use paceline_aws::dynamodb::Usage;
use paceline_pipeline::model::Batch;
use paceline_pipeline::summary::{Stage, Summary};

/// Where the numbers go.
pub(crate) struct Metrics(&'static Collector);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn new(namespace: String, function: String) -> Result<Self, String> {
        let collector = Builder::new().cloudwatch_namespace(namespace).with_dimension("function", function).init();
        let collector = collector.map_err(|error| format!("no metrics can be kept: {error}"))?;
        describe_histogram!("IteratorAge", Unit::Milliseconds, "");
        describe_histogram!("StageTime", Unit::Milliseconds, "");
        describe_gauge!("RulebookVersion", Unit::Count, "");
        for name in [
            "Records",
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
            "WindowsCommittedEarly",
        ] {
            describe_counter!(name, Unit::Count, "");
        }
        Ok(Self(collector))
    }

    /// How long records have been in the stream.
    pub(crate) fn age(&self, batch: &Batch) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        // The oldest and the newest tell enough; a batch is in order.
        let ends = [batch.records.first(), batch.records.last()];
        for arrival in ends.into_iter().flatten().filter_map(|record| record.arrival_ms) {
            histogram!("IteratorAge").record(now.saturating_sub(arrival).max(0) as f64);
        }
    }

    pub(crate) fn window_committed_early(&self) {
        counter!("WindowsCommittedEarly").increment(1);
    }

    /// What a batch came to.
    pub(crate) fn summary(&self, summary: &Summary, usage: Usage) {
        counter!("Records").increment(summary.records);
        counter!("DeadLetters").increment(summary.dead_letters());
        for (cause, count) in &summary.dead {
            counter!("DeadLetters", "reason" => cause.as_str()).increment(*count);
        }
        counter!("Groups").increment(summary.groups);
        counter!("Duplicates").increment(summary.duplicates);
        counter!("Conflicts").increment(summary.conflicts);
        counter!("Requests").increment(usage.requests);
        counter!("Throttles").increment(usage.throttles);
        counter!("CacheHits").increment(usage.cache_hits);
        // The format's counters are whole; so are units but for eventually consistent reads, which there are none of.
        counter!("WriteUnits").increment(usage.write_units.ceil() as u64);
        counter!("ReadUnits").increment(usage.read_units.ceil() as u64);
        for (stage, time) in Stage::ALL.iter().zip(&summary.time) {
            if !time.is_zero() {
                histogram!("StageTime", "stage" => stage.as_str()).record(time.as_secs_f64() * 1e3);
            }
        }
        for (plugin, fuel) in &summary.fuel {
            counter!("Fuel", "plugin" => plugin.hex()[..12].to_owned()).increment(*fuel);
        }
        let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
        for (race_type, version) in summary.by_rulebook.keys() {
            versions.entry(race_type).and_modify(|greatest| *greatest = (*greatest).max(*version)).or_insert(*version);
        }
        for (race_type, version) in versions {
            gauge!("RulebookVersion", "raceType" => race_type.to_owned()).set(version as f64);
        }
    }

    /// Writes what has come together since the last time.
    pub(crate) fn flush(&self, request_id: &str) {
        self.0.set_property("requestId", request_id.to_owned());
        let mut out = std::io::stdout().lock();
        if let Err(error) = self.0.flush(&mut out).and_then(|()| out.flush()) {
            tracing::warn!("metrics are lost: {error}");
        }
    }
}
