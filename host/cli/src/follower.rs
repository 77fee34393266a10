//! The task that follows the rules' log.

use std::sync::Arc;
use std::time::Duration;

use paceline_pipeline::rules::RulesEvent;
use paceline_pipeline::{ErrorChain, Rulebooks};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// A task that polls the log. It ends when dropped.
pub(crate) struct Follower(JoinHandle<()>);

impl Follower {
    /// Starts the task in the current runtime. `note` is called with each line that a person should see.
    pub(crate) fn start(rulebooks: Arc<Rulebooks>, every: Duration, note: impl Fn(&str) + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            let mut ticks = interval(every.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut noted = String::new();
            loop {
                ticks.tick().await;
                match rulebooks.poll().await {
                    Ok(events) => {
                        events.iter().for_each(|event| note(&line(event)));
                        noted.clear();
                    }
                    Err(error) => {
                        // A registry that can't be read stays so for many polls, and is noted once.
                        let text = ErrorChain(&error).to_string();
                        if noted != text {
                            note(&format!("the rules stay as they are: {text}"));
                            noted = text;
                        }
                    }
                }
            }
        }))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The line for an event.
pub(crate) fn line(event: &RulesEvent) -> String {
    event.to_string()
}
