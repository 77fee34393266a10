//! What all stages share: the store, the retry budget and the books of one batch or window.

use std::time::Instant;

use paceline_engine::Digest;

use super::rejected::Rejected;
use super::uncommitted::FirstUncommitted;
use crate::holds::Holds;
use crate::retry::RetryBudget;
use crate::summary::{Stage, Summary};

/// What all stages share while one batch or window is processed.
pub(crate) struct Context<'a, S> {
    pub(crate) store: &'a S,
    pub(crate) budget: RetryBudget<'a>,
    pub(crate) summary: &'a mut Summary,
    pub(crate) holds: &'a Holds,
    /// The records that became dead letters so far.
    pub(crate) rejected: Rejected,
    /// The first record that waits for something, and for what. It is not committed, nor are those after it.
    pub(crate) held: FirstUncommitted,
    /// The end of the last stage that was booked.
    booked: Instant,
}

impl<'a, S> Context<'a, S> {
    pub(crate) fn new(store: &'a S, budget: RetryBudget<'a>, holds: &'a Holds, summary: &'a mut Summary) -> Self {
        let (rejected, held, booked) = (Rejected::default(), None, Instant::now());
        Self { store, budget, summary, holds, rejected, held, booked }
    }

    /// Forgets which records were rejected and held: the batch is evaluated again.
    pub(crate) fn start_again(&mut self) {
        (self.rejected, self.held) = (Rejected::default(), None);
    }

    /// Books the time since the last call to a stage.
    pub(crate) fn book(&mut self, stage: Stage) {
        let now = Instant::now();
        self.summary.time[stage as usize] += now - std::mem::replace(&mut self.booked, now);
    }

    /// Books the fuel that a plugin used.
    pub(crate) fn book_fuel(&mut self, plugin: Digest, fuel: u64) {
        *self.summary.fuel.entry(plugin).or_default() += fuel;
    }
}
