//! The race's messages in the stream, as far as its shards take them.
//!
//! Twenty requests a second, evenly. What a shard rejects is sent again with the next request.

use std::collections::VecDeque;

use paceline_aws::kpl::Aggregator;
use paceline_capacity::kinesis::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use paceline_simulator::{Keys, Messages, PartitionKey, Race};
use paceline_testbed::stream::Stream;

use crate::setting::Setting;

/// The race's class: the rulebook of flat races.
const CLASS: u32 = 3;
/// Milliseconds of a race's window, whose number is the race's id.
const RACE_MS: i64 = 300_000;
/// Requests of producers in a second.
const PUTS_PER_SECOND: u32 = 20;

/// What producers sent.
pub(crate) struct Sent {
    pub(crate) stream: Stream,
    /// By period.
    pub(crate) puts: Vec<Puts>,
}

/// What producers sent in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Puts {
    /// Records that the stream accepted.
    pub(crate) records: f64,
    /// Their bytes, keys included.
    pub(crate) bytes: f64,
    /// Records that it rejected.
    pub(crate) rejected: f64,
}

/// A record to put.
struct Entry {
    key: String,
    data: Vec<u8>,
}

/// What a shard has left of its second.
#[derive(Clone, Copy)]
struct ShardLevel {
    records: f64,
    bytes: f64,
}

/// Sends a race that begins at this time.
pub(crate) fn send(setting: &Setting, start_ms: i64) -> Sent {
    let race = Race {
        racers: setting.racers,
        seconds: setting.seconds,
        class: CLASS,
        race: (start_ms / RACE_MS).unsigned_abs(),
        seed: 1,
        // In the order of their seconds: only the partition keys are random.
        key: PartitionKey::Racer,
        errors: 0.0,
        duplicates: 0.0,
    };
    let key = if setting.keys_by_racer { PartitionKey::Racer } else { PartitionKey::Random };
    let mut keys = Keys::new(&Race { key, ..race.clone() });
    let mut stream = Stream::new("alleycat", setting.shards);
    let periods = setting.seconds.div_ceil(setting.period_seconds) as usize;
    let mut puts = vec![Puts::default(); periods];
    let mut levels =
        vec![ShardLevel { records: SHARD_RECORDS_PER_SECOND, bytes: SHARD_BYTES_PER_SECOND }; setting.shards];
    let mut waiting: VecDeque<Entry> = VecDeque::new();
    let mut aggregator = setting.packed.then(Aggregator::default);
    let mut messages = Messages::new(&race);
    for put in 0..setting.seconds * PUTS_PER_SECOND {
        for level in &mut levels {
            level.records =
                (level.records + SHARD_RECORDS_PER_SECOND / f64::from(PUTS_PER_SECOND)).min(SHARD_RECORDS_PER_SECOND);
            level.bytes =
                (level.bytes + SHARD_BYTES_PER_SECOND / f64::from(PUTS_PER_SECOND)).min(SHARD_BYTES_PER_SECOND);
        }
        // The messages of a second divide over its requests.
        let due = |part: u32| setting.racers * part / PUTS_PER_SECOND;
        let part = put % PUTS_PER_SECOND;
        for (_, payload) in messages.by_ref().take((due(part + 1) - due(part)) as usize) {
            let key = keys.next(&payload);
            match &mut aggregator {
                Some(aggregator) => waiting.extend(aggregator.add(&key, None, &payload).map(packed)),
                None => waiting.push_back(Entry { key, data: payload }),
            }
        }
        if put + 1 == setting.seconds * PUTS_PER_SECOND {
            waiting.extend(aggregator.as_mut().and_then(Aggregator::finish).map(packed));
        }
        let period = (put / PUTS_PER_SECOND / setting.period_seconds) as usize;
        let arrival_ms = start_ms + i64::from(put) * 1_000 / i64::from(PUTS_PER_SECOND);
        for entry in std::mem::take(&mut waiting) {
            let size = (entry.key.len() + entry.data.len()) as f64;
            let level = &mut levels[stream.shard_of(&entry.key)];
            // What is missing at less than a record comes from rounding.
            if level.records < 1.0 - 1e-6 || level.bytes < size {
                puts[period].rejected += 1.0;
                waiting.push_back(entry);
                continue;
            }
            level.records -= 1.0;
            level.bytes -= size;
            puts[period].records += 1.0;
            puts[period].bytes += size;
            stream.put(entry.key, entry.data, arrival_ms);
        }
    }
    Sent { stream, puts }
}

/// A message of a race that is over.
pub(crate) fn message_of_another_race() -> Vec<u8> {
    let (seed, key) = (1, PartitionKey::Racer);
    let race = Race { racers: 1, seconds: 2, class: CLASS, race: 1, seed, key, errors: 0.0, duplicates: 0.0 };
    Messages::new(&race).next().expect("a race has messages").1
}

fn packed(packed: paceline_aws::kpl::Packed) -> Entry {
    Entry { key: packed.partition_key, data: packed.data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::article;

    #[test]
    fn a_shard_takes_what_1000_racers_send_and_not_what_1000_send_too_fast() {
        let setting = Setting { seconds: 40, ..article() };
        let Sent { stream, puts } = send(&setting, 1_795_718_400_000);
        let sums = puts.iter().fold((0.0, 0.0), |sums, puts| (sums.0 + puts.records, sums.1 + puts.rejected));
        assert_eq!(sums, (40_000.0, 0.0));
        assert_eq!(stream.shards[0].records.len(), 40_000);
    }

    #[test]
    fn packed_messages_are_four_records_a_second() {
        let setting = Setting { seconds: 40, packed: true, ..article() };
        let Sent { puts, .. } = send(&setting, 1_795_718_400_000);
        let records: f64 = puts.iter().map(|puts| puts.records).sum();
        assert!((120.0..160.0).contains(&records), "{records}");
    }
}
