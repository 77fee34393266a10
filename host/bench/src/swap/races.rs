//! A stream of races of 100 racers, which begin one after another and overlap: each batch has a race that begins and four
//! that are in progress.

use std::sync::Arc;

use paceline_pipeline::model::{Batch, BatchLimits, Checkpoint};
use paceline_pipeline::receive::{Source, SourceError};

use crate::simulated;

const RACERS: usize = 100;
/// Batches that a race takes, and races that are in progress at once.
const BATCHES_PER_RACE: usize = 5;
/// Seconds of each race in a batch.
const SECONDS_PER_BATCH: usize = 20;

/// The number of the simulated race. The others have as many digits.
const RACE: &[u8] = b"5403307";
const FIRST_RACE: u64 = 1_000_000;

/// The messages of one race, of which the others are copies.
pub(crate) struct Races {
    lines: Arc<Vec<Vec<u8>>>,
    /// Where each message has the number of its race.
    numbers: Arc<Vec<usize>>,
}

/// A source of races.
pub(crate) struct Batches {
    lines: Arc<Vec<Vec<u8>>>,
    numbers: Arc<Vec<usize>>,
    shard: Arc<str>,
    next: u64,
    end: u64,
}

impl Races {
    pub(crate) fn new() -> Self {
        let lines = simulated(RACERS, SECONDS_PER_BATCH * BATCHES_PER_RACE);
        let number = |line: &Vec<u8>| line.windows(RACE.len()).position(|bytes| bytes == RACE).expect("each has it");
        Self { numbers: Arc::new(lines.iter().map(number).collect()), lines: Arc::new(lines) }
    }

    pub(crate) fn batches(&self, end: u64) -> Batches {
        let (lines, numbers) = (Arc::clone(&self.lines), Arc::clone(&self.numbers));
        Batches { lines, numbers, shard: "races".into(), next: 0, end }
    }
}

impl Source for Batches {
    fn shard(&self) -> &Arc<str> {
        &self.shard
    }

    fn resume(&mut self, _: Option<&Checkpoint>) -> Result<(), SourceError> {
        Ok(())
    }

    fn next(&mut self, _: &BatchLimits) -> Result<Option<Batch>, SourceError> {
        if self.next == self.end {
            return Ok(None);
        }
        let mut batch = Batch::new(Arc::clone(&self.shard));
        let messages = RACERS * SECONDS_PER_BATCH;
        for age in (0..BATCHES_PER_RACE as u64).filter(|age| *age <= self.next) {
            let race = (FIRST_RACE + self.next - age).to_string();
            for at in age as usize * messages..(age as usize + 1) * messages {
                let start = batch.bytes.len() + self.numbers[at];
                let sequence = self.next * (messages * BATCHES_PER_RACE) as u64 + batch.records.len() as u64;
                batch.push(&self.lines[at], sequence.into());
                batch.bytes[start..start + race.len()].copy_from_slice(race.as_bytes());
            }
        }
        self.next += 1;
        Ok(Some(batch))
    }
}
