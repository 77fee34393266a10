//! How a host follows the rules: the log, the store's head item, vetoes of trials, and what it notes for others.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use paceline_engine::Digest;
use tokio::time::Instant;

use crate::error::ErrorChain;
use crate::model::RulesRevision;
use crate::pipeline::Pipeline;
use crate::rules::{HostState, RegistryError, RulesEvent, RulesStanding};
use crate::store::Store;

impl<S: Store> Pipeline<S> {
    /// Follows the rules: reads the log on, takes over what is new between two batches, loads what was published ahead,
    /// and notes in the store what it follows. Every host calls it at each poll. An error means that the log can't be
    /// read, or does not agree with the store's head item: the rules stay as they are.
    pub async fn follow(&self) -> Result<Vec<RulesEvent>, RegistryError> {
        let mut polled = self.rulebooks.poll_with(&self.store).await;
        if let Ok(events) = &mut polled {
            events.extend(self.share_trials(false).await);
            events.extend(self.rulebooks.load_ahead().await);
        }
        let problem = polled.as_ref().err().map(|error| ErrorChain(error).to_string());
        self.acknowledge(problem).await;
        polled
    }

    /// Begins to follow the rules. A store that can't be reached is retried as it is for a batch: without its head item
    /// nothing is taken over.
    pub async fn start_following(&self) -> Result<Vec<RulesEvent>, RegistryError> {
        let give_up = Instant::now() + Duration::from_millis(self.retry.deadline_ms);
        let mut attempt = 0;
        loop {
            match self.rulebooks.poll_with(&self.store).await {
                Err(RegistryError::Head(error)) if error.is_transient() && Instant::now() < give_up => {
                    tracing::warn!("the rules are not followed yet: {}", ErrorChain(&*error));
                    tokio::time::sleep(self.retry.wait(attempt)).await;
                    attempt += 1;
                }
                Ok(mut events) => {
                    // What was taken back stays so when a host starts.
                    events.extend(self.share_trials(false).await);
                    // Without rules the process ends, and is no host.
                    if !self.rulebooks.catalog().rules().routing.is_empty() {
                        self.acknowledge(None).await;
                    }
                    return Ok(events);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Notes in the store what this host follows, if that is due.
    async fn acknowledge(&self, problem: Option<String>) {
        let state = HostState { problem, ..self.rulebooks.state().await };
        let refused: BTreeSet<Digest> = state.refusals.iter().map(|refusal| refusal.rulebook).collect();
        let refuses_active = state.refusals.iter().any(|refusal| refusal.race_type.is_some());
        let is_behind = state.problem.is_some() || refuses_active || self.rulebooks.is_unsettled().await;
        let taken_back = self.rulebooks.catalog().at().vetoes;
        self.set_standing(RulesStanding { revision: state.revision, is_behind, refused: refused.len(), taken_back });
        if let Some(acknowledger) = &self.acknowledger {
            acknowledger.acknowledge(&self.store, state).await;
        }
    }

    /// How this host follows the rules, as of its last poll.
    pub fn standing(&self) -> RulesStanding {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a poll had no answer: the caller gave it up.
    pub fn give_up_poll(&self) {
        self.set_standing(RulesStanding { is_behind: true, ..self.standing() });
    }

    fn set_standing(&self, standing: RulesStanding) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    /// Shares the rest of what this host has seen of trials, and notes in the store that it ends.
    pub async fn sign_off(&self) {
        self.share_trials(true).await.iter().for_each(RulesEvent::log);
        if let Some(acknowledger) = &self.acknowledger {
            acknowledger.sign_off(&self.store).await;
        }
    }

    /// Shares what this host has seen of trials, and reads which of them failed. Without `also_recent`, that is done at
    /// most once in the interval.
    pub async fn share_trials(&self, also_recent: bool) -> Vec<RulesEvent> {
        // Boxed, because the compiler limits how deep futures nest in one type.
        Box::pin(self.trials.share(&self.store, &self.rulebooks, also_recent)).await.unwrap_or_else(|error| {
            tracing::warn!("trials can't be shared with other hosts: {}", ErrorChain(&error));
            Vec::new()
        })
    }

    /// Reads the rules' log on. Returns whether this host has reached a revision.
    pub(crate) async fn catch_up(&self, revision: &RulesRevision) -> bool {
        match self.rulebooks.poll_with(&self.store).await {
            Ok(mut events) => {
                events.extend(self.share_trials(false).await);
                events.iter().for_each(RulesEvent::log);
            }
            Err(error) => tracing::warn!("the rules' log can't be read: {}", ErrorChain(&error)),
        }
        !revision.is_after(self.rulebooks.catalog().at())
    }
}
