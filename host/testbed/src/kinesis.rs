//! kinesis-local: its endpoint, clients, streams for one test each.
//!
//! One server serves all tests at the same time: each creates streams with names that no other test uses. The server
//! enforces no limit and never fails; [`crate::proxy`] does so in front of it.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Builder, Credentials, HttpClient, Region, StalledStreamProtectionConfig,
};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    ConsumerStatus, PutRecordsRequestEntry, Record, ScalingType, Shard, ShardIteratorType, StreamStatus,
};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use tokio::time::sleep;

use crate::environment::KINESIS_ENDPOINT;
use crate::unique::unique;

/// The maximum number of records in a `PutRecords`.
const MAX_PUT: usize = 500;
/// The time within which a stream must change. `scripts/local-aws` sets 20 ms, but the machine may be busy.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The interval at which a changing stream is polled: Kinesis has no event for the end of a change.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The endpoint of kinesis-local: `http://127.0.0.1:PORT`.
///
/// # Panics
///
/// If it is not running. A test that begins with `require!(KinesisLocal)` does not get here.
pub fn endpoint() -> String {
    std::env::var(KINESIS_ENDPOINT).unwrap_or_else(|_| {
        panic!("kinesis-local is not running ({KINESIS_ENDPOINT} is not set): `scripts/local-aws cargo test` runs it")
    })
}

/// A client that tries each request once, so that a test sees every failure.
pub fn client(endpoint: &str) -> Client {
    // Plain HTTP. The default client would load the machine's certificates first.
    client_through(endpoint, HttpBuilder::new().build_http())
}

/// As [`client`], with TLS and HTTP/2. It trusts one certificate only: [`crate::proxy::FaultProxy::certificate_file`].
///
/// # Panics
///
/// If the file is not a certificate.
pub fn client_trusting(endpoint: &str, certificate: &Path) -> Client {
    let certificate = std::fs::read(certificate).expect("a readable certificate");
    let trusted = TrustStore::empty().with_pem_certificate(certificate);
    let context = TlsContext::builder().with_trust_store(trusted).build().expect("a certificate in PEM");
    let http = HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https();
    client_through(endpoint, http)
}

/// As [`client_trusting`], but it trusts the machine's certificates, or those in `SSL_CERT_FILE`.
pub fn client_native(endpoint: &str) -> Client {
    client_through(endpoint, HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
}

fn client_through(endpoint: &str, http: impl HttpClient + 'static) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "paceline-testbed"))
        .retry_config(RetryConfig::disabled())
        // A subscription to a shard without records is silent for seconds.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(http)
        .build();
    Client::from_conf(config)
}

/// A stream in kinesis-local that no other test uses. It is not deleted: the server ends with the tests.
///
/// Every method panics if kinesis-local rejects its request.
#[derive(Clone, Debug)]
pub struct TestStream {
    name: String,
    arn: String,
    client: Client,
}

/// The position of a record that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The shard that took it.
    pub shard: String,
    /// Its sequence number.
    pub sequence: String,
}

