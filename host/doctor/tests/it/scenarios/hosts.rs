//! Running hosts.

use super::changes::*;
use super::{Scenario, of};
use crate::builder::*;

pub(super) const SCENARIOS: &[Scenario] = &[
    of(
        "host-waits-for-its-table",
        &["write-throttles", "uncommitted-batches", "iterator-age", "shard-failing"],
        || {
            host_but(|it| {
                it.metric((Dynamodb, "WriteThrottleEvents"), TABLE, Sum, from(5, 700.0));
                it.metric((Dynamodb, "WriteAccountLimitThrottleEvents"), TABLE, Sum, from(5, 700.0));
                it.host("paceline_store_waits_total", &[], |m| 2.0 + m.saturating_sub(5) as f64);
                it.host("paceline_iterator_age_seconds", &[], |m| 0.8 + 60.0 * m.saturating_sub(5) as f64);
                it.host("paceline_records_total", &[], |m| 30_000.0 * m.min(5) as f64);
                it.host("paceline_shard_state", &[("state", "failing")], from(6, 1.0));
            })
        },
    ),
    of("host-restarted", &[], || {
        host_but(|it| _ = it.host("paceline_records_total", &[], |m| 30_000.0 * (m % 10) as f64))
    }),
    of("misrouted", &["misrouted", "dead-letters"], || {
        host_but(|it| {
            it.host("paceline_misrouted_records_total", &[], |m| 7.0 * m as f64);
            it.history.dead_letters = Some(letters(&[("misrouted", 140)]));
        })
    }),
    of("write-conflicts", &["write-conflicts"], || {
        host_but(|it| _ = it.process("paceline_conflicts_total", &[], |m| 21_000.0 * m as f64))
    }),
];
