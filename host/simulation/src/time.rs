//! The stream's clock, by which records arrive.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time at which every run begins, in milliseconds since 1970: the beginning of 2026.
const BEGINNING_MS: u64 = 1_767_225_600_000;

/// The time after so many milliseconds of a run, in milliseconds since 1970.
pub(crate) fn time_ms(ms: u64) -> u64 {
    BEGINNING_MS + ms
}

/// The time at which every run begins.
pub(crate) fn beginning() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(BEGINNING_MS)
}
