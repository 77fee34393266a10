//! Writes of items of packed groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::Key;
use paceline_pipeline::store::{StoreError, Write, WriteOutcome};

use super::content::PackKey;
use super::plan::{GroupWrite, Plan, is_result};
use super::request::{Attempt, PutResult, Sender};
use super::results::SharedResult;
use super::shown::Shown;
use crate::dynamodb::DynamoDbStore;
use crate::dynamodb::error::{TableError, TableErrorKind};
use crate::dynamodb::requests::ConcurrentRequests;

/// How the writes of one item ended.
#[derive(Default)]
struct Written {
    /// By the writes' indexes.
    outcomes: Vec<(usize, WriteOutcome)>,
    /// Results that are in the shared item, and have no item of their own for all that is known.
    results: Vec<GroupWrite>,
    /// The indexes of writes whose groups have items of their own.
    alone: Vec<usize>,
    /// An error that fails all writes of the call.
    fatal: Option<StoreError>,
}

impl DynamoDbStore {
    /// Writes packed groups. Fills in their outcomes, and returns the indexes of those that have items of their own.
    pub(in crate::dynamodb) async fn write_packed(
        &self,
        writes: &[Write],
        outcomes: &mut [Option<WriteOutcome>],
    ) -> Result<Vec<usize>, StoreError> {
        let mut packs: BTreeMap<PackKey, Vec<GroupWrite>> = BTreeMap::new();
        for (at, write) in writes.iter().enumerate() {
            let Some(pack) = &write.key.pack else { continue };
            let key = PackKey::new(&write.key.partition, pack);
            let (sort, item) = (write.key.sort.as_str().into(), Arc::new(write.item.clone()));
            let packing = Arc::clone(&pack.packing);
            packs.entry(key).or_default().push(GroupWrite { at, sort, expected: write.expected, item, packing });
        }
        let sender = Sender::of(self);
        let requests = packs.into_iter().map(|(key, writes)| sender.clone().write(key, writes));
        let mut requests = ConcurrentRequests::new(self.concurrency, requests);
        let (mut alone, mut results, mut fatal) = (Vec::new(), Vec::new(), None);
        while let Some(written) = requests.next().await {
            written.outcomes.into_iter().for_each(|(at, outcome)| outcomes[at] = Some(outcome));
            alone.extend(written.alone);
            results.extend(written.results);
            fatal = fatal.or(written.fatal);
        }
        if let Some(error) = fatal {
            return Err(error);
        }
        self.end_with_results(writes, results, outcomes).await?;
        Ok(alone)
    }

    /// Gives results that are in shared items now their own items. That one has not left its shared item is no failure: it
    /// leaves when it is loaded.
    async fn end_with_results(
        &self,
        writes: &[Write],
        mut results: Vec<GroupWrite>,
        outcomes: &mut [Option<WriteOutcome>],
    ) -> Result<(), StoreError> {
        if results.is_empty() {
            return Ok(());
        }
        // In their order, so that the same writes make the same requests.
        results.sort_unstable_by_key(|write| write.at);
        let shared = |write: &GroupWrite| SharedResult { key: &writes[write.at].key, item: Arc::clone(&write.item) };
        let shared: Vec<SharedResult<'_>> = results.iter().map(shared).collect();
        let published = self.publish(&shared).await?;
        let ended = shared.into_iter().zip(&published);
        let done: Vec<SharedResult<'_>> =
            ended.filter(|(_, outcome)| **outcome == WriteOutcome::Done).map(|(result, _)| result).collect();
        for (write, outcome) in results.iter().zip(published) {
            outcomes[write.at] = Some(outcome);
        }
        let keys: Vec<&Key> = writes.iter().map(|write| &write.key).collect();
        match self.leave_packs(&done, &keys).await {
            Err(error) if !error.is_transient() => Err(error),
            _ => Ok(()),
        }
    }
}

