//! Results: groups that get items of their own because they have the attribute that their rulebook names.
//!
//! A transaction with the shared item would cost twice the units of both. Three conditional writes are as exact:
//!
//! 1. The result is written into the shared item, like any change of a group.
//! 2. It is written as an item of its own, over nothing or over what is not later. Only then the write counts as done.
//! 3. If it has not changed since, it leaves the shared item, which names it as moved. From here on its own item is written.
//!
//! Until the third step the shared item decides, and its own item is a copy that is never later. After it, its own item
//! decides, which nobody has written elsewhere. So no two hosts continue from different places. A host that dies between the
//! steps has not acknowledged the batch: whoever loads the group, for this batch or for a later one, does the other steps first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use paceline_pipeline::model::{Item, Key};
use paceline_pipeline::store::{StoreError, Write, WriteOutcome};

use super::content::PackKey;
use super::plan::Plan;
use super::request::{Attempt, PutResult, Sender};
use super::shown::Shown;
use crate::dynamodb::DynamoDbStore;
use crate::dynamodb::cache::CachedItem;
use crate::dynamodb::error::{TableError, TableErrorKind};
use crate::dynamodb::requests::ConcurrentRequests;
use crate::dynamodb::write::transient_outcome;

/// A result in a shared item.
#[derive(Clone, Debug)]
pub(super) struct SharedResult<'k> {
    pub(super) key: &'k Key,
    pub(super) item: Arc<Item>,
}

impl SharedResult<'_> {
    fn write(&self, expected: Option<u64>) -> Write {
        Write { key: self.key.clone(), expected, item: Item::clone(&self.item) }
    }
}

