//! The metrics of a process in Prometheus's text format. `paceline_metrics::list` has them all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use paceline_aws::dynamodb::DynamoDbStore;
use paceline_aws::kinesis::{ShardState, ShardStatus, Status};
use paceline_config::AnyStore;
use paceline_metrics::{Registry, list};
use paceline_pipeline::Pipeline;
use paceline_pipeline::summary::{Stage, Summary};

/// How long the series of a shard stay when it is done: Prometheus reads the last values meanwhile.
const KEPT: Duration = Duration::from_secs(600);

/// The metrics of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    /// Since when shards are done.
    done: Arc<Mutex<HashMap<Arc<str>, Instant>>>,
}

impl Metrics {
    /// Of a process that reads only this shard: every series has it as a label.
    pub(crate) fn of_shard(shard: &str) -> Self {
        Self { registry: Arc::new(Registry::default().with_label("shard", shard)), done: Arc::default() }
    }

    /// Counts a batch that is committed.
    pub(crate) fn finished(&self, shard: &str, summary: &Summary, took: Duration) {
        let registry = &self.registry;
        registry.add(&list::RECORDS, &[shard], summary.records as f64);
        registry.add(&list::BATCHES, &[shard], 1.0);
        registry.observe(&list::BATCH_SECONDS_HISTOGRAM, &[shard], took.as_secs_f64());
        for (cause, count) in &summary.dead_letters {
            registry.add(&list::DEAD_LETTERS, &[cause.as_str()], *count as f64);
        }
        registry.add(&list::GROUPS, &[], summary.groups as f64);
        registry.add(&list::DUPLICATES, &[], summary.duplicates as f64);
        registry.add(&list::CONFLICTS, &[], summary.conflicts as f64);
        for (stage, time) in Stage::ALL.iter().zip(&summary.time) {
            registry.add(&list::STAGE_SECONDS, &[stage.as_str()], time.as_secs_f64());
        }
        self.plugins(summary);
        self.rulebooks(summary);
    }

    fn plugins(&self, summary: &Summary) {
        for (plugin, usage) in &summary.calls {
            let (version, role) = (plugin.rulebook.version.to_string(), plugin.role.to_string());
            let digest = plugin.plugin.hex();
            let by = [&*plugin.rulebook.name, &*version, &*role, &digest[..12]];
            self.registry.add(&list::PLUGIN_CALLS, &by, usage.calls as f64);
            self.registry.add(&list::PLUGIN_FUEL, &by, usage.fuel as f64);
            self.registry.add(&list::PLUGIN_SECONDS, &by, usage.time.as_secs_f64());
            for (fault, count) in &usage.faults {
                let [rulebook, version, role, plugin] = by;
                self.registry.add(&list::PLUGIN_FAULTS, &[rulebook, version, role, plugin, fault], *count as f64);
            }
        }
    }

    fn rulebooks(&self, summary: &Summary) {
        for (by, rows) in &summary.rows {
            let version = by.rulebook.version.to_string();
            for (outcome, count) in [
                ("accepted", rows.evaluated - rows.rejected - rows.bad_scores - rows.failed),
                ("rejected", rows.rejected),
                ("bad-score", rows.bad_scores),
                ("failed", rows.failed),
            ] {
                let by = [&*by.race_type, &*by.rulebook.name, &*version, outcome];
                self.registry.add(&list::RULEBOOK_RECORDS, &by, count as f64);
            }
        }
        for failing in summary.failing_versions() {
            self.registry.add(&list::FAILING_BATCHES, &[&failing.name, &failing.version.to_string()], 1.0);
        }
    }

    /// Sets what the shards of a stream are like.
    pub(crate) fn shards(&self, status: &Status) {
        self.shards_at(&status.shards(), Instant::now());
    }

