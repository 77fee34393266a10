//! The fault proxy between Amazon's client and kinesis-local: puts and reads that meet Kinesis's limits and errors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::put_records::PutRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use paceline_testbed::kinesis::{TestStream, client, endpoint};
use paceline_testbed::proxy::{FaultProxy, Faults, KinesisFaults, KinesisLimits};
use paceline_testbed::require;

/// A stream behind a proxy.
struct ProxiedStream {
    stream: TestStream,
    proxy: FaultProxy,
    client: Client,
}

impl ProxiedStream {
    async fn new(shards: i32, faults: Faults) -> Self {
        let proxy = FaultProxy::start(&endpoint(), faults, 1);
        let client = client(&proxy.endpoint());
        Self { stream: TestStream::new("proxy", shards).await, proxy, client }
    }

    async fn limited(shards: i32, limits: KinesisLimits) -> Self {
        Self::new(shards, with_kinesis(KinesisFaults { limits: Some(limits), ..KinesisFaults::default() })).await
    }

    async fn put(&self, entries: Vec<PutRecordsRequestEntry>) -> Result<PutRecordsOutput, String> {
        let request = self.client.put_records().stream_name(self.stream.name()).set_records(Some(entries));
        request.send().await.map_err(|error| code(&error))
    }

    async fn put_one(&self, key: &str, data: &str) -> Result<(), String> {
        let request = self.client.put_record().stream_name(self.stream.name()).partition_key(key);
        request.data(Blob::new(data)).send().await.map(drop).map_err(|error| code(&error))
    }

    /// An iterator from the beginning of the first shard.
    async fn iterator(&self) -> Result<String, String> {
        let request = self.client.get_shard_iterator().stream_name(self.stream.name());
        let request = request.shard_id("shardId-000000000000").shard_iterator_type(ShardIteratorType::TrimHorizon);
        request.send().await.map(|answer| answer.shard_iterator.unwrap()).map_err(|error| code(&error))
    }

    /// The number of records read, and the next iterator.
    async fn read(&self, iterator: &str) -> Result<(usize, String), String> {
        let answer = self.client.get_records().shard_iterator(iterator).send().await;
        answer.map(|answer| (answer.records().len(), answer.next_shard_iterator.unwrap())).map_err(|error| code(&error))
    }

    /// The partition keys of the stream's records.
    async fn keys(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for shard in self.stream.shards().await {
            keys.extend(self.stream.read(shard.shard_id()).await.into_iter().filter_map(|record| record.partition_key));
        }
        keys
    }
}

fn with_kinesis(kinesis: KinesisFaults) -> Faults {
    Faults { kinesis, ..Faults::default() }
}

fn unlimited() -> KinesisLimits {
    let no = f64::INFINITY;
    KinesisLimits { put_records: no, put_bytes: no, reads: no, read_bytes: no, iterators: no }
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.code().unwrap_or("no code").to_owned()
}

fn entry(key: &str, data: impl Into<Vec<u8>>) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data.into())).build().unwrap()
}

fn entries(range: std::ops::Range<usize>) -> Vec<PutRecordsRequestEntry> {
    range.map(|number| entry(&format!("key {number}"), "data")).collect()
}

#[tokio::test]
async fn without_faults_records_are_put_and_read() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::new(2, Faults::default()).await;
    assert_eq!(proxied.put(entries(0..100)).await.unwrap().failed_record_count(), Some(0));
    let iterator = proxied.iterator().await.unwrap();
    let (records, next) = proxied.read(&iterator).await.unwrap();
    assert!((20..80).contains(&records), "{records}");
    assert_eq!(proxied.read(&next).await.unwrap().0, 0);
    assert_eq!(proxied.read("no iterator").await.unwrap_err(), "no code", "kinesis-local sends none");

    let counts = proxied.proxy.counts();
    let expected = [("GetRecords", 3), ("GetShardIterator", 1), ("PutRecords", 1)];
    assert_eq!(counts.by_operation, expected.map(|(operation, count)| (operation.to_owned(), count)).into());
    assert_eq!(counts.by_version, BTreeMap::from([("HTTP/1.1".to_owned(), 5)]));
    assert_eq!(counts.injected.total(), 0);
}