impl TestStream {
    /// Creates a stream with so many shards and waits until it is active. Its name begins with `name`.
    pub async fn new(name: &str, shards: i32) -> Self {
        let client = client(&endpoint());
        let name = unique(name);
        client.create_stream().stream_name(&name).shard_count(shards).send().await.expect("a new stream");
        let summary =
            client.describe_stream_summary().stream_name(&name).send().await.expect("a description of the stream");
        let arn = summary.stream_description_summary().expect("a description of the stream").stream_arn().to_owned();
        let stream = Self { name, arn, client };
        stream.until_active().await;
        stream
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// A client of kinesis-local, without a proxy.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// All shards, including closed ones, in the order of their numbers.
    pub async fn shards(&self) -> Vec<Shard> {
        let mut shards = Vec::new();
        let mut response = self.client.list_shards().stream_name(&self.name).send().await.expect("a list of shards");
        loop {
            shards.extend(response.shards().iter().cloned());
            let Some(next) = response.next_token() else { break };
            response = self.client.list_shards().next_token(next).send().await.expect("the next page of shards");
        }
        shards.sort_by(|a, b| a.shard_id().cmp(b.shard_id()));
        shards
    }

    /// The shards that are not closed.
    pub async fn open_shards(&self) -> Vec<Shard> {
        let mut shards = self.shards().await;
        shards.retain(|shard| !is_closed(shard));
        shards
    }

    /// Splits a shard in the middle of its hash keys; the ids of its children, the lower one first.
    pub async fn split(&self, shard: &str) -> [String; 2] {
        let (start, end) =
            hashes(self.shards().await.iter().find(|other| other.shard_id() == shard).expect("a shard of this stream"));
        let middle = start + (end - start) / 2 + 1;
        let request = self.client.split_shard().stream_name(&self.name).shard_to_split(shard);
        request.new_starting_hash_key(middle.to_string()).send().await.expect("a split");
        self.until_active().await;
        let mut children = self.children(shard).await;
        children.sort_by_key(|child| hashes(child).0);
        let ids: Vec<String> = children.into_iter().map(|child| child.shard_id).collect();
        ids.try_into().expect("two children")
    }

    /// Merges two adjacent shards; the id of their child.
    pub async fn merge(&self, a: &str, b: &str) -> String {
        let request = self.client.merge_shards().stream_name(&self.name);
        request.shard_to_merge(a).adjacent_shard_to_merge(b).send().await.expect("a merge");
        self.until_active().await;
        let mut children = self.children(a).await;
        children.pop().expect("one child").shard_id
    }

    /// Splits and merges until there are so many open shards, with equal ranges of hash keys.
    pub async fn update_shard_count(&self, shards: i32) {
        let request = self.client.update_shard_count().stream_name(&self.name).target_shard_count(shards);
        request.scaling_type(ScalingType::UniformScaling).send().await.expect("an update of the shard count");
        self.until_active().await;
        assert_eq!(self.open_shards().await.len(), usize::try_from(shards).expect("a positive number"));
    }

    /// Puts records, each with its partition key, in this order; their positions.
    pub async fn put<K: Into<String>, D: Into<Vec<u8>>>(
        &self,
        records: impl IntoIterator<Item = (K, D)>,
    ) -> Vec<Placed> {
        let entry = |(key, data): (K, D)| {
            let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data));
            entry.build().expect("an entry with key and data")
        };
        self.put_entries(records.into_iter().map(entry).collect()).await
    }

    /// Puts records into one open shard, by an explicit hash key; their positions.
    pub async fn put_into<D: Into<Vec<u8>>>(&self, shard: &str, records: impl IntoIterator<Item = D>) -> Vec<Placed> {
        let shards = self.shards().await;
        let (start, _) = hashes(shards.iter().find(|other| other.shard_id() == shard).expect("a shard of this stream"));
        let entry = |data: D| {
            let entry = PutRecordsRequestEntry::builder().partition_key("key").explicit_hash_key(start.to_string());
            entry.data(Blob::new(data)).build().expect("an entry with key and data")
        };
        self.put_entries(records.into_iter().map(entry).collect()).await
    }

    async fn put_entries(&self, entries: Vec<PutRecordsRequestEntry>) -> Vec<Placed> {
        let mut placed = Vec::with_capacity(entries.len());
        for batch in entries.chunks(MAX_PUT) {
            let request = self.client.put_records().stream_name(&self.name).set_records(Some(batch.to_vec()));
            let response = request.send().await.expect("a put");
            placed.extend(response.records().iter().map(|record| Placed {
                shard: record.shard_id().expect("a record that was put").to_owned(),
                sequence: record.sequence_number().expect("a sequence number").to_owned(),
            }));
        }
        placed
    }

    /// All records of a shard, from the oldest.
    pub async fn read(&self, shard: &str) -> Vec<Record> {
        let request = self.client.get_shard_iterator().stream_name(&self.name).shard_id(shard);
        let response = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
        let mut iterator = response.shard_iterator;
        let mut records = Vec::new();
        // The last response of a closed shard has no iterator; that of an open one is not behind.
        while let Some(from) = iterator {
            let response = self.client.get_records().shard_iterator(from).send().await.expect("records");
            let at_tip = response.records().is_empty() && response.millis_behind_latest() == Some(0);
            records.extend(response.records);
            iterator = response.next_shard_iterator.filter(|_| !at_tip);
        }
        records
    }

    /// Registers a consumer for subscriptions and waits until it is active; its ARN.
    pub async fn register_consumer(&self, name: &str) -> String {
        let request = self.client.register_stream_consumer().stream_arn(&self.arn).consumer_name(name);
        let response = request.send().await.expect("a registration");
        let arn = response.consumer().expect("the consumer").consumer_arn().to_owned();
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        loop {
            let request = self.client.describe_stream_consumer().consumer_arn(&arn);
            let response = request.send().await.expect("a description of the consumer");
            let consumer = response.consumer_description().expect("a description of the consumer");
            if consumer.consumer_status() == &ConsumerStatus::Active {
                return arn;
            }
            assert!(Instant::now() < deadline, "the consumer {arn} is not active after {CHANGE_TIMEOUT:?}");
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn until_active(&self) {
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        loop {
            let response = self.client.describe_stream_summary().stream_name(&self.name).send().await;
            let response = response.expect("a description of the stream");
            let summary = response.stream_description_summary.expect("a description of the stream");
            if summary.stream_status() == &StreamStatus::Active {
                return;
            }
            assert!(Instant::now() < deadline, "{} is {} after {CHANGE_TIMEOUT:?}", self.name, summary.stream_status());
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn children(&self, parent: &str) -> Vec<Shard> {
        let mut shards = self.shards().await;
        shards.retain(|shard| [shard.parent_shard_id(), shard.adjacent_parent_shard_id()].contains(&Some(parent)));
        shards
    }
}

/// Whether a shard was split or merged, and takes no more records.
pub fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some())
}

/// The first and the last hash key of a shard.
///
/// # Panics
///
/// If they are not numbers.
pub fn hashes(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range().expect("a range of hash keys");
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("`{text}` is not a hash key of 128 bits"));
    (number(range.starting_hash_key()), number(range.ending_hash_key()))
}
