//! The steady state, by formulas: nothing is throttled, and no queue is behind.

use serde::Serialize;

use crate::capacities::{Capacity, capacities};
use crate::interval::{
    Interval, Part, flush_seconds, interval, longest_batch_seconds, longest_flush_seconds, longest_write_seconds,
};
use crate::load::Finals;
use crate::shape::Shape;
use crate::writes::{Writes, busiest, read_units, sent, units, writes};

/// The steady state. Rates are of all shards together unless named otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Flow {
    /// Messages a second that producers send.
    pub messages_per_second: f64,
    /// Messages a second that the shards accept. What the consumer and the table do is for these.
    pub accepted_per_second: f64,
    /// Records a second that producers send.
    pub records_per_second: f64,
    /// Bytes a second that producers send, partition keys included.
    pub bytes_per_second: f64,
    /// The share of the fullest shard.
    pub shard_share: f64,
    /// Ordered sequences of batches.
    pub queues: u32,
    /// Records of the largest batch of an interval, in the fullest queue.
    pub batch_records: f64,
    /// The most records that a batch can have.
    pub full_batch_records: f64,
    /// Messages of that batch.
    pub batch_messages: f64,
    /// Seconds between the beginnings of two intervals of a queue.
    pub interval_seconds: f64,
    /// Batches of a queue in an interval.
    pub batches_per_interval: f64,
    /// Invocations, or batches, a second. The end of a window is one, too.
    pub batches_per_second: f64,
    /// Seconds of one of them, on average.
    pub duration_seconds: f64,
    /// Seconds of the longest batch: one that is full, the end of a race or of a window.
    pub longest_duration_seconds: f64,
    /// The part of the time in which the fullest queue has a batch in progress.
    pub busy: f64,
    /// Batches in progress, on average.
    pub concurrency: f64,
    /// Items written a second.
    pub items_per_second: f64,
    /// Write units a second of the table, on average.
    pub table_units_per_second: f64,
    /// Write units a second of the index, on average.
    pub index_units_per_second: f64,
    /// Write units a second of the busiest partition key, on average.
    pub partition_units_per_second: f64,
    /// Write units of the table that come due at once at the end of a race or window.
    pub peak_units: f64,
    /// Write units of the index that come due at once.
    pub peak_index_units: f64,
    /// Write units that come due at once of the aggregate with the most of them: its items of a race share a partition key.
    pub peak_partition_units: f64,
    /// Write units of table and index for 1,000 messages.
    pub units_per_thousand: f64,
    /// Write units a second of the table that are for writes which find that another host was first.
    pub refused_units_per_second: f64,
    /// Read units a second: the horizon of each batch, and shared items that several hosts write.
    pub read_units_per_second: f64,
    /// Bytes of a tumbling window's state, for a shard.
    pub window_state_bytes: f64,
    /// Seconds from a message to the table, on average.
    pub mean_age_seconds: f64,
    /// The same for the oldest message of a batch.
    pub highest_age_seconds: f64,
    /// Messages a second that the host can take at most, with full batches, by what bounds it.
    pub capacities: Vec<Capacity>,
}

impl Flow {
    pub(crate) fn new(shape: &Shape<'_>) -> Self {
        let load = shape.load;
        let accepted = shape.accepted();
        let records_per_second = load.records_per_second();
        let queues = queues(shape);
        let hottest = &queues[0].interval;
        let average = average_writes(shape, &queues);
        let (table, index) = units(&average);
        let peak = peak_writes(shape, &queues);
        let (peak_units, peak_index_units) = units(&peak);
        let sum = |of: fn(&Interval) -> f64| queues.iter().map(|queue| queue.count * of(&queue.interval)).sum::<f64>();
        let batches_per_second = sum(|interval| (interval.batches + interval.flushes) / interval.seconds);
        let concurrency = sum(|interval| interval.busy / interval.seconds);
        let window_messages = shape.queue_rate(shape.share()) * shape.window;
        let (mean_age_seconds, highest_age_seconds) = ages(shape, hottest);
        let longest = longest_duration(shape, hottest);
        Self {
            messages_per_second: load.messages_per_second(),
            accepted_per_second: accepted,
            records_per_second,
            bytes_per_second: records_per_second * load.counted_bytes() as f64,
            shard_share: shape.shard_share(),
            queues: shape.queues,
            batch_records: hottest.batch_messages() / shape.per_record,
            full_batch_records: shape.batch_messages / shape.per_record,
            batch_messages: hottest.batch_messages(),
            interval_seconds: hottest.seconds,
            batches_per_interval: hottest.batches,
            batches_per_second,
            duration_seconds: concurrency / batches_per_second,
            longest_duration_seconds: longest,
            busy: hottest.busy / hottest.seconds,
            concurrency,
            items_per_second: average.iter().map(|writes| writes.items).sum(),
            table_units_per_second: table,
            index_units_per_second: index,
            partition_units_per_second: partition_units(shape, &average),
            peak_units,
            peak_index_units,
            peak_partition_units: busiest(&peak),
            units_per_thousand: (table + index) / accepted * 1e3,
            refused_units_per_second: average.iter().map(|writes| writes.conflicts * writes.item_units).sum(),
            read_units_per_second: batches_per_second + shared_reads(shape, &queues),
            window_state_bytes: window_messages * shape.work.window_message_bytes,
            mean_age_seconds,
            highest_age_seconds,
            capacities: capacities(shape),
        }
    }

