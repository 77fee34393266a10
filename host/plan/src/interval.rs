//! The batches of a queue from one poll to the next, and how long they take.

use crate::ranges::MOST_SIMULATED;
use crate::shape::Shape;
use crate::writes::{Writes, sent, writes};

/// Turns of a queue in the shortest simulation: one in each quarter of it.
const CYCLES: f64 = 4.0;
/// Messages that come in the shortest simulation.
const MESSAGES: f64 = 10.0;

/// An interval of a queue: its batches.
pub(crate) struct Interval {
    pub(crate) seconds: f64,
    pub(crate) batches: f64,
    pub(crate) parts: Vec<Part>,
    /// Seconds of all of its batches.
    pub(crate) busy: f64,
    /// Seconds of one, on average.
    pub(crate) duration: f64,
}

/// Batches of the same size.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) batches: f64,
    pub(crate) messages: f64,
}

impl Interval {
    /// Messages of the largest batch.
    pub(crate) fn batch_messages(&self) -> f64 {
        self.parts.iter().map(|part| part.messages).fold(0.0, f64::max)
    }
}

/// What one batch of a queue writes, and how long it takes: with a tumbling window it writes nothing.
pub(crate) fn batch_seconds(shape: &Shape<'_>, share: f64, messages: f64) -> f64 {
    if shape.window > 0.0 {
        let waiting = shape.queue_rate(share) * shape.window / 2.0;
        return shape.compute_seconds(messages, 0.0) + shape.window_seconds(waiting);
    }
    let writes = writes(shape, share, messages, 0.0);
    shape.compute_seconds(messages, sent(&writes)) + write_seconds(shape, &writes)
}

/// Seconds of the writes: those that met a conflict go once more.
pub(crate) fn write_seconds(shape: &Shape<'_>, writes: &[Writes]) -> f64 {
    let conflicts: f64 = writes.iter().map(|writes| writes.conflicts).sum();
    let items: f64 = writes.iter().map(|writes| writes.items).sum();
    let wait = if conflicts >= 1.0 { shape.deployment.retry.first_wait_ms as f64 / 2e3 } else { 0.0 };
    shape.work.write_seconds(items) + shape.work.write_seconds(conflicts) + wait
}

/// The steady interval: what arrives in it is processed in it. It is longer than the mapping's if that is too short for
/// the batches, as far as full batches can keep up.
pub(crate) fn interval(shape: &Shape<'_>, share: f64) -> Interval {
    let rate = shape.queue_rate(share);
    let mut seconds = shape.interval;
    let mut found = of_seconds(shape, share, rate, seconds);
    // Larger batches are more efficient: the interval grows until they keep up, or are full.
    for _ in 0..64 {
        if found.busy <= seconds || rate * seconds >= shape.batch_messages {
            break;
        }
        seconds = (found.busy * 1.05).min((shape.batch_messages / rate).max(seconds));
        found = of_seconds(shape, share, rate, seconds);
    }
    found
}

/// Seconds in which a queue that is not behind has a turn: ages rise for so long, and fall.
pub(crate) fn cycle(shape: &Shape<'_>) -> f64 {
    let steady = interval(shape, shape.share());
    shape.window + steady.seconds.min(MOST_SIMULATED.into()) + steady.duration.min(MOST_SIMULATED.into())
}

/// The least seconds that show whether ages grow: several turns of a queue, and several messages.
pub(crate) fn least_simulated(shape: &Shape<'_>) -> u32 {
    let seconds = (CYCLES * cycle(shape)).max(MESSAGES / shape.accepted()).min(MOST_SIMULATED.into());
    seconds.ceil() as u32
}

fn of_seconds(shape: &Shape<'_>, share: f64, rate: f64, seconds: f64) -> Interval {
    let parts = parts(shape, (rate * seconds).max(1e-9));
    let batches: f64 = parts.iter().map(|part| part.batches).sum();
    let busy: f64 = parts.iter().map(|part| part.batches * batch_seconds(shape, share, part.messages)).sum();
    let flush = match shape.window > 0.0 {
        true => flush_seconds(shape, share, 0.0) * seconds / shape.window,
        false => 0.0,
    };
    Interval { seconds, batches, parts, busy: busy + flush, duration: busy / batches }
}

/// The batches of so many messages: full ones, and the rest.
fn parts(shape: &Shape<'_>, messages: f64) -> Vec<Part> {
    // What is less than a message comes from rounding.
    let full = (messages / shape.batch_messages + 1e-6).floor();
    let rest = messages - full * shape.batch_messages;
    let mut parts = Vec::new();
    if full > 0.0 {
        parts.push(Part { batches: full, messages: shape.batch_messages });
    }
    // Less than a message comes in some intervals only.
    if rest > 1e-3 || full <= 0.0 {
        parts.push(Part { batches: rest.clamp(1e-9, 1.0), messages: rest.max(1.0) });
    }
    parts
}

/// Seconds of the invocation that ends a window.
pub(crate) fn flush_seconds(shape: &Shape<'_>, share: f64, finals: f64) -> f64 {
    let messages = shape.queue_rate(share) * shape.window;
    let writes = writes(shape, share, messages, finals);
    shape.compute_seconds(0.0, sent(&writes)) + shape.window_seconds(messages) + write_seconds(shape, &writes)
}
