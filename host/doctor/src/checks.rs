//! The checks, each with the id by which alarms, dashboards and `docs/operations/troubleshooting.md` know it.
//!
//! # Layout
//!
//! - `stream`: what producers get from the stream. `readers`: what readers get from it.
//! - `lag`: how far readers are behind, by `readings`, the ages of all readers.
//! - `function`: how the function works. `parallelism`: how many batches at once.
//! - `mapping`: how its event source mapping is set. `order`: which records come, and in which order.
//! - `throttles`: writes that tables throttle. `table`: what they use of their units. `capacity`: the commands that
//!   change them. `fewer_writes`: what writes less.
//! - `rules`: versions, hosts, pins. `plugins`: what plugins use. `dead_letters`: what could not be processed.
//! - `hosts`: running hosts. `settings`: the states of stream and tables.
//! - `facts`: what several checks have to know. `events`: occurrences over time.

mod capacity;
mod dead_letters;
mod events;
mod facts;
mod fewer_writes;
mod function;
mod hosts;
mod lag;
mod mapping;
mod order;
mod parallelism;
mod plugins;
mod readers;
mod readings;
mod rules;
mod settings;
mod stream;
mod table;
mod throttles;

use crate::finding::Outcome;
use crate::history::History;

use facts::MAPPINGS;

pub(crate) use readings::{Reading, readings};

/// A check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its id: stable, and the anchor of its section in `docs/operations/troubleshooting.md`.
    pub id: &'static str,
    /// What it answers.
    pub question: &'static str,
    /// What it looks at, by the beginnings of the names that [`Unavailable`](crate::history::Unavailable) has. Of what
    /// could not be read nothing is healthy.
    pub sources: &'static [&'static str],
    run: fn(&History) -> Outcome,
}

impl Check {
    /// What it comes to.
    #[must_use]
    pub fn run(&self, history: &History) -> Outcome {
        let outcome = (self.run)(history);
        match (&outcome, facts::unread(history, self.sources)) {
            (Outcome::Healthy(_), Some(unread)) => Outcome::NotChecked(unread),
            _ => outcome,
        }
    }
}

const fn check(
    id: &'static str,
    question: &'static str,
    sources: &'static [&'static str],
    run: fn(&History) -> Outcome,
) -> Check {
    Check { id, question, sources, run }
}

const METRICS: &str = "metrics of CloudWatch";
const HOST: &str = "metrics of host";
const SHARDS: &str = "shards of stream";
const CONSUMERS: &str = "fan-out consumers of stream";
const FUNCTION: &str = "function ";
const TABLE: &str = "table ";
/// All that is read of the store, if it cannot be opened.
const STORE: &str = "dead letters, hosts and pinned races";

