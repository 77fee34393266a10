//! When the shards are listed.

use std::time::Duration;

/// The interval between listings in normal operation.
const LIST_INTERVAL: Duration = Duration::from_secs(60);

/// The least time between two listings. It doubles while listings bring nothing new: a stream that distributes records
/// regardless of their keys makes every map look wrong.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The schedule of listings. Times are since the producer's start.
#[derive(Debug)]
pub(super) struct ListingSchedule {
    due: Duration,
    in_progress: bool,
    last: Duration,
    pause: Duration,
    failures: u32,
}

impl Default for ListingSchedule {
    fn default() -> Self {
        let (due, last) = (LIST_INTERVAL, Duration::ZERO);
        Self { due, in_progress: false, last, pause: FIRST_PAUSE, failures: 0 }
    }
}

impl ListingSchedule {
    /// When the next listing is due, unless one is in progress.
    pub(super) fn due(&self) -> Option<Duration> {
        (!self.in_progress).then_some(self.due)
    }

    /// Begins a listing if it is due. Returns whether it was.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        let begins = self.due().is_some_and(|due| due <= now);
        self.in_progress |= begins;
        begins
    }

    /// The map seems to be wrong: lists as soon as the pause allows.
    pub(super) fn expedite(&mut self, now: Duration) {
        self.due = self.due.min(now.max(self.last + self.pause));
    }

    /// A listing succeeded, with other open shards than before or the same.
    pub(super) fn succeeded(&mut self, now: Duration, is_new: bool) {
        let was_expedited = self.due < self.last + LIST_INTERVAL;
        self.pause = match was_expedited && !is_new {
            true => (self.pause * 2).min(LONGEST_PAUSE),
            false => FIRST_PAUSE,
        };
        self.failures = 0;
        self.ended(now);
    }

    /// A listing failed for good.
    pub(super) fn ended(&mut self, now: Duration) {
        self.in_progress = false;
        self.last = now;
        self.due = now + LIST_INTERVAL;
    }

    /// A listing failed and is retried. `retry_at` is the time of a retry after so many failures.
    pub(super) fn failed(&mut self, now: Duration, retry_at: impl FnOnce(u32) -> Duration) {
        self.ended(now);
        self.failures += 1;
        self.due = retry_at(self.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expedited_listings_that_bring_nothing_new_become_rarer() {
        let mut schedule = ListingSchedule::default();
        assert_eq!(schedule.due(), Some(LIST_INTERVAL));
        let mut now = Duration::from_secs(1);
        let mut pauses = Vec::new();
        for is_new in [false, false, false, true, false] {
            schedule.expedite(now);
            now = now.max(schedule.due().unwrap());
            assert!(schedule.begin(now) && !schedule.begin(now));
            schedule.succeeded(now, is_new);
            schedule.expedite(now);
            pauses.push((schedule.due().unwrap() - now).as_millis());
        }
        assert_eq!(pauses, [400, 800, 1_600, 200, 400]);
    }

    #[test]
    fn a_failed_listing_is_retried_and_does_not_change_the_pause() {
        let (mut schedule, now) = (ListingSchedule::default(), Duration::from_secs(70));
        assert!(schedule.begin(now));
        assert_eq!(schedule.due(), None, "it is in progress");
        schedule.failed(now, |failures| now + Duration::from_millis(u64::from(failures)));
        assert_eq!(schedule.due(), Some(now + Duration::from_millis(1)));
        assert!(schedule.begin(now + Duration::from_secs(1)));
        schedule.succeeded(now + Duration::from_secs(1), true);
        assert_eq!(schedule.due(), Some(now + Duration::from_secs(61)));
    }
}
