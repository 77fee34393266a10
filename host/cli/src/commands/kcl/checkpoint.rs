//! When the daemon is told how far the shard is done, and what its answer means.
//!
//! Every checkpoint is a write to the daemon's lease table, and with fan-out records come several times a second: so
//! there is one a second at most. What is done but not told waits for the next records, and is told at the latest when
//! the daemon asks for it before it gives the lease up; a shard's end is told at once and stands for all before it. After
//! a crash or a lost lease what was not told comes again to whoever has the lease then, and the fences absorb it.

use std::time::{Duration, Instant};

use paceline_pipeline::model::RecordPosition;

use super::processor::{Processor, Stop};
use super::protocol::{self, Answer, Message};

/// How often a checkpoint is tried that the daemon's table has no room for: some 20 seconds in all.
const ATTEMPTS: u32 = 10;

/// The first wait before another attempt, which doubles each time, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How far the shard is done, and what the daemon knows of it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    every: Duration,
    sent: Option<Instant>,
    /// What is done and the daemon does not know.
    pending: Option<RecordPosition>,
    /// Somebody else has the lease: the daemon takes no more.
    lost: bool,
}

impl Checkpoints {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, sent: None, pending: None, lost: false }
    }

    /// The shard is done up to here.
    pub(super) fn reached(&mut self, position: RecordPosition) {
        self.pending = Some(position);
    }

    /// What the daemon should be told now.
    pub(super) fn due(&self) -> Option<RecordPosition> {
        self.pending.filter(|_| self.sent.is_none_or(|sent| sent.elapsed() >= self.every))
    }

    /// What the daemon should be told before it gives the lease up.
    pub(super) fn pending(&self) -> Option<RecordPosition> {
        self.pending
    }
}

/// What to do about the daemon's answer to a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It stands.
    Done,
    /// Try it again.
    Again,
    /// Somebody else has the lease.
    Lost,
    /// It would be no better next time, here.
    Fatal,
    /// Unknown: a later one may stand.
    GoOn,
}

/// The daemon names the class of the exception.
fn classify(error: Option<&str>) -> Verdict {
    match error {
        None => Verdict::Done,
        Some("ThrottlingException" | "KinesisClientLibDependencyException") => Verdict::Again,
        Some("ShutdownException") => Verdict::Lost,
        Some("InvalidStateException") => Verdict::Fatal,
        Some(_) => Verdict::GoOn,
    }
}

impl<W: std::io::Write> Processor<W> {
    /// Has the daemon note that the shard is done up to a place, or to its end.
    pub(super) async fn checkpoint(&mut self, position: Option<RecordPosition>) -> Result<(), Stop> {
        if self.checkpoints.lost {
            return Ok(());
        }
        let mut wait = WAITS.0;
        for attempt in 1..=ATTEMPTS {
            self.say(&Answer::checkpoint(position))?;
            let error = self.answer_to_checkpoint().await?;
            let error = error.as_deref();
            match classify(error) {
                Verdict::Done => {
                    self.checkpoints.pending = None;
                    self.checkpoints.sent = Some(Instant::now());
                    return Ok(());
                }
                Verdict::Again if attempt < ATTEMPTS => {
                    tracing::warn!(attempt, error, "the daemon's table has no room for a checkpoint: trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(WAITS.1);
                }
                Verdict::Again if position.is_none() => {
                    let error = error.unwrap_or_default();
                    return Err(Stop::Failed(format!(
                        "the daemon can't note the shard's end after {ATTEMPTS} attempts: {error}"
                    )));
                }
                Verdict::Lost => {
                    tracing::info!("somebody else has the shard's lease: no more checkpoints");
                    self.checkpoints.lost = true;
                    return Ok(());
                }
                Verdict::Fatal => {
                    let error = error.unwrap_or_default();
                    return Err(Stop::Failed(format!(
                        "the daemon can't write a checkpoint: {error}; is its lease table there, and may it write it?"
                    )));
                }
                // The next one stands for this one, too.
                Verdict::Again | Verdict::GoOn => {
                    tracing::warn!(error, "a checkpoint was not written; what comes again is not counted twice");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The name of what went wrong, if anything did.
    async fn answer_to_checkpoint(&mut self) -> Result<Option<String>, Stop> {
        let line = self.input.next().await?.ok_or(Stop::Gone)?;
        let answer = match protocol::read(&line)? {
            Message::Checkpoint { error } => error.map(|error| error.to_string()),
            other => {
                let what = format!("{other:?}");
                let what = what.split([' ', '(']).next().unwrap_or_default();
                return Err(Stop::Failed(format!("the daemon answers a checkpoint with {what}")));
            }
        };
        self.input.done(line);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> RecordPosition {
        RecordPosition { sequence: sequence.into(), sub_sequence: 0 }
    }

    #[test]
    fn the_first_is_due_at_once_and_the_next_when_it_is_time() {
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
    fn answers_are_told_apart() {
        assert_eq!(classify(None), Verdict::Done);
        assert_eq!(classify(Some("ThrottlingException")), Verdict::Again);
        assert_eq!(classify(Some("ShutdownException")), Verdict::Lost);
        assert_eq!(classify(Some("InvalidStateException")), Verdict::Fatal);
        assert_eq!(classify(Some("IllegalArgumentException")), Verdict::GoOn);
    }
}
