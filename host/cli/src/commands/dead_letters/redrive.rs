//! Dead letters, processed again.

use std::future::pending;

use paceline_config::{AnyStore, Config};
use paceline_pipeline::Pipeline;
use paceline_pipeline::model::{Cause, DeadLetter, RecordPosition};
use paceline_pipeline::receive::Redrive;
use paceline_pipeline::run::run;
use paceline_pipeline::store::DeadLetterStore;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::WindowRedrive;
use serde_json::json;

use crate::report;

/// Dead letters that are in memory at once.
const LETTERS_AT_ONCE: usize = 1_000;

/// Bytes of their payloads.
const BYTES_AT_ONCE: usize = 32 << 20;

/// Which dead letters to redrive.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Those with this reason; `None`: all.
    pub(super) reason: Option<Cause>,
    /// Unsure ones, too.
    pub(super) unsure: bool,
}

impl Wanted {
    fn is_of_reason(self, letter: &DeadLetter) -> bool {
        self.reason.is_none_or(|reason| letter.reason.cause == reason)
    }

    fn takes(self, letter: &DeadLetter) -> bool {
        self.is_of_reason(letter) && (self.unsure || !letter.unsure)
    }

    /// Whether it is left alone only because it is unsure.
    fn skips(self, letter: &DeadLetter) -> bool {
        self.is_of_reason(letter) && letter.unsure && !self.unsure
    }
}

/// A dead letter to redrive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Selected {
    shard: String,
    position: RecordPosition,
    pub(super) id: String,
    /// Bytes of its payload.
    bytes: usize,
}

impl Selected {
    pub(super) fn of(letter: &DeadLetter) -> Self {
        let DeadLetter { shard, position, id, .. } = letter;
        Self { shard: shard.clone(), position: *position, id: id.clone(), bytes: letter.payload.len() }
    }

    /// A letter of which only the id is known.
    #[cfg(feature = "aws")]
    pub(super) fn of_id(id: String) -> Self {
        Self { shard: String::new(), position: RecordPosition::default(), id, bytes: BYTES_AT_ONCE / LETTERS_AT_ONCE }
    }
}

/// Redrives the wanted letters, in the order of their records.
pub(super) async fn redrive_selected(
    pipeline: &Pipeline<AnyStore>,
    config: &Config,
    wanted: Wanted,
) -> anyhow::Result<Redriven> {
    let mut skipped = 0;
    let (mut selected, mut windows): (Vec<Selected>, Vec<Selected>) = (Vec::new(), Vec::new());
    pipeline
        .store()
        .scan_dead_letters(|letter| match wanted.takes(&letter) {
            true if letter.is_of_window() => windows.push(Selected::of(&letter)),
            true => selected.push(Selected::of(&letter)),
            false => skipped += usize::from(wanted.skips(&letter)),
        })
        .await?;
    selected.sort_unstable();
    windows.sort_unstable();
    let mut redriven = redrive(pipeline, config, &selected, wanted).await?;
    redriven.skipped += skipped;
    for window in &windows {
        redrive_window(pipeline, window, wanted, &mut redriven).await?;
    }
    Ok(redriven)
}

/// Redrives letters of records, in this order. Those that are not wanted by the time of their turn are left alone.
pub(super) async fn redrive(
    pipeline: &Pipeline<AnyStore>,
    config: &Config,
    selected: &[Selected],
    wanted: Wanted,
) -> anyhow::Result<Redriven> {
    let mut redriven = Redriven::default();
    for chunk in chunks(selected) {
        let ids: Vec<String> = chunk.iter().map(|selected| selected.id.clone()).collect();
        let mut letters = pipeline.store().assign_redrive_sequences(&ids).await?;
        letters.retain(|letter| {
            redriven.skipped += usize::from(wanted.skips(letter));
            wanted.takes(letter)
        });
        let summary = run(Redrive::new(letters), pipeline, config.batch.clone(), pending(), |_, _| {}).await?;
        redriven.through += summary.redriven;
        redriven.left += summary.dead_letter_count();
    }
    Ok(redriven)
}

