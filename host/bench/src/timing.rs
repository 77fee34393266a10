//! Measures alternatives in turns and returns medians.

use std::time::{Duration, Instant};

/// The upper median. Sorts `times`, which must not be empty.
pub(crate) fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The mean time of a call, in nanoseconds.
fn time(calls: u32, f: &mut dyn FnMut()) -> f64 {
    let started = Instant::now();
    (0..calls).for_each(|_| f());
    started.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// Calls each contestant in turns and returns the median times of their calls, in nanoseconds.
pub(crate) fn in_turns<const N: usize>(mut contestants: [&mut dyn FnMut(); N]) -> [f64; N] {
    /// Turns of each contestant. The median of so many is stable on a noisy machine.
    const TURNS: usize = 61;
    /// The target duration of a turn.
    const TURN: Duration = Duration::from_millis(8);

    // Warm up, and measure how many calls a turn needs.
    let calls = contestants.each_mut().map(|f| {
        time(3, *f);
        ((TURN.as_nanos() as f64 / time(3, *f)).ceil() as u32).clamp(1, 10_000)
    });
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(TURNS));
    for turn in 0..TURNS {
        for step in 0..N {
            // The order rotates, so that no contestant always follows the same other one.
            let index = (turn + step) % N;
            times[index].push(time(calls[index], contestants[index]));
        }
    }
    times.map(|mut times| median(&mut times))
}
