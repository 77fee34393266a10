//! Which records of a queue have come, of a stream that is read live.

use super::settings::Live;
use crate::stream::StreamRecord;

/// What polls of a queue have brought.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// The number of records.
    fetched: usize,
    /// When the next poll is due; nothing before the first one.
    next_poll_ms: Option<i64>,
    /// When the last batch was due.
    last_due_ms: i64,
}

impl Arrivals {
    /// Waits until a batch is due that begins with the record `next`: it has `full` records, or its batching window is
    /// over. Returns the number of records that have come, which is `next` if no more come at all; nothing if the run
    /// ends before that.
    pub(super) fn wait(&mut self, records: &[&StreamRecord], next: usize, full: usize, live: &Live) -> Option<usize> {
        let clock = live.clock;
        while next < records.len() {
            let now = clock.now_ms();
            if now >= live.until_ms {
                return None;
            }
            // Polls go on while a batch is in progress.
            if self.next_poll_ms.is_none_or(|poll| poll <= now) {
                self.next_poll_ms = Some((self.next_poll_ms.unwrap_or(now) + live.poll_ms).max(now));
                self.fetched = records.partition_point(|record| record.arrival_ms <= now);
            }
            let waiting = self.fetched.saturating_sub(next);
            let over = self.gathering_since(records[next], live) + live.batching_window_ms;
            if waiting >= full || waiting > 0 && over <= now {
                self.last_due_ms = if waiting >= full { now } else { over.max(now - live.poll_ms) };
                return Some(self.fetched);
            }
            clock.wait_until(self.next_poll_ms.unwrap_or(now).min(live.until_ms));
        }
        Some(next)
    }

    /// Waits for the first poll from this time on; whether the run goes on until then.
    pub(super) fn wait_for_poll(&self, from_ms: i64, live: &Live) -> bool {
        let next = self.next_poll_ms.unwrap_or(from_ms);
        let polls = (from_ms - next).max(0).unsigned_abs().div_ceil(live.poll_ms.unsigned_abs());
        live.clock.wait_until((next + polls as i64 * live.poll_ms).min(live.until_ms));
        live.clock.now_ms() < live.until_ms
    }

    /// When the batching window of a batch began: with the batch before it, or after a pause with its first record.
    fn gathering_since(&self, first: &StreamRecord, live: &Live) -> i64 {
        if first.arrival_ms <= self.last_due_ms + live.poll_ms { self.last_due_ms } else { first.arrival_ms }
    }
}
