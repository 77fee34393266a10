//! The messages of a run, and the shards that they arrive in.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use paceline_pipeline::model::{Batch, DeadLetter, Record, RecordPosition, SequenceNumber};

use crate::message::{Draw, Message};
use crate::plan::Plan;
use crate::raw::{RawRecord, pack};
use crate::time::time_ms;

/// The sequence number of a shard's first record.
const FIRST: u64 = 1_000;
/// The same in a stream that was created again: each of its numbers is lower, and none is one of before.
const FIRST_RECREATED: u64 = 5;
/// The time in which a stream is deleted and created again, in milliseconds.
const RECREATED_AFTER_MS: u64 = 10_000;

/// A message in a shard.
#[derive(Clone, Debug)]
pub(crate) struct StreamRecord {
    pub(crate) message: Arc<Message>,
    pub(crate) shard: usize,
    pub(crate) position: RecordPosition,
    pub(crate) arrival_ms: u64,
}

/// A shard. Its records are indexes, ascending.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Its name in positions: the stream's and its id.
    pub(crate) name: Arc<str>,
    pub(crate) id: String,
    /// None, one, or the two that it was merged of.
    pub(crate) parents: Vec<usize>,
    /// The first and the last hash key.
    pub(crate) hash_range: (u128, u128),
    /// The sequence number of its first record.
    first: u64,
    pub(crate) records: Vec<usize>,
    /// Its stream records, by sequence number.
    pub(crate) raw: BTreeMap<SequenceNumber, RawRecord>,
}

/// All records, in the order of their arrival, and the shards.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) records: Vec<StreamRecord>,
    pub(crate) shards: Vec<Shard>,
    /// When the first shard ends and its children begin, in milliseconds.
    pub(crate) reshard_ms: Option<u64>,
    by_letter: BTreeMap<String, usize>,
}

impl Stream {
    /// The stream of a plan.
    pub(crate) fn draw(plan: &Plan) -> Self {
        let rng = Rng::with_seed(plan.seed ^ 0x73_7472_6561_6d00);
        let mut draw = Draw::new(plan, rng);
        let mut messages: Vec<Arc<Message>> = Vec::new();
        while messages.len() < plan.records as usize {
            let again = !messages.is_empty() && plan.is_ordinal() && draw.chance(plan.duplicates);
            match again {
                true => messages.push(Arc::clone(&messages[draw.rng.usize(0..messages.len())])),
                false => messages.push(Arc::new(draw.message(messages.len() as u32))),
            }
        }
        let mut rng = draw.rng;
        if plan.is_ordinal() {
            // Random partition keys: messages overtake each other.
            for at in 1..messages.len() {
                let other = rng.usize(at.saturating_sub(6)..=at);
                messages.swap(at, other);
            }
        }
        let mut shards: Vec<Shard> =
            (0..plan.shards as usize).map(|at| shard(plan, at, hash_range(plan, at), &[])).collect();
        shards.extend(children(plan));
        let mut stream = Self { records: Vec::new(), shards, reshard_ms: None, by_letter: BTreeMap::new() };
        let all = messages.len() as u64;
        for (at, message) in messages.into_iter().enumerate() {
            let span_ms = u64::from(plan.span) * 1_000;
            let arrival_ms = match u64::from(plan.bursts) {
                0 => at as u64 * span_ms / all,
                bursts => at as u64 * bursts / all * span_ms / bursts,
            };
            let mut shard = match plan.is_ordinal() {
                true => rng.usize(0..plan.shards as usize),
                false => (message.racer % plan.shards) as usize,
            };
            let mut arrival_ms = arrival_ms;
            if plan.reshard > 0 && at as u64 > all / 2 {
                if plan.is_recreated() {
                    arrival_ms += RECREATED_AFTER_MS;
                }
                stream.reshard_ms.get_or_insert(arrival_ms);
                // Racers share shards by their remainder, and the halves of a shard by the next digit.
                let digit = if plan.is_ordinal() { at as u32 } else { message.racer / plan.shards };
                let children: Vec<usize> = stream.children(shard).collect();
                if let Some(&child) = children.get(digit as usize % children.len().max(1)) {
                    shard = child;
                }
            }
            let joins = rng.u32(0..100) < plan.aggregates;
            stream.push(StreamRecord { message, shard, position: RecordPosition::default(), arrival_ms }, joins);
        }
        stream.pack(plan);
        stream
    }

    /// Makes the stream records of each shard. Some messages are in an aggregate of another shard than their hash keys'.
    fn pack(&mut self, plan: &Plan) {
        let mut rng = Rng::with_seed(plan.seed ^ 0x666f_7265_6967_6e00);
        let Self { records, shards, .. } = self;
        let first_keys: Vec<u128> = shards.iter().map(|shard| shard.hash_range.0).collect();
        for shard in shards {
            let all = &shard.records;
            for of_one in
                all.chunk_by(|one, other| records[*one].position.sequence == records[*other].position.sequence)
            {
                let first = &records[of_one[0]];
                let messages = of_one.iter().map(|&record| &*records[record].message);
                let mut hash_key = || match of_one.len() > 1 && rng.u32(0..100) < plan.foreign {
                    true => first_keys[rng.usize(0..first_keys.len())],
                    false => shard.hash_range.0,
                };
                let messages: Vec<(String, u128, &[u8])> =
                    messages.map(|message| (message.racer.to_string(), hash_key(), &message.payload[..])).collect();
                // One that is in an aggregate is a payload without a text.
                let is_undecodable = matches!(messages[..], [(.., [])]);
                shard.raw.insert(first.position.sequence, pack(&messages, first.arrival_ms, is_undecodable));
            }
        }
    }

