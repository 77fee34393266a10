//! The function.

use super::changes::*;
use super::{Scenario, of};
use crate::builder::*;

pub(super) const SCENARIOS: &[Scenario] = &[
    of("function-slow", &["function-slow"], || {
        but(|it| {
            it.metric((Lambda, "Duration"), FUNCTION, Maximum, |m| if m > 8 { 52_000.0 } else { 480.0 });
        })
    }),
    of("function-errors", &["function-errors"], || {
        but(|it| {
            it.metric((Lambda, "Errors"), FUNCTION, Sum, |m| (m / 4) as f64);
        })
    }),
    of("no-parallelism", &["no-parallelism", "iterator-age"], || {
        but(|it| {
            lag(it, ages(3, 18.0));
            it.metric((Lambda, "Duration"), FUNCTION, Maximum, |_| 11_000.0);
        })
    }),
    of("concurrency", &["concurrency", "function-throttled"], || {
        but(|it| {
            it.shards(16);
            it.mapping().parallelization_factor = 10;
            it.function().reserved_concurrency = Some(100);
            it.metric((Lambda, "Throttles"), FUNCTION, Sum, from(7, 31.0));
            it.metric((Lambda, "ConcurrentExecutions"), FUNCTION, Maximum, |_| 100.0);
        })
    }),
    of("uncommitted-batches", &["uncommitted-batches"], || {
        but(|it| {
            it.points((OfFunction, "UncommittedBatches"), OWN, Sum, |m| (m > 12).then_some(4.0));
        })
    }),
    of("tumbling-window", &["tumbling-window"], || {
        but(|it| {
            it.mapping().tumbling_window_seconds = 60;
            it.mapping().parallelization_factor = 2;
            it.points((OfFunction, "WindowsCommittedEarly"), OWN, Sum, |m| (m > 9).then_some(2.0));
        })
    }),
];