impl Sender {
    /// Writes the groups of one item.
    async fn write(self, key: PackKey, writes: Vec<GroupWrite>) -> Written {
        let _turn = self.packs.turn(&key).await;
        let mut shown = Shown::default();
        writes.iter().for_each(|write| shown.add(&write.packing));
        let mut written = Written::default();
        let mut pending = writes;
        let mut base = match self.latest(&key).await {
            Ok(content) => content,
            Err(error) => {
                written.fail(pending, error);
                return written;
            }
        };
        let mut attempt = Attempt::first();
        while !pending.is_empty() {
            let plan = Plan::new(&base, &key, pending);
            written.done(plan.done);
            written.all(&plan.conflicts, &WriteOutcome::Conflict);
            written.alone.extend(plan.alone.iter().map(|write| write.at));
            if plan.taken.is_empty() || attempt.is_beyond() {
                written.all(&plan.taken, &WriteOutcome::Conflict);
                written.all(&plan.left, &WriteOutcome::Conflict);
                return written;
            }
            let put = match plan.moves.is_empty() {
                true => self.put(&base, &plan.map).await,
                false => self.transact(&key, &base, &plan.map, &plan.moves).await,
            };
            match put {
                PutResult::Written => {
                    base = Arc::new(plan.content);
                    self.packs.written(&key, &base);
                    self.show(&key, &shown, &base, !plan.moves.is_empty()).await;
                    let (moved, stayed): (Vec<_>, Vec<_>) =
                        plan.taken.into_iter().partition(|write| !base.groups.contains_key(&write.sort));
                    written.all(&moved, &WriteOutcome::Done);
                    written.done(stayed);
                    pending = plan.left;
                }
                PutResult::Changed(map) => {
                    pending = [plan.taken, plan.left].concat();
                    (base, attempt) = match self.changed(&key, map, attempt).await {
                        Ok(next) => next,
                        Err(error) => {
                            written.fail(pending, error);
                            return written;
                        }
                    };
                }
                PutResult::Failed(error) => {
                    written.fail([plan.taken, plan.left].concat(), error);
                    return written;
                }
            }
        }
        written
    }
}

impl Written {
    fn all(&mut self, writes: &[GroupWrite], outcome: &WriteOutcome) {
        self.outcomes.extend(writes.iter().map(|write| (write.at, outcome.clone())));
    }

    /// Writes of groups that are in the shared item now.
    fn done(&mut self, writes: Vec<GroupWrite>) {
        let is_result = |write: &GroupWrite| is_result(&write.item, &write.packing);
        let (results, others): (Vec<_>, Vec<_>) = writes.into_iter().partition(is_result);
        self.all(&others, &WriteOutcome::Done);
        self.results.extend(results);
    }

    /// A transient error is the outcome of its writes. Any other fails all writes of the call.
    fn fail(&mut self, writes: Vec<GroupWrite>, error: TableError) {
        let is_transient = error.kind != TableErrorKind::Fatal && error.kind != TableErrorKind::Invalid;
        let error = StoreError::from(error);
        match is_transient {
            true => self.all(&writes, &WriteOutcome::Transient(ErrorChain(&error).to_string())),
            false => self.fatal = Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::dedup::{DedupState, OrdinalSet};
    use paceline_pipeline::model::{Attribute, Item, Packing};

    use super::*;
    use crate::dynamodb::item::test_provenance;

    /// Two aggregates share the items of a partition, and only one of them gives its results items of their own.
    #[test]
    fn what_a_result_is_follows_from_the_group_s_own_packing() {
        let packing = |alone: Option<&str>| {
            let alone = alone.map(str::to_owned);
            Arc::new(Packing { into: 1, show: Vec::new(), show_every: 1, alone })
        };
        let item = Arc::new(Item {
            revision: 2,
            state: Vec::new(),
            dedup: DedupState::Ordinal(OrdinalSet::default()),
            attributes: vec![("GSI".into(), Attribute::Integer(3))],
            provenance: test_provenance(),
            reruled: false,
        });
        let write = |(at, alone)| GroupWrite {
            at,
            sort: format!("racer-{at}").into(),
            expected: Some(1),
            item: Arc::clone(&item),
            packing: packing(alone),
        };
        let mut written = Written::default();
        written.done([(0, None), (1, Some("GSI")), (2, Some("other"))].map(write).into());
        assert_eq!(written.results.iter().map(|write| write.at).collect::<Vec<_>>(), [1]);
        assert_eq!(written.outcomes, [(0, WriteOutcome::Done), (2, WriteOutcome::Done)]);
    }
}