#[tokio::test]
async fn records_over_their_shards_limit_fail_in_their_places() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::limited(2, KinesisLimits { put_records: 20.0, ..unlimited() }).await;
    let answer = proxied.put(entries(0..100)).await.unwrap();
    let mut by_shard = BTreeMap::<String, usize>::new();
    let mut taken = BTreeSet::new();
    for (number, record) in answer.records().iter().enumerate() {
        match (record.shard_id(), record.error_code()) {
            (Some(shard), None) => {
                assert!(record.sequence_number().is_some());
                *by_shard.entry(shard.to_owned()).or_default() += 1;
                taken.insert(format!("key {number}"));
            }
            (None, Some(code)) => {
                assert_eq!(code, "ProvisionedThroughputExceededException");
                let message = record.error_message().unwrap();
                assert!(message.starts_with("Rate exceeded for shard shardId-00000000000"), "{message}");
                assert!(message.contains(proxied.stream.name()), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    // A second's worth for each shard.
    assert_eq!(by_shard.into_values().collect::<Vec<_>>(), [20, 20]);
    assert_eq!(answer.failed_record_count(), Some(60));
    assert_eq!(proxied.proxy.counts().injected.over_limit, 60);
    assert_eq!(proxied.keys().await, taken);
}

#[tokio::test]
async fn a_shards_capacity_refills_with_time() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::limited(1, KinesisLimits { put_records: 200.0, ..unlimited() }).await;
    let start = Instant::now();
    let mut left: BTreeSet<usize> = (0..400).collect();
    while !left.is_empty() {
        let tried: Vec<usize> = left.iter().copied().collect();
        let answer =
            proxied.put(tried.iter().map(|number| entry(&format!("{number}"), "data")).collect()).await.unwrap();
        for (number, record) in tried.iter().zip(answer.records()) {
            if record.error_code().is_none() {
                left.remove(number);
            }
        }
    }
    assert!(start.elapsed() >= Duration::from_millis(990), "400 at 200 a second: {:?}", start.elapsed());
    assert_eq!(proxied.keys().await.len(), 400);
}

#[tokio::test]
async fn bytes_are_limited_and_a_single_record_over_the_limit_fails() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::limited(1, KinesisLimits { put_bytes: 1_000.0, ..unlimited() }).await;
    let answer = proxied.put(vec![entry("a", vec![0; 700]), entry("b", vec![0; 700])]).await.unwrap();
    let codes: Vec<_> = answer.records().iter().map(|record| record.error_code()).collect();
    assert_eq!(codes, [None, Some("ProvisionedThroughputExceededException")]);
    assert_eq!(proxied.put_one("c", &"x".repeat(700)).await.unwrap_err(), "ProvisionedThroughputExceededException");
    assert_eq!(proxied.keys().await, BTreeSet::from(["a".to_owned()]));
}

#[tokio::test]
async fn limits_follow_the_shards_of_a_stream_that_is_split() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::limited(1, KinesisLimits { put_records: 50.0, ..unlimited() }).await;
    proxied.put(entries(0..1)).await.unwrap();
    proxied.stream.split("shardId-000000000000").await;
    // The first record in an unknown shard makes the proxy list the shards again.
    proxied.put_one("any", "data").await.unwrap();
    let answer = proxied.put(entries(0..500)).await.unwrap();
    let messages = answer.records().iter().filter_map(|record| record.error_message());
    let shards: BTreeSet<&str> = messages.filter_map(|message| message.split(' ').nth(4)).collect();
    assert_eq!(shards, BTreeSet::from(["shardId-000000000001", "shardId-000000000002"]));
    assert_eq!(answer.failed_record_count(), Some(400));
}

