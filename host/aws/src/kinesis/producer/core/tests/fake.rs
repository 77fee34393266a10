//! A simulated stream that splits, and stores and rejects as a test wants.

use paceline_pipeline::model::Batch;

use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::producer::request::{PutResult, Request};
use crate::kinesis::producer::shard_map::ShardMap;
use crate::kinesis::shard::Shard;
use crate::kpl::{Packed, hash_key, unpack};

/// A shard and its records, in order.
struct FakeShard {
    listed: Shard,
    taken: Vec<Packed>,
}

/// A simulated stream.
pub(super) struct FakeStream {
    shards: Vec<FakeShard>,
}

/// What outcome to a request.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Stored,
    /// Entries whose number's bit is set fail: throttled, or in the service, stored nevertheless or not.
    Partly {
        failed: u64,
        how: u8,
    },
    Throttled,
    /// No response, and the records are stored or not.
    Lost {
        taken: bool,
    },
}

impl FakeStream {
    pub(super) fn new(shards: u32) -> Self {
        let width = u128::MAX / u128::from(shards);
        let shard = |at: u32| {
            let first = width * u128::from(at);
            let last = if at + 1 == shards { u128::MAX } else { first + width - 1 };
            FakeShard { listed: listed(at as usize, (first, last), &[]), taken: Vec::new() }
        };
        Self { shards: (0..shards).map(shard).collect() }
    }

    pub(super) fn map(&self) -> ShardMap {
        ShardMap::new(self.shards.iter().map(|shard| shard.listed.clone()).collect()).unwrap()
    }

    /// Splits the widest shard.
    pub(super) fn split(&mut self) {
        let open = self.shards.iter_mut().filter(|shard| !shard.listed.closed);
        let widest = open.max_by_key(|shard| shard.listed.hash_range.1 - shard.listed.hash_range.0).unwrap();
        widest.listed.closed = true;
        let (parent, (first, last)) = (widest.listed.id.clone(), widest.listed.hash_range);
        let middle = first + (last - first) / 2;
        for range in [(first, middle), (middle + 1, last)] {
            let listed = listed(self.shards.len(), range, &[&parent]);
            self.shards.push(FakeShard { listed, taken: Vec::new() });
        }
    }

    fn take(&mut self, packed: &Packed) -> PutResult {
        let hash = packed.explicit_hash_key.unwrap_or_else(|| hash_key(&packed.partition_key));
        let within = |shard: &&mut FakeShard| (shard.listed.hash_range.0..=shard.listed.hash_range.1).contains(&hash);
        let shard = self.shards.iter_mut().filter(|shard| !shard.listed.closed).find(within).unwrap();
        shard.taken.push(packed.clone());
        PutResult::Stored(shard.listed.id.clone())
    }

    pub(super) fn respond(&mut self, request: &Request, outcome: &Outcome) -> Result<Vec<PutResult>, StreamError> {
        let mut take = |packed: &Packed| self.take(packed);
        let error = |kind| Err(StreamError::new(kind, "simulated"));
        match outcome {
            Outcome::Stored => Ok(request.entries.iter().map(take).collect()),
            Outcome::Throttled => error(StreamErrorKind::Throttled),
            Outcome::Lost { taken } => {
                if *taken {
                    request.entries.iter().for_each(|packed| drop(take(packed)));
                }
                error(StreamErrorKind::Ambiguous)
            }
            Outcome::Partly { failed, how } => {
                let entry = |(at, packed)| match (failed >> (at % 64) & 1, how) {
                    (0, _) => take(packed),
                    (_, 0) => PutResult::Throttled("too much".into()),
                    (_, 1) => PutResult::Ambiguous("failed".into()),
                    _ => {
                        take(packed);
                        PutResult::Ambiguous("failed".into())
                    }
                };
                Ok(request.entries.iter().enumerate().map(entry).collect())
            }
        }
    }

    /// The number of stream records in a shard.
    pub(super) fn taken_by(&self, shard: usize) -> usize {
        self.shards[shard].taken.len()
    }

    /// The user records of each shard as a consumer that drops misrouted ones sees them: key and data.
    pub(super) fn read(&self) -> Vec<(String, Vec<u8>)> {
        let mut seen = Vec::new();
        for shard in &self.shards {
            let mut batch = Batch::new("test".into());
            for (at, packed) in (0u64..).zip(&shard.taken) {
                batch.push(&packed.data, at.into());
                let key = batch.push_bytes(packed.partition_key.as_bytes());
                batch.records.last_mut().unwrap().partition_key = Some(key);
            }
            unpack(&mut batch, Some(shard.listed.hash_range));
            seen.extend(batch.records.iter().map(|record| {
                let key = batch.slice(record.partition_key.unwrap());
                (String::from_utf8(key.to_vec()).unwrap(), batch.slice(record.payload).to_vec())
            }));
        }
        seen
    }
}

fn listed(number: usize, hash_range: (u128, u128), parents: &[&str]) -> Shard {
    let parents = parents.iter().map(|parent| (*parent).into()).collect();
    Shard { id: format!("shardId-{number:012}").into(), hash_range, closed: false, parents }
}
