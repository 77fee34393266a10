//! Queues, batches and the largest share of one: what a load and a deployment are together.

use paceline_capacity::{kinesis, lambda};

use crate::deployment::{Consumer, Deployment};
use crate::load::{Keys, Load};
use crate::work::Work;

/// The least and the most time of an invocation that the function reserves for its response, in seconds, and its part of
/// the time-out.
const RESERVE_SECONDS: (f64, f64) = (0.2, 2.0);
const RESERVE_PART: f64 = 0.1;
/// Bytes of payloads that fill a batch of a process: the default of `batch.max-bytes`.
const PROCESS_BATCH_BYTES: f64 = 6_291_456.0;
/// The least part of a processor. No setting within its range has less.
pub(crate) const LEAST_SPEED: f64 = 1e-9;
/// Bytes of JSON beyond which the function commits a window before its end.
pub(crate) const WINDOW_STATE_BYTES: f64 = 1_000_000.0;

/// What a load and a deployment are together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    pub(crate) load: &'a Load,
    pub(crate) deployment: &'a Deployment,
    pub(crate) work: &'a Work,
    /// Ordered sequences of batches: shards × factor.
    pub(crate) queues: u32,
    /// Messages in a record.
    pub(crate) per_record: f64,
    /// The most messages of a batch.
    pub(crate) batch_messages: f64,
    /// Seconds that a mapping waits for a full batch, or a process between two polls.
    pub(crate) waits: f64,
    /// Seconds between two batches of a queue that is not behind.
    pub(crate) interval: f64,
    /// Processors that a batch has, 1 at most.
    pub(crate) speed: f64,
    /// The function's time-out in seconds.
    pub(crate) timeout: Option<f64>,
    /// Batches that may be in progress.
    pub(crate) concurrency: u32,
    /// The tumbling window in seconds, or 0. It is shorter than the mapping's if its state would be too large.
    pub(crate) window: f64,
}

impl<'a> Shape<'a> {
    pub(crate) fn new(load: &'a Load, deployment: &'a Deployment, work: &'a Work) -> Self {
        let queues = deployment.shards.max(1) * deployment.factor();
        let per_record = load.messages_per_record();
        let base = Self {
            load,
            deployment,
            work,
            queues,
            per_record,
            batch_messages: f64::INFINITY,
            waits: 1.0,
            interval: 1.0,
            speed: 1.0,
            timeout: None,
            concurrency: u32::MAX,
            window: 0.0,
        };
        let shape = match &deployment.consumer {
            Consumer::Function(function) => {
                let records = function.batch_size.min(lambda::records_of_an_event(load.record_bytes())).max(1);
                let poll = 1.0 / lambda::POLLS_PER_SECOND;
                let shape = Self {
                    batch_messages: f64::from(records) * per_record,
                    waits: f64::from(function.window_seconds).max(poll),
                    interval: f64::from(function.window_seconds).max(poll),
                    speed: (f64::from(function.memory_mb) / lambda::MEGABYTES_OF_A_PROCESSOR).min(1.0),
                    timeout: Some(f64::from(function.timeout_seconds)),
                    concurrency: function.concurrency,
                    ..base
                };
                let fits = shape.window_messages() / shape.queue_rate(shape.share()).max(1e-9);
                Self { window: f64::from(function.tumbling_seconds).min(fits), ..shape }
            }
            Consumer::Run(process) | Consumer::Kcl(process) => Self {
                batch_messages: f64::from(process.batch_records)
                    .min(PROCESS_BATCH_BYTES / load.message_bytes.max(1) as f64)
                    .max(1.0),
                waits: f64::from(process.wait_ms.max(1)) / 1e3,
                interval: f64::from(process.wait_ms.max(1)) / 1e3,
                speed: (process.processors / f64::from(queues)).min(1.0),
                ..base
            },
        };
        shape.with_whole_records()
    }

    /// A packed record comes when it is full. A mapping that waits for a full batch begins to wait with a record, so that its
    /// intervals are of whole records; a process finds nothing between two of them.
    fn with_whole_records(self) -> Self {
        if !self.load.is_packed() {
            return self;
        }
        let fills = self.record_fills();
        let interval = match &self.deployment.consumer {
            // Less than a millionth comes from rounding.
            Consumer::Function(_) => (self.waits / fills - 1e-6).ceil().max(1.0) * fills,
            Consumer::Run(_) | Consumer::Kcl(_) => self.waits.max(fills),
        };
        Self { interval, ..self }
    }

    /// Seconds from one record of the fullest queue to the next.
    fn record_fills(&self) -> f64 {
        self.per_record / self.queue_rate(self.share()).max(1e-9)
    }

    /// Seconds that the oldest and the newest message of a batch wait beyond its interval: until their packed record is full,
    /// or until the wait that began with it is over.
    pub(crate) fn record_waits(&self) -> (f64, f64) {
        if !self.load.is_packed() {
            return (0.0, 0.0);
        }
        let fills = self.record_fills();
        match &self.deployment.consumer {
            Consumer::Function(_) => {
                let after_the_last = (self.waits - (self.interval - fills)).max(0.0);
                (after_the_last, after_the_last)
            }
            Consumer::Run(_) | Consumer::Kcl(_) => (fills.min(self.waits), 0.0),
        }
    }

