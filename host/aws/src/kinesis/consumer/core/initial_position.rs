//! Where a stream was begun, persisted so that every later start and every shard that is found later agree on it.
//!
//! `LATEST` is a moment. A process that dies before its first checkpoint would otherwise begin at a later moment and
//! miss the records between. A moment that is still to come, as by a clock that is ahead, would be rejected by the
//! service or miss the records until then: it is one that has passed by the service's clock. So the moment of the first
//! start is persisted, and every shard without a checkpoint is read from it: shards that ended before it have no
//! records after it, and children are read from their beginning.

use paceline_pipeline::model::Checkpoint;
use sha2::{Digest, Sha256};

use crate::kinesis::clock::ServiceTime;
use crate::kinesis::config::{Start, timestamp};
use crate::kinesis::consumer::iterator_position::IteratorPosition;
use crate::kinesis::describe::StreamSummary;

/// Where a stream was begun: at a moment in milliseconds since 1970, or at its oldest record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kinesis::consumer) struct InitialPosition(Option<i64>);

/// The initial position of a stream, and whether it has to be persisted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kinesis::consumer) struct ResolvedPosition {
    pub(in crate::kinesis::consumer) position: InitialPosition,
    /// At the first start: the checkpoint that persists the position.
    pub(in crate::kinesis::consumer) new: Option<Checkpoint>,
}

/// A shard that expired before it was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kinesis::consumer) struct UnreadShard {
    /// Every record that arrived earlier was read or not wanted, in milliseconds since 1970; `None`: none was read.
    pub(in crate::kinesis::consumer) read_until_ms: Option<i64>,
}

/// The configuration does not fit the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::kinesis::consumer) enum InitialPositionError {
    #[error(
        "the checkpoints under the name `{name}` belong to another stream: this one was created at {}, and has other \
         sequence numbers. To read it from `start` on, give it another name: `name` in [source]",
        timestamp(*.created_ms)
    )]
    OtherStream { name: String, created_ms: i64 },
    #[error(
        "`start` is {}, which is in the future: the service's clock is at {}",
        timestamp(*.start_ms),
        timestamp(*.now_ms)
    )]
    StartInFuture { start_ms: i64, now_ms: i64 },
}

impl InitialPosition {
    /// The name of the checkpoint that persists it. No shard has this name.
    pub(in crate::kinesis::consumer) fn checkpoint_name(stream: &str) -> String {
        format!("{stream}/@initial-position")
    }

    /// Resolves the position from the checkpoint of an earlier start, or from `start` if there is none.
    pub(in crate::kinesis::consumer) fn resolve(
        found: Option<&Checkpoint>,
        name: &str,
        summary: &StreamSummary,
        start: Start,
        now: ServiceTime,
    ) -> Result<ResolvedPosition, InitialPositionError> {
        let fingerprint: [u8; 32] = Sha256::digest(format!("{}@{}", summary.arn, summary.created_ms)).into();
        if let Some(found) = found {
            if found.fingerprint != Some(fingerprint) {
                let (name, created_ms) = (name.to_owned(), summary.created_ms);
                return Err(InitialPositionError::OtherStream { name, created_ms });
            }
            return Ok(ResolvedPosition { position: Self(found.arrival_ms), new: None });
        }
        let arrival_ms = match start {
            Start::TrimHorizon => None,
            Start::Latest => Some(now.passed_ms),
            Start::At(start_ms) if start_ms > now.now_ms => {
                return Err(InitialPositionError::StartInFuture { start_ms, now_ms: now.now_ms });
            }
            Start::At(start_ms) => Some(start_ms),
        };
        let new = Checkpoint { fingerprint: Some(fingerprint), arrival_ms, ..Checkpoint::default() };
        Ok(ResolvedPosition { position: Self(arrival_ms), new: Some(new) })
    }

    /// Where to begin to read a shard with this checkpoint.
    pub(in crate::kinesis::consumer) fn resume_at(self, checkpoint: Option<&Checkpoint>) -> IteratorPosition {
        match checkpoint {
            Some(Checkpoint { sequence, .. }) if *sequence != 0.into() => IteratorPosition::After(sequence.to_string()),
            _ => self.0.map_or(IteratorPosition::TrimHorizon, IteratorPosition::At),
        }
    }