/// Redrives the rows of a window's letter.
async fn redrive_window(
    pipeline: &Pipeline<AnyStore>,
    selected: &Selected,
    wanted: Wanted,
    redriven: &mut Redriven,
) -> anyhow::Result<()> {
    for letter in pipeline.store().assign_redrive_sequences(std::slice::from_ref(&selected.id)).await? {
        if !wanted.takes(&letter) {
            redriven.skipped += usize::from(wanted.skips(&letter));
            continue;
        }
        match pipeline.redrive_window(&letter, &mut Summary::default()).await? {
            WindowRedrive::Merged => redriven.through += 1,
            WindowRedrive::Rejected => redriven.left += 1,
            WindowRedrive::NotWhole => redriven.windows += 1,
        }
    }
    Ok(())
}

/// The letters in chunks that are in memory one at a time, in their order. A single letter may have more bytes.
fn chunks(selected: &[Selected]) -> Vec<&[Selected]> {
    let (mut chunks, mut from, mut bytes) = (Vec::new(), 0, 0_usize);
    for (at, letter) in selected.iter().enumerate() {
        if at > from && (at - from == LETTERS_AT_ONCE || bytes + letter.bytes > BYTES_AT_ONCE) {
            chunks.push(&selected[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += letter.bytes;
    }
    if from < selected.len() {
        chunks.push(&selected[from..]);
    }
    chunks
}

/// What became of the dead letters.
#[derive(Default)]
pub(super) struct Redriven {
    /// They were processed.
    pub(super) through: u64,
    /// They are dead letters again.
    pub(super) left: u64,
    /// They were left alone, because they are unsure.
    pub(super) skipped: usize,
    /// Letters of windows that were left alone, because they have not all of their rows.
    pub(super) windows: usize,
}

impl Redriven {
    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        let Self { through, left, skipped, windows } = self;
        if as_json {
            let all = json!({ "through": through, "left": left, "unsure": skipped, "windows": windows });
            return report::print_json(&all);
        }
        report::print_line(&format!("{through} processed, {left} are still dead letters"))?;
        if *skipped > 0 {
            report::print_line(&format!(
                "{skipped} left alone, because they are unsure: their groups may hold them already. Compare them with the \
                 items, then use --unsure"
            ))?;
        }
        if *windows > 0 {
            report::print_line(&format!(
                "{windows} of tumbling windows left alone, because they do not have the states of all of their records: \
                 `paceline dead-letters show ID` lists the records. Process the stream from the window's time on again, by \
                 `paceline run` with `start`: ordinal dedup counts each record once"
            ))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(sizes: impl IntoIterator<Item = usize>) -> Vec<Selected> {
        let letter = |(at, bytes): (u64, usize)| {
            let position = RecordPosition { sequence: at.into(), sub_sequence: 0 };
            Selected { shard: "s".to_owned(), position, id: format!("s:{at}"), bytes }
        };
        (0..).zip(sizes).map(letter).collect()
    }

    #[test]
    fn chunks_are_bounded_by_letters_and_by_bytes_and_keep_the_order() {
        let lengths = |letters: &[Selected]| {
            let chunks = chunks(letters);
            assert_eq!(chunks.concat(), letters, "each letter once, in its order");
            chunks.iter().map(|chunk| chunk.len()).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&letters([200; 2_500])), [1_000, 1_000, 500]);
        assert_eq!(lengths(&letters([1 << 20; 70])), [32, 32, 6]);
        // One that is larger than a chunk may be is alone.
        assert_eq!(lengths(&letters([1, 40 << 20, 1, 1])), [1, 1, 2]);
        let exactly = letters([BYTES_AT_ONCE, 0, 0, 1]);
        assert_eq!(lengths(&exactly), [3, 1]);
    }
}