    /// Adds a record to its shard: as a stream record of its own, or to the one before.
    fn push(&mut self, mut record: StreamRecord, joins: bool) {
        let shard = &mut self.shards[record.shard];
        let last = shard.records.last().map(|&last| &self.records[last]);
        let sequence = shard.first + 10 * shard.records.len() as u64;
        record.position = RecordPosition { sequence: sequence.into(), sub_sequence: 0 };
        // The mapping parallelizes by team, and a stream record is of one part.
        if let Some(last) = last.filter(|last| joins && last.message.team == record.message.team) {
            record.position = RecordPosition { sub_sequence: last.position.sub_sequence + 1, ..last.position };
            record.arrival_ms = last.arrival_ms;
        }
        shard.records.push(self.records.len());
        self.by_letter.insert(DeadLetter::id_of(&shard.name, record.position), self.records.len());
        self.records.push(record);
    }

    /// The shards that go on where this one ends.
    pub(crate) fn children(&self, shard: usize) -> impl Iterator<Item = usize> {
        (0..self.shards.len()).filter(move |child| self.shards[*child].parents.contains(&shard))
    }

    /// The record whose dead letter has this id.
    pub(crate) fn by_letter(&self, id: &str) -> Option<usize> {
        self.by_letter.get(id).copied()
    }

    /// The records of a shard up to this sequence number.
    pub(crate) fn up_to(&self, shard: &str, sequence: SequenceNumber) -> Vec<usize> {
        let records = self.shards.iter().filter(|other| &*other.name == shard).flat_map(|other| &other.records);
        records.copied().filter(|&record| self.records[record].position.sequence <= sequence).collect()
    }

    /// The id of a record's dead letter.
    pub(crate) fn letter_id(&self, record: usize) -> String {
        let record = &self.records[record];
        DeadLetter::id_of(&self.shards[record.shard].name, record.position)
    }

    /// A batch of these records, which are of one shard.
    pub(crate) fn batch(&self, shard: usize, records: &[usize], ignore_sub_sequence: bool) -> Batch {
        let mut batch = Batch::new(Arc::clone(&self.shards[shard].name));
        for (at, &record) in records.iter().enumerate() {
            let StreamRecord { message, mut position, arrival_ms, .. } = self.records[record].clone();
            let is_undecodable = self.shards[shard].raw[&position.sequence].is_undecodable;
            if ignore_sub_sequence {
                position.sub_sequence = 0;
            }
            let payload = batch.push_bytes(&message.payload);
            let key = batch.push_bytes(message.racer.to_string().as_bytes());
            batch.records.push(Record {
                payload,
                position,
                partition_key: Some(key),
                arrival_ms: Some(time_ms(arrival_ms) as i64),
                cut_from: None,
                redriven: None,
            });
            if is_undecodable {
                batch.undecodable.push((at as u32, "it is not base64".to_owned()));
            }
        }
        batch
    }

    /// The first of these records that have arrived, as many stream records as a batch may have, whole ones.
    pub(crate) fn take(&self, records: &[usize], most: u32, now_ms: u64) -> usize {
        let (mut taken, mut count, mut last) = (0, 0, None);
        for &record in records {
            let StreamRecord { position, arrival_ms, .. } = &self.records[record];
            if last != Some(position.sequence) {
                if count == most || *arrival_ms > now_ms {
                    break;
                }
                count += 1;
                last = Some(position.sequence);
            }
            taken += 1;
        }
        taken
    }
}

/// The stream's name, by what events have of its ARN.
fn stream_name(plan: &Plan) -> &'static str {
    match plan.arn {
        // Only events have an ARN.
        _ if !plan.has_functions() => "alleycat",
        1 => "unknown-stream",
        2 => "EXAMPLE",
        _ => "alleycat",
    }
}

fn shard(plan: &Plan, at: usize, hash_range: (u128, u128), parents: &[usize]) -> Shard {
    let id = format!("shardId-{at:012}");
    let name = format!("{}/{id}", stream_name(plan)).into();
    let parents = parents.to_vec();
    Shard { name, id, parents, hash_range, first: FIRST, records: Vec::new(), raw: BTreeMap::new() }
}

/// The hash keys of a shard that the stream begins with.
fn hash_range(plan: &Plan, at: usize) -> (u128, u128) {
    let (nth, width) = (at as u128, u128::MAX / u128::from(plan.shards));
    match nth + 1 == u128::from(plan.shards) {
        true => (nth * width, u128::MAX),
        false => (nth * width, (nth + 1) * width - 1),
    }
}

/// The shards that the stream has from its resharding on.
fn children(plan: &Plan) -> Vec<Shard> {
    let (next, (first, last)) = (plan.shards as usize, hash_range(plan, 0));
    if plan.is_recreated() {
        let all: Vec<usize> = (0..next).collect();
        let recreated = |&at: &usize| Shard { first: FIRST_RECREATED, ..shard(plan, at, hash_range(plan, at), &all) };
        return all.iter().map(recreated).collect();
    }
    match plan.reshard {
        0 => Vec::new(),
        2 => {
            let middle = first.midpoint(last);
            vec![shard(plan, next, (first, middle), &[0]), shard(plan, next + 1, (middle + 1, last), &[0])]
        }
        3 if plan.shards > 1 => vec![shard(plan, next, (first, hash_range(plan, 1).1), &[0, 1])],
        _ => vec![shard(plan, next, (first, last), &[0])],
    }
}
