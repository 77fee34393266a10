//! Which records the stream still has.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// How long the stream keeps its records. It may change while the stream is read.
#[derive(Clone, Debug, Default)]
pub(super) struct RetentionWindow(Arc<AtomicI64>);

impl RetentionWindow {
    pub(super) fn set_hours(&self, hours: i32) {
        self.0.store(i64::from(hours), Ordering::Relaxed);
    }

    pub(super) fn hours(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// How many hours of records are missing at most of a shard that has expired; `None` if no record is. `read_until_ms` is
    /// `None` if nothing of it was read, and `created_ms` is the creation of the stream. Times are in milliseconds since 1970.
    pub(super) fn missing_hours(&self, read_until_ms: Option<i64>, created_ms: i64, now_ms: i64) -> Option<f64> {
        let begin_ms = self.begin_ms(now_ms);
        let hours_since = |since_ms: i64| (begin_ms - since_ms) as f64 / 3_600_000.0;
        match read_until_ms {
            Some(until_ms) => Some(hours_since(until_ms)).filter(|hours| *hours > 0.0),
            // No record is older than its stream. That the shard has expired shows that there were some, whatever the
            // clocks say.
            None => Some(hours_since(created_ms)).filter(|hours| *hours > 0.0).or(Some(self.hours() as f64)),
        }
    }

    /// The earliest arrival of a record that has not expired; both in milliseconds since 1970.
    pub(super) fn begin_ms(&self, now_ms: i64) -> i64 {
        now_ms - self.hours() * 3_600_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_begins_its_hours_before_now() {
        const HOUR: i64 = 3_600_000;
        let retention = RetentionWindow::default();
        retention.set_hours(24);
        assert_eq!((retention.begin_ms(100 * HOUR), retention.hours()), (76 * HOUR, 24));
    }

    #[test]
    fn an_expired_shard_lacks_what_arrived_after_it_was_read_and_before_the_window() {
        const HOUR: i64 = 3_600_000;
        let retention = RetentionWindow::default();
        retention.set_hours(24);
        let missing = |read_until: Option<i64>, created: i64| {
            retention.missing_hours(read_until.map(|hour| hour * HOUR), created * HOUR, 100 * HOUR)
        };
        assert_eq!(missing(Some(70), 0), Some(6.0));
        assert_eq!(missing(Some(76), 0), None, "what arrived later has not expired");
        assert_eq!(missing(Some(99), 0), None);
        assert_eq!(missing(None, 10), Some(66.0), "at most all since the stream was created");
        assert_eq!(missing(None, 90), Some(24.0), "never 0");
    }
}
