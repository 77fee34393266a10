//! An event source mapping: batches of a shard, or of a part of it, are delivered until they succeed.

use std::collections::VecDeque;

use tokio::task::JoinSet;

use super::event::event;
use super::{Fleet, function};
use crate::acknowledged;
use crate::plant::Plant;
use crate::world::sleep_ms;

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
    fleet.wait_for_parents(shard).await;
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

async fn invoke(fleet: &Fleet, shard: usize, records: &[usize]) -> Invoked {
    let world = &fleet.world;
    if world.is_planted(Plant::CheckpointBeforeCommit) {
        acknowledged::check(world, records).await;
    }
    let Some(response) = function::invoke(fleet, &event(fleet, shard, records, None), false).await else {
        return Invoked::Failed;
    };
    match response.first_failure() {
        None => Invoked::Done,
        Some(_) if world.is_planted(Plant::PartialFailureIsSuccess) => Invoked::Done,
        Some(first) => {
            let sequence = |record: &usize| world.stream.records[*record].position.sequence;
            match records.iter().position(|record| sequence(record).to_string() == first) {
                Some(first) => Invoked::DoneBefore(first),
                // Lambda takes a failure that is no record's for a failure of all.
                None => Invoked::Failed,
            }
        }
    }
}
