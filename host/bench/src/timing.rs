//! Turns and medians.

use std::time::{Duration, Instant};

/// The median of some times.
pub(crate) fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// How long one call takes, in nanoseconds, when it is made `calls` times.
fn time(calls: u32, f: &mut dyn FnMut()) -> f64 {
    let started = Instant::now();
    (0..calls).for_each(|_| f());
    started.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// Calls each of these in turns, and gives the median time of a call of each, in nanoseconds.
pub(crate) fn in_turns<const N: usize>(mut contestants: [&mut dyn FnMut(); N]) -> [f64; N] {
    /// Turns of each. The median of so many stands still on a noisy machine.
    const TURNS: usize = 61;
    /// How long a turn should take.
    const TURN: Duration = Duration::from_millis(8);

    // Warm up, and find out how many calls make a turn.
    let calls = contestants.each_mut().map(|f| {
        time(3, *f);
        ((TURN.as_nanos() as f64 / time(3, *f)).ceil() as u32).clamp(1, 10_000)
    });
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(TURNS));
    for turn in 0..TURNS {
        for step in 0..N {
            // Who begins changes, so that nobody always comes after the same other.
            let who = (turn + step) % N;
            times[who].push(time(calls[who], contestants[who]));
        }
    }
    times.map(|mut times| median(&mut times))
}
