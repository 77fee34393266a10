//! An event source mapping with tumbling windows: the rows of a window travel with its state, from response to event.

use tokio::task::JoinSet;

use super::event::{WINDOW_MS, WindowPart, event};
use super::{Fleet, function};
use crate::acknowledged;
use crate::world::sleep_ms;

/// The longest wait before an event is delivered again, in milliseconds.
const AGAIN_MS: u64 = 2_000;
/// The longest time after which an event that has succeeded is delivered once more, in milliseconds.
const LATE_MS: u64 = 120_000;
/// The state of a window that has none.
const EMPTY: &str = "{}";

/// What a function is invoked with: records of one window, or its end.
#[derive(Clone, Debug)]
struct Part {
    shard: usize,
    records: Vec<usize>,
    window: WindowPart,
}

/// Delivers the records of a shard, window after window.
pub(crate) async fn deliver(fleet: Fleet, shard: usize) {
    fleet.wait_for_parents(shard).await;
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

async fn deliver_window(fleet: &Fleet, shard: usize, records: &[usize], late: &mut JoinSet<()>) {
    let (world, mut left, mut state) = (&fleet.world, records, EMPTY.to_owned());
    let began_ms = world.stream.records[records[0]].arrival_ms / WINDOW_MS * WINDOW_MS;
    loop {
        let (records, rest) = left.split_at(if left.is_empty() { 0 } else { fleet.arrived(left).await });
        left = rest;
        // The last records may come with the end, or before it.
        let is_final = records.is_empty() || left.is_empty() && world.below(2) == 0;
        let window = WindowPart { began_ms, state, is_final, is_early: false };
        state = deliver_part(fleet, Part { shard, records: records.to_vec(), window }, late).await;
        if is_final {
            return;
        }
        if state != EMPTY && world.chance(world.plan.early) {
            // Lambda drops the state afterwards, and the window goes on.
            let window = WindowPart { began_ms, state, is_final: world.below(2) == 0, is_early: true };
            deliver_part(fleet, Part { shard, records: Vec::new(), window }, late).await;
            state = EMPTY.to_owned();
        }
    }
}

/// Delivers a part of a window until it succeeds. Returns the window's state.
async fn deliver_part(fleet: &Fleet, part: Part, late: &mut JoinSet<()>) -> String {
    let world = &fleet.world;
    let state = loop {
        match invoke(fleet, &part).await {
            // An answer that is lost makes it come again.
            Some(_) if world.chance(world.plan.repeats / 2) => {}
            Some(state) => break state,
            None => {}
        }
        sleep_ms(1 + world.below(AGAIN_MS)).await;
    };
    if world.chance(world.plan.repeats / 2) {
        let fleet = fleet.clone();
        late.spawn(async move {
            sleep_ms(1 + fleet.world.below(LATE_MS)).await;
            let _ = invoke(&fleet, &part).await;
        });
    }
    state
}

/// Invokes a function. Returns the window's state; `None` if the event has to come again.
async fn invoke(fleet: &Fleet, Part { shard, records, window }: &Part) -> Option<String> {
    let closes_window = window.is_final || window.is_early;
    let response = function::invoke(fleet, &event(fleet, *shard, records, Some(window)), closes_window).await?;
    // Lambda takes a response without a state for a failure.
    response.state().map(str::to_owned)
}
