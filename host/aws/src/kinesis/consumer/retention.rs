//! What the stream still has, and whether something expired before it was read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// By how much less than the clock says is taken for read: answers' dates have whole seconds, and arrival times are
/// approximate.
pub(super) const MARGIN_MS: i64 = 10_000;

/// A gap that is shorter is none: between two records there is always some time.
const LEAST_GAP_MS: i64 = 60_000;

/// How long the stream keeps its records. It may change while it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct RetentionWindow(Arc<AtomicI64>);

impl RetentionWindow {
    pub(super) fn set_hours(&self, hours: i32) {
        self.0.store(i64::from(hours), Ordering::Relaxed);
    }

    /// How many hours the stream keeps a record.
    pub(super) fn hours(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// What arrived before has expired at this time; both in milliseconds since 1970.
    pub(super) fn at(&self, now_ms: i64) -> i64 {
        now_ms - self.hours() * 3_600_000
    }
}

/// From when to when records are missing. `seen` is up to when all was read before, `retention` since when the stream has
/// all records, `first` the arrival of the first record that was read now. The service removes what has expired when it
/// likes: what it still gave is not missing.
pub(super) fn gap(seen: Option<i64>, retention: i64, first: Option<i64>) -> Option<(i64, i64)> {
    let seen = seen?;
    let end = first.map_or(retention, |first| first.min(retention));
    (end - seen >= LEAST_GAP_MS).then_some((seen, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_expired_unread_is_a_gap() {
        const HOUR: i64 = 3_600_000;
        let retention = RetentionWindow::default();
        retention.set_hours(24);
        let now = 100 * HOUR;
        let kept_since = retention.at(now);
        assert_eq!(kept_since, 76 * HOUR);
        assert_eq!(gap(None, kept_since, Some(80 * HOUR)), None, "a first start misses nothing");
        assert_eq!(gap(Some(77 * HOUR), kept_since, Some(80 * HOUR)), None, "three quiet hours");
        assert_eq!(gap(Some(70 * HOUR), kept_since, Some(80 * HOUR)), Some((70 * HOUR, 76 * HOUR)));
        assert_eq!(gap(Some(70 * HOUR), kept_since, None), Some((70 * HOUR, 76 * HOUR)));
        assert_eq!(gap(Some(70 * HOUR), kept_since, Some(71 * HOUR)), Some((70 * HOUR, 71 * HOUR)), "not yet removed");
        assert_eq!(gap(Some(70 * HOUR), kept_since, Some(70 * HOUR + 500)), None, "the next one was still there");
    }
}
