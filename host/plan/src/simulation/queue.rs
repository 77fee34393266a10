//! A queue of batches, and the batch in progress.

use std::ops::Range;

use fastrand::Rng;

use super::arrivals::Arrivals;
use super::bucket::Bucket;
use super::clock::{Micros, micros, seconds};
use crate::shape::Shape;
use crate::writes::{Writes, writes};

/// Writes of one aggregate that are still to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// The index of the aggregate.
    pub(super) aggregate: usize,
    /// Items that do not go to the index.
    pub(super) plain: f64,
    /// Items that do.
    pub(super) indexed: f64,
    /// Writes that meet a conflict.
    pub(super) conflicts: f64,
    pub(super) item_units: f64,
    pub(super) index_item_units: f64,
}

impl Pending {
    /// What a batch writes, and whether it meets conflicts.
    fn of_batch(writes: &[Writes], rng: &mut Rng) -> Vec<Self> {
        // Aggregates have them together.
        let drawn = rng.f64();
        writes.iter().map(|writes| Self::new(writes, drawn, rng)).collect()
    }

    fn new(writes: &Writes, drawn: f64, rng: &mut Rng) -> Self {
        let (items, indexed) = (writes.items.round(), writes.indexed.round());
        let conflicts = if drawn < writes.conflict_chance { writes.conflicts / writes.conflict_chance } else { 0.0 };
        // Of a fraction of a conflict, a batch has a whole one or none.
        let conflicts = (conflicts + rng.f64()).floor();
        Self {
            aggregate: writes.aggregate,
            plain: (items - indexed).max(0.0),
            indexed,
            conflicts,
            item_units: writes.item_units,
            index_item_units: writes.index_item_units,
        }
    }

    pub(super) fn left(&self) -> f64 {
        self.plain + self.indexed + self.conflicts
    }
}

/// What is written together: messages, and what is left to write of them.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) messages: Range<u64>,
    pub(super) pending: Vec<Pending>,
    /// Whether it ends a window. Otherwise, with a window, it writes nothing.
    pub(super) flush: bool,
}

/// An invocation, or a batch in a process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Invocation {
    pub(super) began: Micros,
    /// When it stops to retry.
    pub(super) limit: Micros,
    pub(super) attempt: u32,
    pub(super) timed_out: bool,
}

/// A queue. At most one batch of it is in progress.
pub(super) struct Queue {
    pub(super) arrivals: Arrivals,
    /// Its share of all messages.
    pub(super) share: f64,
    /// Messages that may be read.
    pub(super) reads: Bucket,
    /// Messages that polls have brought.
    pub(super) fetched: u64,
    /// Messages that are in a batch, in the window, or done.
    pub(super) taken: u64,
    /// The first message that is not committed.
    pub(super) committed: u64,
    /// When it was polled the last time.
    pub(super) polled: Micros,
    /// Batches to deliver again, the next one last.
    pub(super) again: Vec<Batch>,
    pub(super) running: Option<(Batch, Invocation)>,
    /// The next invocation needs a new instance.
    pub(super) cold: bool,
}

impl Queue {
    pub(super) fn new(arrivals: Arrivals, share: f64, reads: Bucket) -> Self {
        Self {
            arrivals,
            share,
            reads,
            fetched: 0,
            taken: 0,
            committed: 0,
            polled: 0,
            again: Vec::new(),
            running: None,
            cold: true,
        }
    }

    /// Reads what has come, as far as the shard lets it be read.
    pub(super) fn fetch(&mut self, at: Micros) {
        let most = self.reads.level(at).floor();
        let fetched = (self.arrivals.until(at).saturating_sub(self.fetched) as f64).min(most.max(0.0));
        self.reads.take(fetched);
        self.fetched += fetched as u64;
    }

    /// A batch to deliver again, or a new one.
    pub(super) fn next_batch(&mut self, at: Micros, shape: &Shape<'_>, rng: &mut Rng) -> Option<Batch> {
        if let Some(batch) = self.again.pop() {
            return Some(batch);
        }
        if self.fetched <= self.committed {
            return None;
        }
        let full = (shape.batch_messages.max(1.0)).min(u64::MAX as f64) as u64;
        let mut end = self.fetched.min(self.taken.saturating_add(full));
        if shape.window > 0.0 {
            // A window ends by the arrival of its messages. A batch has those of one window.
            let (window_end, last) = self.window(shape.window);
            if self.taken >= last && self.committed < self.taken && at >= window_end {
                return Some(self.batch(self.committed..self.taken, true, shape, rng));
            }
            end = end.min(last);
        }
        if end <= self.taken {
            return None;
        }
        let messages = self.taken..end;
        self.taken = end;
        Some(self.batch(messages, false, shape, rng))
    }

    /// A batch and what it writes.
    pub(super) fn batch(&self, messages: Range<u64>, flush: bool, shape: &Shape<'_>, rng: &mut Rng) -> Batch {
        let pending = match shape.window > 0.0 && !flush {
            true => Vec::new(),
            false => {
                let finals = self.arrivals.finals(messages.clone()) as f64;
                let count = (messages.end - messages.start) as f64;
                Pending::of_batch(&writes(shape, self.share, count, finals), rng)
            }
        };
        Batch { messages, pending, flush }
    }

    /// The end of the window that the first message belongs to that is not committed, and its messages until then.
    fn window(&self, length: f64) -> (Micros, u64) {
        let mut ends = (seconds(self.oldest()) / length).floor();
        loop {
            let end = micros(ends * length);
            let last = self.arrivals.until(end);
            // The time of a message is rounded, so that it may be at the end of a window that does not have it.
            if last > self.committed {
                return (end, last);
            }
            ends += 1.0;
        }
    }

    /// When the oldest message that is not committed came.
    pub(super) fn oldest(&self) -> Micros {
        self.arrivals.time_of(self.committed)
    }
}
