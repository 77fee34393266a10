//! An event's counts and times, in CloudWatch's embedded metric format: lines of JSON on standard output, from which
//! CloudWatch extracts metrics. `paceline_metrics::list` has them all.

use std::collections::BTreeMap;
use std::io::Write;

use paceline_aws::dynamodb::{Throttles, Usage, throttles_since};
use paceline_metrics::emf::{Event, Writer};
use paceline_metrics::list;
use paceline_pipeline::Clock;
use paceline_pipeline::model::Batch;
use paceline_pipeline::rules::RulesStanding;
use paceline_pipeline::summary::{EvaluatedBy, Stage, Summary};

/// Writes the metrics of events, if it is to.
#[derive(Debug)]
pub struct Metrics(Option<Writer>);

/// What is measured of one event.
#[derive(Debug, Default)]
pub(crate) struct Measured(Event);

/// What an event used of DynamoDB.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub(crate) usage: Usage,
    pub(crate) throttles: Throttles,
}

impl Used {
    /// What was used after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let throttles = throttles_since(&self.throttles, &earlier.throttles);
        Self { usage: self.usage.since(earlier.usage), throttles }
    }
}

impl Metrics {
    /// Writes metrics of this function in this namespace.
    pub fn new(namespace: &str, function: &str) -> Self {
        Self(Some(Writer::new(namespace, function)))
    }

    /// Nothing is written.
    pub fn none() -> Self {
        Self(None)
    }

    /// Writes what was measured of an event.
    pub(crate) fn write(&self, measured: &Measured, request_id: &str, clock: Clock) {
        let Some(writer) = &self.0 else { return };
        let lines = writer.lines(&measured.0, request_id, clock.since_epoch().as_millis() as u64);
        let mut out = std::io::stdout().lock();
        let written = lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
        if let Err(error) = written {
            tracing::warn!("metrics are lost: {error}");
        }
    }
}

impl Measured {
    /// Records how long a batch's records have been in the stream.
    pub(crate) fn age(&mut self, batch: &Batch, clock: Clock) {
        let now = clock.since_epoch().as_millis() as i64;
        // A batch is in order, so the first and the last record have the extremes.
        let arrivals = || batch.records.iter().filter_map(|record| record.arrival_ms);
        for arrival in [arrivals().next(), arrivals().next_back()].into_iter().flatten() {
            self.0.record(&list::ITERATOR_AGE, &[], now.saturating_sub(arrival).max(0) as f64);
        }
    }

    /// Records that a batch is not committed as a whole.
    pub(crate) fn uncommitted(&mut self) {
        self.0.count(&list::UNCOMMITTED_BATCHES, &[], 1.0);
    }

    /// Records that a window was committed before its end.
    pub(crate) fn early_commit(&mut self) {
        self.0.count(&list::WINDOWS_COMMITTED_EARLY, &[], 1.0);
    }

    /// Records how the function follows the rules. Written also if all is well, so that an alarm ends.
    pub(crate) fn rules(&mut self, standing: RulesStanding, summary: &Summary) {
        self.0.record(&list::RULES_BEHIND, &[], f64::from(u8::from(standing.is_behind)));
        let failing = summary.failing_versions().len() as f64 + f64::from(standing.taken_back);
        self.0.record(&list::FAILING_VERSIONS, &[], failing);
    }

    /// Records what DynamoDB was asked for.
    pub(crate) fn store(&mut self, Used { usage, throttles }: &Used) {
        let event = &mut self.0;
        event.count(&list::STORE_REQUESTS, &[], usage.requests as f64);
        event.count(&list::STORE_THROTTLES, &[], usage.throttles as f64);
        for (by, count) in throttles {
            event.count(&list::STORE_THROTTLES, &[&by.resource(), by.cause.as_str()], *count as f64);
        }
        event.count(&list::STORE_CACHE_HITS, &[], usage.cache_hits as f64);
        event.count(&list::STORE_WRITE_UNITS, &[], usage.write_units);
        event.count(&list::STORE_READ_UNITS, &[], usage.read_units);
    }

    /// Records what became of an event's records.
    pub(crate) fn summary(&mut self, summary: &Summary) {
        let event = &mut self.0;
        event.count(&list::RECORDS, &[], summary.records as f64);
        event.count(&list::DEAD_LETTERS, &[], summary.dead_letter_count() as f64);
        for (cause, count) in &summary.dead_letters {
            event.count(&list::DEAD_LETTERS, &[cause.as_str()], *count as f64);
        }
        event.count(&list::GROUPS, &[], summary.groups as f64);
        event.count(&list::DUPLICATES, &[], summary.duplicates as f64);
        event.count(&list::CONFLICTS, &[], summary.conflicts as f64);
        for (stage, time) in Stage::ALL.iter().zip(&summary.time) {
            if !time.is_zero() {
                event.record(&list::STAGE_SECONDS, &[stage.as_str()], time.as_secs_f64() * 1e3);
            }
        }
        self.plugins(summary);
        self.rulebooks(summary);
    }

    fn plugins(&mut self, summary: &Summary) {
        let event = &mut self.0;
        for (plugin, usage) in &summary.calls {
            let (rulebook, digest) = (plugin.rulebook.to_string(), plugin.plugin.hex());
            let by = [&*rulebook, &digest[..12]];
            event.count(&list::PLUGIN_FUEL, &by, usage.fuel as f64);
            event.count(&list::PLUGIN_CALLS, &by, usage.calls as f64);
            event.count(&list::PLUGIN_FAULTS, &by, usage.faults.values().sum::<u64>() as f64);
            event.record(&list::PLUGIN_SECONDS, &by, usage.time.as_secs_f64() * 1e3);
        }
    }

    fn rulebooks(&mut self, summary: &Summary) {
        let event = &mut self.0;
        let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
        for (EvaluatedBy { race_type, rulebook }, rows) in &summary.rows {
            let by = [&*format!("{race_type} {rulebook}")];
            event.count(&list::RULEBOOK_RECORDS, &by, rows.evaluated as f64);
            event.count(&list::RULEBOOK_REJECTED, &by, rows.rejected as f64);
            event.count(&list::RULEBOOK_FAILED, &by, (rows.failed + rows.bad_scores) as f64);
            let latest = latest.entry(&rulebook.name).or_default();
            *latest = rulebook.version.max(*latest);
        }
        for (name, version) in latest {
            event.record(&list::RULEBOOK_VERSION, &[name], version as f64);
        }
    }
}