    /// The share of the messages that the fullest queue has.
    pub(crate) fn share(&self) -> f64 {
        self.load.hottest_share(self.queues)
    }

    /// The share of the messages that the fullest shard has.
    pub(crate) fn shard_share(&self) -> f64 {
        self.load.hottest_share(self.deployment.shards)
    }

    /// Messages a second that a shard accepts.
    pub(crate) fn shard_accepts(&self) -> f64 {
        let by_records = kinesis::SHARD_RECORDS_PER_SECOND * self.per_record;
        let by_bytes = kinesis::SHARD_BYTES_PER_SECOND / self.load.counted_bytes().max(1) as f64 * self.per_record;
        by_records.min(by_bytes)
    }

    /// Messages a second that the fullest shard accepts of those that come to it.
    pub(crate) fn fullest_accepts(&self) -> f64 {
        (self.load.messages_per_second() * self.shard_share()).min(self.shard_accepts())
    }

    /// Messages a second that all shards accept. What they reject is in no other figure of the consumer.
    pub(crate) fn accepted(&self) -> f64 {
        let others = f64::from(self.deployment.shards.max(1) - 1);
        let of_others = self.load.messages_per_second() * (1.0 - self.shard_share());
        self.fullest_accepts() + of_others.min(self.shard_accepts() * others)
    }

    /// Messages a second of a queue as far as its shard accepts them: the fullest one has the largest share, all others have
    /// what is left of the accepted ones.
    pub(crate) fn queue_rate(&self, share: f64) -> f64 {
        let sent = self.load.messages_per_second() * self.share();
        let fullest = sent * (self.fullest_accepts() / (self.load.messages_per_second() * self.shard_share()));
        if self.queues == 1 || share >= self.share() {
            return fullest;
        }
        (self.accepted() - fullest) / f64::from(self.queues - 1)
    }

    /// The share of the fullest queue of all messages that are accepted. It is below [`Shape::share`] if its shard is full.
    pub(crate) fn accepted_share(&self) -> f64 {
        self.queue_rate(self.share()) / self.accepted()
    }

    /// The share of a queue: the first one is the fullest, the others are equal.
    pub(crate) fn share_of(&self, queue: u32) -> f64 {
        let hottest = self.share();
        if queue == 0 { hottest } else { (1.0 - hottest) / f64::from(self.queues - 1) }
    }

    /// Concurrent batches, any of which may find its groups written by another host's batch since it read them.
    ///
    /// Lambda may give a batch to any instance, each of which has a cache of its own. The processes of the KCL have one
    /// each for a shard, `paceline run` has one for all.
    pub(crate) fn stale_share(&self) -> f64 {
        let writers = match &self.deployment.consumer {
            Consumer::Function(_) => self.queues.min(self.concurrency),
            Consumer::Kcl(_) if self.load.keys == Keys::Random => self.queues,
            Consumer::Kcl(_) | Consumer::Run(_) => 1,
        };
        1.0 - 1.0 / f64::from(writers.max(1))
    }

    /// Whether batches of different queues may be in processes or instances of their own.
    pub(crate) fn has_rivals(&self) -> bool {
        match &self.deployment.consumer {
            Consumer::Function(_) => self.queues.min(self.concurrency) > 1,
            Consumer::Kcl(_) => self.queues > 1,
            Consumer::Run(_) => false,
        }
    }

    /// Messages a second that can be read of a shard: all that poll it share its limit, each fan-out consumer has its own.
    pub(crate) fn shard_reads(&self) -> f64 {
        let shared = match &self.deployment.consumer {
            Consumer::Run(process) | Consumer::Kcl(process) if process.fan_out => 1.0,
            _ => f64::from(1 + self.deployment.other_pollers),
        };
        kinesis::SHARD_READ_BYTES_PER_SECOND / shared / self.load.record_bytes().max(1) as f64 * self.per_record
    }

    /// Seconds that the first message of a record waits for the last one.
    pub(crate) fn packing_seconds(&self) -> f64 {
        (self.per_record - 1.0) / self.queue_rate(self.share()).max(1e-9)
    }

    /// Messages that the state of a tumbling window can hold.
    pub(crate) fn window_messages(&self) -> f64 {
        WINDOW_STATE_BYTES / self.work.window_message_bytes
    }

    /// Seconds of an invocation that are not for work.
    pub(crate) fn reserve(&self) -> f64 {
        self.timeout.map_or(0.0, |timeout| (timeout * RESERVE_PART).clamp(RESERVE_SECONDS.0, RESERVE_SECONDS.1))
    }

    /// Seconds of a batch until its groups are written: the rest is [`Work::write_seconds`].
    ///
    /// One small read of the shard's horizon belongs to each batch.
    pub(crate) fn compute_seconds(&self, messages: f64, groups: f64) -> f64 {
        let work = self.work;
        let processor = messages * work.message_ns / 1e9 + groups * work.group_us / 1e6;
        processor / self.speed.max(LEAST_SPEED) + (work.batch_ms + work.request_ms) / 1e3
    }

    /// Seconds that the messages of an open window cost each invocation.
    pub(crate) fn window_seconds(&self, messages: f64) -> f64 {
        messages * self.work.window_message_ns / 1e9 / self.speed.max(LEAST_SPEED)
    }
}
