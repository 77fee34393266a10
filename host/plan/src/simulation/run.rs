//! What happens at each event.

use std::collections::VecDeque;

use fastrand::Rng;

use super::ages::Samples;
use super::arrivals::Arrivals;
use super::bucket::Bucket;
use super::clock::{Clock, Event, Micros, micros, seconds};
use super::queue::{Batch, Invocation, Pending, Queue};
use super::table::Table;
use super::{Options, Outcome};
use crate::interval::cycle;
use crate::shape::Shape;

/// The most doublings of the bound of a wait: `RetryPolicy` of the pipeline has the same.
const DOUBLINGS: u32 = 20;
/// Seconds of a shard's reads that one request may bring: 10 MB at 2 MB a second.
const READ_AHEAD_SECONDS: f64 = 5.0;

/// Quarters of the time: ages rise and fall with each window, so that the highest ones are compared.
const QUARTERS: u64 = 4;

struct Simulation<'a> {
    shape: &'a Shape<'a>,
    clock: Clock,
    queues: Vec<Queue>,
    table: Table,
    rng: Rng,
    /// Invocations in progress, and queues that wait for one to end.
    running: u32,
    blocked: VecDeque<usize>,
    outage: (Micros, Micros),
    ages: Samples,
    /// The highest age in each quarter of the time.
    oldest: [f64; QUARTERS as usize],
    /// Quarters that have ended.
    quarters: u64,
    /// Seconds in which a queue that is not behind has a turn.
    cycle: f64,
    outcome: Outcome,
}

/// Runs it to its end, or until it has caught up after the outage.
pub(super) fn run(shape: &Shape<'_>, options: &Options, until_caught_up: bool) -> Outcome {
    let end = micros(f64::from(options.seconds));
    let outage = options.outage.unwrap_or_default();
    let outage = (outage.0, outage.0 + outage.1);
    let mut simulation = Simulation {
        shape,
        clock: Clock::default(),
        queues: Vec::new(),
        table: Table::new(shape),
        rng: Rng::with_seed(options.seed),
        running: 0,
        blocked: VecDeque::new(),
        outage: (micros(f64::from(outage.0)), micros(f64::from(outage.1))),
        ages: Samples::default(),
        oldest: [0.0; QUARTERS as usize],
        quarters: 0,
        cycle: cycle(shape),
        outcome: Outcome::default(),
    };
    simulation.start();
    while let Some((at, queue, event)) = simulation.clock.next(end) {
        simulation.end_quarters(at, end);
        simulation.handle(at, queue, event);
        let age = seconds(at.saturating_sub(simulation.queues[queue].oldest()));
        let quarter = &mut simulation.oldest[(at * QUARTERS / end.max(1)).min(QUARTERS - 1) as usize];
        *quarter = quarter.max(age);
        if until_caught_up && simulation.outcome.catch_up.is_some() {
            return simulation.finish(at);
        }
    }
    simulation.end_quarters(end, end);
    simulation.finish(end)
}