    /// Messages a second that the host can take at most, and what bounds it.
    #[must_use]
    pub fn capacity(&self) -> &Capacity {
        let least = self.capacities.iter().min_by(|a, b| a.messages_per_second.total_cmp(&b.messages_per_second));
        least.expect("there is always the function or process")
    }

    /// Seconds a second by which ages grow because the consumer or its reads take less than comes, with full batches: a
    /// simulation that has a few of them does not show it. What a table lacks, its burst credit may have.
    pub(crate) fn overload(&self) -> f64 {
        /// A formula is as exact.
        const EXACT: f64 = 0.02;
        let of_time = self.capacities.iter().filter(|capacity| capacity.is_of_time);
        let least = of_time.map(|capacity| capacity.messages_per_second).fold(f64::INFINITY, f64::min);
        let growth = 1.0 - least / self.accepted_per_second.max(1e-9);
        if growth > EXACT { growth } else { 0.0 }
    }

    /// Records a second that the shards accept.
    pub(crate) fn accepted_records(&self) -> f64 {
        self.records_per_second * self.accepted_part()
    }

    /// Bytes a second that the shards accept, partition keys included.
    pub(crate) fn accepted_bytes(&self) -> f64 {
        self.bytes_per_second * self.accepted_part()
    }

    fn accepted_part(&self) -> f64 {
        self.accepted_per_second / self.messages_per_second
    }

    /// Seconds until nothing is behind any more after an outage of so many seconds; `None` if that never happens.
    #[must_use]
    pub fn catch_up_seconds(&self, outage_seconds: f64) -> Option<f64> {
        let spare = self.capacity().messages_per_second - self.accepted_per_second;
        (spare > 0.0).then(|| outage_seconds * self.accepted_per_second / spare)
    }
}

/// Queues that are alike.
struct Queues {
    count: f64,
    share: f64,
    interval: Interval,
}

/// The fullest queue, and all others.
fn queues(shape: &Shape<'_>) -> Vec<Queues> {
    let alike = |count, queue| {
        let share = shape.share_of(queue);
        Queues { count, share, interval: interval(shape, share) }
    };
    let mut queues = vec![alike(1.0, 0)];
    if shape.queues > 1 {
        queues.push(alike(f64::from(shape.queues - 1), 1));
    }
    queues
}

impl Queues {
    /// What is written together in an interval, or at the end of a window.
    fn written(&self, shape: &Shape<'_>) -> Vec<Part> {
        match shape.window > 0.0 {
            true => vec![Part { batches: 1.0, messages: shape.queue_rate(self.share) * shape.window }],
            false => self.interval.parts.clone(),
        }
    }
}

/// Writes a second of all queues, on average over a race.
fn average_writes(shape: &Shape<'_>, queues: &[Queues]) -> Vec<Writes> {
    let mut each = Vec::new();
    for queue in queues {
        let seconds = if shape.window > 0.0 { shape.window } else { queue.interval.seconds };
        for Part { batches, messages } in queue.written(shape) {
            let writes = writes(shape, queue.share, messages, messages * shape.load.final_share());
            each.push(scaled(writes, queue.count * batches / seconds));
        }
    }
    added(each)
}

