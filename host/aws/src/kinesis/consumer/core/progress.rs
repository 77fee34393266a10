//! How far one shard is read and committed, and the checkpoints that follow from it.

use std::time::{Duration, Instant};

use paceline_pipeline::model::{Checkpoint, SequenceNumber};

use super::gap::Gap;

/// The interval at which the checkpoint of a shard without new records is renewed, so that a later start knows that no
/// records were missed.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(60);

/// A shard that is caught up counts as read until this long before the request: responses carry whole seconds, and
/// arrival times are approximate.
const MARGIN_MS: i64 = 10_000;

/// What the decisions need of some records that were read. Times are in milliseconds since 1970 by the service's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::kinesis::consumer) struct ChunkTimes {
    /// The arrival of the first record.
    pub(in crate::kinesis::consumer) first_ms: Option<i64>,
    /// The arrival of the last record.
    pub(in crate::kinesis::consumer) last_ms: Option<i64>,
    /// The distance to the newest record of the shard.
    pub(in crate::kinesis::consumer) behind_ms: i64,
    /// When the records were requested.
    pub(in crate::kinesis::consumer) requested_ms: i64,
}

/// How far one shard is.
#[derive(Debug)]
pub(in crate::kinesis::consumer) struct ShardProgress {
    /// The last committed record.
    committed: SequenceNumber,
    /// Every record that arrived earlier has been read, in milliseconds since 1970.
    read_until_ms: Option<i64>,
    /// When the checkpoint was written last.
    checkpointed: Instant,
}

impl ShardProgress {
    /// Resumes at a checkpoint.
    pub(in crate::kinesis::consumer) fn new(checkpoint: Option<&Checkpoint>, now: Instant) -> Self {
        Self {
            committed: checkpoint.map(|checkpoint| checkpoint.sequence).unwrap_or_default(),
            read_until_ms: checkpoint.and_then(|checkpoint| checkpoint.arrival_ms),
            checkpointed: now,
        }
    }

    pub(in crate::kinesis::consumer) fn read_until_ms(&self) -> Option<i64> {
        self.read_until_ms
    }

    /// Records were read. Returns the gap before them.
    pub(in crate::kinesis::consumer) fn received(&mut self, times: ChunkTimes, retention_begin_ms: i64) -> Option<Gap> {
        let gap = Gap::find(self.read_until_ms, retention_begin_ms, times.first_ms);
        let caught_up = (times.behind_ms == 0).then_some(times.requested_ms - MARGIN_MS);
        self.read_until_ms = [self.read_until_ms, times.last_ms, caught_up].into_iter().flatten().max();
        gap
    }

    /// A batch was committed, with this checkpoint.
    pub(in crate::kinesis::consumer) fn committed(&mut self, checkpoint: Option<&Checkpoint>, now: Instant) {
        self.committed = checkpoint.map_or(self.committed, |checkpoint| checkpoint.sequence);
        self.checkpointed = now;
    }

    /// A checkpoint was written by itself.
    pub(in crate::kinesis::consumer) fn checkpointed(&mut self, now: Instant) {
        self.checkpointed = now;
    }

    /// The checkpoint of a shard that is read to its end and committed.
    pub(in crate::kinesis::consumer) fn end_checkpoint(&self) -> Checkpoint {
        Checkpoint { ended: true, ..self.checkpoint() }
    }

    /// The checkpoint of a shard that is caught up and committed, if it is due.
    pub(in crate::kinesis::consumer) fn idle_checkpoint(&self, now: Instant) -> Option<Checkpoint> {
        let due = now.saturating_duration_since(self.checkpointed) >= IDLE_CHECKPOINT;
        due.then(|| self.checkpoint())
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint { sequence: self.committed, arrival_ms: self.read_until_ms, ..Checkpoint::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn times(first_ms: Option<i64>, last_ms: Option<i64>, behind_ms: i64, requested_ms: i64) -> ChunkTimes {
        ChunkTimes { first_ms, last_ms, behind_ms, requested_ms }
    }

    #[test]
    fn a_shard_that_is_caught_up_is_read_until_shortly_before_the_request() {
        let mut progress = ShardProgress::new(None, Instant::now());
        assert_eq!(progress.received(times(Some(5 * HOUR), Some(6 * HOUR), 1, 9 * HOUR), 0), None);
        assert_eq!(progress.read_until_ms(), Some(6 * HOUR), "behind: up to the last record");
        assert_eq!(progress.received(times(None, None, 0, 9 * HOUR), 0), None);
        assert_eq!(progress.read_until_ms(), Some(9 * HOUR - MARGIN_MS));
        progress.received(times(Some(7 * HOUR), Some(7 * HOUR), 1, 8 * HOUR), 0);
        assert_eq!(progress.read_until_ms(), Some(9 * HOUR - MARGIN_MS), "it never goes back");
    }

    #[test]
    fn a_gap_is_reported_once() {
        let checkpoint = Checkpoint { arrival_ms: Some(10 * HOUR), ..Checkpoint::default() };
        let mut progress = ShardProgress::new(Some(&checkpoint), Instant::now());
        let chunk = times(Some(50 * HOUR), Some(50 * HOUR), 1, 60 * HOUR);
        assert_eq!(progress.received(chunk, 36 * HOUR), Some(Gap { from_ms: 10 * HOUR, to_ms: 36 * HOUR }));
        assert_eq!(progress.received(chunk, 36 * HOUR), None);
    }

    #[test]
    fn an_idle_shard_is_checkpointed_once_an_interval_at_its_last_committed_record() {
        let began = Instant::now();
        let mut progress = ShardProgress::new(None, began);
        let batch = Checkpoint { sequence: 7.into(), arrival_ms: Some(HOUR), ..Checkpoint::default() };
        progress.committed(Some(&batch), began + IDLE_CHECKPOINT / 2);
        progress.received(times(None, None, 0, 2 * HOUR), 0);
        assert_eq!(progress.idle_checkpoint(began + IDLE_CHECKPOINT), None, "the batch wrote one");
        let now = began + IDLE_CHECKPOINT * 2;
        let idle = progress.idle_checkpoint(now).unwrap();
        assert_eq!((idle.sequence, idle.arrival_ms, idle.ended), (7.into(), Some(2 * HOUR - MARGIN_MS), false));
        progress.checkpointed(now);
        assert_eq!(progress.idle_checkpoint(now), None);
        assert_eq!(progress.end_checkpoint(), Checkpoint { ended: true, ..idle });
    }

    #[test]
    fn a_batch_without_a_checkpoint_leaves_the_last_committed_record() {
        let now = Instant::now();
        let mut progress = ShardProgress::new(Some(&Checkpoint { sequence: 3.into(), ..Checkpoint::default() }), now);
        progress.committed(None, now);
        assert_eq!(progress.end_checkpoint().sequence, 3.into());
    }
}
