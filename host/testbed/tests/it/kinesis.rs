//! Streams in kinesis-local: created, filled, resharded and read.

use std::collections::BTreeSet;

use paceline_testbed::kinesis::{TestStream, hashes, is_closed};
use paceline_testbed::require;

fn texts(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("record {number}")).collect()
}

async fn read(stream: &TestStream, shard: &str) -> Vec<String> {
    let records = stream.read(shard).await;
    records.into_iter().map(|record| String::from_utf8(record.data.into_inner()).unwrap()).collect()
}

#[tokio::test]
async fn records_are_read_as_they_were_put() {
    require!(KinesisLocal);
    let stream = TestStream::new("stream", 3).await;
    let placed = stream.put(texts(0..1_200).into_iter().map(|text| (text.clone(), text))).await;
    assert_eq!(placed.len(), 1_200);
    let mut all = BTreeSet::new();
    for shard in stream.open_shards().await {
        let records = stream.read(shard.shard_id()).await;
        let expected = placed.iter().filter(|placed| placed.shard == shard.shard_id()).map(|placed| &placed.sequence);
        assert!(records.iter().map(|record| &record.sequence_number).eq(expected), "{}", shard.shard_id());
        all.extend(records.into_iter().filter_map(|record| record.partition_key));
    }
    assert_eq!(all, texts(0..1_200).into_iter().collect());
}

#[tokio::test]
async fn a_split_and_a_merge_close_the_parents_and_keep_their_records() {
    require!(KinesisLocal);
    let stream = TestStream::new("stream", 1).await;
    let parent = stream.shards().await[0].shard_id().to_owned();
    stream.put_into(&parent, texts(0..3)).await;
    let [low, high] = stream.split(&parent).await;
    stream.put_into(&high, texts(3..5)).await;
    assert_eq!(read(&stream, &parent).await, texts(0..3));
    assert_eq!(read(&stream, &low).await, texts(0..0));
    assert_eq!(read(&stream, &high).await, texts(3..5));

    let child = stream.merge(&low, &high).await;
    let shards = stream.shards().await;
    assert_eq!(shards.iter().filter(|shard| is_closed(shard)).count(), 3);
    let last = shards.last().unwrap();
    assert_eq!((last.shard_id(), hashes(last)), (child.as_str(), (0, u128::MAX)));
}

#[tokio::test]
async fn update_shard_count_returns_when_the_shards_are_open() {
    require!(KinesisLocal);
    let stream = TestStream::new("stream", 2).await;
    stream.update_shard_count(4).await;
    assert_eq!(stream.open_shards().await.len(), 4);
    stream.update_shard_count(2).await;
    assert_eq!(stream.open_shards().await.len(), 2);
}

#[tokio::test]
async fn a_registered_consumer_is_active() {
    require!(KinesisLocal);
    let stream = TestStream::new("stream", 1).await;
    let arn = stream.register_consumer("reader").await;
    assert!(arn.starts_with(&format!("{}/consumer/reader:", stream.arn())), "{arn}");
}
