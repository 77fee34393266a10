//! An event source mapping: reads a [`Stream`] and invokes a function with its records, as AWS documents it, with all
//! the failures that it handles.
//!
//! # Layout
//!
//! - `scheduler`: starts shards after their parents, and runs queues on worker threads.
//! - `queue`: one ordered sequence of batches, with their retries; `batch`: one of them.
//! - `event`: the JSON that a function is invoked with.
//! - `response`: what a function's response reports about its batch.
//! - `arrivals`: which records have come, of a stream that is read live.
//! - `settings`, `report`: what goes into a run and what comes out.
//!
//! Where the documentation is silent, one reading was chosen:
//! - All shards end with their records, so the last window of an open shard closes. There is no waiting for more, unless
//!   the stream is read live.
//! - A batching window begins when the batch before it is complete, and in a stream that was idle with the first record.
//! - A tumbling window that is read live closes with the first poll after its end.
//! - A batch holds consecutive records of one window. When the next record belongs to another window, the open one
//!   closes, even if the other is earlier: that one opens again, with a new state.
//! - A batch that terminated its window early, by a state over 1 MB, is done. The window continues: its next invocation
//!   (which may be the final one) has the state `{}` and `isWindowTerminatedEarly`; those after it lack the flag.
//! - The state of a partial failure is that of the records before the failure, and is passed on.
//! - A `state` of null is no state.
//! - A final invocation is retried and discarded like a batch.
//! - A partial failure that is not split uses up a retry of the rest.
//! - A response that is neither null nor an object is a complete failure if batch item failures are reported.

mod arrivals;
mod batch;
mod event;
mod queue;
mod report;
mod response;
mod scheduler;
mod settings;

use crate::stream::Stream;

pub use self::report::{FailureRecord, Report};
pub use self::settings::{Chaos, Invoke, Live, Mapping};

impl<F: Invoke> Mapping<F> {
    /// Invokes the function until all records of all shards are processed, children after their parents.
    ///
    /// # Panics
    ///
    /// If a setting is out of range, if a queue fails too often in a row, and if the function panics.
    pub fn run(self, stream: &Stream, function: &F) -> Report {
        self.check();
        scheduler::run(&self, stream, function)
    }
}