    /// What is missing of a shard that the stream does not have any more, by its checkpoint; `None` if it was read to
    /// its end.
    pub(in crate::kinesis::consumer) fn unread(self, checkpoint: Option<&Checkpoint>) -> Option<UnreadShard> {
        match checkpoint {
            Some(Checkpoint { ended: true, .. }) => None,
            other => {
                let read_until_ms = other.and_then(|checkpoint| checkpoint.arrival_ms).or(self.0);
                Some(UnreadShard { read_until_ms })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::StreamStatus;

    use super::*;

    fn summary(created_ms: i64) -> StreamSummary {
        StreamSummary { arn: "arn:races".to_owned(), status: StreamStatus::Active, retention_hours: 24, created_ms }
    }

    fn resolve(
        found: Option<&Checkpoint>,
        created_ms: i64,
        start: Start,
    ) -> Result<ResolvedPosition, InitialPositionError> {
        InitialPosition::resolve(found, "races", &summary(created_ms), start, at(1_000))
    }

    fn at(now_ms: i64) -> ServiceTime {
        ServiceTime { now_ms, passed_ms: now_ms - 100 }
    }

    #[test]
    fn latest_is_resolved_at_the_first_start_and_kept() {
        let first = resolve(None, 5, Start::Latest).unwrap();
        let persisted = first.new.unwrap();
        assert_eq!(first.position.resume_at(None), IteratorPosition::At(900), "a moment that has passed");
        let later = InitialPosition::resolve(Some(&persisted), "races", &summary(5), Start::Latest, at(2_000)).unwrap();
        assert_eq!(later, ResolvedPosition { position: first.position, new: None });
        assert_eq!(resolve(Some(&persisted), 5, Start::TrimHorizon).unwrap().position, first.position);
    }

    #[test]
    fn a_stream_that_was_created_at_another_time_is_another_stream() {
        let persisted = resolve(None, 5, Start::TrimHorizon).unwrap().new.unwrap();
        let error = resolve(Some(&persisted), 6, Start::TrimHorizon).unwrap_err();
        assert!(error.to_string().contains("belong to another stream"), "{error}");
    }

    #[test]
    fn a_start_in_the_future_is_an_error() {
        assert_eq!(resolve(None, 5, Start::At(800)).unwrap().position, InitialPosition(Some(800)));
        assert_eq!(resolve(None, 5, Start::At(1_000)).unwrap().position, InitialPosition(Some(1_000)));
        let error = resolve(None, 5, Start::At(1_001)).unwrap_err();
        assert_eq!(error, InitialPositionError::StartInFuture { start_ms: 1_001, now_ms: 1_000 });
    }

    #[test]
    fn a_shard_resumes_after_its_last_committed_record() {
        let position = InitialPosition(None);
        let at = |sequence: u64| Checkpoint { sequence: sequence.into(), ..Checkpoint::default() };
        assert_eq!(position.resume_at(None), IteratorPosition::TrimHorizon);
        assert_eq!(position.resume_at(Some(&at(0))), IteratorPosition::TrimHorizon, "nothing is committed yet");
        assert_eq!(position.resume_at(Some(&at(49))), IteratorPosition::After("49".to_owned()));
    }

    #[test]
    fn an_expired_shard_was_read_until_its_checkpoint_or_is_unread() {
        let checkpoint = |ended| Checkpoint { arrival_ms: Some(7), ended, ..Checkpoint::default() };
        let until = |position: InitialPosition, checkpoint: Option<&Checkpoint>| {
            position.unread(checkpoint).map(|unread| unread.read_until_ms)
        };
        assert_eq!(until(InitialPosition(None), Some(&checkpoint(true))), None);
        assert_eq!(until(InitialPosition(None), Some(&checkpoint(false))), Some(Some(7)));
        assert_eq!(until(InitialPosition(None), None), Some(None));
        assert_eq!(until(InitialPosition(Some(3)), None), Some(Some(3)), "earlier records were not wanted");
    }
}
