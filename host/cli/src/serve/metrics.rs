//! The metrics of a running consumer in Prometheus's text format. `docs/metrics.md` lists them; a test compares it with
//! this file.

use std::collections::HashSet;

use anyhow::Context;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use paceline_aws::kinesis::{Finished, ShardState, Status};
use paceline_config::AnyStore;
use paceline_pipeline::summary::Stage;

/// Upper bounds of a batch's time in seconds, up to a minute.
const BATCH_SECONDS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The metrics of this process.
#[derive(Clone)]
pub(crate) struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the process's recorder. A second call fails.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full("paceline_batch_seconds".to_owned()), &BATCH_SECONDS);
        let handle = builder.and_then(PrometheusBuilder::install_recorder);
        let handle = handle.context("the metrics recorder can't be installed")?;
        describe_gauge!("paceline_iterator_age_seconds", "Age of the oldest record that is not committed");
        describe_gauge!("paceline_shard_state", "1 for the state of the shard");
        describe_gauge!("paceline_expired_hours", "Hours of records that expired before they were read");
        describe_gauge!("paceline_stage_seconds", "Seconds spent in each stage");
        describe_gauge!("paceline_plugin_seconds", "Seconds spent in a plugin");
        describe_gauge!("paceline_store_write_units", "Write capacity units consumed");
        describe_gauge!("paceline_store_read_units", "Read capacity units consumed");
        describe_histogram!("paceline_batch_seconds", "Seconds from a batch to its checkpoint");
        for (name, what) in [
            ("paceline_stream_records_total", "Records of the stream that were read"),
            ("paceline_stream_bytes_total", "Bytes of their data"),
            ("paceline_stream_throttles_total", "Requests that Kinesis throttled"),
            ("paceline_stream_retries_total", "Requests to Kinesis that failed otherwise and were retried"),
            (
                "paceline_subscription_conflicts_total",
                "Subscriptions that another reader under the same name had or took",
            ),
            ("paceline_store_waits_total", "Times that a batch waited for the store"),
            ("paceline_misrouted_records_total", "User records of aggregates that belong to other shards"),
            ("paceline_records_total", "Records that are committed, dead letters included"),
            ("paceline_batches_total", "Batches that are committed"),
            ("paceline_dead_letters_total", "Records that could not be processed"),
            ("paceline_groups_total", "Items of groups that were written"),
            ("paceline_duplicates_total", "Rows that their groups held already"),
            ("paceline_conflicts_total", "Conditional writes that another host preceded"),
            ("paceline_plugin_calls_total", "Calls of a plugin, those that failed included"),
            ("paceline_plugin_faults_total", "Calls of a plugin that failed"),
            ("paceline_plugin_fuel_total", "Fuel that a plugin used, also in calls that failed"),
            ("paceline_rulebook_records_total", "Committed records that a rulebook evaluated"),
            ("paceline_store_requests_total", "Requests to DynamoDB"),
            ("paceline_store_throttles_total", "Requests and writes that DynamoDB throttled"),
            ("paceline_store_cache_hits_total", "Items that did not have to be read"),
        ] {
            describe_counter!(name, what);
        }
        Ok(Self(handle))
    }

    /// Counts a batch that is committed.
    pub(crate) fn finished(&self, Finished { shard, summary, took, .. }: &Finished<'_>) {
        let shard = (*shard).to_owned();
        counter!("paceline_records_total", "shard" => shard.clone()).increment(summary.records);
        counter!("paceline_batches_total", "shard" => shard.clone()).increment(1);
        histogram!("paceline_batch_seconds", "shard" => shard).record(took.as_secs_f64());
        for (cause, count) in &summary.dead_letters {
            counter!("paceline_dead_letters_total", "reason" => cause.as_str()).increment(*count);
        }
        counter!("paceline_groups_total").increment(summary.groups);
        counter!("paceline_duplicates_total").increment(summary.duplicates);
        counter!("paceline_conflicts_total").increment(summary.conflicts);
        for (plugin, usage) in &summary.calls {
            let labels = [
                ("rulebook", plugin.rulebook.name.clone()),
                ("version", plugin.rulebook.version.to_string()),
                ("role", plugin.role.to_string()),
                ("plugin", plugin.plugin.hex()[..12].to_owned()),
            ];
            counter!("paceline_plugin_calls_total", &labels).increment(usage.calls);
            counter!("paceline_plugin_fuel_total", &labels).increment(usage.fuel);
            gauge!("paceline_plugin_seconds", &labels).increment(usage.time.as_secs_f64());
            for (fault, count) in &usage.faults {
                let labels = labels.iter().cloned().chain([("fault", (*fault).to_owned())]).collect::<Vec<_>>();
                counter!("paceline_plugin_faults_total", &labels).increment(*count);
            }
        }
        for (by, rows) in &summary.rows {
            let outcomes = [
                ("accepted", rows.evaluated - rows.rejected - rows.bad_scores - rows.failed),
                ("rejected", rows.rejected),
                ("bad-score", rows.bad_scores),
                ("failed", rows.failed),
            ];
            for (outcome, count) in outcomes {
                let labels = [
                    ("race_type", by.race_type.clone()),
                    ("rulebook", by.rulebook.name.clone()),
                    ("version", by.rulebook.version.to_string()),
                    ("outcome", outcome.to_owned()),
                ];
                counter!("paceline_rulebook_records_total", &labels).increment(count);
            }
        }
        for (stage, time) in Stage::ALL.iter().zip(&summary.time) {
            // This library's counters are integers.
            gauge!("paceline_stage_seconds", "stage" => stage.as_str()).increment(time.as_secs_f64());
        }
    }

    /// All metrics with their current values.
    pub(crate) fn render(&self, status: &Status, store: &AnyStore) -> String {
        let shards = status.shards();
        for (shard, now) in &shards {
            let shard = || shard.to_string();
            gauge!("paceline_iterator_age_seconds", "shard" => shard()).set(now.iterator_age.as_secs_f64());
            for state in ShardState::ALL {
                let is = if state == now.state { 1.0 } else { 0.0 };
                gauge!("paceline_shard_state", "shard" => shard(), "state" => state.as_str()).set(is);
            }
            counter!("paceline_stream_records_total", "shard" => shard()).absolute(now.records);
            counter!("paceline_stream_bytes_total", "shard" => shard()).absolute(now.bytes);
            counter!("paceline_stream_throttles_total", "shard" => shard()).absolute(now.throttles);
            counter!("paceline_stream_retries_total", "shard" => shard()).absolute(now.retries);
            counter!("paceline_subscription_conflicts_total", "shard" => shard()).absolute(now.conflicts);
            counter!("paceline_store_waits_total", "shard" => shard()).absolute(now.store_retries);
            counter!("paceline_misrouted_records_total", "shard" => shard()).absolute(now.misrouted);
            gauge!("paceline_expired_hours", "shard" => shard()).set(now.expired_hours);
        }
        if let AnyStore::DynamoDb(store) = store {
            let usage = store.usage();
            counter!("paceline_store_requests_total").absolute(usage.requests);
            counter!("paceline_store_throttles_total").absolute(usage.throttles);
            counter!("paceline_store_cache_hits_total").absolute(usage.cache_hits);
            gauge!("paceline_store_write_units").set(usage.write_units);
            gauge!("paceline_store_read_units").set(usage.read_units);
        }
        self.0.run_upkeep();
        let known: HashSet<&str> = shards.iter().map(|(shard, _)| &**shard).collect();
        without_forgotten(&self.0.render(), &known)
    }
}

