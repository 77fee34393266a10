//! How one shard is: its state, its counters, and the age of its oldest record that is not committed.

use std::time::{Duration, Instant};

/// The state of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// Its parents are not done.
    Waiting,
    /// It has to be read, and no request for its records has succeeded yet.
    Starting,
    /// It is being read.
    Reading,
    /// The last request for its records failed and will be retried.
    Failing,
    /// It is read to its end and committed, or it has expired.
    Done,
}

impl ShardState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Starting, Self::Reading, Self::Failing, Self::Done];

    /// The name in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Reading => "reading",
            Self::Failing => "failing",
            Self::Done => "done",
        }
    }
}

/// A shard at this moment. Counters begin with the process.
#[derive(Clone, Copy, Debug)]
pub struct ShardStatus {
    /// The state.
    pub state: ShardState,
    /// Stream records that were read.
    pub records: u64,
    /// Bytes of their data.
    pub bytes: u64,
    /// Times that a batch or a checkpoint had to wait for the store.
    pub store_retries: u64,
    /// What happened to the reader of the shard. `None` where another program reads it.
    pub reader: Option<ReaderStatus>,
    /// The age of the oldest record that is not committed; 0 if every record is. While requests fail, it grows from the
    /// first that failed: what arrived since then is unknown.
    pub iterator_age: Duration,
}

/// What happened to the reader of a shard. Counters begin with the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReaderStatus {
    /// Requests that were throttled.
    pub throttles: u64,
    /// Requests that failed for other reasons and were retried.
    pub retries: u64,
    /// Subscriptions that another reader under the same consumer name had or took.
    pub conflicts: u64,
    /// User records of aggregates that belong to other shards, to which their producer sends them again.
    pub misrouted: u64,
    /// Hours of records that expired before they were read.
    pub expired_hours: f64,
}

/// What happened to a shard.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardRecord {
    /// Whether a request for its records has succeeded.
    read: bool,
    /// Whether the last request failed, other than by throttling.
    failed: bool,
    /// The first request that failed since the last that succeeded.
    failing_since: Option<Instant>,
    /// The distance from the reader to the newest record, when it last read.
    behind_ms: i64,
    /// The arrival of the oldest record that is read and not committed, in milliseconds since 1970.
    pub(super) oldest_uncommitted_ms: Option<i64>,
    records: u64,
    bytes: u64,
    pub(super) store_retries: u64,
    pub(super) reader: ReaderStatus,
    /// Whether records expired unread, also if their number is unknown.
    has_losses: bool,
}

impl ShardRecord {
    /// The state of a shard that has been begun and is not done.
    pub(super) fn state(&self) -> ShardState {
        match (self.failed, self.read) {
            (true, _) => ShardState::Failing,
            (false, true) => ShardState::Reading,
            (false, false) => ShardState::Starting,
        }
    }

    /// The first request that failed since the last that succeeded.
    pub(super) fn failing_since(&self) -> Option<Instant> {
        self.failing_since
    }

    pub(super) fn has_losses(&self) -> bool {
        self.has_losses
    }

    pub(super) fn received(&mut self, records: usize, bytes: usize, behind_ms: i64, first_ms: Option<i64>) {
        (self.read, self.failed, self.failing_since) = (true, false, None);
        self.records += records as u64;
        self.bytes += bytes as u64;
        self.behind_ms = behind_ms;
        // Earlier records that are not committed are older.
        self.oldest_uncommitted_ms = self.oldest_uncommitted_ms.or(first_ms);
    }

    pub(super) fn request_failed(&mut self, throttled: bool, now: Instant) {
        self.failing_since.get_or_insert(now);
        match throttled {
            true => self.reader.throttles += 1,
            false => {
                self.reader.retries += 1;
                self.failed = true;
            }
        }
    }

    pub(super) fn expired(&mut self, hours: f64) {
        self.has_losses = true;
        self.reader.expired_hours += hours;
    }

    /// The status in this state. `now_ms` is by the service's clock.
    pub(super) fn status(&self, state: ShardState, now_ms: i64, now: Instant) -> ShardStatus {
        ShardStatus {
            state,
            records: self.records,
            bytes: self.bytes,
            store_retries: self.store_retries,
            reader: Some(self.reader),
            iterator_age: self.iterator_age(state, now_ms, now),
        }
    }

    fn iterator_age(&self, state: ShardState, now_ms: i64, now: Instant) -> Duration {
        let failing = || self.failing_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let age_ms = match (state, self.oldest_uncommitted_ms) {
            (ShardState::Done | ShardState::Waiting, _) => 0,
            (_, Some(arrival_ms)) => now_ms - arrival_ms,
            (_, None) => self.behind_ms + failing().as_millis() as i64,
        };
        Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age_ms(record: &ShardRecord, now_ms: i64, now: Instant) -> u128 {
        record.status(record.state(), now_ms, now).iterator_age.as_millis()
    }

    #[test]
    fn the_age_is_that_of_the_oldest_record_that_is_not_committed() {
        let (now, mut record) = (Instant::now(), ShardRecord::default());
        record.received(10, 1_000, 0, Some(5_000));
        assert_eq!(age_ms(&record, 9_000, now), 4_000, "as soon as it is read");
        record.received(10, 1_000, 0, Some(8_000));
        assert_eq!(age_ms(&record, 9_000, now), 4_000, "later records are younger");
        record.oldest_uncommitted_ms = Some(8_000);
        assert_eq!(age_ms(&record, 9_000, now), 1_000);
        record.oldest_uncommitted_ms = None;
        assert_eq!(age_ms(&record, 9_000, now), 0);
        record.received(0, 0, 300, None);
        assert_eq!(age_ms(&record, 9_000, now), 300, "no records, but a distance");
    }

    #[test]
    fn the_age_grows_from_the_first_request_that_failed() {
        let (began, mut record) = (Instant::now(), ShardRecord::default());
        record.received(0, 0, 0, None);
        record.request_failed(true, began);
        record.request_failed(false, began + Duration::from_secs(2));
        assert_eq!(record.state(), ShardState::Failing);
        assert_eq!(age_ms(&record, 9_000, began + Duration::from_secs(5)), 5_000);
        record.received(0, 0, 0, None);
        assert_eq!((record.state(), age_ms(&record, 9_000, began)), (ShardState::Reading, 0));
        let status = record.status(ShardState::Reading, 9_000, began);
        let reader = status.reader.unwrap();
        assert_eq!((reader.throttles, reader.retries), (1, 1));
    }

    #[test]
    fn throttling_changes_no_state() {
        let (now, mut record) = (Instant::now(), ShardRecord::default());
        record.request_failed(true, now);
        assert_eq!(record.state(), ShardState::Starting);
        record.received(0, 0, 0, None);
        record.request_failed(true, now);
        assert_eq!(record.state(), ShardState::Reading);
    }
}
