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
}
