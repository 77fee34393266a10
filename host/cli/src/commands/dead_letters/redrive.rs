//! Dead letters, processed again.

use std::future::pending;

use paceline_config::{AnyStore, Config};
use paceline_pipeline::Pipeline;
use paceline_pipeline::model::{Cause, DeadLetter, RecordPosition};
use paceline_pipeline::receive::Redrive;
use paceline_pipeline::run::run;
use paceline_pipeline::store::DeadLetterStore;
use serde_json::json;

use crate::report;

/// Dead letters that are in memory at once.
const LETTERS_AT_ONCE: usize = 1_000;

/// Redrives the letters with this reason, and the unsure ones if they are wanted, in the order of their records.
pub(super) async fn redrive_selected(
    pipeline: &Pipeline<AnyStore>,
    config: &Config,
    (reason, unsure): (Option<Cause>, bool),
) -> anyhow::Result<Redriven> {
    let mut skipped = 0;
    let mut selected: Vec<(String, RecordPosition, String)> = Vec::new();
    pipeline
        .store()
        .scan_dead_letters(|letter| {
            if reason.is_some_and(|reason| letter.reason.cause != reason) {
                return;
            }
            match letter.unsure && !unsure {
                true => skipped += 1,
                false => selected.push((letter.shard, letter.position, letter.id)),
            }
        })
        .await?;
    selected.sort_unstable();
    let ids: Vec<String> = selected.into_iter().map(|(.., id)| id).collect();
    Ok(Redriven { skipped, ..redrive(pipeline, config, &ids, |_| true).await? })
}

/// Redrives the letters with these ids, in this order. Those that are not wanted are left alone.
pub(super) async fn redrive(
    pipeline: &Pipeline<AnyStore>,
    config: &Config,
    ids: &[String],
    is_wanted: impl Fn(&DeadLetter) -> bool,
) -> anyhow::Result<Redriven> {
    let mut redriven = Redriven::default();
    for ids in ids.chunks(LETTERS_AT_ONCE) {
        let mut letters = pipeline.store().assign_redrive_sequences(ids).await?;
        letters.retain(|letter| {
            let wanted = is_wanted(letter);
            redriven.skipped += usize::from(!wanted && letter.unsure && letter.reason.cause == Cause::GivenUp);
            wanted
        });
        let summary = run(Redrive::new(letters), pipeline, config.batch.clone(), pending(), |_, _| {}).await?;
        redriven.through += summary.redriven;
        redriven.left += summary.dead_letter_count();
    }
    Ok(redriven)
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
}

impl Redriven {
    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        let Self { through, left, skipped } = self;
        if as_json {
            return report::print_json(&json!({ "through": through, "left": left, "unsure": skipped }));
        }
        report::print_line(&format!("{through} processed, {left} are still dead letters"))?;
        match skipped {
            0 => Ok(()),
            _ => report::print_line(&format!(
                "{skipped} left alone, because they are unsure: their groups may hold them already. Compare them with the \
                 items, then use --unsure"
            )),
        }
    }
}
