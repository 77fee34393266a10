//! The messages that the contestants are given: those of a simulated race.

use std::path::{Path, PathBuf};
use std::process::Command;

use paceline_json::Span;
use serde::Deserialize;

/// The fields that the rule reads from a message.
#[derive(Deserialize)]
pub(crate) struct Effort {
    pub(crate) cadence: f64,
    pub(crate) resistance: f64,
}

/// Messages in each form in which a contestant takes them.
pub(crate) struct Batch {
    /// JSON, each message followed by a line break.
    pub(crate) lines: Vec<u8>,
    /// Where each message is in these lines.
    pub(crate) spans: Vec<Span>,
    /// Each message in base64, as an event of Lambda has it.
    pub(crate) base64: Vec<String>,
    /// A file with the lines.
    pub(crate) file: PathBuf,
    /// The rule's columns.
    pub(crate) cadence: Vec<f64>,
    /// The rule's columns.
    pub(crate) resistance: Vec<f64>,
}

impl Batch {
    /// So many of the messages, spread over the race. Writes them into `file`, too.
    pub(crate) fn of(messages: &[Vec<u8>], rows: usize, file: &Path) -> Self {
        let chosen = messages.iter().step_by(messages.len() / rows).take(rows);
        let mut batch = Self {
            lines: Vec::new(),
            spans: Vec::new(),
            base64: Vec::new(),
            file: file.to_owned(),
            cadence: Vec::new(),
            resistance: Vec::new(),
        };
        for message in chosen {
            let start = batch.lines.len() as u32;
            batch.lines.extend_from_slice(message);
            batch.spans.push(Span { start, end: batch.lines.len() as u32 });
            batch.lines.push(b'\n');
            batch.base64.push(base64_simd::STANDARD.encode_to_string(message));
            let effort: Effort = serde_json::from_slice(message).expect("the simulator writes JSON");
            batch.cadence.push(effort.cadence);
            batch.resistance.push(effort.resistance);
        }
        std::fs::write(file, &batch.lines).expect("target can be written");
        batch
    }

    /// How many messages there are.
    pub(crate) fn rows(&self) -> usize {
        self.spans.len()
    }

    /// The messages.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|span| &self.lines[span.start as usize..span.end as usize])
    }
}

/// The messages of a race of 1,000 racers and 300 seconds, as the simulator writes them.
pub(crate) fn simulated(paceline: &Path) -> Vec<Vec<u8>> {
    let output = Command::new(paceline)
        .args(["simulate", "--class", "3", "--race", "5403307", "--seed", "1", "--racers", "1000", "--seconds", "300"])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", paceline.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.strip_suffix(b"\n").unwrap_or_default();
    lines.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}
