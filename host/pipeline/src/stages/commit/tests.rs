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
    /// The groups whose writes fail transiently.
    throttled: Vec<u32>,
}

impl GroupStore for Rivals {
    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.store.load_groups(keys).await
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        let rival = self.rivals.lock().unwrap().pop();
        if let Some(ordinals) = rival {
            let rival = Counting::new(ordinals);
            let loaded = self.store.load_groups(&rival.keys).await?;
            let writes: Vec<Write> =
                (0..GROUPS).zip(&loaded).filter_map(|(group, item)| rival.write(group, item.as_ref())).collect();
            assert!(self.store.write_groups(&writes).await?.iter().all(|outcome| *outcome == WriteOutcome::Done));
        }
        let is_throttled = |write: &Write| self.throttled.iter().any(|&group| key(group) == write.key);
        let accepted: Vec<Write> = writes.iter().filter(|write| !is_throttled(write)).cloned().collect();
        let mut outcomes = self.store.write_groups(&accepted).await?.into_iter();
        let outcome = |write| match is_throttled(write) {
            true => WriteOutcome::Transient("throttled".to_owned()),
            false => outcomes.next().expect("one for each write"),
        };
        Ok(writes.iter().map(outcome).collect())
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
    let store = Rivals { throttled: vec![0, 2], ..Rivals::default() };
    let (uncommitted, summary) = run(&store, vec![(0, 1), (2, 1)], 3);
    assert_eq!(uncommitted.iter().flat_map(|uncommitted| &uncommitted.groups).collect::<Vec<_>>(), [&0, &2]);
    assert!(uncommitted.iter().all(|uncommitted| uncommitted.why.is_transient()));
    assert_eq!(summary.groups, 0);
}

#[test]
fn a_group_that_a_rival_changed_is_not_folded_again_if_the_write_of_another_one_failed() {
    let rivals = Mutex::new(vec![vec![(1, 100)]]);
    let store = Rivals { rivals, throttled: vec![0], ..Rivals::default() };
    let (uncommitted, summary) = run(&store, vec![(0, 1), (1, 1)], 3);
    let groups: Vec<_> = uncommitted.iter().map(|uncommitted| uncommitted.groups.as_slice()).collect();
    assert_eq!(groups, [[0], [1]]);
    assert!(uncommitted.iter().all(|uncommitted| uncommitted.why.is_transient()));
    let why = uncommitted[1].why.to_string();
    assert!(why.contains("race-1 / racer-1") && why.contains("throttled"), "{why}");
    assert_eq!((summary.groups, summary.conflicts), (0, 1));
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
