//! When the daemon is sent a checkpoint, and what its answer means.
//!
//! Every checkpoint is a write to the daemon's lease table, and with fan-out records arrive several times a second.
//! Therefore the daemon gets at most one checkpoint per interval. The position of records that are committed later is
//! sent with the next records, and at the latest when the daemon requests it before it releases the lease. The checkpoint
//! at a shard's end is sent at once, and covers all before it. After a crash or a lost lease, records after the last
//! checkpoint are delivered again to the next holder of the lease, and dedup absorbs them.

use std::io::Write;
use std::time::Duration;

use paceline_pipeline::model::RecordPosition;
use tokio::time::Instant;

use super::connection::Connection;
use super::error::KclError;
use super::protocol::{Answer, Message, read};

/// Attempts at a checkpoint that the daemon's table is throttled for: some 20 seconds in all.
const ATTEMPTS: u32 = 10;

/// The first wait before another attempt, which doubles each time, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How far the shard is committed, and what the daemon knows of it.
#[derive(Debug)]
pub struct Checkpoints {
    /// The least time between two checkpoints.
    every: Duration,
    sent: Option<Instant>,
    /// The last committed position, if the daemon does not know it.
    pending: Option<RecordPosition>,
    /// Another worker has the lease: the daemon accepts no more checkpoints.
    lost: bool,
}

/// What to do after the daemon's answer to a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterCheckpoint {
    /// The checkpoint is written.
    Written,
    /// Retry it: the table is throttled, or the checkpoint can't be left out.
    Retry,
    /// Send no more checkpoints: another worker has the lease.
    LeaseLost,
    /// Stop: a retry would fail as well.
    Fatal,
    /// Go on: a later checkpoint may be written.
    Continue,
}

/// The daemon names the class of its exception. At the shard's end every checkpoint has to be written: none comes after it,
/// and the shards that this one has split into wait for it.
fn classify(error: Option<&str>, is_end: bool) -> AfterCheckpoint {
    match error {
        None => AfterCheckpoint::Written,
        Some("ThrottlingException" | "KinesisClientLibDependencyException") => AfterCheckpoint::Retry,
        Some("ShutdownException") => AfterCheckpoint::LeaseLost,
        Some("InvalidStateException") => AfterCheckpoint::Fatal,
        Some(_) if is_end => AfterCheckpoint::Retry,
        Some(_) => AfterCheckpoint::Continue,
    }
}

impl Checkpoints {
    /// The checkpoints of a shard of which nothing is committed yet; `every` is the least time between two of them.
    pub fn new(every: Duration) -> Self {
        Self { every, sent: None, pending: None, lost: false }
    }

    /// Notes that all records up to this position are committed.
    pub(super) fn reached(&mut self, position: RecordPosition) {
        self.pending = Some(position);
    }

    /// The position to send now, if the interval is over.
    pub(super) fn due(&self) -> Option<RecordPosition> {
        self.pending.filter(|_| self.sent.is_none_or(|sent| sent.elapsed() >= self.every))
    }

    /// The position to send before the daemon releases the lease.
    pub(super) fn pending(&self) -> Option<RecordPosition> {
        self.pending
    }

    /// Sends a checkpoint, at a position or at the shard's end, and waits for the answer.
    pub(super) async fn write<W: Write>(
        &mut self,
        daemon: &mut Connection<W>,
        position: Option<RecordPosition>,
    ) -> Result<(), KclError> {
        if self.lost {
            return Ok(());
        }
        let mut wait = WAITS.0;
        for attempt in 1..=ATTEMPTS {
            daemon.send(&Answer::checkpoint(position))?;
            let error = answer(daemon).await?;
            let after = classify(error.as_deref(), position.is_none());
            let error = error.unwrap_or_default();
            match after {
                AfterCheckpoint::Written => {
                    self.pending = None;
                    self.sent = Some(Instant::now());
                    return Ok(());
                }
                AfterCheckpoint::Retry if attempt < ATTEMPTS => {
                    tracing::warn!(attempt, error, "the daemon did not write a checkpoint, which is retried");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(WAITS.1);
                }
                AfterCheckpoint::Retry if position.is_none() => {
                    return Err(KclError::ShardEnd { attempts: ATTEMPTS, error });
                }
                AfterCheckpoint::LeaseLost => {
                    tracing::info!("another worker has the shard's lease: no more checkpoints are sent");
                    self.lost = true;
                    return Ok(());
                }
                AfterCheckpoint::Fatal => return Err(KclError::LeaseTable { error }),
                // The next checkpoint covers this one.
                AfterCheckpoint::Retry | AfterCheckpoint::Continue => {
                    tracing::warn!(error, "a checkpoint was not written; the next one covers it");
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The daemon's answer to a checkpoint: the class of its exception, if there was one.
async fn answer<W: Write>(daemon: &mut Connection<W>) -> Result<Option<String>, KclError> {
    let line = daemon.input.next().await?.ok_or(KclError::DaemonGone)?;
    let error = match read(&line)? {
        Message::Checkpoint { error } => error.map(|error| error.to_string()),
        other => return Err(KclError::NotAnAnswer(other.action())),
    };
    daemon.input.reuse(line);
    Ok(error)
}

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use super::*;

    fn at(sequence: u64) -> RecordPosition {
        RecordPosition { sequence: sequence.into(), sub_sequence: 0 }
    }

    #[test]
    fn the_first_is_due_at_once_and_the_next_after_the_interval() {
        let mut checkpoints = Checkpoints::new(Duration::from_secs(3_600));
        assert_eq!(checkpoints.due(), None);
        checkpoints.reached(at(1));
        assert_eq!(checkpoints.due(), Some(at(1)));
        checkpoints.sent = Some(Instant::now());
        checkpoints.reached(at(2));
        assert_eq!((checkpoints.due(), checkpoints.pending()), (None, Some(at(2))));
        checkpoints.every = Duration::ZERO;
        assert_eq!(checkpoints.due(), Some(at(2)));
    }

    #[test]
    fn answers_are_classified() {
        for is_end in [false, true] {
            assert_eq!(classify(None, is_end), AfterCheckpoint::Written);
            assert_eq!(classify(Some("ThrottlingException"), is_end), AfterCheckpoint::Retry);
            assert_eq!(classify(Some("ShutdownException"), is_end), AfterCheckpoint::LeaseLost);
            assert_eq!(classify(Some("InvalidStateException"), is_end), AfterCheckpoint::Fatal);
        }
        assert_eq!(classify(Some("IllegalArgumentException"), false), AfterCheckpoint::Continue);
    }

    #[tokio::test]
    async fn the_end_of_a_shard_is_sent_again_whatever_its_checkpoint_failed_with() {
        let (daemon, input) = Input::queue();
        let mut sent = Vec::new();
        let (mut connection, mut checkpoints) = (Connection::new(input, &mut sent), Checkpoints::new(Duration::ZERO));
        let answer = async {
            for error in [r#""RuntimeException""#, "null"] {
                let line = format!(r#"{{"action":"checkpoint","error":{error}}}"#);
                daemon.send(Ok(line.into_bytes())).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(checkpoints.write(&mut connection, None), answer);
        written.unwrap();
        let end = "{\"action\":\"checkpoint\",\"sequenceNumber\":null,\"subSequenceNumber\":null}\n";
        assert_eq!(String::from_utf8(sent).unwrap(), end.repeat(2));
    }
}
