//! The progress of a run: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use paceline_pipeline::model::Batch;
use paceline_pipeline::summary::Summary;

use crate::report::{self, thousands};

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Shows the progress of a run on standard error.
pub(crate) struct Progress {
    /// `None` if standard error is not a terminal.
    bar: Option<ProgressBar>,
    started: Instant,
    /// When the last plain line was written.
    last_line: Mutex<Instant>,
}

impl Progress {
    /// `len_hint` is the position at the end, if it is known: bytes of a file, messages of a race.
    pub(crate) fn new(len_hint: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = len_hint.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let template = match len_hint {
                Some(_) => "{wide_bar} {percent}% {msg}",
                None => "{spinner} {bytes} {msg}",
            };
            bar.with_style(ProgressStyle::with_template(template).expect("the template is valid"))
        });
        let started = Instant::now();
        Self { bar, started, last_line: Mutex::new(started) }
    }

    /// Shows that a batch is committed.
    pub(crate) fn advance(&self, batch: &Batch, summary: &Summary) {
        let rate = summary.records as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let at = batch.checkpoint.as_ref().and_then(|checkpoint| checkpoint.sequence.to_u64());
        self.show(at, || {
            format!(
                "{} records, {} dead letters, {} records a second",
                thousands(summary.records),
                thousands(summary.dead_letter_count()),
                thousands(rate as u64)
            )
        });
    }

    /// Shows a position, relative to the `len_hint`, and a message.
    pub(crate) fn show(&self, at: Option<u64>, message: impl FnOnce() -> String) {
        match &self.bar {
            Some(bar) => {
                if let Some(at) = at {
                    bar.set_position(at);
                }
                bar.set_message(message());
            }
            None => {
                let mut last_line = self.last_line.lock().expect("nothing panics while it is held");
                if last_line.elapsed() >= LINE_EVERY {
                    *last_line = Instant::now();
                    report::note(&message());
                }
            }
        }
    }

    /// Writes a line that stays visible.
    pub(crate) fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| report::note(line)),
            None => report::note(line),
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
