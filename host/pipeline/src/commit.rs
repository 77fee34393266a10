//! Commit: each touched group is written once, on the condition that it is as it was read.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use serde::Deserialize;

use crate::batch::Batch;
use crate::fold::{self, Groups};
use crate::pipeline::{Clock, Pipeline, PipelineError};
use crate::project::Cells;
use crate::store::{Item, Key, Store, StoreError, Write, Written};
use crate::summary::{Stage, Summary};
use crate::table::{Dead, Table};

/// How long and how often a store is tried.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Retry {
    /// How long a busy store is tried, in milliseconds.
    pub deadline_ms: u64,
    /// The first wait, in milliseconds. Each further one is up to twice as long.
    pub first_wait_ms: u64,
    /// The longest wait, in milliseconds.
    pub longest_wait_ms: u64,
    /// How often groups that others change meanwhile are loaded and folded again.
    pub conflicts: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { deadline_ms: 30_000, first_wait_ms: 20, longest_wait_ms: 2_000, conflicts: 20 }
    }
}

impl Retry {
    /// The wait before another attempt: anything up to twice the last one's bound, so that hosts that met once do not
    /// meet again.
    fn wait(&self, attempt: u32) -> Duration {
        let bound = self.first_wait_ms.saturating_mul(1 << attempt.min(20)).min(self.longest_wait_ms).max(1);
        Duration::from_millis(fastrand::u64(1..=bound))
    }
}

/// Tries until the store is no longer busy, or the deadline has passed.
pub(crate) async fn retry<T, F>(policy: &Retry, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let deadline = tokio::time::Instant::now() + Duration::from_millis(policy.deadline_ms);
    for tries in 0.. {
        match attempt().await {
            Err(StoreError::Busy(why)) => {
                let wait = policy.wait(tries);
                if tokio::time::Instant::now() + wait > deadline {
                    return Err(StoreError::Broken(format!(
                        "{why}; it stayed so for {} ms (`retry.deadline-ms`)",
                        policy.deadline_ms
                    )));
                }
                tokio::time::sleep(wait).await;
            }
            done => return done,
        }
    }
    unreachable!("the deadline comes")
}

impl<S: Store> Pipeline<S> {
    /// Loads the groups, folds, writes. Groups that others changed meanwhile are loaded and folded again, only their
    /// rows; what another host has folded already stays behind their fence.
    #[expect(clippy::too_many_arguments, reason = "a batch, what is known of it, and where its cost is booked")]
    pub(crate) async fn commit(
        &self,
        batch: &Batch,
        cells: &Cells,
        tables: &[Table<'_>],
        groups: &Groups<'_>,
        dead: &mut Dead,
        summary: &mut Summary,
        clock: &mut Clock,
    ) -> Result<(), PipelineError> {
        let mut loaded: Vec<Option<Item>> = retry(&self.retry, || self.store.load(&groups.keys)).await?;
        clock.lap(summary, Stage::Load);
        // The groups that are still to be written; all of them at first.
        let mut open: Option<HashSet<u32>> = None;
        for attempt in 0..=self.retry.conflicts {
            let wanted = |group: u32| open.as_ref().is_none_or(|open| open.contains(&group));
            let outcome = fold::fold(tables, groups, batch, cells, &loaded, wanted, dead)?;
            clock.lap(summary, Stage::Fold);
            if attempt == 0 {
                summary.behind += outcome.behind;
            }
            let (touched, writes): (Vec<u32>, Vec<Write>) = outcome.writes.into_iter().unzip();
            if writes.is_empty() {
                return Ok(());
            }
            let written = retry(&self.retry, || self.store.write(&writes)).await?;
            let lost: Vec<u32> = touched
                .iter()
                .zip(&written)
                .filter(|(_, written)| **written == Written::Conflict)
                .map(|(group, _)| *group)
                .collect();
            summary.groups += (writes.len() - lost.len()) as u64;
            summary.conflicts += lost.len() as u64;
            clock.lap(summary, Stage::Commit);
            if lost.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(self.retry.wait(attempt)).await;
            let keys: Vec<Key> = lost.iter().map(|&group| groups.keys[group as usize].clone()).collect();
            let again = retry(&self.retry, || self.store.load(&keys)).await?;
            for (&group, item) in lost.iter().zip(again) {
                loaded[group as usize] = item;
            }
            open = Some(lost.into_iter().collect());
            clock.lap(summary, Stage::Load);
        }
        let open = open.unwrap_or_default();
        let key = open.iter().next().map_or(String::new(), |&group| groups.keys[group as usize].to_string());
        Err(PipelineError::Contended { groups: open.len(), key, attempts: self.retry.conflicts + 1 })
    }
}
