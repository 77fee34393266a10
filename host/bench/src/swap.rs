//! Swaps of rulebooks while a race flows at full speed: what they cost the stream, and how soon they take effect.
//!
//! The host is what `paceline run` is made of: a registry in a folder, a task that polls its log beside the stream, and
//! batch after batch on the main thread. The store is in memory, because it hides the least. Rulebooks are published
//! before the race and are new to the host when they are activated: compiled plugins are not cached.
//!
//! - `desk`: the operator, who publishes and activates.
//! - `host`: the host, and what it notes of each batch.
//! - `races`: the stream of races.

mod desk;
mod host;
mod races;

use std::time::Duration;

use self::desk::Desk;
use self::host::{Race, Watch};
use self::races::Races;
use crate::timing::median;
use crate::{Results, print_line};

/// Swaps in a race. Each activates a rulebook that this host has not loaded.
const SWAPS: usize = 100;
/// Every tenth swap brings a scorer that has to be compiled; the others bring another setting.
const SWAPS_PER_PLUGIN: usize = 10;
/// Batches of 10,000 records between two swaps: about a tenth of a second.
const BATCHES_PER_SWAP: u64 = 10;
/// The interval of the polls in the race with so many swaps. By default it is a second, and no host would swap more often.
const SHORT_POLL: Duration = Duration::from_millis(20);
/// Turns of the race, with swaps and twice without. A turn takes about ten seconds.
const TURNS: usize = 7;

/// The default of `rules.poll-interval-ms`.
const POLL: Duration = Duration::from_millis(1_000);
/// Swaps whose latency is measured. Each brings a scorer that has to be compiled.
const LATENCY_SWAPS: usize = 20;

pub(crate) fn run(results: &mut Results) {
    let races = Races::new();
    throughput(results, &races);
    latency(results, &races);
}

/// The race with swaps and without, in turns.
fn throughput(results: &mut Results, races: &Races) {
    print_line(&format!("\nraces at full speed into the memory store, with {SWAPS} swaps and without"));
    let desk = Desk::new(SWAPS + 1, SWAPS_PER_PLUGIN);
    let batches = (SWAPS as u64 + 2) * BATCHES_PER_SWAP;
    let race = |swaps: usize| {
        let registry = desk.publish();
        let activate = |watch: &mut Watch| {
            for nth in 0..swaps {
                // One after another: what was activated before is in use.
                let wanted = (nth as u64 + 1) * BATCHES_PER_SWAP;
                if !watch.wait_for(|seen| seen.batches >= wanted && seen.rulebooks > nth) {
                    return;
                }
                desk.activate(registry.path(), nth + 1, false);
            }
            watch.wait_for(|_| false);
        };
        Race::run(registry.path(), races.batches(batches), SHORT_POLL, activate).0
    };
    // The first one is a warm-up.
    race(0);
    let [mut plain, mut control, mut swapped] = [Vec::new(), Vec::new(), Vec::new()];
    let (mut pauses, mut ordinary, mut firsts, mut swaps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        for step in 0..3 {
            // The order rotates, so that no contestant always follows the same other one.
            match (turn + step) % 3 {
                0 => plain.push(race(0).rate()),
                1 => control.push(race(0).rate()),
                _ => {
                    let race = race(SWAPS);
                    swapped.push(race.rate());
                    swaps.push(race.swaps() as f64);
                    pauses.extend(race.pauses_ms());
                    ordinary.extend(race.ordinary_pauses_ms());
                    firsts.extend(race.first_batches_ms());
                }
            }
        }
    }
    // Compared within a turn: the machine's speed drifts from turn to turn.
    let over_plain =
        |rates: &[f64]| median(&mut rates.iter().zip(&plain).map(|(rate, plain)| rate / plain).collect::<Vec<_>>());
    results.add("swap_throughput_control", over_plain(&control), "A/A", "");
    results.add("swap_throughput_ratio", over_plain(&swapped), "with/without", "at least 0.95");
    results.add("swap_records_per_second", median(&mut swapped), "records/s", "");
    results.add("swap_count", median(&mut swaps), "swaps", "");
    // Other boundaries of the same races: what the machine adds at any of them, swap or not.
    let beyond = |pauses: &[f64], ordinary: &[f64], part: fn(usize) -> usize| {
        pauses[part(pauses.len())] - ordinary[part(ordinary.len())]
    };
    let (median_pause, _) = (median(&mut pauses), median(&mut ordinary));
    let p99 = |count: usize| count * 99 / 100;
    results.add("swap_pause_ms", median_pause, "ms, median", "at most 1");
    results.add("swap_pause_ms_p99", pauses[p99(pauses.len())], "ms", "");
    results.add("swap_pause_ms_p99_beyond_ordinary", beyond(&pauses, &ordinary, p99), "ms", "at most 1");
    results.add("swap_pause_ms_worst", pauses[pauses.len() - 1], "ms", "");
    results.add("ordinary_pause_ms_worst", ordinary[ordinary.len() - 1], "ms", "control");
    results.add("swap_first_batch_ms", median(&mut firsts), "ms, median", "beyond an ordinary batch");
}

/// The time from `activate --when now` to the first batch that is evaluated by it.
fn latency(results: &mut Results, races: &Races) {
    print_line(&format!("\n{LATENCY_SWAPS} swaps now, each with a new plugin, polled every {} ms", POLL.as_millis()));
    let desk = Desk::new(LATENCY_SWAPS + 1, 1);
    let registry = desk.publish();
    let (race, activations) = Race::run(registry.path(), races.batches(u64::MAX), POLL, |watch| {
        let mut activations = Vec::new();
        for nth in 0..LATENCY_SWAPS {
            if !watch.wait_for(|seen| seen.rulebooks > nth) {
                break;
            }
            // Spread over the poll's interval by the golden ratio: otherwise each would come just after a poll.
            paceline_testbed::poll::pause(POLL.mul_f64((nth as f64 * 0.618_034).fract()));
            activations.push(desk.activate(registry.path(), nth + 1, true));
        }
        watch.wait_for(|seen| seen.rulebooks > LATENCY_SWAPS);
        activations
    });
    let first_batches = race.first_batches();
    assert_eq!(first_batches.len(), LATENCY_SWAPS, "every swap is in use before the next");
    let mut times: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for ((started, returned), first) in activations.iter().zip(first_batches) {
        times[0].push(first.saturating_duration_since(*started).as_secs_f64() * 1e3);
        times[1].push(first.saturating_duration_since(*returned).as_secs_f64() * 1e3);
    }
    let [from_start, from_return] = &mut times;
    results.add("swap_latency_ms", median(from_start), "ms, median", "from the start of `activate`");
    results.add("swap_latency_ms_worst", from_start[LATENCY_SWAPS - 1], "ms", "at most 1300");
    results.add("swap_latency_from_commit_ms", median(from_return), "ms, median", "from its return");
    results.add("swap_latency_from_commit_ms_worst", from_return[LATENCY_SWAPS - 1], "ms", "at most 1300");
}
