//! Commit: each group is loaded, folded and written once, on the condition that it has not changed since it was read.
//!
//! Groups that other hosts changed are loaded and folded again, and only they; dedup recognizes what another host has
//! folded. Batches and windows are committed by this one loop.

use super::context::Context;
use crate::error::PipelineError;
use crate::model::{Item, Key};
use crate::store::{GroupStore, StoreError, Write, WriteOutcome};
use crate::summary::Stage;

/// What is folded into groups: the rows of a batch, or the deltas of a window.
pub(crate) trait FoldWork<S> {
    /// The keys of all groups. A group is known by its index here.
    fn keys(&self) -> &[Key];

    /// Folds what belongs to the groups in `open` into their items, which are `loaded` by group. Returns the groups'
    /// writes: none for a group to which nothing is new.
    fn fold(
        &mut self,
        context: &mut Context<'_, S>,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<(u32, Write)>, PipelineError>;
}

/// One attempt at folding.
pub(crate) struct Attempt<'a> {
    /// Attempts before this one.
    pub(crate) number: u32,
    /// The groups to fold, ascending.
    pub(crate) open: &'a [u32],
    /// The groups' items as they were read, by group.
    pub(crate) loaded: &'a [Option<Item>],
}

/// Groups that were not committed, and why.
#[derive(Debug)]
pub(crate) struct Uncommitted {
    pub(crate) groups: Vec<u32>,
    pub(crate) why: PipelineError,
}

/// Loads, folds and writes groups until each is written or nothing is new to it, or a retry has no prospect. Returns
/// those that could not be committed. An error means that nothing more can be committed, and that a retry would not help.
pub(crate) async fn commit<S: GroupStore>(
    context: &mut Context<'_, S>,
    work: &mut impl FoldWork<S>,
) -> Result<Vec<Uncommitted>, PipelineError> {
    let mut open: Vec<u32> = (0..work.keys().len() as u32).collect();
    let mut loaded: Vec<Option<Item>> = vec![None; open.len()];
    let mut uncommitted = Vec::new();
    for number in 0.. {
        match load(context, work.keys(), &open, &mut loaded).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                uncommitted.push(Uncommitted { groups: open, why: error.into() });
                return Ok(uncommitted);
            }
            Err(error) => return Err(error.into()),
        }
        context.book(Stage::Load);

        let folded = work.fold(context, &Attempt { number, open: &open, loaded: &loaded })?;
        context.book(Stage::Fold);
        if folded.is_empty() {
            return Ok(uncommitted);
        }

        let (groups, writes): (Vec<u32>, Vec<Write>) = folded.into_iter().unzip();
        let outcomes = context.budget.write_groups(context.store, writes).await?;
        let mut conflicts = Vec::new();
        for (group, outcome) in groups.into_iter().zip(outcomes) {
            match outcome {
                WriteOutcome::Done => context.summary.groups += 1,
                WriteOutcome::Conflict => conflicts.push(group),
                WriteOutcome::Transient(why) => {
                    uncommitted.push(Uncommitted { groups: vec![group], why: StoreError::transient(why).into() });
                }
            }
        }
        context.summary.conflicts += conflicts.len() as u64;
        context.book(Stage::Commit);

        let Some(&first) = conflicts.first() else { return Ok(uncommitted) };
        if number >= context.budget.policy.conflicts || !context.budget.wait_for_rivals(number).await {
            let why = PipelineError::Contended {
                groups: conflicts.len(),
                key: work.keys()[first as usize].to_string(),
                attempts: number + 1,
            };
            uncommitted.push(Uncommitted { groups: conflicts, why });
            return Ok(uncommitted);
        }
        conflicts.sort_unstable();
        open = conflicts;
    }
    unreachable!("the attempts are bounded")
}

/// Loads the open groups.
async fn load<S: GroupStore>(
    context: &Context<'_, S>,
    keys: &[Key],
    open: &[u32],
    loaded: &mut Vec<Option<Item>>,
) -> Result<(), StoreError> {
    if open.len() == keys.len() {
        *loaded = context.budget.retry(|| context.store.load_groups(keys)).await?;
        return Ok(());
    }
    let keys: Vec<Key> = open.iter().map(|&group| keys[group as usize].clone()).collect();
    let again = context.budget.retry(|| context.store.load_groups(&keys)).await?;
    open.iter().zip(again).for_each(|(&group, item)| loaded[group as usize] = item);
    Ok(())
}
