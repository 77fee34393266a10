//! The rules' log, read beside batches.
//!
//! A function has no timer: it is frozen between invocations. So a poll is started by an invocation, goes on beside its
//! batch and, where it is not done by then, beside the next ones. The batch at hand does not wait for it; what it brings
//! holds from the next batch on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use paceline_pipeline::rules::RulesEvent;
use paceline_pipeline::{ErrorChain, Pipeline};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;

use crate::store::FunctionStore;

/// A poll that is not done after this time is broken off: its connection may be one that a freeze has cut.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Polls of the rules' log.
#[derive(Debug)]
pub(crate) struct Poll<S> {
    pipeline: Arc<Pipeline<S>>,
    every: Duration,
    /// The last failure: what lasts for many polls is logged once.
    noted: Arc<Mutex<String>>,
    /// When the last poll was started, and the poll.
    last: Mutex<(Instant, Option<JoinHandle<()>>)>,
}

impl<S: FunctionStore> Poll<S> {
    /// The rules were just read.
    pub(crate) fn new(pipeline: Arc<Pipeline<S>>, every: Duration) -> Self {
        Self { pipeline, every, noted: Arc::default(), last: Mutex::new((Instant::now(), None)) }
    }

    /// Starts a poll, unless one is under way or the last one was short ago.
    pub(crate) fn start_if_due(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (started, task) = &mut *last;
        if started.elapsed() < self.every || task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (pipeline, noted) = (Arc::clone(&self.pipeline), Arc::clone(&self.noted));
        *started = Instant::now();
        // Its lines have the id of the invocation that began it.
        let poll = async move {
            let failure = match tokio::time::timeout(TIMEOUT, pipeline.follow()).await {
                Ok(Ok(events)) => {
                    events.iter().for_each(RulesEvent::log);
                    String::new()
                }
                Ok(Err(error)) => ErrorChain(&error).to_string(),
                Err(_) => {
                    pipeline.give_up_poll();
                    format!("no answer within {} s", TIMEOUT.as_secs())
                }
            };
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            if !failure.is_empty() && *noted != failure {
                tracing::warn!("the rules stay as they are: {failure}");
            }
            *noted = failure;
        };
        *task = Some(tokio::spawn(poll.in_current_span()));
    }
}