impl DynamoDbStore {
    /// Writes results as items of their own. Returns the outcome of each: done, or transient.
    pub(super) async fn publish(&self, results: &[SharedResult<'_>]) -> Result<Vec<WriteOutcome>, StoreError> {
        let writes: Vec<Write> = results.iter().map(|result| result.write(None)).collect();
        let mut outcomes = vec![None; writes.len()];
        self.write_in_rounds(&writes, (0..writes.len()).collect(), &mut outcomes).await?;
        let is_there = |at: &usize| outcomes[*at] == Some(WriteOutcome::Conflict);
        let there: Vec<usize> = (0..writes.len()).filter(is_there).collect();
        if !there.is_empty() {
            self.publish_over(results, there, &mut outcomes).await?;
        }
        Ok(outcomes.into_iter().map(|outcome| outcome.expect("each write has an outcome")).collect())
    }

    /// Writes results over the items that are at their keys, unless these are later.
    async fn publish_over(
        &self,
        results: &[SharedResult<'_>],
        there: Vec<usize>,
        outcomes: &mut [Option<WriteOutcome>],
    ) -> Result<(), StoreError> {
        let mut keys: Vec<&Key> = there.iter().map(|&at| results[at].key).collect();
        keys.sort_unstable();
        keys.dedup();
        let found: HashMap<Key, CachedItem> = match self.read_groups(&keys).await {
            Ok(found) => found.into_iter().collect(),
            Err(error) => {
                let outcome = transient_outcome(error)?;
                there.into_iter().for_each(|at| outcomes[at] = Some(outcome.clone()));
                return Ok(());
            }
        };
        let mut again = Vec::new();
        for at in there {
            let revision = found.get(results[at].key).and_then(CachedItem::revision);
            match revision {
                Some(revision) if revision > results[at].item.revision => {
                    self.check_that_it_left(&results[at], revision).await?;
                    outcomes[at] = Some(WriteOutcome::Done);
                }
                _ => again.push((at, results[at].write(revision))),
            }
        }
        let (indexes, writes): (Vec<usize>, Vec<Write>) = again.into_iter().unzip();
        let mut ends = vec![None; writes.len()];
        self.write_in_rounds(&writes, (0..writes.len()).collect(), &mut ends).await?;
        for (at, end) in indexes.into_iter().zip(ends) {
            outcomes[at] = match end {
                Some(WriteOutcome::Conflict) => Some(WriteOutcome::Transient(format!(
                    "another host writes the item {} at the same time",
                    results[at].key
                ))),
                end => end,
            };
        }
        Ok(())
    }

    /// An own item of this revision, which is later than the result, is right only if the group has left the shared item or
    /// changed there.
    async fn check_that_it_left(&self, result: &SharedResult<'_>, revision: u64) -> Result<(), StoreError> {
        let Some(pack) = result.key.pack.as_ref().map(|pack| PackKey::new(&result.key.partition, pack)) else {
            return Ok(());
        };
        let content = Sender::of(self).read(&pack).await?;
        if content.groups.get(result.key.sort.as_str()).is_none_or(|item| item.revision >= revision) {
            return Ok(());
        }
        let what = format_args!(
            "the item {} is later than the same group in {}, so it belongs to other rules. Its shard waits until you \
             move the item or change the rulebook's key",
            result.key,
            pack.item_key()
        );
        Err(self.table.error(TableErrorKind::Fatal, what).into())
    }

    /// Removes results that have items of their own from the shared items. `keys` are those of the whole call: what the shared
    /// items show is theirs, too.
    pub(super) async fn leave_packs(&self, results: &[SharedResult<'_>], keys: &[&Key]) -> Result<(), StoreError> {
        let mut packs: BTreeMap<PackKey, Leaving> = BTreeMap::new();
        for result in results {
            let Some(pack) = &result.key.pack else { continue };
            let leaving = packs.entry(PackKey::new(&result.key.partition, pack)).or_default();
            leaving.groups.push((result.key.sort.as_str().into(), result.item.revision));
        }
        for key in keys {
            let Some(pack) = &key.pack else { continue };
            if let Some(leaving) = packs.get_mut(&PackKey::new(&key.partition, pack)) {
                leaving.shown.add(&pack.packing);
            }
        }
        let sender = Sender::of(self);
        let requests = packs.into_iter().map(|(key, leaving)| sender.clone().leave(key, leaving));
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let mut worst: Option<TableError> = None;
        while let Some(left) = requests.next().await {
            if let Err(error) = left
                && worst.as_ref().is_none_or(|worst| worst.kind.is_transient())
            {
                worst = Some(error);
            }
        }
        worst.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Completes what a host left behind that died between the steps. `keys` are those of the whole call.
    pub(super) async fn move_out(&self, results: &[SharedResult<'_>], keys: &[&Key]) -> Result<(), StoreError> {
        for outcome in self.publish(results).await? {
            if let WriteOutcome::Transient(why) = outcome {
                return Err(StoreError::transient(why));
            }
        }
        self.leave_packs(results, keys).await
    }
}

/// Groups that leave a shared item.
#[derive(Default)]
struct Leaving {
    /// With the revisions of their own items.
    groups: Vec<(Arc<str>, u64)>,
    /// What the shared item shows without them.
    shown: Shown,
}

impl Sender {
    async fn leave(self, key: PackKey, Leaving { groups, shown }: Leaving) -> Result<(), TableError> {
        let _turn = self.packs.turn(&key).await;
        let mut base = self.latest(&key).await?;
        let mut attempt = Attempt::first();
        while !attempt.is_beyond() {
            let Some(content) = Plan::without(&base, &groups) else { return Ok(()) };
            match self.put(&base, &content.encode(&key).map).await {
                PutResult::Written => {
                    self.show(&key, &shown, &content, true).await;
                    self.packs.written(&key, &Arc::new(content));
                    return Ok(());
                }
                PutResult::Changed(map) => (base, attempt) = self.changed(&key, map, attempt).await?,
                PutResult::Failed(error) => return Err(error),
            }
        }
        Err(self.contended(&key))
    }
}
