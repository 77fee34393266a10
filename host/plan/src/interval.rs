//! The batches of a queue from one poll to the next, and how long they take.

use crate::ranges::MOST_SIMULATED;
use crate::shape::Shape;
use crate::writes::{Writes, conflicts, sent, writes};

/// Turns of a queue in the shortest simulation: one in each quarter of it.
const CYCLES: f64 = 4.0;
/// Messages that come in the shortest simulation.
const MESSAGES: f64 = 10.0;

/// An interval of a queue: its batches.
pub(crate) struct Interval {
    pub(crate) seconds: f64,
    pub(crate) batches: f64,
    /// Ends of windows in it, on average. Each has an invocation of its own.
    pub(crate) flushes: f64,
    pub(crate) parts: Vec<Part>,
    /// Seconds of all of its batches and ends of windows.
    pub(crate) busy: f64,
    /// Seconds of a batch, on average.
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

/// How long a batch of a queue takes on average: with a tumbling window it writes nothing.
pub(crate) fn batch_seconds(shape: &Shape<'_>, share: f64, messages: f64) -> f64 {
    seconds_of_batch(shape, share, messages, write_seconds)
}

/// How long it takes with a conflict, if there can be one.
pub(crate) fn longest_batch_seconds(shape: &Shape<'_>, share: f64, messages: f64) -> f64 {
    seconds_of_batch(shape, share, messages, longest_write_seconds)
}

/// Seconds of writes.
type OfWrites = fn(&Shape<'_>, &[Writes]) -> f64;

fn seconds_of_batch(shape: &Shape<'_>, share: f64, messages: f64, of_writes: OfWrites) -> f64 {
    if shape.window > 0.0 {
        let waiting = shape.queue_rate(share) * shape.window / 2.0;
        return shape.compute_seconds(messages, 0.0) + shape.window_seconds(waiting);
    }
    let writes = writes(shape, share, messages, 0.0);
    shape.compute_seconds(messages, sent(&writes)) + of_writes(shape, &writes)
}

/// Seconds of the writes on average: those that meet a conflict go once more.
fn write_seconds(shape: &Shape<'_>, writes: &[Writes]) -> f64 {
    let (chance, conflicts) = conflicts(writes);
    first_write_seconds(shape, writes) + chance * second_write_seconds(shape, conflicts)
}

/// Seconds of the writes with a conflict, if there can be one.
pub(crate) fn longest_write_seconds(shape: &Shape<'_>, writes: &[Writes]) -> f64 {
    let (chance, conflicts) = conflicts(writes);
    first_write_seconds(shape, writes) + if chance > 0.0 { second_write_seconds(shape, conflicts) } else { 0.0 }
}

fn first_write_seconds(shape: &Shape<'_>, writes: &[Writes]) -> f64 {
    shape.work.write_seconds(writes.iter().map(|writes| writes.items).sum())
}

fn second_write_seconds(shape: &Shape<'_>, conflicts: f64) -> f64 {
    shape.work.write_seconds(conflicts) + shape.deployment.retry.first_wait_ms as f64 / 2e3
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
    let flushes = if shape.window > 0.0 { seconds / shape.window } else { 0.0 };
    let more = flushes * more_at_an_end(rate * seconds / shape.batch_messages);
    let (batches, busy) = (batches + more, busy + more * batch_seconds(shape, share, 0.0));
    let flush = if flushes > 0.0 { flush_seconds(shape, share, 0.0) * flushes } else { 0.0 };
    Interval { seconds, batches, flushes, parts, busy: busy + flush, duration: busy / batches }
}

/// Batches that come to those of a poll, on average, if a window ends somewhere in it: a batch has messages of one window.
///
/// Both halves have a rest then, unless that of the poll has room for them.
fn more_at_an_end(full_batches: f64) -> f64 {
    let before_the_last = (full_batches - 1e-6).floor().max(0.0);
    (before_the_last + 1.0) * (full_batches - before_the_last) / full_batches.max(1e-9)
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

/// Seconds of the invocation that ends a window, on average.
pub(crate) fn flush_seconds(shape: &Shape<'_>, share: f64, finals: f64) -> f64 {
    seconds_of_flush(shape, share, finals, write_seconds)
}

/// The same with a conflict, if there can be one.
pub(crate) fn longest_flush_seconds(shape: &Shape<'_>, share: f64, finals: f64) -> f64 {
    seconds_of_flush(shape, share, finals, longest_write_seconds)
}

fn seconds_of_flush(shape: &Shape<'_>, share: f64, finals: f64, of_writes: OfWrites) -> f64 {
    let messages = shape.queue_rate(share) * shape.window;
    let writes = writes(shape, share, messages, finals);
    shape.compute_seconds(0.0, sent(&writes)) + shape.window_seconds(messages) + of_writes(shape, &writes)
}
