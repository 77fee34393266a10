//! Histories that `make troubleshooting` recorded: the article's race, and what remedies change of it. To replace one,
//! copy it from `target/troubleshooting`.

use paceline_doctor::History;

use super::{Scenario, of};
use crate::builder::Builder;

macro_rules! recorded {
    ($name:literal, $finds:expr) => {
        of($name, $finds, || Builder {
            history: History::from_json(include_str!(concat!("../../histories/", $name, ".json"))).unwrap(),
        })
    };
}

pub(super) const SCENARIOS: &[Scenario] = &[
    recorded!(
        "recorded-article",
        &["write-throttles", "uncommitted-batches", "function-slow", "no-parallelism", "iterator-age", "shard-full"]
    ),
    // Packed, a late batch has all messages that wait: a group is written once for many of them.
    recorded!("recorded-packed", &["write-throttles", "uncommitted-batches", "iterator-age"]),
    recorded!("recorded-resharded-2", &["write-throttles", "uncommitted-batches", "iterator-age"]),
    recorded!("recorded-factor", &["write-conflicts", "write-throttles", "iterator-age", "shard-full"]),
    recorded!("recorded-fan-out", &["write-throttles", "uncommitted-batches", "iterator-age"]),
    recorded!("recorded-larger-batches", &["shard-full"]),
    // Notes only: retries are unlimited, which is right for paceline's function.
    recorded!("recorded-sound", &["unlimited-retries"]),
];
