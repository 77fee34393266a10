//! Settings of a pipeline, which has a default for each.

use std::time::Duration;

use crate::clock::Clock;
use crate::holds::Holds;
use crate::pipeline::Pipeline;
use crate::rules::{Acknowledger, HostIdentity};
use crate::store::Store;
use crate::trials::Trials;

impl<S: Store> Pipeline<S> {
    /// How often this host shares what it has seen of rulebooks on trial, at most.
    pub fn with_trial_interval(self, interval: Duration) -> Self {
        Self { trials: Trials::new(interval).with_clock(self.clock), ..self }
    }

    /// The name under which this host shares what it has seen of rulebooks on trial; by default one that no other process
    /// has. No two hosts of a store may have the same.
    pub fn with_trial_host(self, host: String) -> Self {
        Self { trials: self.trials.with_host(host), ..self }
    }

    /// How long records wait for a rulebook that can't be had, before they become dead letters.
    pub fn with_hold(self, hold: Duration) -> Self {
        Self { holds: Holds::new(hold).with_clock(self.clock), ..self }
    }

    /// Keeps in summaries when stages began and ended, for traces.
    pub fn with_timeline(self, has_timeline: bool) -> Self {
        Self { has_timeline, ..self }
    }

    /// Notes in the store which rules it follows, as this host.
    pub fn with_identity(self, identity: HostIdentity) -> Self {
        Self { acknowledger: Some(Acknowledger::new(identity).with_clock(self.clock)), ..self }
    }

    /// The clock by which it asks the time of day; by default the machine's.
    pub fn with_clock(self, clock: Clock) -> Self {
        let (holds, trials) = (self.holds.with_clock(clock), self.trials.with_clock(clock));
        let acknowledger = self.acknowledger.map(|acknowledger| acknowledger.with_clock(clock));
        Self { holds, trials, acknowledger, clock, ..self }
    }
}