/// Read units a second of shared items, of all queues.
fn shared_reads(shape: &Shape<'_>, queues: &[Queues]) -> f64 {
    let of_queue = |queue: &Queues| {
        let seconds = if shape.window > 0.0 { shape.window } else { queue.interval.seconds };
        let of_part = |part: &Part| part.batches * read_units(shape, queue.share, part.messages);
        queue.count / seconds * queue.written(shape).iter().map(of_part).sum::<f64>()
    };
    queues.iter().map(of_queue).sum()
}

/// The writes that come due at once: those of an interval or window in which all races end.
fn peak_writes(shape: &Shape<'_>, queues: &[Queues]) -> Vec<Writes> {
    let mut each = Vec::new();
    for queue in queues {
        let parts = queue.written(shape);
        let all: f64 = parts.iter().map(|part| part.batches * part.messages).sum();
        let part_of_finals = match shape.load.finals {
            Finals::Together => (finals(shape, queue.share) / all).min(1.0),
            Finals::Spread => shape.load.final_share(),
        };
        for Part { batches, messages } in parts {
            let writes = writes(shape, queue.share, messages, messages * part_of_finals);
            each.push(scaled(writes, queue.count * batches));
        }
    }
    added(each)
}

/// Final messages of a race in a queue, as far as its shard accepts them.
fn finals(shape: &Shape<'_>, share: f64) -> f64 {
    shape.queue_rate(share) * f64::from(shape.load.race_seconds) * shape.load.final_share()
}

/// The sums of writes, aggregate by aggregate.
fn added(each: Vec<Vec<Writes>>) -> Vec<Writes> {
    let add = |a: Writes, b: Writes| Writes {
        items: a.items + b.items,
        conflicts: a.conflicts + b.conflicts,
        indexed: a.indexed + b.indexed,
        ..a
    };
    let each = each.into_iter();
    each.reduce(|sum, more| sum.into_iter().zip(more).map(|(a, b)| add(a, b)).collect()).unwrap_or_default()
}

fn scaled(writes: Vec<Writes>, by: f64) -> Vec<Writes> {
    let scaled = |writes: Writes| Writes {
        items: writes.items * by,
        conflicts: writes.conflicts * by,
        indexed: writes.indexed * by,
        ..writes
    };
    writes.into_iter().map(scaled).collect()
}

/// Units a second of the busiest partition key: an aggregate's items of one race, or of one class, have one.
fn partition_units(shape: &Shape<'_>, average: &[Writes]) -> f64 {
    busiest(average) / f64::from(shape.load.races.max(1))
}

fn longest_duration(shape: &Shape<'_>, hottest: &Interval) -> f64 {
    let share = shape.share();
    let full = longest_batch_seconds(shape, share, hottest.batch_messages());
    let finals = finals(shape, share);
    let together = if shape.load.finals == Finals::Together { 1.0 } else { shape.load.final_share() };
    if shape.window > 0.0 {
        return full.max(longest_flush_seconds(shape, share, finals * together));
    }
    let messages = hottest.batch_messages();
    let end = writes(shape, share, messages, finals.min(messages) * together);
    full.max(shape.compute_seconds(messages, sent(&end)) + longest_write_seconds(shape, &end))
}

/// The mean and the highest age. Messages of a batch have waited for half of its interval on average.
fn ages(shape: &Shape<'_>, hottest: &Interval) -> (f64, f64) {
    let (oldest, newest) = shape.record_waits();
    let record = (oldest + newest) / 2.0;
    if shape.window > 0.0 {
        let flush = flush_seconds(shape, shape.share(), 0.0);
        // An interval that is longer than the window has several, one after another.
        let flushes = (hottest.seconds / shape.window).max(1.0);
        let batches = hottest.batches * hottest.duration;
        // The poll after the end of a window comes half an interval later on average, and has its last messages.
        let waits = hottest.seconds / 2.0 + batches / 2.0 + flush * (flushes + 1.0) / 2.0;
        let mean = shape.window / 2.0 + waits + record;
        return (mean, shape.window + hottest.seconds + batches + flush * flushes + oldest);
    }
    let mean = hottest.seconds / 2.0 + hottest.duration * (hottest.batches + 1.0) / 2.0;
    // A single batch takes the whole interval; the first messages of several wait for the first batch only.
    let highest = hottest.seconds + hottest.duration;
    (mean + record, highest + oldest)
}
