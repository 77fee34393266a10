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
//! - `facts`: what several checks have to know.

mod capacity;
mod dead_letters;
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

pub(crate) use readings::{Reading, readings};

/// A check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its id: stable, and the anchor of its section in `docs/operations/troubleshooting.md`.
    pub id: &'static str,
    /// What it answers.
    pub question: &'static str,
    run: fn(&History) -> Outcome,
}

impl Check {
    /// What it comes to.
    #[must_use]
    pub fn run(&self, history: &History) -> Outcome {
        (self.run)(history)
    }
}

const fn check(id: &'static str, question: &'static str, run: fn(&History) -> Outcome) -> Check {
    Check { id, question, run }
}

/// All checks, from producers to results.
pub const CHECKS: [Check; 46] = [
    check("status", "are stream and tables active?", settings::status),
    check("producer-throttled", "does the stream reject records?", stream::producer_throttled),
    check("shard-full", "is a shard nearly full, by records or by bytes?", stream::shard_full),
    check("hot-shard", "does one shard get more than its share?", stream::hot_shard),
    check("bursts", "do averages of a minute hide seconds above the limits?", stream::bursts),
    check("producer-failures", "do requests of producers fail?", stream::producer_failures),
    check("reads-throttled", "does the stream throttle reads?", readers::reads_throttled),
    check("read-failures", "do reads of the stream fail?", readers::read_failures),
    check("read-latency", "do many readers delay each other?", readers::read_latency),
    check("fan-out", "are fan-out consumers late or rejected?", readers::fan_out),
    check("subscription-conflicts", "do two readers share a consumer's name?", readers::subscription_conflicts),
    check("iterator-age", "do readers keep up?", lag::iterator_age),
    check("data-loss", "does an age come near the retention?", lag::data_loss),
    check("expired-records", "did records expire before they were read?", lag::expired_records),
    check("shard-failing", "is every shard being read that should be?", hosts::shard_failing),
    check("misrouted", "do aggregates have records of other shards?", hosts::misrouted),
    check("mapping-state", "does the mapping read?", mapping::mapping_state),
    check("two-mappings", "does one mapping alone invoke the function?", readers::two_mappings),
    check("starting-position", "can records be missed while the mapping changes?", order::starting_position),
    check("function-slow", "do batches take nearly as long as they may?", function::function_slow),
    check("function-errors", "do invocations fail?", function::function_errors),
    check("function-throttled", "has Lambda capacity for the function?", parallelism::function_throttled),
    check("no-parallelism", "is the function late with all its concurrency?", parallelism::no_parallelism),
    check("concurrency", "may the function run what the mapping can send?", parallelism::concurrency),
    check("uncommitted-batches", "are all batches committed?", function::uncommitted_batches),
    check("tumbling-window", "do windows hold their state?", function::tumbling_window),
    check("dropped-events", "did Lambda drop events?", mapping::dropped_events),
    check("event-count", "does the mapping count its events?", mapping::event_count),
    check("failure-destination", "are positions of dropped batches kept?", mapping::failure_destination),
    check("unlimited-retries", "can one batch hold its shard?", mapping::unlimited_retries),
    check("partial-batch-responses", "does the function's answer count?", mapping::partial_batch_responses),
    check("batch-size", "can a batch have as many records as it may?", order::batch_size),
    check("packing-and-parallelization", "are packed records read in order?", order::packing_and_parallelization),
    check("sequence-dedup", "can dedup drop records that are new?", order::sequence_dedup),
    check("write-throttles", "does a table throttle writes?", throttles::write_throttles),
    check("write-capacity", "does a table live on its burst credit?", table::write_capacity),
    check("index-capacity", "has an index the write units of its table?", table::index_capacity),
    check("hot-partition", "does one partition key get nearly all that it can?", throttles::hot_partition),
    check("read-throttles", "does a table throttle reads?", table::read_throttles),
    check("write-conflicts", "do writers precede each other?", hosts::write_conflicts),
    check("failing-version", "do a version's plugins fail on records?", rules::failing_version),
    check("hosts-behind", "do hosts follow the rules?", rules::hosts_behind),
    check("missing-rulebook", "has the registry every pinned rulebook?", rules::missing_rulebook),
    check("plugin-budgets", "do plugins use nearly what they may?", plugins::plugin_budgets),
    check("dead-letters", "could all records be processed?", dead_letters::dead_letters),
    check("failed-batches", "did the mapping give batches up?", dead_letters::failed_batches),
];
