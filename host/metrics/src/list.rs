//! All metrics.
//!
//! A row says what a host counts, how it is called in Prometheus and in CloudWatch, what it means, and what is healthy.
//! Hosts emit a metric by its row, so that none can be emitted that is not here.

use crate::metric::Statistic::{Average, Maximum, Sum};
use crate::metric::Unit::{Bytes, Count, Hours, Milliseconds, None, Seconds};
use crate::metric::{CloudWatch, Metric};

/// Upper bounds of a batch's time in seconds, up to a minute.
const BATCH_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The labels of what a plugin does: `plugin` is the beginning of its digest.
const BY_PLUGIN: &[&str] = &["rulebook", "version", "role", "plugin"];

/// The dimensions of what a plugin does: `rulebook` is name and version.
const PLUGIN: &[&[&str]] = &[&["rulebook", "plugin"]];

/// The dimensions of a race type and what it runs.
const RULEBOOK: &[&[&str]] = &[&["rulebook"]];

/// No dimension beside `function`.
const ALONE: &[&[&str]] = &[&[]];

macro_rules! metrics {
    ($($title:literal { $($name:ident = $metric:expr;)* })*) => {
        $($(
            #[doc = concat!("The metric `", stringify!($name), "`; its row has its meaning.")]
            pub static $name: Metric = $metric;
        )*)*

        /// All metrics, in the order of the documents.
        pub static ALL: &[&Metric] = &[$($(&$name,)*)*];

        /// The same by what they are about, with a title.
        pub static SECTIONS: &[(&str, &[&Metric])] = &[$(($title, &[$(&$name),*])),*];
    };
}