    /// The same, at this time.
    fn shards_at(&self, shards: &[(Arc<str>, ShardStatus)], at: Instant) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.retain(|shard, _| shards.iter().any(|(id, now)| id == shard && now.state == ShardState::Done));
        let mut kept: Vec<&str> = Vec::new();
        for (shard, now) in shards {
            let has_losses = now.reader.is_some_and(|reader| reader.expired_hours > 0.0);
            let is_done = now.state == ShardState::Done && !has_losses;
            if is_done && at.saturating_duration_since(*done.entry(Arc::clone(shard)).or_insert(at)) >= KEPT {
                continue;
            }
            kept.push(shard);
            self.shard(shard, now);
        }
        self.registry.retain("shard", |shard| kept.contains(&shard));
    }

    /// Sets what a shard is like.
    pub(crate) fn shard(&self, shard: &str, now: &ShardStatus) {
        let registry = &self.registry;
        registry.set(&list::ITERATOR_AGE, &[shard], now.iterator_age.as_secs_f64());
        for state in ShardState::ALL {
            let is = f64::from(u8::from(state == now.state));
            registry.set(&list::SHARD_STATE, &[shard, state.as_str()], is);
        }
        for (metric, count) in [
            (&list::STREAM_RECORDS, now.records),
            (&list::STREAM_BYTES, now.bytes),
            (&list::STORE_WAITS, now.store_retries),
        ] {
            registry.set(metric, &[shard], count as f64);
        }
        // A series that is always 0 would say that nothing was throttled or lost.
        let Some(reader) = &now.reader else { return };
        for (metric, count) in [
            (&list::STREAM_THROTTLES, reader.throttles),
            (&list::STREAM_RETRIES, reader.retries),
            (&list::SUBSCRIPTION_CONFLICTS, reader.conflicts),
            (&list::MISROUTED_RECORDS, reader.misrouted),
        ] {
            registry.set(metric, &[shard], count as f64);
        }
        registry.set(&list::EXPIRED_HOURS, &[shard], reader.expired_hours);
    }

    /// All metrics with their values, those of the store and of the rules as they are now.
    pub(crate) fn render(&self, pipeline: &Pipeline<AnyStore>) -> String {
        if let AnyStore::DynamoDb(store) = pipeline.store() {
            self.store(store);
        }
        let (registry, standing) = (&self.registry, pipeline.standing());
        registry.set(&list::RULES_REVISION, &[], standing.revision as f64);
        registry.set(&list::RULES_BEHIND, &[], f64::from(u8::from(standing.is_behind)));
        registry.set(&list::RULES_REFUSED, &[], standing.refused as f64);
        registry.set(&list::CANDIDATES_TAKEN_BACK, &[], f64::from(standing.taken_back));
        registry.render()
    }

    fn store(&self, store: &DynamoDbStore) {
        let (registry, usage) = (&self.registry, store.usage());
        registry.set(&list::STORE_REQUESTS, &[], usage.requests as f64);
        registry.set(&list::STORE_CACHE_HITS, &[], usage.cache_hits as f64);
        registry.set(&list::STORE_WRITE_UNITS, &[], usage.write_units);
        registry.set(&list::STORE_READ_UNITS, &[], usage.read_units);
        for (by, count) in store.throttles() {
            registry.set(&list::STORE_THROTTLES, &[&by.table, &by.index, by.cause.as_str()], count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use paceline_aws::kinesis::ReaderStatus;

    use super::*;

    fn shard(id: &str, state: ShardState, expired_hours: f64) -> (Arc<str>, ShardStatus) {
        let status = ShardStatus {
            state,
            records: 7,
            bytes: 0,
            store_retries: 0,
            reader: Some(ReaderStatus { expired_hours, ..ReaderStatus::default() }),
            iterator_age: Duration::ZERO,
        };
        (id.into(), status)
    }

    /// Of these, the shards that have series.
    fn shown<'a>(metrics: &Metrics, shards: &[&'a str]) -> Vec<&'a str> {
        let text = metrics.registry.render();
        shards.iter().copied().filter(|shard| text.contains(&format!("shard=\"{shard}\""))).collect()
    }

    #[test]
    fn the_series_of_a_closed_shard_go_after_some_minutes_unless_records_of_it_expired() {
        let (metrics, began) = (Metrics::default(), Instant::now());
        let all = ["closed", "open", "expired"];
        let done = [
            shard("closed", ShardState::Done, 0.0),
            shard("open", ShardState::Reading, 0.0),
            // Nobody may miss that records were lost.
            shard("expired", ShardState::Done, 3.0),
        ];
        metrics.shards_at(&done, began);
        assert_eq!(shown(&metrics, &all), all);
        metrics.shards_at(&done, began + KEPT - Duration::from_millis(1));
        assert_eq!(shown(&metrics, &all), all);
        metrics.shards_at(&done, began + KEPT);
        assert_eq!(shown(&metrics, &all), ["open", "expired"]);

        // A shard that is read again is done anew later.
        let again = began + 2 * KEPT;
        metrics.shards_at(&[shard("closed", ShardState::Reading, 0.0)], again);
        assert_eq!(shown(&metrics, &all), ["closed"]);
        metrics.shards_at(&[shard("closed", ShardState::Done, 0.0)], again);
        assert_eq!(shown(&metrics, &all), ["closed"]);
        metrics.shards_at(&[shard("closed", ShardState::Done, 0.0)], again + KEPT);
        assert_eq!(shown(&metrics, &all), [""; 0]);
    }
}
