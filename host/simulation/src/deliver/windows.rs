//! An event source mapping with tumbling windows: the rows of a window travel with its state, as bytes.

use std::sync::Arc;

use paceline_pipeline::PipelineError;
use paceline_pipeline::model::Batch;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use tokio::task::JoinSet;

use super::Fleet;
use super::mapping::times;
use crate::acknowledged;
use crate::finding::Finding;
use crate::host::Life;
use crate::plant::Plant;
use crate::world::sleep_ms;

/// The length of a window in milliseconds.
const WINDOW_MS: u64 = 20_000;
/// The longest wait before an event is delivered again, in milliseconds.
const AGAIN_MS: u64 = 2_000;
/// The longest time after which an event that has succeeded is delivered once more, in milliseconds.
const LATE_MS: u64 = 120_000;

/// What a function is invoked with: records of one window, or its end.
#[derive(Clone, Debug)]
struct Event {
    shard: usize,
    records: Vec<usize>,
    /// The state that the last event returned.
    state: Vec<u8>,
    is_final: bool,
}

/// Delivers the records of a shard, window after window.
pub(crate) async fn deliver(fleet: Fleet, shard: usize) {
    fleet.wait_for_parent(shard).await;
    let (world, stream) = (&fleet.world, &fleet.world.stream);
    let window_of = |record: usize| stream.records[record].arrival_ms / WINDOW_MS;
    let mut left = &stream.shards[shard].records[..];
    let mut late = JoinSet::new();
    while let Some(&first) = left.first() {
        let end = left.partition_point(|&record| window_of(record) == window_of(first));
        let (window, rest) = left.split_at(end);
        left = rest;
        deliver_window(&fleet, shard, window, &mut late).await;
        acknowledged::check(world, window).await;
    }
    late.join_all().await;
    fleet.finish(shard);
}

async fn deliver_window(fleet: &Fleet, shard: usize, window: &[usize], late: &mut JoinSet<()>) {
    let (world, mut left, mut state) = (&fleet.world, window, Vec::new());
    loop {
        let (records, rest) = left.split_at(if left.is_empty() { 0 } else { fleet.arrived(left).await });
        left = rest;
        // The last records may come with the end, or before it.
        let is_final = records.is_empty() || left.is_empty() && world.below(2) == 0;
        let event = Event { shard, records: records.to_vec(), state, is_final };
        loop {
            match invoke(fleet, &event).await {
                // An answer that is lost makes it come again.
                Some(_) if world.chance(world.plan.repeats / 2) => {}
                Some(next) => {
                    state = next;
                    break;
                }
                None => {}
            }
            sleep_ms(1 + world.below(AGAIN_MS)).await;
        }
        if world.chance(world.plan.repeats / 2) {
            let (fleet, event) = (fleet.clone(), event);
            late.spawn(async move {
                sleep_ms(1 + fleet.world.below(LATE_MS)).await;
                let _ = invoke(&fleet, &event).await;
            });
        }
        if is_final {
            return;
        }
    }
}

/// Invokes a function. Returns the window's state; `None` if the event has to come again.
async fn invoke(fleet: &Fleet, event: &Event) -> Option<Vec<u8>> {
    let (world, host) = (&fleet.world, fleet.any_host());
    let _alone = host.busy.lock().await;
    let life = host.life().await;
    let batch = world.stream.batch(event.shard, &event.records, world.is_planted(Plant::SubSequenceIgnored));
    let (timeout, _) = times(fleet);
    let respond = respond(fleet, &life, event, &batch);
    match tokio::time::timeout_at(timeout, life.work(respond)).await {
        Err(_) => {
            life.kill(world);
            None
        }
        Ok(None) => None,
        Ok(Some(Ok(state))) => Some(state),
        Ok(Some(Err(error))) => {
            if !error.is_transient() {
                fleet.report_fatal(&error);
            }
            None
        }
    }
}

/// What `paceline-lambda` does with an event of a window.
async fn respond(fleet: &Fleet, life: &Life, event: &Event, batch: &Batch) -> Result<Vec<u8>, PipelineError> {
    let (_, deadline) = times(fleet);
    let deadline = Some(deadline.into_std());
    let shard = &fleet.world.stream.shards[event.shard].name;
    let mut window = match event.state.is_empty() {
        true => Window::new(Arc::clone(shard)),
        false => match Window::from_bytes(&event.state, shard) {
            Ok(window) => window,
            Err(error) => {
                let (at_ms, error) = (fleet.world.now_ms(), error.to_string());
                fleet.world.report(Finding::Fatal { at_ms, error });
                return Ok(Vec::new());
            }
        },
    };
    let mut summary = Summary::default();
    if !batch.records.is_empty() {
        life.pipeline.accumulate(batch, &mut window, deadline, &mut summary).await?;
    }
    if !event.is_final || window.is_empty() {
        return Ok(if window.is_empty() { Vec::new() } else { window.to_bytes() });
    }
    life.pipeline.flush_window(&window, deadline, &mut summary).await?;
    if fleet.world.is_planted(Plant::WindowClosedTwice) && fleet.world.below(4) == 0 {
        life.pipeline.store().hide_dedup(true);
        let twice = life.pipeline.flush_window(&window, deadline, &mut summary).await;
        life.pipeline.store().hide_dedup(false);
        twice?;
    }
    Ok(Vec::new())
}
