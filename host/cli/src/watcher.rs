//! The thread that looks after the folder of rulebooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use paceline_config::RulebooksConfig;
use paceline_pipeline::rules::{RulebookEvent, RulebookFolder};

use crate::Failure;

/// The thread that looks after the folder of rulebooks.
pub(crate) struct RulebookWatcher {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

/// What is said of a rulebook that is active.
pub(crate) fn is_active(race_type: &str, version: u64) -> String {
    format!("rulebook {race_type} version {version} is active")
}

impl RulebookWatcher {
    /// Starts it. `note` hears what a person should know.
    pub(crate) fn start(
        mut watch: Watch,
        config: &RulebooksConfig,
        note: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, Failure> {
        let (folder, every) = (config.folder.clone(), Duration::from_millis(config.poll_interval_ms));
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = std::thread::Builder::new().name("paceline-watch".to_owned()).spawn(move || {
            let mut said: Vec<Event> = Vec::new();
            loop {
                std::thread::park_timeout(every);
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                let events =
                    watch.poll().unwrap_or_else(|reason| vec![Event::Refused { file: folder.clone(), reason }]);
                // What can't be read stays so for many looks, and is said once.
                for event in events.iter().filter(|event| !said.contains(event)) {
                    note(&match event {
                        Event::Activated { race_type, version } => is_active(race_type, *version),
                        Event::Retired { race_type } => format!("rulebook {race_type} is gone"),
                        Event::Refused { file, reason } => {
                            format!("refused: {}: {}; what was active goes on", file.display(), reason.trim_end())
                        }
                    });
                }
                said = events;
            }
        });
        Ok(Self { ended, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let _ = self.thread.join();
    }
}
