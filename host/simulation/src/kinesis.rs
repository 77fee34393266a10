//! A stream in memory, as one life of a host polls it: requests fail, take long, use iterators that are too old, and the
//! host may die in them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use paceline_aws::kinesis::{PolledFrom, PolledRecord, PolledRecords, PolledShard, PolledStream, Refusal};
use paceline_pipeline::model::{Checkpoint, SequenceNumber};
use paceline_pipeline::store::CheckpointStore;

use crate::acknowledged;
use crate::fate::{Ending, Table};
use crate::latch::Latch;
use crate::plant::Plant;
use crate::raw::RawRecord;
use crate::stream::Shard;
use crate::time::time_ms;
use crate::world::{World, sleep_ms};

/// The age from which Kinesis refuses an iterator, in milliseconds.
const ITERATOR_MS: u64 = 300_000;
/// The most stream records of a response.
const MOST_RECORDS: u64 = 20;
/// How long the stream keeps its records, in hours.
const RETENTION_HOURS: i32 = 24;
/// How long before the run the stream was created, in milliseconds.
const AGE_MS: i64 = 60_000;

/// The codes of requests that fail, with their HTTP status.
const TRANSIENT: [(&str, u16); 4] = [
    ("ProvisionedThroughputExceededException", 400),
    ("InternalFailure", 500),
    ("ServiceUnavailable", 503),
    ("LimitExceededException", 400),
];

/// The stream as a host polls it.
pub(crate) struct SimulatedStream {
    world: Arc<World>,
    host: u32,
    killed: Arc<Latch>,
}

/// Where an iterator stands: in which shard, before which of its stream records, and when it was given out.
struct Iterator {
    shard: usize,
    next: usize,
    issued_ms: u64,
}

impl fmt::Debug for SimulatedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedStream")
    }
}

impl fmt::Display for Iterator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.shard, self.next, self.issued_ms)
    }
}

impl Iterator {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/').map(|part| part.parse::<u64>().ok());
        let (shard, next, issued_ms) = (parts.next()??, parts.next()??, parts.next()??);
        Some(Self { shard: shard as usize, next: next as usize, issued_ms })
    }
}

impl SimulatedStream {
    /// The stream as a host polls it; `killed` is set when the host dies.
    pub(crate) fn new(world: Arc<World>, host: u32, killed: Arc<Latch>) -> Self {
        Self { world, host, killed }
    }

    /// The fate of a request.
    async fn request(&self, what: &str) -> Result<(), Refusal> {
        if self.killed.is_set() {
            std::future::pending().await
        }
        let fate = self.world.fate(Table::Stream);
        sleep_ms(fate.before + fate.after).await;
        match fate.ending {
            Ending::Answered => Ok(()),
            Ending::Refused | Ending::AnswerLost => {
                let (code, status) = TRANSIENT[self.world.below(TRANSIENT.len() as u64) as usize];
                self.world.trace(format_args!("host {} {what}: {code}", self.host));
                Err(Refusal { code, status })
            }
            Ending::KilledBefore | Ending::KilledAfter => {
                self.world.trace(format_args!("host {} dies in {what}", self.host));
                self.world.lose_volatile();
                self.killed.set();
                std::future::pending().await
            }
        }
    }

    /// The shards that there are by now.
    fn shards(&self) -> impl std::iter::Iterator<Item = (usize, &Shard)> {
        let is_resharded = self.world.is_resharded();
        self.world.stream.shards.iter().enumerate().filter(move |(_, shard)| shard.parents.is_empty() || is_resharded)
    }

    fn is_closed(&self, shard: usize) -> bool {
        self.world.is_resharded() && self.world.stream.children(shard).next().is_some()
    }

    fn describe_shard(&self, at: usize, shard: &Shard) -> PolledShard {
        let parents = shard.parents.iter().map(|&parent| self.world.stream.shards[parent].id.clone());
        let closed = self.is_closed(at);
        PolledShard { id: shard.id.clone(), parents: parents.collect(), hash_range: shard.hash_range, closed }
    }

    /// The records of a stream record: one, or with a planted bug as many as it has messages.
    fn records(&self, shard: usize, sequence: SequenceNumber, raw: &RawRecord) -> Vec<PolledRecord> {
        let record = |data: &[u8]| PolledRecord {
            sequence: sequence.to_string(),
            partition_key: raw.partition_key.clone(),
            data: data.to_vec(),
            arrival_ms: time_ms(raw.arrival_ms) as i64,
        };
        if !self.world.is_planted(Plant::SubSequenceIgnored) {
            return vec![record(&raw.data)];
        }
        let stream = &self.world.stream;
        let all = stream.shards[shard].records.iter().map(|&at| &stream.records[at]);
        all.filter(|one| one.position.sequence == sequence).map(|one| record(&one.message.payload)).collect()
    }

