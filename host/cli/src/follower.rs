//! The task that follows the rules' log.

use std::sync::Arc;
use std::time::Duration;

use paceline_config::AnyStore;
use paceline_pipeline::rules::{RegistryError, RulesEvent};
use paceline_pipeline::store::DeadLetterStore;
use paceline_pipeline::{ErrorChain, Pipeline};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::progress::Progress;

/// A task that polls the log. It ends when dropped, and has ended after [`Follower::end`].
pub(crate) struct Follower(JoinHandle<()>);

/// Where a person sees what changes.
pub(crate) enum Notes {
    /// Above the progress of a run.
    Progress(Arc<Progress>),
    /// In the log of a process that runs for long.
    #[cfg(feature = "aws")]
    Log,
}

/// Does the work of a host that follows the rules. However it ends, the store's note of the host goes: others would wait for
/// a host that is gone. So does the socket by which other processes use the store.
pub(crate) async fn work_as_host<T>(
    pipeline: &Pipeline<AnyStore>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let ended = match check_dead_letters(pipeline).await {
        Ok(()) => work.await,
        Err(error) => Err(error),
    };
    pipeline.sign_off().await;
    pipeline.store().stop_serving();
    ended
}

/// That there is a place for dead letters is known at the start, and not when the first broken record stops a shard.
async fn check_dead_letters(pipeline: &Pipeline<AnyStore>) -> anyhow::Result<()> {
    match pipeline.store().known_dead_letters(&["start".to_owned()]).await {
        Err(error) if !error.is_transient() => Err(error.into()),
        _ => Ok(()),
    }
}

impl Follower {
    /// Starts the task in the current runtime.
    pub(crate) fn start(pipeline: Arc<Pipeline<AnyStore>>, every: Duration, notes: Notes) -> Self {
        Self(tokio::spawn(async move {
            let mut ticks = interval(every.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut noted = String::new();
            loop {
                ticks.tick().await;
                match pipeline.follow().await {
                    Ok(events) => {
                        events.iter().for_each(|event| notes.event(event));
                        noted.clear();
                    }
                    Err(error) => notes.failure(&error, &mut noted),
                }
            }
        }))
    }

    /// Ends the task, which holds the pipeline: the process closes its store only if nobody does.
    pub(crate) async fn end(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Notes {
    fn event(&self, event: &RulesEvent) {
        match self {
            Self::Progress(progress) => progress.note(&event.to_string()),
            #[cfg(feature = "aws")]
            Self::Log => event.log(),
        }
    }

    /// Notes a failure. A registry that can't be read stays so for many polls, and is noted once.
    fn failure(&self, error: &RegistryError, noted: &mut String) {
        let text = format!("the rules stay as they are: {}", ErrorChain(error));
        if *noted == text {
            return;
        }
        match self {
            Self::Progress(progress) => progress.note(&text),
            #[cfg(feature = "aws")]
            Self::Log => tracing::warn!("{text}"),
        }
        *noted = text;
    }
}
