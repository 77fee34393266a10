//! Aggregates of the Kinesis Producer Library: their messages are processed like plain ones, and a response names the
//! stream record to retry.

use std::collections::BTreeMap;
use std::time::Duration;

use paceline_aws::kpl::Aggregator;
use paceline_pipeline::model::DeadLetter;
use paceline_pipeline::store::DeadLetterStore;
use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::mapping::Mapping;
use paceline_testbed::proxy::{FaultProxy, Faults};
use paceline_testbed::require;
use paceline_testbed::stream::Stream;

use crate::support::{
    DedupMode, Deployment, Message, all_committed, beat, block_on, event_of, messages, proxy, race, response,
    retry_from, sequence,
};

/// Longer than any invocation takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A stream whose records are aggregates of up to `bytes` bytes, and the messages of each, by sequence number.
fn packed(all: &[Message], shards: usize, bytes: usize) -> (Stream, BTreeMap<String, Vec<Message>>) {
    let (mut stream, mut contents) = (Stream::new("alleycat", shards), BTreeMap::new());
    let mut aggregator = Aggregator::new(bytes);
    let mut inside: Vec<Message> = Vec::new();
    let mut put = |data: Vec<u8>, inside: &mut Vec<Message>| {
        let record = stream.put(inside[0].key.clone(), data, inside[0].sent_ms);
        contents.insert(record.sequence.clone(), std::mem::take(inside));
    };
    for message in all {
        if let Some(full) = aggregator.add(&message.key, None, &message.payload) {
            put(full.data, &mut inside);
        }
        inside.push(message.clone());
    }
    put(aggregator.finish().expect("the last message is in it").data, &mut inside);
    (stream, contents)
}

/// An aggregate of these payloads.
fn aggregate(payloads: &[&[u8]]) -> Vec<u8> {
    let mut aggregator = Aggregator::default();
    payloads.iter().for_each(|payload| assert!(aggregator.add("key", None, payload).is_none()));
    aggregator.finish().unwrap().data
}

#[test]
fn an_aggregated_race_gives_the_table_of_the_plain_one() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let ways = [
        (DedupMode::Sequence, 1, PartitionKey::Racer, None),
        (DedupMode::Ordinal, 4, PartitionKey::Random, None),
        (DedupMode::Sequence, 1, PartitionKey::Racer, Some(15)),
    ];
    for (dedup, shards, key, tumbling_window) in ways {
        let all = race(&Race {
            racers: 100,
            seconds: 60,
            class: 3,
            race: 131,
            seed: 7,
            key,
            errors: 1.0,
            duplicates: if dedup == DedupMode::Ordinal { 1.0 } else { 0.0 },
        });
        let (stream, contents) = packed(&all, shards, 20_000);
        let deployment = Deployment::new(dedup);
        let proxy = proxy();
        let function = deployment.function(&proxy.endpoint());
        let mapping = Mapping {
            batch_size: 10,
            tumbling_window,
            report_batch_item_failures: true,
            deliver_twice: 0.2,
            timeout: TIMEOUT,
            ..Mapping::default()
        };
        let report = mapping.run(&stream, &function);
        assert_eq!((report.retries, report.function_errors), (0, 0), "{}", function.logs());
        assert!(report.batches < all.len() as u64 / 100, "{report:?}");
        let what = format!("{dedup:?}, window {tumbling_window:?}");
        deployment.outcome().must_be(&deployment.local(&all), &what);

        // Each dead letter is identified by its own message, not by the aggregate.
        let letters = block_on(deployment.store().list_dead_letters()).unwrap();
        assert!(letters.iter().any(|letter| letter.position.sub_sequence > 0), "{what}");
        for letter in letters {
            let message = &contents[&letter.position.sequence.to_string()][letter.position.sub_sequence as usize];
            assert_eq!(letter.id, DeadLetter::id_of(&letter.shard, letter.position));
            if letter.position.sub_sequence > 0 {
                let position = letter.position;
                assert_eq!(letter.id, format!("{}:{}.{}", letter.shard, position.sequence, position.sub_sequence));
            }
            assert_eq!(letter.partition_key.as_deref(), Some(&*message.key), "{what}: {}", letter.id);
            if letter.cut_from.is_none() {
                assert!(message.payload.starts_with(&letter.payload), "{what}: {}", letter.id);
            }
        }
    }
}

#[test]
fn an_uncommitted_record_of_an_aggregate_is_named_by_its_stream_record() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let proxy = FaultProxy::start(&endpoint(), Faults::default(), 1);
    let function = deployment.function(&proxy.endpoint());
    let beats: Vec<Vec<u8>> = (0..6).map(|racer| beat(racer, 1, 60).to_string().into_bytes()).collect();
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|racer| &beats[racer][..]);
    // The first racers are in the table already: their records are committed, whatever happens to the others.
    assert_eq!(response(function.invoke(event_of([a, b, c]), TIMEOUT)), all_committed());

    proxy.set_faults(Faults {
        throttle: 1.0,
        only: Some(vec!["BatchExecuteStatement".to_owned()]),
        ..Faults::default()
    });
    let first = aggregate(&[a, b]);
    let (second, third) = (aggregate(&[c, b, d, e]), aggregate(&[f, a]));
    let event = event_of([a, &first[..], &second, &third]);
    // In the second aggregate, the third message is the first of a group that is not written.
    let partly = response(function.invoke(event.clone(), Duration::from_secs(3)));
    assert_eq!(partly, retry_from(&sequence(2)), "{}", function.logs());
    assert!(proxy.counts().injected.throttles > 1);

    proxy.set_faults(Faults::default());
    for _ in 0..2 {
        assert_eq!(response(function.invoke(event.clone(), TIMEOUT)), all_committed());
    }
    deployment.outcome().must_be(&deployment.local(&messages([a, b, c, d, e, f])), "delivered again");
}

#[test]
fn an_empty_aggregate_is_committed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    // Its message has a table with the partition key `k`, and no user record. The MD5 is that of `\n\x01k`.
    let message = b"\n\x01k";
    let digest = paceline_aws::kpl::hash_key("\n\x01k").to_be_bytes();
    let nothing = [&[0xf3, 0x89, 0x9a, 0xc2], &message[..], &digest].concat();
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    assert_eq!(response(function.invoke(event_of([&nothing[..]]), TIMEOUT)), all_committed());
    let outcome = deployment.outcome();
    assert!(outcome.items.is_empty() && outcome.dead_letters.is_empty(), "{outcome:?}");
    // It does not affect other records.
    let beat = beat(1, 1, 60).to_string().into_bytes();
    assert_eq!(response(function.invoke(event_of([&nothing[..], &beat, &nothing]), TIMEOUT)), all_committed());
    deployment.outcome().must_be(&deployment.local(&messages([&beat[..]])), "one message");
}
