//! Commit: each group is loaded, folded and written once, on the condition that it has not changed since it was read.
//!
//! Dead letters are stored before the groups are written: a write may move a group's dedup past their records, so that these
//! would be taken for duplicates if they came again.
//!
//! Groups that other hosts changed are loaded and folded again, and only they; dedup recognizes what another host has
//! folded. They are not if another group could not be written: a record that fails when it is folded again gets a letter that
//! names its other groups as those that hold it. Batches and windows are committed by this one loop.

use super::context::Context;
use super::horizon;
use crate::error::PipelineError;
use crate::model::{DeadLetter, Item, Key, RulesRevision};
use crate::store::{DeadLetterStore, GroupStore, StoreError, Write, WriteOutcome};
use crate::summary::Stage;

/// Dead letters in one call to the store; their payloads may be long.
const DEAD_LETTERS_A_CALL: usize = 1_000;

/// What is folded into groups: the rows of a batch, or the deltas of a window.
pub(crate) trait FoldWork<S> {
    /// The keys of all groups. A group is known by its index here.
    fn keys(&self) -> &[Key];

    /// The shard of what is folded, and the rules by which it is.
    fn shard(&self) -> (&str, &RulesRevision);

    /// Reads what folding needs beside the items, before the first attempt.
    fn prepare(&self, context: &Context<'_, S>) -> impl Future<Output = Result<(), PipelineError>> + Send;

    /// Folds what belongs to the groups in `open` into their items, which are `loaded` by group. Returns the groups'
    /// writes: none for a group to which nothing is new.
    fn fold(&mut self, context: &mut Context<'_, S>, attempt: &Attempt<'_>) -> Result<Writes, PipelineError>;

    /// The dead letters of what was not folded, ascending by record: those that were not returned before.
    fn dead_letters(&mut self, context: &Context<'_, S>) -> Vec<(u32, DeadLetter)>;
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

/// What an attempt writes.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// The group of each write.
    pub(crate) groups: Vec<u32>,
    pub(crate) writes: Vec<Write>,
}

impl Writes {
    /// None so far, with room for so many groups.
    pub(crate) fn with_capacity(groups: usize) -> Self {
        Self { groups: Vec::with_capacity(groups), writes: Vec::with_capacity(groups) }
    }

    pub(crate) fn push(&mut self, group: u32, write: Write) {
        self.groups.push(group);
        self.writes.push(write);
    }
}

/// What was not committed, and why.
#[derive(Debug)]
pub(crate) struct Uncommitted {
    pub(crate) groups: Vec<u32>,
    /// The first record whose dead letter is not stored.
    pub(crate) letter: Option<u32>,
    pub(crate) why: PipelineError,
}

/// Loads, folds and writes groups until each is written or nothing is new to it, or a retry has no prospect. Returns
/// what could not be committed. An error means that nothing is stored, or that a retry would not help.
pub(crate) async fn commit<S: GroupStore + DeadLetterStore>(
    context: &mut Context<'_, S>,
    work: &mut impl FoldWork<S>,
) -> Result<Vec<Uncommitted>, PipelineError> {
    let mut open: Vec<u32> = (0..work.keys().len() as u32).collect();
    let mut loaded: Vec<Option<Item>> = vec![None; open.len()];
    let mut uncommitted = Vec::new();
    for number in 0.. {
        let prepared = async { if number == 0 { work.prepare(context).await } else { Ok(()) } };
        let loading = async { Ok(load(context, work.keys(), &open, &mut loaded).await?) };
        match tokio::try_join!(loading, prepared) {
            Ok(_) => {}
            // Before the first attempt nothing is stored, no dead letter either.
            Err(why) if why.is_transient() && number > 0 => {
                uncommitted.push(Uncommitted { groups: open, letter: None, why });
                return Ok(uncommitted);
            }
            Err(why) => return Err(why),
        }
        context.book(Stage::Load);

        let Writes { groups, writes } = work.fold(context, &Attempt { number, open: &open, loaded: &loaded })?;
        context.book(Stage::Fold);

        let letters = work.dead_letters(context);
        if let Err((letter, why)) = store_dead_letters(context, work.shard(), &letters).await {
            // By later rules the whole batch is evaluated again.
            if !why.is_transient() || matches!(why, PipelineError::Behind { .. }) {
                return Err(why);
            }
            uncommitted.push(Uncommitted { groups, letter: Some(letter), why });
            return Ok(uncommitted);
        }
        if writes.is_empty() {
            return Ok(uncommitted);
        }

        let outcomes = context.budget.write_groups(context.store, writes).await?;
        let (mut conflicts, mut unwritten) = (Vec::new(), None);
        for (group, outcome) in groups.into_iter().zip(outcomes) {
            match outcome {
                WriteOutcome::Done => context.summary.groups += 1,
                WriteOutcome::Conflict => conflicts.push(group),
                WriteOutcome::Transient(why) => {
                    unwritten = Some(why.clone());
                    let why = StoreError::transient(why).into();
                    uncommitted.push(Uncommitted { groups: vec![group], letter: None, why });
                }
            }
        }
        context.summary.conflicts += conflicts.len() as u64;
        context.book(Stage::Commit);

        let Some(&first) = conflicts.first() else { return Ok(uncommitted) };
        let (groups, key) = (conflicts.len(), work.keys()[first as usize].to_string());
        if let Some(why) = unwritten {
            let why = format!(
                "{groups} groups, {key} among them, were changed by others, and wait until the groups beside them can be \
                 written: {why}"
            );
            uncommitted.push(Uncommitted { groups: conflicts, letter: None, why: StoreError::transient(why).into() });
            return Ok(uncommitted);
        }
        if number >= context.budget.policy.conflicts || !context.budget.wait_for_rivals(number).await {
            let why = PipelineError::Contended { groups, key, attempts: number + 1 };
            uncommitted.push(Uncommitted { groups: conflicts, letter: None, why });
            return Ok(uncommitted);
        }
        conflicts.sort_unstable();
        open = conflicts;
    }
    unreachable!("the attempts are bounded")
}

/// Stores dead letters, and counts them: a record that is settled by its letter has none when its batch comes again. An
/// error names the first record whose letter may not be stored, or the first one if later rules have taken over.
pub(crate) async fn store_dead_letters<S: DeadLetterStore>(
    context: &mut Context<'_, S>,
    shard: (&str, &RulesRevision),
    letters: &[(u32, DeadLetter)],
) -> Result<(), (u32, PipelineError)> {
    let Some(&(first, _)) = letters.first() else { return Ok(()) };
    horizon::raise(context, shard, letters).await.map_err(|why| (first, why))?;
    for letters in letters.chunks(DEAD_LETTERS_A_CALL) {
        let chunk: Vec<DeadLetter> = letters.iter().map(|(_, letter)| letter.clone()).collect();
        let stored = context.budget.retry(|| context.store.put_dead_letters(&chunk)).await;
        stored.map_err(|error| (letters[0].0, error.into()))?;
        for letter in chunk {
            *context.summary.dead_letters.entry(letter.reason.cause).or_default() += 1;
        }
    }
    horizon::check(context, shard, letters).await.map_err(|why| (first, why))
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

#[cfg(test)]
mod tests;