#[tokio::test]
async fn an_oversized_request_fails_as_a_whole() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::new(1, Faults::default()).await;
    assert_eq!(proxied.put(entries(0..501)).await.unwrap_err(), "ValidationException");
    let mebibyte = 1_048_576;
    assert_eq!(proxied.put(vec![entry("k", vec![0; mebibyte])]).await.unwrap_err(), "ValidationException");
    let eleven = (0..11).map(|_| entry("k", vec![0; mebibyte - 1])).collect();
    assert_eq!(proxied.put(eleven).await.unwrap_err(), "InvalidArgumentException");
    assert_eq!(proxied.keys().await, BTreeSet::new());
    assert_eq!(proxied.put(entries(0..500)).await.unwrap().failed_record_count(), Some(0));
}

#[tokio::test]
async fn some_records_fail_at_random_and_some_of_these_are_in_the_stream() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::new(2, Faults { partial: 1.0, ..Faults::default() }).await;
    let mut by_code = BTreeMap::<String, BTreeSet<String>>::new();
    let mut failed = 0;
    for batch in 0..10 {
        let answer = proxied.put(entries(batch * 20..(batch + 1) * 20)).await.unwrap();
        let codes: Vec<_> = answer.records().iter().map(|record| record.error_code().unwrap_or_default()).collect();
        assert_eq!(codes.len(), 20);
        let failed_here = codes.iter().filter(|code| !code.is_empty()).count();
        assert_eq!(answer.failed_record_count(), Some(i32::try_from(failed_here).unwrap()));
        assert!(failed_here > 0);
        failed += failed_here;
        for (number, code) in codes.into_iter().enumerate() {
            by_code.entry(code.to_owned()).or_default().insert(format!("key {}", batch * 20 + number));
        }
    }
    let stored = proxied.keys().await;
    assert!(by_code[""].is_subset(&stored));
    assert!(by_code["ProvisionedThroughputExceededException"].is_disjoint(&stored));
    let ambiguous = &by_code["InternalFailure"];
    assert!(!ambiguous.is_disjoint(&stored) && !ambiguous.is_subset(&stored));
    assert_eq!(by_code.len(), 3);
    let injected = proxied.proxy.counts().injected;
    assert_eq!((injected.partials, injected.held_back), (10, failed as u64));
}

#[tokio::test]
async fn a_shard_can_be_read_five_times_a_second() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::limited(1, KinesisLimits { reads: 5.0, ..unlimited() }).await;
    let mut iterator = proxied.iterator().await.unwrap();
    let start = Instant::now();
    let (mut reads, mut throttled) = (0, 0);
    while reads < 10 {
        match proxied.read(&iterator).await {
            Ok((_, next)) => {
                reads += 1;
                iterator = next;
            }
            Err(code) => {
                assert_eq!(code, "ProvisionedThroughputExceededException");
                throttled += 1;
            }
        }
    }
    assert!(start.elapsed() >= Duration::from_millis(990), "{:?}", start.elapsed());
    // One after another, reads may take longer than they have to wait on a machine that is full.
    let (began, mut at_once) = (Instant::now(), [0_u64; 2]);
    let read = || async { proxied.read(&iterator).await.is_err() };
    let of_five = || async { tokio::join!(read(), read(), read(), read(), read()) };
    let (a, b, c, d) = tokio::join!(of_five(), of_five(), of_five(), of_five());
    for is_throttled in [a, b, c, d].into_iter().flat_map(<[bool; 5]>::from) {
        at_once[usize::from(is_throttled)] += 1;
    }
    let most = 5 + (5.0 * began.elapsed().as_secs_f64()) as u64;
    assert!(at_once[0] <= most, "{at_once:?} {:?}", began.elapsed());
    assert_eq!(proxied.proxy.counts().injected.over_limit, throttled + at_once[1]);
}

