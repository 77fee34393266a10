//! An event source mapping: batches of a shard, or of a part of it, are delivered until they succeed.

use std::collections::VecDeque;
use std::time::Duration;

use paceline_pipeline::summary::Summary;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Fleet;
use crate::acknowledged;
use crate::plant::Plant;
use crate::world::sleep_ms;

/// The shortest and the longest time that an invocation may take, in milliseconds.
const TIMEOUT_MS: (u64, u64) = (3_000, 60_000);
/// The longest wait before a batch is delivered again, in milliseconds.
const AGAIN_MS: u64 = 2_000;
/// The longest time after which a batch that has succeeded is delivered once more, in milliseconds.
const LATE_MS: u64 = 120_000;

/// How an invocation ended.
enum Invoked {
    /// The batch is done.
    Done,
    /// It is done before this record, by index.
    DoneBefore(usize),
    /// The function failed, ran out of time or died.
    Failed,
}

/// Delivers the records of a shard that are of one part, by team.
pub(crate) async fn deliver(fleet: Fleet, shard: usize, part: u32) {
    fleet.wait_for_parent(shard).await;
    let (world, plan) = (&fleet.world, &fleet.world.plan);
    let stream = &world.stream;
    let is_ours = |record: &usize| stream.records[*record].message.team == part;
    let all: Vec<usize> = match plan.factor {
        1 => stream.shards[shard].records.clone(),
        _ => stream.shards[shard].records.iter().copied().filter(is_ours).collect(),
    };
    let mut left = &all[..];
    let (mut pending, mut late) = (VecDeque::<Vec<usize>>::new(), JoinSet::new());
    loop {
        let batch = match pending.pop_front() {
            Some(batch) => batch,
            None if left.is_empty() => break,
            None => {
                let (batch, rest) = left.split_at(fleet.arrived(left).await);
                left = rest;
                batch.to_vec()
            }
        };
        match invoke(&fleet, shard, &batch).await {
            Invoked::Done => {
                acknowledged::check(world, &batch).await;
                if world.chance(plan.repeats) {
                    match world.chance(50) {
                        true => pending.push_front(batch),
                        false => drop(late.spawn(deliver_late(fleet.clone(), shard, batch))),
                    }
                }
                continue;
            }
            Invoked::DoneBefore(first) => {
                acknowledged::check(world, &batch[..first]).await;
                pending.push_front(batch[first..].to_vec());
            }
            Invoked::Failed => split(&fleet, batch).into_iter().rev().for_each(|half| pending.push_front(half)),
        }
        sleep_ms(1 + world.below(AGAIN_MS)).await;
    }
    late.join_all().await;
    fleet.finish(shard);
}

/// A batch that succeeded comes once more, beside those after it.
async fn deliver_late(fleet: Fleet, shard: usize, batch: Vec<usize>) {
    sleep_ms(1 + fleet.world.below(LATE_MS)).await;
    // What becomes of it makes no difference to the mapping.
    let _ = invoke(&fleet, shard, &batch).await;
}

/// Halves of a batch that failed, in the order of delivery, if the mapping splits. A stream record stays whole.
fn split(fleet: &Fleet, batch: Vec<usize>) -> Vec<Vec<usize>> {
    let sequence = |record: &usize| fleet.world.stream.records[*record].position.sequence;
    let middle = sequence(&batch[batch.len() / 2]);
    let at = batch.partition_point(|record| sequence(record) < middle);
    if fleet.world.plan.bisect == 0 || at == 0 {
        return vec![batch];
    }
    let (first, second) = batch.split_at(at);
    vec![first.to_vec(), second.to_vec()]
}

/// The time that an invocation may take, and the part of it after which stores are not retried.
pub(super) fn times(fleet: &Fleet) -> (Instant, Instant) {
    let timeout = TIMEOUT_MS.0 + fleet.world.below(TIMEOUT_MS.1 - TIMEOUT_MS.0);
    let at = |ms: u64| Instant::now() + Duration::from_millis(ms);
    (at(timeout), at(timeout - timeout / 10))
}

async fn invoke(fleet: &Fleet, shard: usize, records: &[usize]) -> Invoked {
    let (world, host) = (&fleet.world, fleet.any_host());
    let _alone = host.busy.lock().await;
    let life = host.life().await;
    let batch = world.stream.batch(shard, records, world.is_planted(Plant::SubSequenceIgnored));
    let (timeout, deadline) = times(fleet);
    if world.is_planted(Plant::CheckpointBeforeCommit) {
        acknowledged::check(world, records).await;
    }
    let mut summary = Summary::default();
    let process = life.pipeline.process(&batch, Some(deadline.into_std()), &mut summary);
    let first = match tokio::time::timeout_at(timeout, life.work(process)).await {
        Err(_) => {
            life.kill(world);
            return Invoked::Failed;
        }
        Ok(None) => return Invoked::Failed,
        Ok(Some(Ok(outcome))) => outcome.first_uncommitted,
        Ok(Some(Err(error))) if error.is_transient() => Some((0, error)),
        Ok(Some(Err(error))) => {
            fleet.report_fatal(&error);
            return Invoked::Failed;
        }
    };
    match first {
        None => Invoked::Done,
        Some(_) if world.is_planted(Plant::PartialFailureIsSuccess) => Invoked::Done,
        Some((first, _)) => {
            // The mapping knows stream records only.
            let sequence = batch.records[first as usize].position.sequence;
            Invoked::DoneBefore(batch.records.partition_point(|record| record.position.sequence < sequence))
        }
    }
}