    /// With a planted bug, what is read counts as committed.
    async fn commit_what_is_read(&self, shard: usize, sequence: SequenceNumber) {
        if self.world.is_planted(Plant::CheckpointBeforeCommit) {
            let name = &self.world.stream.shards[shard].name;
            let checkpoint = Checkpoint { sequence, ..Checkpoint::default() };
            if self.world.store.put_checkpoint(name, &checkpoint).await.is_ok() {
                acknowledged::check(&self.world, &self.world.stream.up_to(name, sequence)).await;
            }
        }
    }
}

#[async_trait]
impl PolledStream for SimulatedStream {
    fn now_ms(&self) -> i64 {
        time_ms(self.world.now_ms()) as i64
    }

    async fn describe(&self) -> Result<(i64, i32), Refusal> {
        self.request("describes the stream").await?;
        Ok((time_ms(0) as i64 - AGE_MS, RETENTION_HOURS))
    }

    async fn list_shards(&self) -> Result<Vec<PolledShard>, Refusal> {
        self.request("lists the shards").await?;
        Ok(self.shards().map(|(at, shard)| self.describe_shard(at, shard)).collect())
    }

    async fn get_iterator(&self, shard: &str, position: PolledFrom<'_>) -> Result<String, Refusal> {
        self.request("gets an iterator").await?;
        let missing = Refusal { code: "ResourceNotFoundException", status: 400 };
        let (at, shard) = self.shards().find(|(_, other)| other.id == shard).ok_or(missing)?;
        let invalid = |_| Refusal { code: "InvalidArgumentException", status: 400 };
        let next = match position {
            PolledFrom::TrimHorizon => 0,
            PolledFrom::At(time) => {
                shard.raw.values().take_while(|raw| (time_ms(raw.arrival_ms) as i64) < time).count()
            }
            PolledFrom::AtSequence(sequence) => {
                let sequence: SequenceNumber = sequence.parse().map_err(invalid)?;
                shard.raw.range(..sequence).count()
            }
            PolledFrom::After(sequence) => {
                let sequence: SequenceNumber = sequence.parse().map_err(invalid)?;
                shard.raw.range(..=sequence).count()
            }
        };
        Ok(Iterator { shard: at, next, issued_ms: self.world.now_ms() }.to_string())
    }

    async fn get_records(&self, iterator: &str, limit: usize) -> Result<PolledRecords, Refusal> {
        self.request("gets records").await?;
        let (world, now_ms) = (&self.world, self.world.now_ms());
        let iterator = Iterator::parse(iterator).ok_or(Refusal { code: "InvalidArgumentException", status: 400 })?;
        if now_ms - iterator.issued_ms >= ITERATOR_MS || world.chance(world.plan.expired) {
            world.trace(format_args!("host {} has an iterator that has expired", self.host));
            return Err(Refusal { code: "ExpiredIteratorException", status: 400 });
        }
        let Iterator { shard, next: from, .. } = iterator;
        let arrived = |(_, raw): &(&SequenceNumber, &RawRecord)| raw.arrival_ms <= now_ms;
        let raws: Vec<_> = world.stream.shards[shard].raw.iter().skip(from).take_while(arrived).collect();
        let taken = raws.len().min(limit).min(1 + world.below(MOST_RECORDS) as usize);
        let records = raws[..taken].iter().flat_map(|(sequence, raw)| self.records(shard, **sequence, raw)).collect();
        if let Some((sequence, _)) = raws[..taken].last() {
            self.commit_what_is_read(shard, **sequence).await;
        }
        world.trace(format_args!("host {} gets {taken} of {} records of shard {shard}", self.host, raws.len()));
        let next = Iterator { shard, next: from + taken, issued_ms: now_ms }.to_string();
        let behind_ms = raws.get(taken).map_or(0, |(_, raw)| (now_ms - raw.arrival_ms).max(1) as i64);
        let is_end = taken == raws.len() && self.is_closed(shard);
        let of_this = |(_, child): &(usize, &Shard)| child.parents.contains(&shard);
        let children = self.shards().filter(|child| is_end && of_this(child));
        let children = children.map(|(at, child)| self.describe_shard(at, child)).collect();
        Ok(PolledRecords { records, next: (!is_end).then_some(next), behind_ms, children })
    }
}