impl Simulation<'_> {
    fn start(&mut self) {
        for number in 0..self.shape.queues {
            let share = self.shape.share_of(number);
            let arrivals = Arrivals::new(self.shape.load, self.shape.queue_rate(share));
            let reads = self.shape.shard_reads() / f64::from(self.shape.deployment.factor());
            self.queues.push(Queue::new(
                arrivals,
                share,
                Bucket::new(reads, self.shape.interval.max(READ_AHEAD_SECONDS)),
            ));
            // Queues are not polled at the same moment.
            let phase = self.rng.f64() * self.shape.interval;
            self.clock.add(micros(phase), number as usize, Event::Poll);
        }
    }

    fn handle(&mut self, at: Micros, queue: usize, event: Event) {
        match event {
            Event::Poll => self.poll(at, queue),
            Event::Write => self.write(at, queue),
            Event::End => self.end(at, queue),
        }
    }

    /// Notes the ages at the end of each quarter: a long batch may have no event in it.
    fn end_quarters(&mut self, at: Micros, end: Micros) {
        while self.quarters < QUARTERS && at >= (self.quarters + 1) * end / QUARTERS {
            let age = self.oldest_age((self.quarters + 1) * end / QUARTERS);
            let quarter = &mut self.oldest[self.quarters as usize];
            *quarter = quarter.max(age);
            self.quarters += 1;
        }
    }

    /// Fetches what has come, and begins to process it.
    fn poll(&mut self, at: Micros, number: usize) {
        if (self.outage.0..self.outage.1).contains(&at) {
            self.clock.add(self.outage.1, number, Event::Poll);
            return;
        }
        let queue = &mut self.queues[number];
        queue.polled = at;
        queue.fetch(at);
        self.next_batch(at, number);
    }

    /// Begins the next batch, or waits for the next poll.
    fn next_batch(&mut self, at: Micros, number: usize) {
        if (self.outage.0..self.outage.1).contains(&at) {
            self.clock.add(self.outage.1, number, Event::Poll);
            return;
        }
        let Some(batch) = self.queues[number].next_batch(at, self.shape, &mut self.rng) else {
            self.note_catch_up(at);
            let next = self.queues[number].polled + micros(self.shape.interval);
            self.clock.add(next.max(at), number, Event::Poll);
            return;
        };
        if self.running >= self.shape.concurrency {
            self.queues[number].again.push(batch);
            self.blocked.push_back(number);
            return;
        }
        self.begin(at, number, batch);
    }

    fn begin(&mut self, at: Micros, number: usize, batch: Batch) {
        let shape = self.shape;
        self.running += 1;
        self.outcome.invocations += 1;
        let queue = &mut self.queues[number];
        let count = (batch.messages.end - batch.messages.start) as f64;
        let groups: f64 = batch.pending.iter().map(Pending::left).sum();
        let mut compute = shape.compute_seconds(if batch.flush { 0.0 } else { count }, groups);
        if shape.window > 0.0 {
            compute += shape.window_seconds((batch.messages.end - queue.committed) as f64);
        }
        if std::mem::take(&mut queue.cold) && shape.timeout.is_some() {
            compute += shape.work.cold_start_ms / 1e3;
        }
        let available = shape.timeout.map_or(f64::INFINITY, |timeout| timeout - shape.reserve());
        let own = compute + shape.deployment.retry.deadline_ms as f64 / 1e3;
        let limit = at.saturating_add(micros(own.min(available)));
        let timed_out = compute >= available;
        queue.running = Some((batch, Invocation { began: at, limit, attempt: 0, timed_out }));
        match timed_out {
            true => self.clock.add(at + micros(shape.timeout.unwrap_or_default()), number, Event::End),
            false => self.clock.add(at.saturating_add(micros(compute)), number, Event::Write),
        }
    }

    /// Writes what the table lets through; what it throttles waits for another attempt, or for another delivery.
    fn write(&mut self, at: Micros, number: usize) {
        let Some((batch, invocation)) = &mut self.queues[number].running else { return };
        let conflicts: f64 = batch.pending.iter().map(|pending| pending.conflicts).sum();
        let left = |batch: &Batch| batch.pending.iter().map(Pending::left).sum::<f64>();
        let before = left(batch);
        self.table.write(at, &mut batch.pending);
        let work = self.shape.work;
        let mut took = work.write_seconds((before - conflicts).max(0.0)) + work.write_seconds(conflicts);
        let retry = self.shape.deployment.retry;
        let done = left(batch) <= 0.0;
        if conflicts >= 1.0 {
            took += seconds_of_wait(&mut self.rng, retry.first_wait_ms);
        }
        let finished = at.saturating_add(micros(took));
        if done {
            self.clock.add(finished, number, Event::End);
            return;
        }
        self.outcome.throttled += 1;
        let bound = retry.first_wait_ms.saturating_mul(1 << invocation.attempt.min(DOUBLINGS));
        invocation.attempt += 1;
        let wait = micros(seconds_of_wait(&mut self.rng, bound.min(retry.longest_wait_ms).max(1)));
        let again = finished.saturating_add(wait);
        match again >= invocation.limit {
            true => self.clock.add(finished, number, Event::End),
            false => self.clock.add(again, number, Event::Write),
        }
    }

    fn end(&mut self, at: Micros, number: usize) {
        let queue = &mut self.queues[number];
        let Some((batch, invocation)) = queue.running.take() else { return };
        self.running -= 1;
        let took = seconds(at - invocation.began);
        self.outcome.seconds_running += took;
        self.outcome.longest_seconds = self.outcome.longest_seconds.max(took);
        if invocation.timed_out {
            self.time_out(number, batch);
        } else if batch.pending.iter().map(Pending::left).sum::<f64>() > 0.0 {
            // The table knows what was written: dedup leaves only the rest to the next delivery.
            self.outcome.redelivered += 1;
            queue.again.push(batch);
        } else {
            self.commit(at, number, &batch);
        }
        if let Some(blocked) = self.blocked.pop_front() {
            self.next_batch(at, blocked);
        }
        self.next_batch(at, number);
    }

    /// The instance is gone. The mapping delivers the batch in halves.
    fn time_out(&mut self, number: usize, batch: Batch) {
        self.outcome.timeouts += 1;
        let queue = &mut self.queues[number];
        queue.cold = true;
        let (start, end) = (batch.messages.start, batch.messages.end);
        if batch.flush || end - start < 2 {
            queue.again.push(batch);
            return;
        }
        let middle = start + (end - start) / 2;
        for messages in [middle..end, start..middle] {
            let half = queue.batch(messages, false, self.shape, &mut self.rng);
            queue.again.push(half);
        }
    }

    fn commit(&mut self, at: Micros, number: usize, batch: &Batch) {
        // With a window, messages are committed when it ends.
        if self.shape.window > 0.0 && !batch.flush {
            return;
        }
        let queue = &mut self.queues[number];
        let (start, end) = (batch.messages.start, batch.messages.end);
        let age = |message| seconds(at - queue.arrivals.time_of(message).min(at));
        let (oldest, newest) = self.shape.record_waits();
        self.ages.add(end - start, age(start) + oldest, age(end - 1) + newest);
        queue.committed = end;
        self.outcome.committed += end - start;
        self.note_catch_up(at);
    }

    /// Notes when no queue is behind any more after the outage.
    fn note_catch_up(&mut self, at: Micros) {
        let (began, ended) = self.outage;
        if self.outcome.catch_up.is_none() && ended > began && at >= ended && self.is_on_time(at) {
            self.outcome.catch_up = Some(seconds(at - ended));
        }
    }

    /// Whether no queue has messages that a queue on time would have committed.
    fn is_on_time(&self, at: Micros) -> bool {
        // An interval to gather, one to wait for its turn, and the batch.
        let allowed = self.cycle + self.shape.interval + 1.0;
        self.queues.iter().all(|queue| seconds(at.saturating_sub(queue.oldest())) <= allowed)
    }

    fn oldest_age(&self, at: Micros) -> f64 {
        self.queues.iter().map(|queue| seconds(at.saturating_sub(queue.oldest()))).fold(0.0, f64::max)
    }

    fn finish(mut self, end: Micros) -> Outcome {
        let mut outcome = std::mem::take(&mut self.outcome);
        for queue in &self.queues {
            let arrived = queue.arrivals.until(end);
            outcome.arrived += arrived;
            outcome.waiting += arrived - queue.taken;
            outcome.in_progress += queue.taken - queue.committed;
        }
        let sent = self.shape.load.messages_per_second() * seconds(end);
        outcome.rejected = (sent - outcome.arrived as f64 - f64::from(self.shape.queues)).max(0.0) as u64;
        outcome.age_at_end = self.oldest_age(end);
        outcome.seconds = seconds(end);
        let [_, second, _, last] = self.oldest;
        let rise = last.max(outcome.age_at_end) - second;
        // A quarter may have more of a window or interval than another one.
        if rise.abs() > self.cycle {
            outcome.growth = rise / (seconds(end) / 2.0).max(1e-6);
        }
        outcome.table_units = self.table.table_units.round() as u64;
        outcome.index_units = self.table.index_units.round() as u64;
        outcome.ages = self.ages.ages();
        outcome
    }
}

/// A random wait up to a bound, as the pipeline waits.
fn seconds_of_wait(rng: &mut Rng, bound_ms: u64) -> f64 {
    rng.u64(1..=bound_ms.max(1)) as f64 / 1e3
}
