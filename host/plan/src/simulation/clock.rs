//! Events in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Microseconds since the beginning.
pub(super) type Micros = u64;

/// Microseconds of a second.
pub(super) const SECOND: f64 = 1e6;

pub(super) fn micros(seconds: f64) -> Micros {
    (seconds.max(0.0) * SECOND).round() as Micros
}

pub(super) fn seconds(micros: Micros) -> f64 {
    micros as f64 / SECOND
}

/// What happens to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// The mapping polls, or the process reads.
    Poll,
    /// An invocation starts to write, or writes once more.
    Write,
    /// An invocation ends.
    End,
}

/// Events to come. Those of the same time come in the order in which they were added.
#[derive(Default)]
pub(super) struct Clock {
    events: BinaryHeap<Reverse<(Micros, u64, usize, Event)>>,
    added: u64,
}

impl Clock {
    pub(super) fn add(&mut self, at: Micros, queue: usize, event: Event) {
        self.added += 1;
        self.events.push(Reverse((at, self.added, queue, event)));
    }

    /// The next event until this time.
    pub(super) fn next(&mut self, until: Micros) -> Option<(Micros, usize, Event)> {
        if self.events.peek()?.0.0 > until {
            return None;
        }
        self.events.pop().map(|Reverse((at, _, queue, event))| (at, queue, event))
    }
}
