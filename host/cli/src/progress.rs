//! What a person sees while it runs: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use paceline_pipeline::model::Batch;
use paceline_pipeline::summary::Summary;

use crate::report::thousands;

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// What a person sees while it runs.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    said: Mutex<Instant>,
}

impl Progress {
    /// `len_hint` is how far it goes, where that is known: bytes of a file, messages of a race.
    pub(crate) fn new(len_hint: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = len_hint.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let template = match len_hint {
                Some(_) => "{wide_bar} {percent}% {msg}",
                None => "{spinner} {bytes} {msg}",
            };
            bar.with_style(ProgressStyle::with_template(template).expect("the template is sound"))
        });
        let started = Instant::now();
        Self { bar, started, said: Mutex::new(started) }
    }

    /// A batch is done.
    pub(crate) fn advance(&self, batch: &Batch, summary: &Summary) {
        let rate = summary.records as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let at = batch.checkpoint.as_ref().and_then(|checkpoint| checkpoint.sequence.to_u64());
        self.show(at, || {
            format!(
                "{} records, {} dead letters, {} records a second",
                thousands(summary.records),
                thousands(summary.dead_letters()),
                thousands(rate as u64)
            )
        });
    }

    /// It has come so far, of its extent, and this is what there is to say.
    pub(crate) fn show(&self, at: Option<u64>, message: impl FnOnce() -> String) {
        match &self.bar {
            Some(bar) => {
                if let Some(at) = at {
                    bar.set_position(at);
                }
                bar.set_message(message());
            }
            None => {
                let mut said = self.said.lock().expect("nothing panics while it is held");
                if said.elapsed() >= LINE_EVERY {
                    *said = Instant::now();
                    eprintln!("{}", message());
                }
            }
        }
    }

    /// Something that a person should know.
    pub(crate) fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// All is done.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
