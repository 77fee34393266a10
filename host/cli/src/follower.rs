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

/// A task that polls the log. It is told to end when dropped, and has ended after [`Follower::end`].
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

    /// Ends the task. The store is closed when nobody holds the pipeline any more, which the task does.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use paceline_engine::{Engine, Limits};
    use paceline_pipeline::model::{BatchLimits, Pointer};
    use paceline_pipeline::rules::Registry;
    use paceline_pipeline::store::{EmbeddedStore, StoreServer};
    use paceline_pipeline::{RetryPolicy, Rulebooks};

    use super::*;
    use crate::setup::runtime;

    /// A pipeline into a file that is served, by an empty registry.
    fn pipeline(file: &Path) -> Arc<Pipeline<AnyStore>> {
        let store = Arc::new(EmbeddedStore::open(file).unwrap());
        let server = StoreServer::start(Arc::clone(&store), file);
        let engine = Engine::new(Limits::default()).unwrap();
        let rulebooks = Rulebooks::new(engine, Registry::memory(), Pointer::parse("/classId").unwrap());
        let store = AnyStore::Embedded(store, server);
        Arc::new(Pipeline::new(store, Arc::new(rulebooks), BatchLimits::default(), RetryPolicy::default()))
    }

    #[test]
    fn the_socket_goes_though_a_task_still_holds_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("store.redb.socket");
        let pipeline = pipeline(&folder.path().join("store.redb"));
        let held = Arc::clone(&pipeline);
        let work = async {
            assert!(socket.exists());
            Ok(())
        };
        runtime().unwrap().block_on(work_as_host(&pipeline, work)).unwrap();
        drop(pipeline);
        assert!(!socket.exists());
        drop(held);
    }

    #[test]
    fn a_follower_that_has_ended_holds_no_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = pipeline(&folder.path().join("store.redb"));
        runtime().unwrap().block_on(async {
            for _ in 0..100 {
                let notes = Notes::Progress(Arc::new(Progress::new(None)));
                Follower::start(Arc::clone(&pipeline), Duration::ZERO, notes).end().await;
                assert_eq!(Arc::strong_count(&pipeline), 1);
            }
        });
    }
}
