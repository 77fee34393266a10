//! Redrive: the rows of a window's dead letter, merged once more.

use super::flush::FlushedWindow;
use super::letter::window_of;
use crate::error::PipelineError;
use crate::model::DeadLetter;
use crate::pipeline::Pipeline;
use crate::store::Store;
use crate::summary::Summary;

/// What became of a window's dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowRedrive {
    /// Its rows are in their item, and it is deleted.
    Merged,
    /// Its rows can't be merged, and it stays. What the reason is now stands in it.
    Rejected,
    /// Its rows can't be taken from it, and it is left as it is: a state was too long for it, or it was cut.
    NotWhole,
}

impl<S: Store> Pipeline<S> {
    /// Merges the rows of a window's dead letter, which has its redrive sequence, into their item, by the rulebook that folded
    /// them and behind the item's dedup. It may be repeated, and others may merge the same letter at the same time: its rows
    /// count once.
    pub async fn redrive_window(
        &self,
        letter: &DeadLetter,
        summary: &mut Summary,
    ) -> Result<WindowRedrive, PipelineError> {
        let Some(window) = window_of(letter) else { return Ok(WindowRedrive::NotWhole) };
        let before = summary.dead_letter_count();
        self.flush(FlushedWindow { window: &window, redriven: Some(letter) }, None, summary).await?;
        if summary.dead_letter_count() > before {
            return Ok(WindowRedrive::Rejected);
        }
        let ids = [letter.id.clone()];
        let mut scratch = Summary::default();
        let context = self.context(None, &mut scratch);
        context.budget.retry(|| self.store.delete_dead_letters(&ids)).await?;
        context.budget.retry(|| self.store.flush()).await?;
        Ok(WindowRedrive::Merged)
    }
}