metrics! {
    "The stream and its shards" {
        ITERATOR_AGE = Metric::gauge(
            Seconds,
            "age of the oldest record that is not committed; 0 if all are. While requests fail, the age counts from the \
             first failure. A function measures the oldest and the newest record of each event",
            "below 5 minutes, and never half of the stream's retention",
        )
        .prometheus("paceline_iterator_age_seconds", &["shard"])
        .cloudwatch("IteratorAge", Milliseconds, Maximum, ALONE);
        SHARD_STATE = Metric::gauge(
            None,
            "1 for the state of the shard: `waiting`, `starting`, `reading`, `failing` or `done`",
            "every shard is `reading`; children are `waiting` until their parents are `done`",
        )
        .prometheus("paceline_shard_state", &["shard", "state"]);
        STREAM_RECORDS = Metric::counter("records of the stream that were read", "below 1,000 a second and shard")
            .prometheus("paceline_stream_records_total", &["shard"]);
        STREAM_BYTES = Metric::counter("bytes of their data", "below 1 MB a second and shard")
            .of(Bytes)
            .prometheus("paceline_stream_bytes_total", &["shard"]);
        STREAM_THROTTLES = Metric::counter("requests that Kinesis throttled", "0")
            .prometheus("paceline_stream_throttles_total", &["shard"]);
        STREAM_RETRIES = Metric::counter(
            "requests to Kinesis that failed otherwise and were retried",
            "a few an hour, such as expired iterators",
        )
        .prometheus("paceline_stream_retries_total", &["shard"]);
        SUBSCRIPTION_CONFLICTS = Metric::counter(
            "subscriptions that another reader under the same [`consumer-name`](operations/stream.md#poll-or-fan-out) had or \
             took",
            "0, except while one process takes over from another",
        )
        .prometheus("paceline_subscription_conflicts_total", &["shard"]);
        STORE_WAITS = Metric::counter(
            "times that a batch or checkpoint waited for the store after its retry budget, or that a batch waited for a \
             rulebook",
            "0",
        )
        .prometheus("paceline_store_waits_total", &["shard"]);
        MISROUTED_RECORDS = Metric::counter(
            "user records of aggregates that [belong to other shards](operations/stream.md#behaviour), whatever became of \
             them",
            "0, except after a reshard",
        )
        .prometheus("paceline_misrouted_records_total", &["shard"]);
        EXPIRED_HOURS = Metric::gauge(Hours, "hours of records that expired before they were read: **alert on any**", "0")
            .prometheus("paceline_expired_hours", &["shard"]);
    }

    "Records and batches" {
        RECORDS = Metric::counter("records that are committed, dead letters included", "as many as are produced")
            .prometheus("paceline_records_total", &["shard"])
            .cloudwatch("Records", Count, Sum, ALONE);
        BATCHES = Metric::counter("batches that are committed", "steady")
            .prometheus("paceline_batches_total", &["shard"]);
        UNCOMMITTED_BATCHES = Metric::counter(
            "batches of which not all records are committed: Lambda sends the rest again",
            "0; a single one is retried",
        )
        .cloudwatch("UncommittedBatches", Count, Sum, ALONE);
        DEAD_LETTERS = Metric::counter(
            "[dead letters](operations/dead-letters.md#reasons). A function writes them in total and by reason",
            "0, or the share that producers are known to send broken",
        )
        .prometheus("paceline_dead_letters_total", &["reason"])
        .cloudwatch("DeadLetters", Count, Sum, &[&[], &["reason"]]);
        BATCH_SECONDS_HISTOGRAM = Metric::histogram(
            Seconds,
            BATCH_SECONDS,
            "from a complete batch to its checkpoint; buckets from 10 ms to 60 s",
            "well below the time in which a shard's next batch arrives",
        )
        .prometheus("paceline_batch_seconds", &["shard"]);
        STAGE_SECONDS = Metric::counter(
            "time spent in each [stage](architecture.md#stages-and-their-files)",
            "`load` and `commit` have most of it; a rise there is the store's",
        )
        .of(Seconds)
        .prometheus("paceline_stage_seconds_total", &["stage"])
        .cloudwatch("StageTime", Milliseconds, Average, &[&["stage"]]);
        GROUPS = Metric::counter("items of groups that were written", "each costs a write unit for each KB")
            .prometheus("paceline_groups_total", &[])
            .cloudwatch("Groups", Count, Sum, ALONE);
        DUPLICATES = Metric::counter(
            "rows that their group's dedup state already contained; a record counts once for each group, or once if it has \
             been a dead letter since an earlier delivery",
            "0, except after a restart or a retried batch",
        )
        .prometheus("paceline_duplicates_total", &[])
        .cloudwatch("Duplicates", Count, Sum, ALONE);
        CONFLICTS = Metric::counter(
            "conditional writes that another host preceded",
            "0, except while a shard changes its reader; steady ones mean that two hosts read a shard",
        )
        .prometheus("paceline_conflicts_total", &[])
        .cloudwatch("Conflicts", Count, Sum, ALONE);
        WINDOWS_COMMITTED_EARLY = Metric::counter(
            "tumbling windows whose state exceeded 1 MB",
            "0; otherwise the window is too long for the load",
        )
        .cloudwatch("WindowsCommittedEarly", Count, Sum, ALONE);
    }

    "Rulebooks and plugins" {
        RULEBOOK_RECORDS = Metric::counter(
            "committed records that a rulebook evaluated; `outcome` is `accepted`, `rejected`, `bad-score` or `failed`. A \
             function's dimension is race type and rulebook, such as `3 flat@2`",
            "nearly all are `accepted`",
        )
        .prometheus("paceline_rulebook_records_total", &["race_type", "rulebook", "version", "outcome"])
        .cloudwatch("RulebookRecords", Count, Sum, RULEBOOK);
        RULEBOOK_REJECTED = Metric::counter("those that were rejected", "a known share")
            .cloudwatch("RulebookRejected", Count, Sum, RULEBOOK);
        RULEBOOK_FAILED = Metric::counter("those on which a plugin failed, or whose score is not finite", "0")
            .cloudwatch("RulebookFailed", Count, Sum, RULEBOOK);
        RULEBOOK_VERSION = Metric::gauge(None, "the highest version of each rulebook that evaluated records", "the active one")
            .cloudwatch("RulebookVersion", None, Maximum, RULEBOOK);
        FAILING_BATCHES = Metric::counter(
            "batches in which a version failed on more than 1 % of its records, ten at least",
            "0",
        )
        .prometheus("paceline_failing_batches_total", &["rulebook", "version"]);
        CANDIDATES_TAKEN_BACK = Metric::gauge(
            Count,
            "candidates that failed their [trial](rules.md#trials) and were taken back, until an operator ends the trial",
            "0",
        )
        .prometheus("paceline_candidates_taken_back", &[]);
        FAILING_VERSIONS = Metric::gauge(
            Count,
            "versions of rulebooks that failed on more than 1 % of their records of an event, ten at least, and \
             candidates that failed their [trial](rules.md#trials) and were taken back",
            "0",
        )
        .cloudwatch("FailingVersions", Count, Maximum, ALONE);
        PLUGIN_CALLS = Metric::counter("calls of a plugin, failed ones included", "a few for each batch")
            .prometheus("paceline_plugin_calls_total", BY_PLUGIN)
            .cloudwatch("PluginCalls", Count, Sum, PLUGIN);
        PLUGIN_FAULTS = Metric::counter(
            "calls that failed: `trap`, `fuel`, `time`, `memory`, `stack`, `too-many-bytes`, `invalid-result`, `error` or \
             `state-format`. A call that fails is repeated for halves of its rows",
            "0",
        )
        .prometheus("paceline_plugin_faults_total", &["rulebook", "version", "role", "plugin", "fault"])
        .cloudwatch("PluginFaults", Count, Sum, PLUGIN);
        PLUGIN_FUEL = Metric::counter("fuel used, also by calls that failed", "in proportion to the records")
            .prometheus("paceline_plugin_fuel_total", BY_PLUGIN)
            .cloudwatch("Fuel", Count, Sum, PLUGIN);
        PLUGIN_SECONDS = Metric::counter("time in a plugin", "in proportion to the records")
            .of(Seconds)
            .prometheus("paceline_plugin_seconds_total", BY_PLUGIN)
            .cloudwatch("PluginTime", Milliseconds, Average, PLUGIN);
    }

    "The rules' log" {
        RULES_REVISION = Metric::gauge(None, "the revision of the [rules](rules.md) that the host follows", "the newest")
            .prometheus("paceline_rules_revision", &[]);
        RULES_BEHIND = Metric::gauge(
            None,
            "1 while a host does not follow the newest [rules](rules.md#hosts): it cannot read the log, or it refuses a \
             rulebook that the log names",
            "0",
        )
        .prometheus("paceline_rules_behind", &[])
        .cloudwatch("HostsBehind", Count, Maximum, ALONE);
        RULES_REFUSED = Metric::gauge(Count, "versions of rulebooks that the host refuses", "0")
            .prometheus("paceline_rules_refused", &[]);
    }

    "The store" {
        STORE_REQUESTS = Metric::counter("requests to DynamoDB, failed ones included", "in proportion to the groups")
            .prometheus("paceline_store_requests_total", &[])
            .cloudwatch("Requests", Count, Sum, ALONE);
        STORE_THROTTLES = Metric::counter(
            "requests and single writes that DynamoDB throttled, by table, index (empty for the table itself) and \
             [cause](#causes-of-throttling). A function writes them in total, and by resource and cause",
            "0",
        )
        .prometheus("paceline_store_throttles_total", &["table", "index", "cause"])
        .cloudwatch("Throttles", Count, Sum, &[&[], &["resource", "cause"]]);
        STORE_CACHE_HITS = Metric::counter("items that did not have to be read", "nearly all after the first batches")
            .prometheus("paceline_store_cache_hits_total", &[])
            .cloudwatch("CacheHits", Count, Sum, ALONE);
        STORE_WRITE_UNITS = Metric::counter(
            "write capacity units consumed, those of indexes included",
            "below 1,000 a second for each partition key, and below what is provisioned",
        )
        .prometheus("paceline_store_write_units_total", &[])
        .cloudwatch("WriteUnits", Count, Sum, ALONE);
        STORE_READ_UNITS = Metric::counter("read capacity units consumed", "below 3,000 a second for each partition key")
            .prometheus("paceline_store_read_units_total", &[])
            .cloudwatch("ReadUnits", Count, Sum, ALONE);
    }
}