#[tokio::test]
async fn after_a_large_response_the_next_reads_are_throttled() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::limited(1, KinesisLimits { read_bytes: 1_000.0, ..unlimited() }).await;
    proxied.stream.put([("key", vec![0; 1_400])]).await;
    let iterator = proxied.iterator().await.unwrap();
    let start = Instant::now();
    let (records, next) = proxied.read(&iterator).await.unwrap();
    assert_eq!(records, 1);
    assert_eq!(proxied.read(&next).await.unwrap_err(), "ProvisionedThroughputExceededException");
    while let Err(code) = proxied.read(&next).await {
        assert_eq!(code, "ProvisionedThroughputExceededException");
    }
    // 1,403 bytes were read at 1,000 a second.
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
}

#[tokio::test]
async fn five_iterators_a_second_can_be_created() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::limited(1, KinesisLimits { iterators: 5.0, ..unlimited() }).await;
    let mut throttled = 0;
    while throttled == 0 {
        throttled +=
            u64::from(proxied.iterator().await.is_err_and(|code| code == "ProvisionedThroughputExceededException"));
    }
    assert!(proxied.proxy.counts().requests("GetShardIterator") > 5);
}

#[tokio::test]
async fn an_iterator_expires_at_random_or_by_age() {
    require!(KinesisLocal);
    let at_random = KinesisFaults { expired_iterator: 1.0, ..KinesisFaults::default() };
    let proxied = ProxiedStream::new(1, with_kinesis(at_random)).await;
    let iterator = proxied.iterator().await.unwrap();
    assert_eq!(proxied.read(&iterator).await.unwrap_err(), "ExpiredIteratorException");

    let by_age = KinesisFaults { iterator_age: Some(Duration::from_millis(300)), ..KinesisFaults::default() };
    proxied.proxy.set_faults(with_kinesis(by_age));
    let first = proxied.iterator().await.unwrap();
    let mut young = first.clone();
    // The next iterator is a new one; the first one gets older.
    while proxied.read(&first).await.is_ok() {
        young = proxied.read(&young).await.unwrap().1;
    }
    assert_eq!(proxied.read(&first).await.unwrap_err(), "ExpiredIteratorException");
    proxied.read(&young).await.unwrap();
    assert_eq!(proxied.proxy.counts().injected.expired_iterators, 3);
}

#[tokio::test]
async fn errors_are_in_kinesis_own_format() {
    require!(KinesisLocal);
    let proxied = ProxiedStream::new(1, Faults { throttle: 1.0, ..Faults::default() }).await;
    assert_eq!(proxied.put_one("a", "data").await.unwrap_err(), "ProvisionedThroughputExceededException");
    assert_eq!(proxied.put(entries(0..3)).await.unwrap_err(), "ProvisionedThroughputExceededException");
    let listed = proxied.client.list_shards().stream_name(proxied.stream.name()).send().await;
    assert!(listed.unwrap_err().as_service_error().unwrap().is_limit_exceeded_exception());
    assert_eq!(proxied.keys().await, BTreeSet::new());

    proxied.proxy.set_faults(Faults { server_error: 1.0, ..Faults::default() });
    let mut codes = BTreeSet::new();
    for number in 0..30 {
        codes.insert(proxied.put_one(&format!("{number}"), "data").await.unwrap_err());
    }
    assert_eq!(codes, BTreeSet::from(["InternalFailure".to_owned(), "ServiceUnavailable".to_owned()]));
    let injected = proxied.proxy.counts().injected;
    assert_eq!(injected.errors_before + injected.errors_after, 30);
    assert_eq!(proxied.keys().await.len() as u64, injected.errors_after);

    proxied.proxy.set_faults(Faults { reset_after: 1.0, ..Faults::default() });
    assert_eq!(proxied.put_one("reset", "data").await.unwrap_err(), "no code");
    assert!(proxied.keys().await.contains("reset"));
}
