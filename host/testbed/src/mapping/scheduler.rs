//! Runs the queues of a stream's shards on worker threads.

use std::panic::resume_unwind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use fastrand::Rng;

use super::queue::{Progress, ShardQueue, Target};
use super::report::Report;
use super::settings::{Invoke, Mapping};
use crate::stream::{Stream, hash_key};

/// Processes all records of all shards, children after their parents.
pub(super) fn run<F: Invoke>(mapping: &Mapping<F>, stream: &Stream, function: &F) -> Report {
    let arn = stream.arn();
    let queues = Queues {
        shards: vec![ShardState::Waiting; stream.shards.len()],
        rng: Rng::with_seed(mapping.seed),
        ready: Vec::new(),
        taken: 0,
        report: Report::default(),
        stopped: false,
    };
    let scheduler = Scheduler {
        stream,
        target: Target { mapping, function, arn: &arn },
        queues: Mutex::new(queues),
        changed: Condvar::new(),
    };
    scheduler.start_shards(&mut scheduler.queues());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..mapping.max_concurrency).map(|_| scope.spawn(|| scheduler.work())).collect();
        for worker in workers {
            // Panics with the worker's own message.
            worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    let queues = scheduler.queues.into_inner().unwrap_or_else(PoisonError::into_inner);
    let not_done = queues.shards.iter().position(|shard| *shard != ShardState::Done);
    assert!(not_done.is_none(), "shard {not_done:?} was never started: it is an ancestor of its own parents");
    queues.report
}

struct Scheduler<'a, F> {
    stream: &'a Stream,
    target: Target<'a, F>,
    queues: Mutex<Queues<'a>>,
    /// Notified when a queue is ready and when the last one is done.
    changed: Condvar,
}

struct Queues<'a> {
    /// Queues that a worker may take.
    ready: Vec<ShardQueue<'a>>,
    /// The number of queues that workers have taken.
    taken: usize,
    shards: Vec<ShardState>,
    /// Chooses the next queue, so that the order of queues depends on the seed.
    rng: Rng,
    report: Report,
    /// A worker has panicked.
    stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShardState {
    /// Its parents are not done.
    Waiting,
    /// With so many queues that are not done.
    Started(usize),
    Done,
}

impl<'a, F: Invoke> Scheduler<'a, F> {
    fn queues(&self) -> MutexGuard<'_, Queues<'a>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes queues and runs one delivery of each, until none is left.
    fn work(&self) {
        let _stop = StopOnPanic(self);
        while let Some(mut queue) = self.take() {
            let progress = queue.deliver(&self.target);
            let mut queues = self.queues();
            queues.taken -= 1;
            match progress {
                Progress::More => {
                    queues.ready.push(queue);
                    self.changed.notify_one();
                }
                Progress::Done => {
                    self.finish(&mut queues, queue);
                    self.changed.notify_all();
                }
            }
        }
    }

    fn take(&self) -> Option<ShardQueue<'a>> {
        let is_over = |queues: &Queues<'_>| queues.stopped || (queues.ready.is_empty() && queues.taken == 0);
        let must_wait = |queues: &mut Queues<'_>| !is_over(queues) && queues.ready.is_empty();
        let mut queues = self.changed.wait_while(self.queues(), must_wait).unwrap_or_else(PoisonError::into_inner);
        if is_over(&queues) {
            return None;
        }
        queues.taken += 1;
        let ready = queues.ready.len();
        let chosen = queues.rng.usize(..ready);
        Some(queues.ready.swap_remove(chosen))
    }

    fn finish(&self, queues: &mut Queues<'a>, queue: ShardQueue<'a>) {
        let (shard, report) = queue.into_report();
        let state = &mut queues.shards[shard];
        *state = match *state {
            ShardState::Started(left) if left > 1 => ShardState::Started(left - 1),
            _ => ShardState::Done,
        };
        queues.report.add(report);
        self.start_shards(queues);
    }

    /// Starts each shard whose parents are done. A parent that the stream no longer has is done.
    fn start_shards(&self, queues: &mut Queues<'a>) {
        let shards = &self.stream.shards;
        let is_pending = |queues: &Queues<'_>, id: &String| {
            shards.iter().zip(&queues.shards).any(|(shard, state)| shard.id == *id && *state != ShardState::Done)
        };
        while let Some(number) = (0..shards.len()).find(|&number| {
            queues.shards[number] == ShardState::Waiting
                && !shards[number].parents.iter().any(|id| is_pending(queues, id))
        }) {
            let ready = self.shard_queues(number);
            queues.shards[number] = if ready.is_empty() { ShardState::Done } else { ShardState::Started(ready.len()) };
            queues.ready.extend(ready);
        }
    }

    /// The queues of a shard that have records.
    fn shard_queues(&self, number: usize) -> Vec<ShardQueue<'a>> {
        let factor = self.target.mapping.queues_per_shard();
        let shard = &self.stream.shards[number];
        let mut queues = vec![Vec::new(); factor];
        for record in &shard.records {
            // By the low bits: the high bits have determined the shard.
            queues[(hash_key(&record.partition_key) as u64 % factor as u64) as usize].push(record);
        }
        let seed = |queue: usize| self.target.mapping.seed ^ ((number as u64 + 1) << 32 | (queue as u64 + 1));
        let filled = queues.into_iter().enumerate().filter(|(_, records)| !records.is_empty());
        filled
            .map(|(queue, records)| ShardQueue::new((number, &shard.id), records, Rng::with_seed(seed(queue))))
            .collect()
    }
}

/// Stops the other workers when one panics; they would wait for its queue forever.
struct StopOnPanic<'a, 'b, F: Invoke>(&'a Scheduler<'b, F>);

impl<F: Invoke> Drop for StopOnPanic<'_, '_, F> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.queues().stopped = true;
            self.0.changed.notify_all();
        }
    }
}