/// The metrics that have a name in Prometheus, with it.
pub fn prometheus() -> impl Iterator<Item = (&'static str, &'static Metric)> {
    ALL.iter().filter_map(|metric| Some((metric.prometheus?, *metric)))
}

/// The metrics that have a name in CloudWatch, with it.
pub fn cloudwatch() -> impl Iterator<Item = (CloudWatch, &'static Metric)> {
    ALL.iter().filter_map(|metric| Some((metric.cloudwatch?, *metric)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metric::Kind;

    #[test]
    fn names_follow_the_conventions_and_are_unique() {
        let mut names = BTreeSet::new();
        for (name, metric) in prometheus() {
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.starts_with("paceline_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            if let Seconds | Bytes | Hours = metric.unit {
                let unit = metric.unit.as_str();
                assert!(name.trim_end_matches("_total").ends_with(unit), "{name} does not name its unit, {unit}");
            }
            assert!(metric.unit != Milliseconds, "{name}: Prometheus has base units");
        }
        let mut names = BTreeSet::new();
        for (CloudWatch { name, dimensions, .. }, _) in cloudwatch() {
            assert!(names.insert(name), "{name} is there twice");
            let lengths: BTreeSet<usize> = dimensions.iter().map(|set| set.len()).collect();
            assert_eq!(lengths.len(), dimensions.len(), "{name}: two sets have the same length");
        }
        assert!(ALL.iter().all(|metric| metric.prometheus.is_some() || metric.cloudwatch.is_some()));
        assert!(ALL.iter().all(|metric| !metric.meaning.is_empty() && !metric.healthy.is_empty()));
        assert!(ALL.iter().all(|metric| !metric.meaning.contains('|') && !metric.healthy.contains('|')));
    }

    #[test]
    fn a_meaning_is_plain_where_there_is_no_markdown() {
        let meaning = DEAD_LETTERS.plain_meaning();
        assert_eq!(meaning, "dead letters. A function writes them in total and by reason");
        assert!(prometheus().all(|(_, metric)| !metric.plain_meaning().contains(['[', ']', '`'])));
    }
}
