//! The thread that polls the folder of rulebooks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use paceline_config::RulebooksConfig;
use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::{RulebookEvent, RulebookFolder};

/// The thread that polls the folder of rulebooks.
pub(crate) struct RulebookWatcher {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

/// The line for a rulebook that is active.
pub(crate) fn active_line(race_type: &str, version: u64) -> String {
    format!("rulebook {race_type} version {version} is active")
}

impl RulebookWatcher {
    /// Starts the thread. `note` is called with each line that a person should see.
    pub(crate) fn start(
        mut rulebooks: RulebookFolder,
        config: &RulebooksConfig,
        note: impl Fn(&str) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (folder, interval) = (config.folder.clone(), Duration::from_millis(config.poll_interval_ms));
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = std::thread::Builder::new().name("paceline-rules".to_owned()).spawn(move || {
            let mut noted: Vec<String> = Vec::new();
            loop {
                std::thread::park_timeout(interval);
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                let lines = poll(&mut rulebooks, &folder);
                // A folder that can't be read stays so for many polls, and is noted once.
                lines.iter().filter(|line| !noted.contains(line)).for_each(|line| note(line));
                noted = lines;
            }
        });
        Ok(Self { ended, thread: thread.context("no thread can be started to watch the rulebooks")? })
    }

    /// Ends the thread.
    pub(crate) fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let _ = self.thread.join();
    }
}

/// What changed since the last poll, as lines.
fn poll(rulebooks: &mut RulebookFolder, folder: &Path) -> Vec<String> {
    let events =
        rulebooks.poll().unwrap_or_else(|reason| vec![RulebookEvent::Refused { file: folder.to_owned(), reason }]);
    let line = |event: &RulebookEvent| match event {
        RulebookEvent::Activated { race_type, version } => active_line(race_type, *version),
        RulebookEvent::Retired { race_type } => format!("rulebook {race_type} is retired: no file names the race type"),
        RulebookEvent::Refused { file, reason } => {
            let reason = ErrorChain(reason).to_string();
            let reason = reason.trim_end();
            // Some reasons begin with the file's name themselves.
            let name = file.display().to_string();
            let reason = reason.strip_prefix(&name).map_or(reason, |rest| rest.trim_start_matches(": "));
            format!("refused: {name}: {reason}; the rulebooks that were active stay active")
        }
    };
    events.iter().map(line).collect()
}
