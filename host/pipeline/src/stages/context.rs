//! What all stages share: the store, the retry budget and the books of one batch or window.

use std::time::{Duration, Instant};

use paceline_engine::{CallsUntil, Role, Session};

use super::rejected::Rejected;
use super::shard_horizon::ShardHorizon;
use super::uncommitted::FirstUncommitted;
use crate::holds::Holds;
use crate::model::RulebookId;
use crate::retry::RetryBudget;
use crate::summary::{Calls, PluginRole, Stage, Summary};

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
    /// After which no plugin is called: the caller's deadline, or an earlier one.
    pub(crate) plugins_until: Option<CallsUntil>,
    /// The calls for this batch or window. The summary has those of others, too.
    pub(crate) calls: Calls,
    /// What hosts that process the shard know of each other.
    pub(crate) horizon: ShardHorizon,
    /// The end of the last stage that was booked.
    booked: Instant,
}

impl<'a, S> Context<'a, S> {
    pub(crate) fn new(store: &'a S, budget: RetryBudget<'a>, holds: &'a Holds, summary: &'a mut Summary) -> Self {
        let plugins_until = budget.deadline.map(|deadline| CallsUntil::from(deadline.into_std()));
        let (rejected, held) = (Rejected::default(), None);
        let (calls, booked) = (Calls::new(), Instant::now());
        let horizon = ShardHorizon::default();
        Self { store, budget, summary, holds, rejected, held, plugins_until, calls, horizon, booked }
    }

    /// The time of day since 1970.
    pub(crate) fn now(&self) -> Duration {
        self.holds.now()
    }

    /// Lets plugins be to blame for rows that they are not called for because their calls failed for too long: what can't be
    /// committed in part would be delivered again as a whole, for ever.
    pub(crate) fn blame_waste(&mut self) {
        let blaming = |deadline: tokio::time::Instant| CallsUntil::blaming(deadline.into_std(), Duration::MAX);
        self.plugins_until = self.budget.deadline.map(blaming);
    }

    /// Forgets which records were rejected and held: the batch is evaluated again.
    pub(crate) fn start_again(&mut self) {
        (self.rejected, self.held) = (Rejected::default(), None);
    }

    /// Books the time since the last call to a stage.
    pub(crate) fn book(&mut self, stage: Stage) {
        let now = Instant::now();
        let began = std::mem::replace(&mut self.booked, now);
        self.summary.book(stage, began, now);
    }

    /// Books the calls of a plugin.
    pub(crate) fn book_calls<R>(&mut self, rulebook: &RulebookId, role: Role, session: &Session<'_, R>) {
        let plugin = PluginRole { rulebook: rulebook.clone(), role, plugin: session.plugin().digest() };
        self.calls.entry(plugin.clone()).or_default().add(session.usage());
        self.summary.calls.entry(plugin).or_default().add(session.usage());
    }
}