/// The text without the series of shards that the stream has forgotten, with all their records. The recorder never forgets
/// a series.
fn without_forgotten(text: &str, known: &HashSet<&str>) -> String {
    let shard_of = |line: &str| {
        let (_, labels) = line.split_once('{')?;
        let (_, shard) = labels.split_once("shard=\"")?;
        shard.split_once('"').map(|(shard, _)| shard.to_owned())
    };
    let is_known =
        |line: &&str| line.starts_with('#') || shard_of(line).is_none_or(|shard| known.contains(shard.as_str()));
    text.split_inclusive('\n').filter(is_known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_the_stream_has_forgotten_have_no_series() {
        let text = "# TYPE paceline_shard_state gauge\npaceline_shard_state{shard=\"shardId-0\",state=\"done\"} 1\n\
                    paceline_shard_state{shard=\"shardId-1\",state=\"reading\"} 1\n\
                    paceline_batch_seconds_bucket{shard=\"shardId-0\",le=\"+Inf\"} 7\n\
                    paceline_groups_total 9\npaceline_dead_letters_total{reason=\"empty\"} 2\n";
        let rest = "# TYPE paceline_shard_state gauge\npaceline_shard_state{shard=\"shardId-1\",state=\"reading\"} 1\n\
                    paceline_groups_total 9\npaceline_dead_letters_total{reason=\"empty\"} 2\n";
        assert_eq!(without_forgotten(text, &HashSet::from(["shardId-1"])), rest);
    }
}
