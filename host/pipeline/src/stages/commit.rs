//! Commit: each group is loaded, folded and written once, on the condition that it has not changed since it was read.
//!
//! Dead letters are stored before the groups are written: a write may move a group's dedup past their records, so that these
//! would be taken for duplicates if they came again.
//!
//! Groups that other hosts changed are loaded and folded again, and only they; dedup recognizes what another host has
//! folded. Batches and windows are committed by this one loop.

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

    /// The dead letters, by record, of what was not folded: those that were not returned before.
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
        let mut conflicts = Vec::new();
        for (group, outcome) in groups.into_iter().zip(outcomes) {
            match outcome {
                WriteOutcome::Done => context.summary.groups += 1,
                WriteOutcome::Conflict => conflicts.push(group),
                WriteOutcome::Transient(why) => {
                    let why = StoreError::transient(why).into();
                    uncommitted.push(Uncommitted { groups: vec![group], letter: None, why });
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
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::dedup::{DedupState, OrdinalSet};
    use std::time::Duration;

    use crate::holds::Holds;
    use crate::model::test_provenance;
    use crate::retry::{RetryBudget, RetryPolicy};
    use crate::store::{Horizon, MemoryStore};
    use crate::summary::Summary;

    const GROUPS: u32 = 4;

    static RULES: RulesRevision = RulesRevision { registry: String::new(), revision: 1, vetoes: 0 };

    fn key(group: u32) -> Key {
        Key::new("race-1", format!("racer-{group}"))
    }

    /// Ordinals to be counted in their groups. The state of an item is the number of ordinals that were folded.
    struct Counting {
        keys: Vec<Key>,
        ordinals: Vec<(u32, i64)>,
    }

    impl Counting {
        fn new(ordinals: Vec<(u32, i64)>) -> Self {
            Self { keys: (0..GROUPS).map(key).collect(), ordinals }
        }

        fn write(&self, group: u32, item: Option<&Item>) -> Option<Write> {
            let mut dedup = match item.map(|item| &item.dedup) {
                Some(DedupState::Ordinal(ordinals)) => ordinals.clone(),
                _ => OrdinalSet::default(),
            };
            let ours = self.ordinals.iter().filter(|(other, _)| *other == group);
            let new = ours.filter(|(_, ordinal)| dedup.insert(*ordinal)).count() as u8;
            let count = item.map_or(0, |item| item.state[0]) + new;
            let expected = item.map(|item| item.revision);
            let provenance = test_provenance();
            let item = Item {
                revision: expected.unwrap_or(0) + 1,
                state: vec![count],
                dedup: DedupState::Ordinal(dedup),
                attributes: Vec::new(),
                provenance,
                reruled: false,
            };
            (new > 0).then(|| Write { key: key(group), expected, item })
        }
    }

    impl<S: Send + Sync> FoldWork<S> for Counting {
        fn keys(&self) -> &[Key] {
            &self.keys
        }

        fn shard(&self) -> (&str, &RulesRevision) {
            ("shard", &RULES)
        }

        async fn prepare(&self, _: &Context<'_, S>) -> Result<(), PipelineError> {
            Ok(())
        }

        fn dead_letters(&mut self, _: &Context<'_, S>) -> Vec<(u32, DeadLetter)> {
            Vec::new()
        }

        fn fold(&mut self, _: &mut Context<'_, S>, attempt: &Attempt<'_>) -> Result<Writes, PipelineError> {
            let write = |&group: &u32| Some((group, self.write(group, attempt.loaded[group as usize].as_ref())?));
            let (groups, writes) = attempt.open.iter().filter_map(write).unzip();
            Ok(Writes { groups, writes })
        }
    }

    /// A store in which rivals write between a read and the write after it, and some writes fail transiently.
    #[derive(Default)]
    struct Rivals {
        store: MemoryStore,
        /// What the rivals fold, one entry before each call to write.
        rivals: Mutex<Vec<Vec<(u32, i64)>>>,
        throttled: bool,
    }

    impl GroupStore for Rivals {
        async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
            self.store.load_groups(keys).await
        }

        async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
            if self.throttled {
                return Ok(vec![WriteOutcome::Transient("throttled".to_owned()); writes.len()]);
            }
            let rival = self.rivals.lock().unwrap().pop();
            if let Some(ordinals) = rival {
                let rival = Counting::new(ordinals);
                let loaded = self.store.load_groups(&rival.keys).await?;
                let writes: Vec<Write> =
                    (0..GROUPS).zip(&loaded).filter_map(|(group, item)| rival.write(group, item.as_ref())).collect();
                assert!(self.store.write_groups(&writes).await?.iter().all(|outcome| *outcome == WriteOutcome::Done));
            }
            self.store.write_groups(writes).await
        }

        async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
            self.store.list_partition(partition).await
        }

        async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
            self.store.list_groups().await
        }
    }

    impl DeadLetterStore for Rivals {
        async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
            self.store.put_dead_letters(letters).await
        }

        async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
            self.store.delete_dead_letters(ids).await
        }

        async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
            self.store.get_dead_letter(id).await
        }

        async fn get_horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
            self.store.get_horizon(shard).await
        }

        async fn put_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
            self.store.put_horizon(shard, horizon).await
        }

        async fn known_dead_letters(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
            self.store.known_dead_letters(ids).await
        }

        async fn scan_dead_letters(&self, each: impl FnMut(DeadLetter) + Send) -> Result<(), StoreError> {
            self.store.scan_dead_letters(each).await
        }

        async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
            self.store.assign_redrive_sequences(ids).await
        }
    }

    /// Commits, and returns what could not be committed and the summary.
    fn run(store: &Rivals, ordinals: Vec<(u32, i64)>, conflicts: u32) -> (Vec<Uncommitted>, Summary) {
        let policy = RetryPolicy { deadline_ms: 100, first_wait_ms: 1, longest_wait_ms: 1, conflicts };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut summary = Summary::default();
        let uncommitted = runtime.block_on(async {
            let budget = RetryBudget { policy: &policy, deadline: None };
            let holds = Holds::new(Duration::ZERO);
            commit(&mut Context::new(store, budget, &holds, &mut summary), &mut Counting::new(ordinals)).await
        });
        (uncommitted.unwrap(), summary)
    }

    #[test]
    fn groups_that_rivals_keep_changing_are_reported_after_the_last_attempt() {
        let rivals = (0..10).map(|ordinal| vec![(1, 100 + ordinal)]).collect();
        let store = Rivals { rivals: Mutex::new(rivals), ..Rivals::default() };
        let (uncommitted, summary) = run(&store, vec![(0, 1), (1, 1)], 3);
        assert!(matches!(
            &uncommitted[..],
            [Uncommitted { groups, why: PipelineError::Contended { groups: 1, attempts: 4, .. }, .. }] if groups == &[1]
        ));
        assert_eq!((summary.groups, summary.conflicts), (1, 4));
    }

    #[test]
    fn groups_of_a_throttled_store_are_reported_as_transient() {
        let store = Rivals { throttled: true, ..Rivals::default() };
        let (uncommitted, summary) = run(&store, vec![(0, 1), (2, 1)], 3);
        assert_eq!(uncommitted.iter().flat_map(|uncommitted| &uncommitted.groups).collect::<Vec<_>>(), [&0, &2]);
        assert!(uncommitted.iter().all(|uncommitted| uncommitted.why.is_transient()));
        assert_eq!(summary.groups, 0);
    }

    proptest! {
        /// Whatever rivals fold in between, the same ordinals among them, each ordinal counts once.
        #[test]
        fn each_ordinal_counts_once(
            ours in prop::collection::vec((0..GROUPS, 0..20_i64), 0..30),
            rivals in prop::collection::vec(prop::collection::vec((0..GROUPS, 0..20_i64), 0..10), 0..6),
        ) {
            let mut all: BTreeSet<(u32, i64)> = ours.iter().copied().collect();
            let store = Rivals { rivals: Mutex::new(rivals.clone()), ..Rivals::default() };
            let (uncommitted, _) = run(&store, ours, 10);
            prop_assert!(uncommitted.is_empty());
            // Rivals that never had their turn folded nothing.
            let left = store.rivals.lock().unwrap().len();
            all.extend(rivals[left..].iter().flatten());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for (key, item) in runtime.block_on(store.list_groups()).unwrap() {
                let group: u32 = key.sort.strip_prefix("racer-").unwrap().parse().unwrap();
                let count = all.iter().filter(|(other, _)| *other == group).count();
                prop_assert_eq!(item.state, vec![count as u8]);
                all.retain(|(other, _)| *other != group);
            }
            prop_assert!(all.is_empty(), "not in the store: {:?}", all);
        }
    }
}
