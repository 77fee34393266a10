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

/// What follows from a table without units, whatever reads the stream.
const TABLE: &[&str] = &["write-throttles", "function-slow", "uncommitted-batches", "iterator-age"];

pub(super) const SCENARIOS: &[Scenario] = &[
    recorded!("recorded-article", &["write-throttles", "function-slow", "uncommitted-batches", "iterator-age", "shard-full"]),
    recorded!("recorded-packed", TABLE),
    recorded!("recorded-resharded-2", TABLE),
    recorded!("recorded-factor", TABLE),
    recorded!("recorded-fan-out", TABLE),
    recorded!("recorded-capacity", &["hot-partition", "shard-full"]),
    recorded!("recorded-larger-batches", &["shard-full"]),
    // Notes only: retries are unlimited, which is right for paceline's function.
    recorded!("recorded-sound", &["unlimited-retries"]),
];
