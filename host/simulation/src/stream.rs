//! The messages of a run, and the shards that they arrive in.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use paceline_pipeline::model::{Batch, DeadLetter, Key, Record, RecordPosition, SequenceNumber};

use crate::plan::Plan;
use crate::raw::{RawRecord, pack};
use crate::time::time_ms;

/// The cadence on which the aggregators of the simulation's rulebooks fail.
const VICTIM: u32 = 66;
/// The resistance that the second version of each rulebook rejects.
const STRICT: u32 = 80;
/// The cadence of a team's nth message in a class is this and n: the aggregators list the n.
pub(crate) const CADENCE: u32 = 100;
/// The most messages of a team in a class: their numbers are bytes.
const MOST: u32 = 150;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sound,
    /// No rulebook can process it.
    Broken,
    /// The second version of a rulebook rejects it.
    Strict,
    /// An aggregator fails on it.
    Trap,
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) class: u32,
    pub(crate) race: u32,
    pub(crate) racer: u32,
    /// Its racer's team: one for each part of the mapping. Teams have racers in all shards.
    pub(crate) team: u32,
    pub(crate) second: u32,
    /// Its number among the messages of its team in its class.
    pub(crate) nth: u32,
    pub(crate) resistance: u32,
    pub(crate) is_final: bool,
    pub(crate) payload: Vec<u8>,
}

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
    pub(crate) parent: Option<usize>,
    pub(crate) records: Vec<usize>,
    /// Its stream records, by sequence number.
    pub(crate) raw: BTreeMap<SequenceNumber, RawRecord>,
}

/// All records, in the order of their arrival, and the shards.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) records: Vec<StreamRecord>,
    pub(crate) shards: Vec<Shard>,
    /// When the first shard splits, in milliseconds.
    pub(crate) split_ms: Option<u64>,
    by_letter: BTreeMap<String, usize>,
}

impl Message {
    /// The group that lists the messages of a racer in a race.
    pub(crate) fn race_key(&self) -> Key {
        Key::new(format!("race-{}-{}", self.class, self.race), format!("racer-{}", self.racer))
    }

    /// The group that lists the messages of a team in a class.
    pub(crate) fn class_key(&self) -> Key {
        Key::new(format!("class-{}", self.class), format!("team-{}", self.team))
    }

    /// The number by which the groups list it.
    pub(crate) fn mark(&self) -> u8 {
        self.nth as u8
    }
}

/// Draws messages.
struct Draw<'p> {
    plan: &'p Plan,
    rng: Rng,
    /// Messages so far, of each team in a class, and of each racer in a race.
    in_class: BTreeMap<(u32, u32), u32>,
    in_race: BTreeMap<(u32, u32, u32), u32>,
}

impl Draw<'_> {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    /// The message after so many.
    fn message(&mut self, drawn: u32) -> Message {
        let plan = self.plan;
        let class = 3 + self.rng.u32(0..plan.classes);
        let race = 131 + (drawn * plan.races / plan.records + u32::from(self.rng.u32(0..4) == 0)).min(plan.races - 1);
        let racer = 1 + self.rng.u32(0..plan.racers);
        let team = racer % plan.factor;
        let nth = self.in_class.entry((class, team)).or_default();
        *nth += 1;
        let nth = *nth;
        let second = self.in_race.entry((class, race, racer)).or_default();
        *second += 1;
        let second = *second;
        let kind = match () {
            () if nth > MOST || self.chance(plan.broken) => Kind::Broken,
            () if self.chance(plan.traps) => Kind::Trap,
            () if self.chance(plan.strict) => Kind::Strict,
            () => Kind::Sound,
        };
        let cadence = if kind == Kind::Trap { VICTIM } else { CADENCE + nth };
        let resistance = if kind == Kind::Strict { STRICT } else { self.rng.u32(40..STRICT - 1) };
        let is_final = self.rng.u32(0..6) == 0;
        let event = if is_final { "final" } else { "update" };
        let sent = race * 1_000 + nth;
        let text = format!(
            r#"{{"event":"{event}","deviceTimestamp":{sent},"second":{second},"raceId":{race},"racerId":{racer},"team":{team},"classId":{class},"cadence":{cadence},"resistance":{resistance}}}"#
        );
        let payload = match (kind, self.rng.u32(0..5)) {
            (Kind::Broken, 0) => text.as_bytes()[..text.len() - 1].to_vec(),
            (Kind::Broken, 1) => text.replace("\"cadence\"", "\"cadance\"").into_bytes(),
            (Kind::Broken, 2) => {
                text.replace(&format!("\"resistance\":{resistance}"), "\"resistance\":1000").into_bytes()
            }
            (Kind::Broken, 3) => Vec::new(),
            (Kind::Broken, _) => text.replace(&format!("\"classId\":{class}"), "\"classId\":99").into_bytes(),
            _ => text.into_bytes(),
        };
        Message { kind, class, race, racer, team, second, nth, resistance, is_final, payload }
    }
}

impl Stream {
    /// The stream of a plan.
    pub(crate) fn draw(plan: &Plan) -> Self {
        let rng = Rng::with_seed(plan.seed ^ 0x73_7472_6561_6d00);
        let mut draw = Draw { plan, rng, in_class: BTreeMap::new(), in_race: BTreeMap::new() };
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
        let mut shards: Vec<Shard> = (0..plan.shards as usize).map(|at| shard(plan, at, None)).collect();
        if plan.reshard == 1 {
            shards.push(shard(plan, shards.len(), Some(0)));
        }
        let mut stream = Self { records: Vec::new(), shards, split_ms: None, by_letter: BTreeMap::new() };
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
            if plan.reshard == 1 && at as u64 > all / 2 {
                stream.split_ms.get_or_insert(arrival_ms);
                if shard == 0 {
                    shard = stream.shards.len() - 1;
                }
            }
            let joins = rng.u32(0..100) < plan.aggregates;
            stream.push(StreamRecord { message, shard, position: RecordPosition::default(), arrival_ms }, joins);
        }
        stream.pack();
        stream
    }

    /// Makes the stream records of each shard.
    fn pack(&mut self) {
        let Self { records, shards, .. } = self;
        for shard in shards {
            let all = &shard.records;
            for of_one in
                all.chunk_by(|one, other| records[*one].position.sequence == records[*other].position.sequence)
            {
                let first = &records[of_one[0]];
                let messages = of_one.iter().map(|&record| &*records[record].message);
                let messages: Vec<(String, &[u8])> =
                    messages.map(|message| (message.racer.to_string(), &message.payload[..])).collect();
                // One that is in an aggregate is a payload without a text.
                let is_undecodable = matches!(messages[..], [(_, [])]);
                shard.raw.insert(first.position.sequence, pack(&messages, first.arrival_ms, is_undecodable));
            }
        }
    }

    /// Adds a record to its shard: as a stream record of its own, or to the one before.
    fn push(&mut self, mut record: StreamRecord, joins: bool) {
        let shard = &mut self.shards[record.shard];
        let last = shard.records.last().map(|&last| &self.records[last]);
        let sequence = 1_000 + 10 * shard.records.len() as u64;
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
        1 => "unknown-stream",
        2 => "EXAMPLE",
        _ => "alleycat",
    }
}

fn shard(plan: &Plan, at: usize, parent: Option<usize>) -> Shard {
    let id = format!("shardId-{at:012}");
    let name = format!("{}/{id}", stream_name(plan)).into();
    Shard { name, id, parent, records: Vec::new(), raw: BTreeMap::new() }
}
