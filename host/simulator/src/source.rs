//! A simulated race as a source of batches.

use std::sync::Arc;

use paceline_pipeline::model::{Batch, BatchLimits, Checkpoint};
use paceline_pipeline::receive::{Source, SourceError};

use super::messages::Messages;
use super::race::Race;

/// A race that is simulated while it is read. The sequence numbers of its shard count its messages, from 0.
pub struct Simulation {
    shard: Arc<str>,
    messages: Messages,
    at: u64,
}

impl Simulation {
    /// A simulation of this race. `name` is the name of its shard.
    pub fn new(race: &Race, name: Option<&str>) -> Self {
        // The default name contains every parameter of the race, so that another race is another shard.
        let shard = name.map_or_else(|| format!("simulation-{race:?}"), str::to_owned);
        Self { shard: shard.into(), messages: Messages::new(race), at: 0 }
    }
}

impl Source for Simulation {
    fn shard(&self) -> &Arc<str> {
        &self.shard
    }

    fn resume(&mut self, checkpoint: Option<&Checkpoint>) -> Result<(), SourceError> {
        let at = checkpoint.map_or(Some(0), |checkpoint| checkpoint.sequence.to_u64());
        let at = at.ok_or_else(|| {
            SourceError::Unusable(format!("the checkpoint of {} is not the number of a message", self.shard))
        })?;
        while self.at < at && self.messages.next().is_some() {
            self.at += 1;
        }
        Ok(())
    }

    fn next(&mut self, limits: &BatchLimits) -> Result<Option<Batch>, SourceError> {
        let mut batch = Batch::new(Arc::clone(&self.shard));
        while batch.records.len() < limits.max_records && batch.bytes.len() < limits.max_bytes {
            let Some((_, line)) = self.messages.next() else { break };
            batch.push(&line, self.at.into());
            self.at += 1;
        }
        batch.checkpoint = Some(Checkpoint { sequence: self.at.into(), ..Checkpoint::default() });
        Ok((!batch.records.is_empty()).then_some(batch))
    }
}
