//! Measures contestants in turns, by processor time: what other programs do meanwhile hardly matters, and what a host does
//! in threads of its own counts.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One way from a batch to its scores.
pub(crate) trait Contestant {
    /// The scores of the batch.
    fn score(&mut self) -> Vec<f64>;

    /// The processor time of so many calls.
    fn time(&mut self, calls: u32) -> Duration {
        let started = processor_time();
        (0..calls).for_each(|_| drop(black_box(self.score())));
        processor_time() - started
    }
}

impl<F: FnMut() -> Vec<f64>> Contestant for F {
    fn score(&mut self) -> Vec<f64> {
        self()
    }
}

/// The processor time of this process so far, in all threads.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Calls each contestant in turns, and returns the median time of a call of each, in nanoseconds.
pub(crate) fn in_turns(contestants: &mut [&mut dyn Contestant]) -> Vec<f64> {
    /// Turns of each contestant. The median of so many is stable on a noisy machine.
    const TURNS: usize = 31;

    let calls: Vec<u32> = contestants.iter_mut().map(|contestant| calls_of_a_turn(*contestant)).collect();
    let mut times: Vec<Vec<f64>> = contestants.iter().map(|_| Vec::with_capacity(TURNS)).collect();
    for turn in 0..TURNS {
        for step in 0..contestants.len() {
            // The order rotates, so that another contestant begins each turn.
            let index = (turn + step) % contestants.len();
            let elapsed = contestants[index].time(calls[index]);
            times[index].push(elapsed.as_nanos() as f64 / f64::from(calls[index]));
        }
    }
    times.into_iter().map(median).collect()
}

/// Warms up a contestant, and returns how many calls make a turn.
fn calls_of_a_turn(contestant: &mut dyn Contestant) -> u32 {
    /// The target duration of a turn.
    const TURN: Duration = Duration::from_millis(8);
    /// After so long no code is being compiled any more, and no cache is cold. The compiler of node takes the longest.
    const WARM_UP: Duration = Duration::from_millis(400);
    const MOST_CALLS: u32 = 1 << 16;

    let mut calls = 1;
    let mut spent = Duration::ZERO;
    loop {
        let elapsed = contestant.time(calls);
        spent += elapsed;
        let enough = (TURN.as_secs_f64() * f64::from(calls) / elapsed.as_secs_f64()).ceil() as u32;
        let enough = enough.clamp(1, MOST_CALLS);
        if spent >= WARM_UP {
            return enough;
        }
        calls = enough.min(calls * 2);
    }
}

/// The upper median of at least one time.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