/// All checks, from producers to results.
pub const CHECKS: [Check; 46] = [
    check("status", "are stream and tables active?", &["stream ", TABLE], settings::status),
    check("producer-throttled", "does the stream reject records?", &[METRICS], stream::producer_throttled),
    check("shard-full", "is a shard nearly full, by records or by bytes?", &[SHARDS, METRICS], stream::shard_full),
    check("hot-shard", "does one shard get more than its share?", &[SHARDS, METRICS], stream::hot_shard),
    check("bursts", "do averages of a minute hide seconds above the limits?", &[SHARDS, METRICS], stream::bursts),
    check("producer-failures", "do requests of producers fail?", &[METRICS], stream::producer_failures),
    check("reads-throttled", "does the stream throttle reads?", &[METRICS], readers::reads_throttled),
    check("read-failures", "do reads of the stream fail?", &[METRICS], readers::read_failures),
    check("read-latency", "do many readers delay each other?", &[SHARDS, METRICS], readers::read_latency),
    check("fan-out", "are fan-out consumers late or rejected?", &[CONSUMERS, METRICS], readers::fan_out),
    check(
        "subscription-conflicts",
        "do two readers share a consumer's name?",
        &[HOST],
        readers::subscription_conflicts,
    ),
    check("iterator-age", "do readers keep up?", &[FUNCTION, HOST, METRICS], lag::iterator_age),
    check("data-loss", "does an age come near the retention?", &[FUNCTION, HOST, METRICS], lag::data_loss),
    check("expired-records", "did records expire before they were read?", &[HOST], lag::expired_records),
    check("shard-failing", "is every shard being read that should be?", &[HOST], hosts::shard_failing),
    check("misrouted", "do aggregates have records of other shards?", &[HOST], hosts::misrouted),
    check("mapping-state", "does the mapping read?", &[MAPPINGS], mapping::mapping_state),
    check("two-mappings", "does one mapping alone invoke the function?", &[MAPPINGS], readers::two_mappings),
    check(
        "starting-position",
        "can records be missed while the mapping changes?",
        &[MAPPINGS],
        order::starting_position,
    ),
    check("function-slow", "do batches take nearly as long as they may?", &[METRICS], function::function_slow),
    check("function-errors", "do invocations fail?", &[METRICS], function::function_errors),
    check("function-throttled", "has Lambda capacity for the function?", &[METRICS], parallelism::function_throttled),
    check(
        "no-parallelism",
        "is the function late with all its concurrency?",
        &[MAPPINGS, SHARDS, METRICS],
        parallelism::no_parallelism,
    ),
    check(
        "concurrency",
        "may the function run what the mapping can send?",
        &["reserved concurrency", MAPPINGS, SHARDS],
        parallelism::concurrency,
    ),
    check("uncommitted-batches", "are all batches committed?", &[FUNCTION, HOST], function::uncommitted_batches),
    check("tumbling-window", "do windows hold their state?", &[MAPPINGS], function::tumbling_window),
    check("dropped-events", "did Lambda drop events?", &[MAPPINGS, METRICS], mapping::dropped_events),
    check("event-count", "does the mapping count its events?", &[MAPPINGS], mapping::event_count),
    check("failure-destination", "are positions of dropped batches kept?", &[MAPPINGS], mapping::failure_destination),
    check("unlimited-retries", "can one batch hold its shard?", &[MAPPINGS], mapping::unlimited_retries),
    check(
        "partial-batch-responses",
        "does the function's answer count?",
        &[MAPPINGS],
        mapping::partial_batch_responses,
    ),
    check("batch-size", "can a batch have as many records as it may?", &[MAPPINGS, METRICS], order::batch_size),
    check(
        "packing-and-parallelization",
        "are packed records read in order?",
        &[MAPPINGS],
        order::packing_and_parallelization,
    ),
    check("sequence-dedup", "can dedup drop records that are new?", &["rulebook ", MAPPINGS], order::sequence_dedup),
    check("write-throttles", "does a table throttle writes?", &[TABLE, METRICS], throttles::write_throttles),
    check("write-capacity", "does a table live on its burst credit?", &[TABLE, METRICS], table::write_capacity),
    check("index-capacity", "has an index the write units of its table?", &[TABLE], table::index_capacity),
    check(
        "hot-partition",
        "does one partition key get nearly all that it can?",
        &[TABLE, METRICS],
        throttles::hot_partition,
    ),
    check("read-throttles", "does a table throttle reads?", &[TABLE, METRICS], table::read_throttles),
    check("write-conflicts", "do writers precede each other?", &[FUNCTION, HOST], hosts::write_conflicts),
    check(
        "failing-version",
        "do a version's plugins fail on records?",
        &["the trial of", FUNCTION, HOST],
        rules::failing_version,
    ),
    check("hosts-behind", "do hosts follow the rules?", &["hosts", STORE], rules::hosts_behind),
    check(
        "missing-rulebook",
        "has the registry every pinned rulebook?",
        &["pinned races", STORE],
        rules::missing_rulebook,
    ),
    check("plugin-budgets", "do plugins use nearly what they may?", &[HOST], plugins::plugin_budgets),
    check("dead-letters", "could all records be processed?", &["dead letters"], dead_letters::dead_letters),
    check("failed-batches", "did the mapping give batches up?", &["queue"], dead_letters::failed_batches),
];
