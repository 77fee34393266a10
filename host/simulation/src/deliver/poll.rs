//! A reader of a shard: it resumes at the checkpoint in the store, and stores one after each batch.

use std::ops::ControlFlow;

use paceline_pipeline::model::Checkpoint;
use paceline_pipeline::store::CheckpointStore;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, PipelineError};

use super::Fleet;
use crate::plant::Plant;
use crate::store::SimulatedStore;
use crate::world::sleep_ms;

/// The wait before a store is asked again, in milliseconds.
const AGAIN_MS: u64 = 500;

/// Reads a shard to its end, on one host after another.
pub(crate) async fn read(fleet: Fleet, shard: usize, delay_ms: u64) {
    sleep_ms(delay_ms).await;
    fleet.wait_for_parents(shard).await;
    loop {
        let life = fleet.any_host().life().await;
        match life.work(read_on(&fleet, &life.pipeline, shard)).await {
            Some(Ok(())) => break,
            Some(Err(error)) if !error.is_transient() => {
                fleet.report_fatal(&error);
                life.kill(&fleet.world);
            }
            _ => {}
        }
        sleep_ms(1 + fleet.world.below(AGAIN_MS)).await;
    }
    fleet.finish(shard);
}

/// Reads a shard from its checkpoint to its end, as one life of a host does.
async fn read_on(fleet: &Fleet, pipeline: &Pipeline<SimulatedStore>, shard: usize) -> Result<(), PipelineError> {
    let (world, name) = (&fleet.world, &fleet.world.stream.shards[shard].name);
    let mut left = &world.stream.shards[shard].records[..];
    if let Some(checkpoint) = pipeline.store().get_checkpoint(name).await? {
        let read = |&record: &usize| world.stream.records[record].position.sequence <= checkpoint.sequence;
        left = &left[left.partition_point(read)..];
    }
    while !left.is_empty() {
        let (records, rest) = left.split_at(fleet.arrived(left).await);
        left = rest;
        let mut batch = world.stream.batch(shard, records, world.is_planted(Plant::SubSequenceIgnored));
        let sequence = batch.records.last().map(|record| record.position.sequence).unwrap_or_default();
        let checkpoint = Checkpoint { sequence, ended: left.is_empty(), ..Checkpoint::default() };
        if world.is_planted(Plant::CheckpointBeforeCommit) {
            pipeline.store().put_checkpoint(name, &checkpoint).await?;
        }
        batch.checkpoint = Some(checkpoint);
        let mut summary = Summary::default();
        if world.is_planted(Plant::PartialFailureIsSuccess) {
            let checkpoint = batch.checkpoint.take();
            if pipeline.process(&batch, None, &mut summary).await.is_ok()
                && let Some(checkpoint) = checkpoint
            {
                pipeline.store().put_checkpoint(name, &checkpoint).await?;
            }
            continue;
        }
        pipeline.process_until_committed(&mut batch, &mut summary, |_, _| ControlFlow::Continue(())).await?;
    }
    Ok(())
}
