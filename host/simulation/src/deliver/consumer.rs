//! `paceline run` with Kinesis as its source: one process reads all shards, and starts again when it died.

use std::sync::Arc;

use paceline_aws::kinesis::{Consumer, ConsumerError, ConsumerKind, KinesisConfig, Misrouted};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::store::CheckpointStore;

use super::Fleet;
use crate::finding::Finding;
use crate::plant::Plant;
use crate::world::{DISK_FULL, sleep_ms};

/// The time between two looks at whether the stream is read, and before a process is started again, in milliseconds.
const LOOK_MS: u64 = 500;
/// How long a batch waits for more records, in milliseconds.
const WAIT_MS: u64 = 200;
/// The interval at which the shards are listed, in milliseconds.
const DISCOVER_MS: u64 = 20_000;

/// Reads the stream until all of it is committed, on one host after another.
pub(crate) async fn read(fleet: Fleet, delay_ms: u64) {
    sleep_ms(delay_ms).await;
    while !is_read(&fleet).await {
        let life = fleet.any_host().life().await;
        let config = config(&fleet);
        let stream = life.stream(&fleet.world, &config);
        let most = fleet.world.plan.batch as usize;
        let limits = BatchLimits { max_records: most, max_wait_ms: WAIT_MS, ..BatchLimits::default() };
        let stop = async {
            while !is_read(&fleet).await {
                sleep_ms(LOOK_MS).await;
            }
        };
        let consumer = Consumer::of(stream, &config, None, limits);
        let run = consumer.run(Arc::clone(&life.pipeline), stop, |_| {});
        // Boxed, because the compiler limits how deep futures nest in one type.
        if let Some(Err(error)) = life.work(Box::pin(run)).await {
            report(&fleet, &error);
            life.kill(&fleet.world);
        }
        sleep_ms(1 + fleet.world.below(LOOK_MS)).await;
    }
}

fn config(fleet: &Fleet) -> KinesisConfig {
    let stream = "alleycat".to_owned();
    let consumer = if fleet.world.plan.has_fan_out() { ConsumerKind::FanOut } else { ConsumerKind::Poll };
    let config = KinesisConfig { stream, consumer, discover_every_ms: DISCOVER_MS, ..KinesisConfig::default() };
    match fleet.world.is_planted(Plant::MisroutedIsDropped) {
        true => KinesisConfig { misrouted: Misrouted::Drop, ..config },
        false => config,
    }
}

/// Whether all shards are committed to their ends.
async fn is_read(fleet: &Fleet) -> bool {
    let (stream, store) = (&fleet.world.stream, &fleet.world.store);
    for shard in &stream.shards {
        let Some((last, _)) = shard.raw.last_key_value() else { continue };
        let checkpoint = store.get_checkpoint(&shard.name).await;
        // The store in memory does not fail.
        if checkpoint.ok().flatten().is_none_or(|checkpoint| checkpoint.sequence < *last) {
            return false;
        }
    }
    true
}

/// What the message of a stream that can't be described contains.
const DESCRIBING: &str = "describing the stream";

/// What the message of a consumer that is not registered any more contains. A new process registers it.
const DEREGISTERED: &str = "was deregistered";

/// Nothing in a run ends a consumer, but for a full disk and its deregistration; and it does not start while the stream
/// can't be described.
fn report(fleet: &Fleet, error: &ConsumerError) {
    let error = ErrorChain(error).to_string();
    if ![DISK_FULL, DESCRIBING, DEREGISTERED].into_iter().any(|known| error.contains(known)) {
        fleet.world.report(Finding::Fatal { at_ms: fleet.world.now_ms(), error });
    }
}
